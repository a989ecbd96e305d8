"""pylock.toml, uv.lock, poetry.lock, pdm.lock and Pipfile.lock, in the words of the tools that write them."""

import json

import pytest

from heliotrope.core.errors import InputError
from heliotrope.core.predicates.dependencies import Package
from heliotrope.supply.dependencies.interface import Parsed
from heliotrope.supply.dependencies.pdm_lock import parse_pdm_lock
from heliotrope.supply.dependencies.pipfile_lock import parse_pipfile_lock
from heliotrope.supply.dependencies.poetry_lock import parse_poetry_lock
from heliotrope.supply.dependencies.pylock import parse_pylock
from heliotrope.supply.dependencies.uv_lock import parse_uv_lock

A, B = "a" * 64, "b" * 64
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def by_name(found: Parsed) -> dict[str, Package]:
    assert not found.problems
    return {package.name: package for package in found.packages}


PYLOCK = f"""
lock-version = "1.0"
created-by = "uv"

[[packages]]
name = "Click"
version = "8.5.1"
index = "https://pypi.org/simple"
marker = "os_name == 'posix'"
sdist = {{ url = "https://e.org/click-8.5.1.tar.gz", hashes = {{ sha256 = "{A}" }} }}
wheels = [{{ url = "https://e.org/click-8.5.1-py3-none-any.whl", upload-time = 2026-11-06T17:36:59Z, hashes = {{ sha256 = "{B}" }} }}]

[[packages]]
name = "tool"
dependencies = [{{ name = "click" }}]
vcs = {{ type = "git", url = "https://me:pw@e.org/tool.git", requested-revision = "main", commit-id = "{COMMIT}" }}

[[packages]]
name = "local"
directory = {{ path = ".", editable = true }}

[[packages]]
name = "far"
archive = {{ url = "https://e.org/far-1.zip", hashes = {{ sha256 = "{A}" }} }}
"""


def test_pylock():
    found = by_name(parse_pylock(PYLOCK.encode()))
    click, tool = found["click"], found["tool"]
    assert (click.version, click.marker, click.line) == ("8.5.1", "os_name == 'posix'", 5)
    assert [item.value for item in click.hashes] == [A, B]
    assert click.source.address == "https://pypi.org/simple"
    assert (tool.source.revision, tool.source.fixed, tool.requires) == (COMMIT, True, ("click",))
    assert tool.source.address == "https://e.org/tool.git"
    assert found["local"].source.kind == "path"
    assert (found["far"].source.kind, found["far"].source.fixed) == ("url", True)


UV = f"""
version = 1
revision = 5
requires-python = ">=3.11"

[[package]]
name = "click"
version = "8.5.1"
source = {{ registry = "https://pypi.org/simple" }}
sdist = {{ url = "https://e.org/click-8.5.1.tar.gz", hash = "sha256:{A}", size = 1, upload-time = "2026-11-06T17:37:01Z" }}
wheels = [
    {{ url = "https://e.org/click-8.5.1-py3-none-any.whl", hash = "sha256:{B}", size = 1 }},
]

[[package]]
name = "demo"
version = "0.1"
source = {{ virtual = "." }}
dependencies = [
    {{ name = "rich" }},
]

[package.dev-dependencies]
dev = [
    {{ name = "tool" }},
]

[[package]]
name = "rich"
version = "14.0.0"
source = {{ registry = "https://pypi.org/simple" }}
dependencies = [
    {{ name = "click", version = "8.5.1", source = {{ registry = "https://pypi.org/simple" }}, marker = "os_name == 'nt'" }},
]
resolution-markers = ["python_full_version < '3.12'"]

[[package]]
name = "tool"
version = "1"
source = {{ git = "https://e.org/tool.git?rev=main#{COMMIT}" }}
"""


def test_uv_lock_knows_what_is_direct():
    parsed = parse_uv_lock(UV.encode())
    found = by_name(parsed)
    assert set(found) == {"click", "rich", "tool"}
    assert {name: package.relation for name, package in found.items()} == {
        "click": "transitive",
        "rich": "direct",
        "tool": "direct",
    }
    assert found["rich"].requires == ("click==8.5.1",)
    assert found["rich"].marker == "(python_full_version < '3.12')"
    assert [item.value for item in found["click"].hashes] == [A, B]
    assert (found["tool"].source.revision, found["tool"].source.fixed) == (COMMIT, True)
    assert found["tool"].source.address == "https://e.org/tool.git"
    assert [index.address for index in parsed.indexes] == ["https://pypi.org/simple"]
    assert found["click"].line == 6


POETRY_2 = f"""
[[package]]
name = "rich"
version = "14.0.0"
description = "Render"
optional = false
python-versions = ">=3.8.0"
groups = ["main", "dev"]
markers = "python_version >= \\"3.9\\""
files = [
    {{file = "rich-14.0.0-py3-none-any.whl", hash = "sha256:{A}"}},
    {{file = "rich-14.0.0.tar.gz", hash = "sha256:{B}"}},
]

[package.dependencies]
markdown-it-py = ">=2.2.0"
pygments = {{version = ">=2.13.0,<3.0.0", optional = true}}

[[package]]
name = "tool"
version = "0.1"
groups = ["dev"]
files = []

[package.source]
type = "git"
url = "https://e.org/tool.git"
reference = "main"
resolved_reference = "{COMMIT}"

[metadata]
lock-version = "2.1"
content-hash = "{A}"
"""


def test_poetry_lock_2():
    found = by_name(parse_poetry_lock(POETRY_2.encode()))
    rich, tool = found["rich"], found["tool"]
    assert (rich.version, rich.groups, rich.requires) == ("14.0.0", (), ("markdown-it-py", "pygments"))
    assert [item.value for item in rich.hashes] == [A, B]
    assert rich.marker == 'python_version >= "3.9"'
    assert (tool.groups, tool.source.fixed, tool.source.revision) == (("dev",), True, COMMIT)


@pytest.mark.parametrize(
    "digests",
    [
        f'[metadata]\nlock-version = "1.1"\n[metadata.files]\nrich = [{{file = "r.whl", hash = "sha256:{A}"}}]',
        f'[metadata]\n[metadata.hashes]\nrich = ["{A}"]',
    ],
)
def test_poetry_lock_1_keeps_digests_at_its_end(digests):
    text = f'[[package]]\nname = "rich"\nversion = "14"\ncategory = "dev"\n\n{digests}\n'
    package = by_name(parse_poetry_lock(text.encode()))["rich"]
    assert [item.value for item in package.hashes] == [A]
    assert package.groups == ("dev",)


PDM = f"""
[metadata]
groups = ["default", "dev"]
lock_version = "4.5.0"

[[package]]
name = "requests"
version = "2.32.0"
groups = ["default"]
dependencies = ["idna<4,>=2.5", "win32; sys_platform == 'win32'"]
files = [{{file = "r.whl", hash = "sha256:{A}"}}]

[[package]]
name = "requests"
version = "2.32.0"
extras = ["socks"]
groups = ["dev"]
dependencies = ["PySocks!=1.5.7", "requests==2.32.0"]

[[package]]
name = "idna"
version = "3.10"
groups = ["dev"]
git = "https://e.org/idna.git"
ref = "main"
revision = "{COMMIT}"
"""


def test_pdm_lock_4_merges_entries_with_extras():
    found = by_name(parse_pdm_lock(PDM.encode()))
    requests = found["requests"]
    assert requests.requires == ("idna", "pysocks", "win32")
    assert (requests.groups, requests.extras) == ((), ("socks",))
    assert requests.hashes[0].value == A
    assert (found["idna"].groups, found["idna"].source.fixed) == (("dev",), True)


def test_pdm_lock_3_keeps_digests_at_its_end():
    text = f"""
[[package]]
name = "idna"
version = "3.10"
[metadata]
lock_version = "3.1"
[metadata.files]
"idna 3.10" = [{{url = "https://e.org/i.whl", hash = "sha256:{A}"}}]
"""
    assert by_name(parse_pdm_lock(text.encode()))["idna"].hashes[0].value == A


PIPFILE = {
    "_meta": {
        "hash": {"sha256": A},
        "pipfile-spec": 6,
        "sources": [{"name": "pypi", "url": "https://me:pw@pypi.org/simple", "verify_ssl": True}],
    },
    "default": {
        "click": {"hashes": [f"sha256:{A}"], "index": "pypi", "markers": "python_version >= '3.7'", "version": "==8.1"},
        "tool": {"git": "https://e.org/tool.git", "ref": "main"},
    },
    "develop": {"pytest": {"hashes": [f"sha256:{B}"], "version": "==8.3"}, "own": {"path": ".", "editable": True}},
}


def test_pipfile_lock():
    parsed = parse_pipfile_lock(json.dumps(PIPFILE, indent=4).encode())
    found = by_name(parsed)
    assert (found["click"].version, found["click"].groups, found["click"].line) == ("8.1", (), 16)
    assert found["pytest"].groups == ("develop",)
    assert (found["tool"].source.revision, found["tool"].source.fixed) == ("main", False)
    assert found["own"].source.kind == "path"
    assert [index.address for index in parsed.indexes] == ["https://pypi.org/simple"]


@pytest.mark.parametrize(
    ("parse", "head", "entry"),
    [
        (parse_pylock, 'lock-version = "1.0"', "packages"),
        (parse_uv_lock, "version = 1", "package"),
        (parse_poetry_lock, "", "package"),
        (parse_pdm_lock, '[metadata]\nlock_version = "4.4"', "package"),
    ],
)
def test_a_bad_entry_is_a_problem_with_its_line_and_hides_no_other(parse, head, entry):
    text = f'{head}\n[[{entry}]]\nname = "ok"\nversion = "1"\n[[{entry}]]\nname = "not a name"\nversion = "1"\n'
    found = parse(text.encode())
    assert [package.name for package in found.packages] == ["ok"]
    (problem,) = found.problems
    assert "not a name of a package" in problem.reason
    assert text.split("\n")[(problem.line or 0) - 1] == f"[[{entry}]]"
    assert problem.line == text[: text.index("not a name")].count("\n")


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (parse_pylock, 'lock-version = "2.0"'),
        (parse_pylock, ""),
        (parse_uv_lock, "version = 2"),
        (parse_poetry_lock, '[metadata]\nlock-version = "3.0"'),
        (parse_pdm_lock, '[metadata]\nlock_version = "9"'),
        (parse_uv_lock, "version = 1\npackage = 3"),
        (parse_uv_lock, 'version = 1\npackage = ["x"]'),
        (parse_uv_lock, "version = "),
        (parse_uv_lock, "x = " + "[" * 100_000),
        (parse_uv_lock, ".".join("a" * 50_000) + " = 1"),
        (parse_uv_lock, "x = 2026-99-99"),
        (parse_pipfile_lock, "[]"),
        (parse_pipfile_lock, "{"),
        (parse_pipfile_lock, "[" * 100_000),
        (parse_pipfile_lock, '{"default": []}'),
        (parse_pipfile_lock, '{"default": {"\\ud800": {}}}'),
    ],
)
def test_a_file_of_another_kind_is_refused_as_a_whole(parse, text):
    with pytest.raises(InputError) as caught:
        parse(text.encode())
    assert caught.value.message.isprintable()


@pytest.mark.parametrize("parse", [parse_pylock, parse_uv_lock, parse_poetry_lock, parse_pdm_lock, parse_pipfile_lock])
def test_bytes_that_are_no_text_are_refused(parse):
    with pytest.raises(InputError):
        parse(b"\xff\xfe\x00")


def test_lines_are_left_out_when_a_text_pretends_to_be_an_entry():
    text = 'version = 1\n[[package]]\nname = "x"\nversion = "1"\ndescription = """\n[[package]]\n"""\n'
    assert by_name(parse_uv_lock(text.encode()))["x"].line is None
