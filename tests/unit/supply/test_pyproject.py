"""pyproject.toml: what is declared, by the standard and by Poetry."""

import pytest
from packaging.specifiers import SpecifierSet

from heliotrope.core.errors import InputError
from heliotrope.supply.dependencies.pyproject import parse_pyproject, pep440_of

STANDARD = """
[project]
name = "demo"
dynamic = ["version"]
dependencies = [
  "click>=8.2",
  "tool @ git+https://e.org/tool.git@main",
]
[project.optional-dependencies]
yaml = ["pyyaml; python_version > '3'"]
[dependency-groups]
dev = ["pytest", {include-group = "lint"}]
lint = ["ruff==0.9"]
[[tool.uv.index]]
url = "http://e.org/simple"
"""


def test_the_standard_tables():
    found = parse_pyproject(STANDARD.encode())
    assert not found.problems
    assert [(item.name, item.groups, item.line) for item in found.packages] == [
        ("click", (), 6),
        ("tool", (), 7),
        ("pyyaml", ("yaml",), 10),
        ("pytest", ("dev",), 12),
        ("ruff", ("lint",), 13),
    ]
    assert {item.relation for item in found.packages} == {"direct"}
    assert found.packages[4].version == "0.9"
    assert found.role == "declares"
    assert [item.address for item in found.indexes] == ["http://e.org/simple"]
    assert found.remarks == ()


def test_dependencies_of_a_build_are_a_remark():
    assert parse_pyproject(b'[project]\ndynamic = ["dependencies"]').remarks


def test_poetry():
    text = """
[tool.poetry.dependencies]
python = "^3.11"
rich = "^14.1"
tool = {git = "https://e.org/tool.git", branch = "main"}
yaml = {version = "*", optional = true}
multi = [{version = "1.0", markers = "os_name == 'nt'"}, {version = ">=2"}]
[tool.poetry.group.dev.dependencies]
pytest = "8.3"
"""
    found = parse_pyproject(text.encode())
    assert not found.problems
    assert [(item.name, item.specifier, item.version, item.groups) for item in found.packages] == [
        ("rich", ">=14.1,<15", None, ()),
        ("tool", "", None, ()),
        ("yaml", "", None, ("optional",)),
        ("multi", "==1.0", "1.0", ()),
        ("multi", ">=2", None, ()),
        ("pytest", "==8.3", "8.3", ("dev",)),
    ]
    assert found.packages[1].source.revision == "main"


@pytest.mark.parametrize(
    ("poetry", "inside", "outside"),
    [
        ("^1.2.3", "1.9", "2.0"),
        ("^0.2.3", "0.2.9", "0.3"),
        ("^0.0.3", "0.0.3", "0.0.4"),
        ("^0", "0.9", "1"),
        ("~1.2.3", "1.2.9", "1.3"),
        ("~1", "1.9", "2"),
        ("1.2.*", "1.2.7", "1.3"),
        (">=1,<2", "1.5", "2"),
        ("1.2", "1.2", "1.3"),
    ],
)
def test_poetrys_notation(poetry, inside, outside):
    specifier = SpecifierSet(pep440_of(poetry))
    assert inside in specifier
    assert outside not in specifier


@pytest.mark.parametrize("wanted", ["*", "^1 || ^2", ""])
def test_what_has_no_such_form_bounds_nothing(wanted):
    assert pep440_of(wanted) == ""


def test_bad_entries_are_problems():
    found = parse_pyproject(b'[project]\ndependencies = ["ok", "not ok", 3]\n[tool.poetry.dependencies]\nx = 3\n')
    assert [item.name for item in found.packages] == ["ok"]
    assert [item.line for item in found.problems] == [2, None, None]


@pytest.mark.parametrize("text", ["project = 3", "[project]\noptional-dependencies = 3", "tool = []", "x"])
def test_tables_that_are_none_are_refused(text):
    with pytest.raises(InputError):
        parse_pyproject(text.encode())
