"""helio harden as a person uses it: on the digits of the examples, with fewer epochs."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the torch extra")
pytest.importorskip("sklearn", reason="needs scikit-learn")
pytestmark = [pytest.mark.torch, pytest.mark.slow]

EXAMPLE = Path(__file__).parents[2] / "examples" / "digits"


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The plain network of the example, trained for a few epochs only."""
    folder = tmp_path_factory.mktemp("digits")
    code = folder / "code"
    shutil.copytree(EXAMPLE, code)
    script = (code / "train.py").read_text().replace('"plain": 15, "robust": 28', '"plain": 12')
    (code / "train.py").write_text(script)
    subprocess.run([sys.executable, code / "train.py", folder / "out"], check=True, capture_output=True)
    config = folder / "out" / "plain" / "heliotrope.yaml"
    text = config.read_text()
    assert "epochs: 30" in text
    config.write_text(text.replace("epochs: 30", "epochs: 8"))
    return folder / "out" / "plain"


@pytest.fixture
def project(built, tmp_path):
    return Path(shutil.copytree(built, tmp_path / "project"))


def test_a_network_is_hardened_reported_and_written_and_then_passes_as_a_model_of_its_own(helio, project):
    said = helio("harden", "--project", project, "--allow-code", "--preset", "quick", timeout=480)
    assert said.code == 0, said.out + said.err
    assert "better, by pgd" in said.out
    for name in ("clean", "robust, by ensemble", "one answer"):
        assert name in said.out
    (weights,) = (project / ".heliotrope" / "hardened").iterdir()
    assert str(weights) in said.out.replace("\n", "")
    (report,) = (project / ".heliotrope" / "reports").iterdir()
    page = (report / "report.html").read_text("utf-8")
    assert "Before and after" in page
    assert "How it was trained" in page

    before = (project / "weights.safetensors").read_bytes()
    assert before != weights.read_bytes()
    again = helio("harden", "--project", project, "--allow-code", "--preset", "quick", "--format", "json")
    (run,) = [one for one in again.json()["runs"] if one["check"] == "harden.network"]
    assert run["reused_from"] is not None

    shutil.copy(weights, project / "weights.safetensors")
    tested = helio("assess", project, "--allow-code", "--only", "evasion.pgd", "--format", "json", "--suite", "quick")
    measured = {one["metric"]: one["value"] for one in tested.json()["measurements"]}
    assert measured["robust_accuracy"] > 0.4


def test_no_better_model_is_not_written_unless_asked_for(helio, project):
    config = project / "heliotrope.yaml"
    config.write_text(config.read_text().replace("epochs: 8", "learning_rate: 1.0e-9"))
    ask = ("harden", "classifier", "--project", project, "--allow-code", "--preset", "quick", "--epochs", "1")
    said = helio(*ask)
    assert said.code == 1, said.out
    assert "not better" in said.out
    assert "may be chance" in said.out
    assert not (project / ".heliotrope" / "hardened").exists()
    assert helio(*ask, "--to", project / "kept.safetensors").code == 1
    assert (project / "kept.safetensors").is_file()


def test_without_consent_or_training_data_it_says_what_is_missing(helio, project):
    said = helio("harden", "--project", project)
    assert said.code == 3
    assert "--allow-code" in said.out
    config = project / "heliotrope.yaml"
    lines = config.read_text().splitlines()
    at = next(index for index, line in enumerate(lines) if line.strip() == "train:")
    config.write_text("\n".join(lines[:at] + lines[at + 2 :]) + "\n")
    said = helio("harden", "--project", project, "--allow-code")
    assert said.code == 3
    assert "data.train" in said.out


def test_an_assessment_never_hardens_unasked(helio, project):
    said = helio("assess", project, "--allow-code", "--only", "supply.inventory", "--suite", "deep", "--format", "json")
    assert not [run for run in said.json()["runs"] if run["check"].startswith("harden.")]


def test_usage_errors_are_said(helio, project):
    assert "names one file" in helio("harden", "--project", project, "--to", "x.safetensors").err
    assert helio("harden", "nobody", "--project", project).code == 2
