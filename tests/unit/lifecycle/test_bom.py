"""What goes into a bill of materials: the project as it lies there, its configuration, and what the ledger knows of it."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from heliotrope.core.assessments import Assessment
from heliotrope.core.errors import InputError, LedgerError, UsageError
from heliotrope.core.measurements import Measurement
from heliotrope.engine.files import digest_inputs
from heliotrope.ledger import open_ledger
from heliotrope.ledger.interface import Entry, LedgerTampered
from heliotrope.lifecycle.assembly import target_key
from heliotrope.lifecycle.assessing import AssessOptions, assess
from heliotrope.lifecycle.bom import CURRENT, Bom, BomOptions, make_bom
from heliotrope.lifecycle.planning import Selection
from heliotrope.lifecycle.target import resolve_target

VALIDATOR = JsonStrictValidator(SchemaVersion.V1_7)
CONFIG = """
version: 1
project: demo
models:
  - name: classifier
    path: ./weights.safetensors
    task: image-classification
    input: {shape: [1, 8, 8]}
    output: logits
    data:
      evaluate: {images: data/x.npy, labels: data/y.npy}
  - name: second
    path: missing.bin
    data: {train: {path: pictures}, evaluate: {path: pictures}}
"""


class Fixed:
    """A clock that stands still and ids that repeat."""

    def now(self) -> datetime:
        return datetime(2026, 11, 24, 8, 15, tzinfo=UTC)

    def new(self) -> str:
        return "01AAAAAAAAAAAAAAAAAAAAAAAA"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    files = {
        "weights.safetensors": b"\x02\0\0\0\0\0\0\0{}",
        "data/x.npy": b"x",
        "data/y.npy": b"y",
        "stray.pkl": b"N.",
        "stray.csv": b"a,b\n",
        "code.py": b"x = 1\n",
        "requirements.txt": b"click==8.1\n",
        **{f"pictures/{label}/{index}.png": b"p" for label in "ab" for index in range(15)},
        **{f"frames/{index}.png": b"f" for index in range(30)},
        "heliotrope.yaml": CONFIG.encode(),
    }
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def made(path: Path, **options: Any) -> tuple[Bom, dict[str, Any]]:
    bom = make_bom(path, BomOptions(**options), clock=Fixed(), ids=Fixed())
    assert VALIDATOR.validate_str(bom.text) is None
    return bom, json.loads(bom.text)


def components(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {item["bom-ref"]: item for item in document["components"]}


def told(component: dict[str, Any]) -> dict[str, str]:
    return {item["name"].removeprefix("heliotrope:"): item["value"] for item in component.get("properties", ())}


def test_a_project_without_an_assessment(project):
    bom, document = made(project)
    found = components(document)
    assert set(found) == {
        "model:classifier",
        "model:second",
        "model-file:stray.pkl",
        "data:data/x.npy%2C%20data/y.npy",
        "data:pictures",
        "data:stray.csv",
        "data:30%20files%20in%20frames",
        "pkg:pypi/click@8.1",
    }
    digest = digest_inputs({"w": project / "weights.safetensors", "p": project / "pictures"})
    assert found["model:classifier"]["hashes"][0]["content"] == digest["w"]
    assert told(found["data:pictures"])["tree-sha256"] == digest["p"]
    assert document["serialNumber"].startswith("urn:uuid:")
    assert document["metadata"]["timestamp"] == "2026-11-24T08:15:00.000Z"
    assert "quantitativeAnalysis" not in found["model:classifier"]["modelCard"]
    assert any("there is no ledger here" in sentence for sentence in bom.missing)
    assert any("missing.bin is not there" in sentence for sentence in bom.missing)
    assert any("data.train" in sentence for sentence in bom.missing)
    assert any("licences are not known" in sentence for sentence in bom.missing)
    assert bom.complete
    assert not (project / ".heliotrope").exists()


def test_equal_clock_and_ids_give_equal_documents(project):
    assert made(project)[0].text == made(project)[0].text


def test_a_folder_without_configuration_and_a_single_file(project, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (project / "heliotrope.yaml").unlink()
    assert "model-file:weights.safetensors" in components(made(project)[1])
    assert set(components(made(project / "stray.pkl")[1])) == {"model-file:stray.pkl"}
    assert not (tmp_path / ".heliotrope").exists()


def test_the_environment_brings_licences(project):
    bom, document = made(project, environment=CURRENT)
    found = components(document)
    assert not any("licences" in sentence for sentence in bom.missing)
    pydantic = next(item for ref, item in found.items() if ref.startswith("pkg:pypi/pydantic@"))
    assert pydantic["licenses"] == [{"expression": "MIT", "acknowledgement": "declared"}]
    assert told(pydantic)["basis:version"] == "observed"
    with pytest.raises(InputError, match="no installed packages"):
        made(project, environment=str(project))


def test_what_cannot_be_read_makes_it_incomplete(project):
    (project / "requirements.txt").write_text("???\n")
    (project / "out.pt").symlink_to("/etc/passwd")
    bom, document = made(project)
    assert not bom.complete
    assert document["compositions"][0]["aggregate"] == "incomplete"
    assert any("not in the inventory: out.pt" in sentence for sentence in bom.missing)
    assert any("not read as packages: requirements.txt" in sentence for sentence in bom.missing)


def test_untrusted_names(project):
    for name in ("m\x1b[31m.pkl", "n\udcff.pkl", "\u202e.csv", "x" * 200 + ".pkl"):
        Path(f"{project}/{name}").write_bytes(b"N.")
    bom, document = made(project)
    assert bom.text.isascii()
    assert "\\u001b" not in bom.text
    assert len(components(document)) == 12


def assessed(project: Path) -> Assessment:
    return assess(project, AssessOptions(selection=Selection(only=("supply.*", "scan.*")))).assessment


def with_measurement(project: Path, **inputs: str) -> Assessment:
    """The assessment with a measurement of the first model that rests on these inputs, recorded as a later one."""
    before = assessed(project)
    urn = "urn:heliotrope:demo:model:classifier"
    runs = tuple(
        run.model_copy(update={"inputs": inputs, "subject": urn, "check": "quality.performance", "outcome": "passed"})
        for run in before.runs[:1]
    )
    measurement = Measurement(metric="clean_accuracy", value=0.9, n=10, direction="higher", subject=urn)
    after = before.model_copy(
        update={"id": "01LATER", "runs": (*before.runs, *runs), "measurements": (measurement,), "findings": ()}
    )
    target = resolve_target(project)
    with open_ledger(project / ".heliotrope/ledger.db") as ledger:
        ledger.append([Entry("assessment", after, (("target", target_key(target)), ("assessment", after.id)))])
    return after


def test_measurements_come_from_the_last_assessment_of_the_same_bytes(project):
    with_measurement(
        project, **digest_inputs({"weights": project / "weights.safetensors", "data": project / "pictures"})
    )
    bom, document = made(project)
    model = components(document)["model:classifier"]
    assert model["modelCard"]["quantitativeAnalysis"]["performanceMetrics"][0]["value"] == "0.9"
    assert {item["type"] for item in model["externalReferences"]} == {"attestation", "static-analysis-report"}
    facts = told(document["metadata"]["component"])
    assert (facts["assessment"], facts["verdict"]) == ("01LATER", "needs-review")
    assert not any("other bytes" in sentence for sentence in bom.missing)


@pytest.mark.parametrize("changed", ["weights.safetensors", "pictures/a/0.png"])
def test_measurements_of_other_bytes_are_left_out_and_this_is_said(project, changed):
    with_measurement(
        project, **digest_inputs({"weights": project / "weights.safetensors", "data": project / "pictures"})
    )
    (project / changed).write_bytes(b"\x02\0\0\0\0\0\0\0{ }")
    bom, document = made(project)
    assert "quantitativeAnalysis" not in components(document)["model:classifier"]["modelCard"]
    assert any("01LATER is about other bytes" in sentence for sentence in bom.missing)


def test_a_run_can_be_named(project):
    first = assessed(project)
    with_measurement(project, **digest_inputs({"weights": project / "weights.safetensors"}))
    assert told(made(project, run=first.id)[1]["metadata"]["component"])["assessment"] == first.id
    assert told(made(project, run="last")[1]["metadata"]["component"])["assessment"] == "01LATER"
    with pytest.raises(UsageError, match="--run 01NONE"):
        made(project, run="01NONE")


def test_a_run_of_nothing_is_an_error(project):
    with pytest.raises(LedgerError, match="there is no ledger here"):
        made(project, run="last")


def test_nothing_is_written_to_the_ledger(project):
    assessed(project)
    ledger = project / ".heliotrope/ledger.db"
    before = ledger.read_bytes()
    made(project)
    assert ledger.read_bytes() == before


def test_a_ledger_of_somebody_else_is_not_used(project, monkeypatch, tmp_path):
    assessed(project)
    monkeypatch.setenv("HELIOTROPE_STATE_HOME", str(tmp_path / "another"))
    bom, document = made(project)
    assert "assessment" not in told(document["metadata"]["component"])
    assert any("is not used" in sentence for sentence in bom.missing)
    with pytest.raises(LedgerError):
        made(project, run="last")


def test_a_ledger_that_was_tampered_with_is_an_error(project):
    import sqlite3

    assessed(project)
    with sqlite3.connect(project / ".heliotrope/ledger.db") as connection:
        names = [row[0] for row in connection.execute("select name from sqlite_master where type = 'trigger'")]
        for name in names:
            connection.execute(f"drop trigger {name}")
        table = next(
            row[0]
            for row in connection.execute("select name from sqlite_master where type = 'table'")
            if "event" in row[0]
        )
        connection.execute(f"delete from {table} where rowid = 2")
    connection.close()
    with pytest.raises(LedgerTampered):
        made(project)


def test_assess_writes_the_same_from_its_evidence(project):
    assessment = assess(project, AssessOptions(), clock=Fixed())
    text = assessment.reports["bom"].read_text("utf-8")
    assert VALIDATOR.validate_str(text) is None
    ours = components(json.loads(text))
    theirs = components(made(project)[1])
    assert ours.keys() == theirs.keys()
    assert ours["model:classifier"]["hashes"] == theirs["model:classifier"]["hashes"]
    assert json.loads(text)["metadata"]["timestamp"] == "2026-11-24T08:15:00.000Z"


def test_without_evidence_the_report_says_what_is_missing(project):
    assessment = assess(project, AssessOptions(selection=Selection(only=("scan.files",))))
    document = json.loads(assessment.reports["bom"].read_text("utf-8"))
    missing = [item["value"] for item in document["metadata"]["properties"]]
    assert any("no inventory" in sentence for sentence in missing)
    assert any("the packages are not known" in sentence for sentence in missing)
