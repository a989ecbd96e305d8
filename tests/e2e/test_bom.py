"""`helio bom` as a person types it."""

import json
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from tests.projects import linear_project

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "heliotrope.yaml").write_text("version: 1\nproject: demo\nmodels:\n  - {name: m, path: m.pkl}\n")
    (folder / "m.pkl").write_bytes(b"N.")
    (folder / "evil.py").write_text("raise SystemExit('imported')\n")
    (folder / "setup.py").write_text("raise SystemExit('run')\n")
    (folder / "requirements.txt").write_text("click==8.1\n")
    return folder


def valid(text: str) -> dict[str, object]:
    assert JsonStrictValidator(SchemaVersion.V1_7).validate_str(text) is None
    document: dict[str, object] = json.loads(text)
    return document


def test_the_document_goes_to_standard_output_and_what_is_missing_beside_it(helio, project):
    said = helio("bom", cwd=project)
    assert said.code == 0
    document = valid(said.out)
    assert document["specVersion"] == "1.7"
    assert "not in it: there is no ledger here" in said.err
    assert sorted(path.name for path in project.iterdir()) == [
        "evil.py",
        "heliotrope.yaml",
        "m.pkl",
        "requirements.txt",
        "setup.py",
    ]
    assert helio("bom", project, "-q").err == ""


def test_it_goes_to_a_file(helio, project, tmp_path):
    said = helio("bom", project, "--output", tmp_path / "bom.cdx.json", "--format", "cyclonedx-json")
    assert (said.code, said.out) == (0, "")
    valid((tmp_path / "bom.cdx.json").read_text())


def test_after_an_assessment_it_names_it(helio, project):
    helio("assess", project, "-q")
    document = helio("bom", project, "-q").json()
    (folder,) = (project / ".heliotrope" / "reports").iterdir()
    named = {item["value"] for item in document["metadata"]["component"]["properties"]}
    assert folder.name in named
    assert helio("bom", project, "--run", folder.name, "-q").code == 0
    assert json.loads((folder / "bom.cdx.json").read_text())["metadata"]["component"]["name"] == "demo"


def test_what_cannot_be_read_is_code_3_and_a_wrong_command_code_2(helio, project, tmp_path):
    assert helio("bom", tmp_path / "nowhere").code == 2
    assert helio("bom", project, "--format", "spdx").code == 2
    assert helio("bom", project, "--run", "last").code == 3
    assert helio("bom", project, "--environment", tmp_path).code == 3
    (project / "requirements.txt").write_text("???\n")
    said = helio("bom", project)
    assert said.code == 3
    assert "not read as packages: requirements.txt" in said.err
    valid(said.out)


@pytest.mark.torch
@pytest.mark.nightly  # tests/docs follows the page as well
def test_the_commands_of_the_how_to_work_as_typed(helio, tmp_path):
    """Every line behind a prompt, in the order of the page."""
    pytest.importorskip("torch", reason="needs the torch extra")
    linear_project(tmp_path / "project")
    page = (ROOT / "docs" / "how-to" / "bom.md").read_text("utf-8")
    commands = [line.removeprefix("$ helio ").split() for line in page.splitlines() if line.startswith("$ helio ")]
    assert len(commands) >= 5
    for arguments in commands:
        said = helio(*arguments, cwd=tmp_path / "project")
        assert said.code == 0, (arguments, said.err)
    valid((tmp_path / "project" / "bom.cdx.json").read_text())
