"""`helio explain`: what models look at, recorded like an assessment, with pictures as files."""

from pathlib import Path

import pytest
from tests.projects import linear_project, table_project, write_images, write_loans

pytestmark = [pytest.mark.slow]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    pytest.importorskip("torch", reason="needs the torch extra")
    pytest.importorskip("captum", reason="needs the explain extra")
    folder = linear_project(tmp_path / "tiny")
    write_images(folder / "test.npz", count=240)
    return folder


def second_version(folder: Path) -> None:
    """The model gets an earlier version that looks at other rows of the image."""
    import torch
    from safetensors.torch import save_file

    weight = torch.zeros(3, 16)
    for label in range(3):
        weight[label, 4 * label : 4 * label + 1] = 4.0  # one pixel of the row instead of all four
    save_file({"1.weight": weight, "1.bias": torch.zeros(3)}, str(folder / "older.safetensors"))
    config = folder / "heliotrope.yaml"
    text = config.read_text()
    head, tail = text.split("models:\n", 1)
    entry, rest = tail.split("threat:", 1)
    older = entry.replace("name: linear", "name: older").replace("weights.safetensors", "older.safetensors")
    config.write_text(f"{head}models:\n{entry}    previous: older\n{older}threat:{rest}")


def test_only_what_explains_runs_and_the_pictures_are_written(helio, project, tmp_path):
    said = helio("explain", "--project", project, "--allow-code", "--export", tmp_path / "pictures")
    assert said.code == 0, said.out
    for check in ("attributions", "sanity", "shortcut", "triggers"):
        assert f"explain.{check}: " in said.out
    assert "explain.drift: not applicable" in said.out
    assert "previous names an earlier version" in " ".join(said.out.split())
    assert "evasion" not in said.out
    written = {path.name for path in (tmp_path / "pictures").iterdir()}
    assert {"index.html", "linear-attributions.svg", "linear-classes.svg", "linear-sanity.svg"} <= written
    told = helio("explain", "--project", project, "--allow-code", "--format", "json")
    ran = {run["check"] for run in told.json()["runs"] if run["code"] != "deselected"}
    assert all(name.startswith("explain.") for name in ran)
    assert any(run["reused_from"] for run in told.json()["runs"])
    assert told.code == said.code


def test_an_earlier_version_is_opened_from_its_own_files_and_drift_can_be_made_to_deny(helio, project):
    second_version(project)
    chosen = ("--project", project, "--allow-code", "--only", "explain.drift")
    said = helio("explain", "linear", *chosen)
    assert said.code == 0
    assert "explain.drift: failed" in said.out
    assert "compared with the version older" in " ".join(said.out.split())
    assert helio("explain", "linear", *chosen, "--fail-on", "low").code == 1
    told = helio("explain", "linear", *chosen, "--format", "json").json()
    (evidence,) = told["evidence"]
    assert set(evidence["predicate"]["comparisons"][0]["digests"]) == {"older.safetensors", "network.py"}
    older = project / "older.safetensors"
    older.write_bytes((project / "weights.safetensors").read_bytes())
    again = helio("explain", "linear", *chosen, "--format", "json").json()
    (run,) = [one for one in again["runs"] if one["check"] == "explain.drift" and one["code"] != "deselected"]
    assert run["outcome"] == "passed"  # evidence about other bytes was not reused
    assert run["reused_from"] is None


def test_a_window_of_earlier_data_is_read_like_the_evaluation_data(helio, tmp_path):
    pytest.importorskip("xgboost", reason="needs the xgboost extra")
    folder = table_project(tmp_path / "loans")
    write_loans(folder / "spring.csv", count=300, seed=5)
    config = folder / "heliotrope.yaml"
    config.write_text(
        config.read_text().replace("    data:\n", "    data:\n      reference: {path: spring.csv, target: paid}\n")
    )
    said = helio("explain", "--project", folder, "--only", "explain.drift")
    assert said.code == 0, said.out
    assert "compared with the data of data.reference" in " ".join(said.out.split())
    assert "explain.drift: passed" in said.out


def test_versions_of_different_formats_are_not_compared(helio, project):
    text = (project / "heliotrope.yaml").read_text()
    entry = "    previous: older\n  - {name: older, path: older.onnx, task: image-classification}\nthreat:"
    (project / "heliotrope.yaml").write_text(text.replace("threat:", entry, 1))
    said = helio("explain", "linear", "--project", project, "--allow-code", "--only", "explain.drift")
    assert said.code == 3
    assert "different formats" in " ".join(said.out.split())


def test_without_consent_nothing_is_explained_and_that_is_no_pass(helio, project):
    said = helio("explain", "--project", project)
    assert said.code == 3
    assert "--allow-code" in said.out


def test_a_folder_that_cannot_be_made_is_said(helio, project):
    (project / "taken").write_text("")
    said = helio(
        "explain", "--project", project, "--allow-code", "--only", "explain.shortcut", "--export", project / "taken"
    )
    assert said.code == 2
    below = project / "taken" / "below"
    said = helio("explain", "--project", project, "--allow-code", "--only", "explain.shortcut", "--export", below)
    assert said.code == 3
    assert "cannot be made" in said.err
