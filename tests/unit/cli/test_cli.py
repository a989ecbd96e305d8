"""The command line's shape: quick to start, options anywhere, pages that match the code."""

import importlib
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from click.testing import CliRunner

from heliotrope.cli._main import COMMANDS, root
from heliotrope.cli._reference import pages
from heliotrope.cli._settings import Settings
from heliotrope.core.errors import ExitCode, worst_exit_code
from heliotrope.engine.registry import checks
from heliotrope.lifecycle.rules import all_rules

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("name", sorted(pages()))
def test_a_reference_page_matches_the_code(name):
    path = ROOT / "docs" / "reference" / name
    assert path.read_text("utf-8") == pages()[name], f"{name} is out of date: run make docs"


@pytest.mark.parametrize("name", COMMANDS)
def test_the_short_help_is_the_commands_own(name):
    module, short = COMMANDS[name]
    assert importlib.import_module(module).command.get_short_help_str(limit=200) == short


def run_python(code: str) -> str:
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return finished.stdout.strip()


def test_help_imports_nothing_heavy():
    loaded = run_python(
        "import sys\nfrom heliotrope.cli import main\nsys.argv = ['helio', '--help']\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print(sorted({m.split('.')[0] for m in sys.modules} &"
        " {'torch', 'numpy', 'sqlalchemy', 'fastapi', 'pydantic', 'rich', 'yaml', 'jinja2'}))"
    )
    assert loaded.endswith("[]")


def test_scanning_a_file_imports_neither_database_nor_templates_nor_colours(tmp_path):
    (tmp_path / "x.pkl").write_bytes(b"N.")
    loaded = run_python(
        "import sys\nfrom heliotrope.cli import main\n"
        f"sys.argv = ['helio', 'scan', {str(tmp_path / 'x.pkl')!r}]\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print(sorted({m.split('.')[0] for m in sys.modules} & {'torch', 'numpy', 'sqlalchemy', 'rich', 'yaml', 'jinja2'}))"
    )
    assert loaded.endswith("[]")


def test_every_plug_in_imports_with_heavy_libraries_blocked():
    code = (
        "import sys\n"
        "class Block:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in {'torch', 'numpy', 'scipy', 'safetensors', 'PIL', 'sklearn'}:\n"
        "            raise ImportError(name)\n"
        "sys.meta_path.insert(0, Block())\n"
        "from heliotrope.engine.registry import checks, unavailable\n"
        "print(len(checks()), unavailable())"
    )
    assert run_python(code) == f"{len(checks())} ()"


@pytest.mark.parametrize("arguments", [["--format", "json", "plugins"], ["plugins", "--format", "json"]])
def test_global_options_work_before_and_after_the_command(arguments):
    result = CliRunner().invoke(root, arguments, obj=Settings())
    assert result.exit_code == 0
    assert result.output.startswith("{")


def test_the_later_value_of_a_global_option_wins(tmp_path):
    result = CliRunner().invoke(root, ["--format", "json", "plugins", "--format", "table"], obj=Settings())
    assert result.output.startswith("Checks")


def test_the_worst_exit_code_wins():
    assert worst_exit_code([]) == ExitCode.PASS
    order = [4, 2, 1, 3, 0]
    for index, code in enumerate(order):
        assert worst_exit_code([ExitCode(item) for item in order[index:]]) == code


@cache
def texts_of_tests() -> str:
    return "".join(path.read_text("utf-8") for path in (ROOT / "tests").rglob("*.py"))


@pytest.mark.parametrize("rule", all_rules(), ids=lambda rule: rule.id)
def test_every_rule_has_its_section_and_is_named_in_tests(rule):
    page = (ROOT / "docs" / "reference" / "rules.md").read_text("utf-8")
    assert f"\n## {rule.id}\n" in page
    assert rule.title
    assert rule.help
    assert rule.fix.text
    constant = rule.id.upper().replace("-", "_")
    assert rule.id in texts_of_tests() or constant in texts_of_tests(), f"no test names {rule.id}"


@pytest.mark.parametrize("check", checks(), ids=lambda check: check.id)
def test_every_check_has_its_section(check):
    page = (ROOT / "docs" / "reference" / "checks.md").read_text("utf-8")
    assert f"\n## {check.docs.partition('#')[2]}\n" in page


def test_no_module_is_longer_than_500_lines():
    long = {
        str(path.relative_to(ROOT)): count
        for path in (ROOT / "src").rglob("*.py")
        if (count := len(path.read_text("utf-8").splitlines())) > 500
    }
    assert not long


def test_no_command_at_all_shows_the_help_and_is_a_usage_error():
    helio = Path(sys.executable).with_name("helio")
    said = subprocess.run([helio], capture_output=True, text=True, check=False)
    assert said.returncode == ExitCode.USAGE
    assert said.stderr.startswith("Usage: helio")


def test_the_python_page_does_not_depend_on_what_was_used_before():
    page = "from heliotrope.cli._reference_python import python_page\nimport hashlib\n"
    page += "print(hashlib.sha256(python_page().encode()).hexdigest())"
    assert run_python(page) == run_python(f"from heliotrope.engine.interface import Limits\nLimits()\n{page}")
