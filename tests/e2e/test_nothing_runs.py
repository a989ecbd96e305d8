"""What is examined is never executed or imported: the interpreter itself keeps the record, in every process of the run."""

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import xmlschema
from tests.plugins import install_plugin

from heliotrope.report import json_schemas, junit_schema

ROOT = Path(__file__).parents[2]
WATCH = """
import os, sys

def watch(event, arguments):
    if event in ("pickle.find_class", "os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "compile", "import"):
        first = arguments[1] if event in ("compile", "pickle.find_class") else arguments[0]
        line = f"{event} {first!r} {str(arguments[1])[:200]!r}\\n".encode("utf-8", "backslashreplace")
        descriptor = os.open(%r, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, line)
        os.close(descriptor)

sys.addaudithook(watch)
"""


@pytest.fixture
def watched(tmp_path: Path):
    """An environment in which every interpreter notes what it imports, compiles and starts; and its notes."""
    notes = tmp_path / "notes"
    folder = tmp_path / "watch"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(WATCH % str(notes))

    def read() -> dict[str, list[str]]:
        seen: dict[str, list[str]] = {}
        for line in notes.read_text("utf-8").splitlines():
            event, _, rest = line.partition(" ")
            seen.setdefault(event, []).append(rest)
        return seen

    return {"PYTHONPATH": str(folder)}, read


@pytest.fixture
def gallery(tmp_path: Path) -> Path:
    out = tmp_path / "untrusted"
    subprocess.run([sys.executable, ROOT / "examples" / "untrusted" / "build.py", out], check=True, capture_output=True)
    return out


@pytest.mark.parametrize("command", ["scan", "assess"])
def test_the_gallery_is_read_and_nothing_in_it_runs(helio, gallery, tmp_path, watched, command):
    env, notes = watched
    marker = tmp_path / "it-sang"
    assert helio(command, gallery, "-q", env={**env, "HELIOTROPE_CANARY": str(marker)}).code == 1
    assert not marker.exists()
    seen = notes()
    assert not {"pickle.find_class", "os.system", "os.exec", "os.posix_spawn"} & set(seen)
    started = [line for line in seen.get("subprocess.Popen", []) if "heliotrope.engine.worker" not in line]
    assert not [line for line in started if "git" not in line], "nothing is started but our workers and git"
    assert not [line for line in seen["import"] + seen["compile"] if str(gallery) in line]
    assert any("heliotrope.scan" in line for line in seen["import"]), "the watch does watch"


def test_a_project_without_consent_runs_none_of_its_code(helio, tmp_path, watched):
    env, notes = watched
    project = tmp_path / "project"
    project.mkdir()
    for name in ("network", "sitecustomize", "usercustomize", "conftest", "setup", "torch", "numpy", "json"):
        (project / f"{name}.py").write_text(f"open({str(tmp_path / 'it-ran')!r}, 'w')\n")
    (project / "heliotrope.yaml").write_text(
        "version: 1\nproject: demo\nmodels:\n"
        "  - name: net\n    loader: network:build\n    task: image-classification\n    output: logits\n"
        "    input: {shape: [1, 4, 4]}\n    data: {evaluate: {path: data.npz}}\nthreat: {eps: 0.1}\n"
    )
    for arguments in (["assess"], ["scan", "."], ["config", "explain"], ["plugins"], ["doctor"], ["init", "--force"]):
        said = helio(*arguments, cwd=project, env=env)
        assert said.code in (0, 3), said.err
    assert not (tmp_path / "it-ran").exists()
    assert not [line for line in notes()["compile"] if str(project) in line]


def test_a_file_or_folder_without_a_configuration_is_left_as_it_was(helio, gallery, tmp_path):
    before = {path: path.stat().st_mtime_ns for path in (gallery, *gallery.rglob("*"))}
    file = next(path for path in sorted(gallery.iterdir()) if path.is_file())
    for path in (gallery, file):
        assert helio("assess", path, "-q").code in (1, 3)
    assert {path: path.stat().st_mtime_ns for path in (gallery, *gallery.rglob("*"))} == before
    assert (tmp_path / ".heliotrope" / "ledger.db").is_file()


MIXED = """
@register("t.fails")
def fails(task, context):
    where = fingerprint("t-rule", task.subject.urn, "here")
    found = Finding(rule="t-rule", severity="high", confidence="high", message="a <b>real</b> \\x1b[31mproblem\\x00", subject=task.subject.urn, fingerprint=where)
    return CheckResult(outcome=Failed(reason="found a \\x1b[31mproblem ]]> &\\ufffe"), findings=(found,))

@register("t.crashes")
def crashes(task, context):
    print("\\x1b[31mlast words \\x00 ]]>", flush=True)
    os.kill(os.getpid(), 11)

@register("t.na")
def na(task, context):
    return CheckResult(outcome=NotApplicable(reason="no table here", facts=("0 tables",)))
"""


@pytest.mark.parametrize("kind", ["gallery", "failing run"])
def test_reports_are_valid_by_their_schemas(helio, gallery, tmp_path, test_data, kind):
    target, env = gallery, {}
    if kind == "failing run":
        target = tmp_path / "project"
        target.mkdir()
        (target / "heliotrope.yaml").write_text("version: 1\nproject: demo\n")
        env = {"PYTHONPATH": str(install_plugin(tmp_path / "plugins", "t_mixed", MIXED))}
    out = tmp_path / "out"
    assert helio("assess", target, "-q", "--report-dir", out, env=env).code == 1
    document = json.loads((out / "report.json").read_text("utf-8"))
    jsonschema.validate(document, json_schemas()[document["schema"]])
    xmlschema.XMLSchema(str(junit_schema())).validate(str(out / "report.junit.xml"))
    schema = json.loads((test_data / "schemas" / "sarif" / "sarif-schema-2.1.0.json").read_text("utf-8"))
    jsonschema.validators.validator_for(schema)(schema).validate(json.loads((out / "report.sarif").read_text("utf-8")))
    for path in out.iterdir():
        text = path.read_text("utf-8")
        assert not {"\x1b", "\x00", "\ufffe"} & set(text), path.name
