"""The published MNIST model on all 10,000 test images, end to end; minutes of work, so nightly."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the torch extra")
pytestmark = [pytest.mark.torch, pytest.mark.nightly, pytest.mark.timeout(3600)]

ROOT = Path(__file__).parents[2]


def test_the_published_figures_come_out(helio, tmp_path, test_data):
    """Published: clean error 1.8 %, PGD 4.1 %, certified at most 5.8 % (Wong & Kolter 2018, L-inf 0.1)."""
    project = tmp_path / "mnist"
    link = ROOT / "examples" / "mnist" / "link_data.py"
    subprocess.run([sys.executable, link, test_data / "mnist", project], check=True, capture_output=True)
    said = helio("assess", project, "--allow-code", "--format", "json", timeout=3500)
    assert said.code == 0
    measured = {item["metric"]: item for item in said.json()["measurements"]}
    assert measured["clean_accuracy"]["value"] == pytest.approx(0.982, abs=1e-9)
    evasions = [item for item in said.json()["evidence"] if item["predicate_type"].endswith("evasion:v1")]
    found = {item["predicate"]["attack"]: item["predicate"] for item in evasions}
    assert set(found) == {"pgd", "ensemble"}
    for predicate in found.values():
        assert predicate["n"] == 10_000
        assert 0.039 <= 1 - predicate["robust_accuracy"] <= 0.058
        assert predicate["robust_interval"]["low"] < predicate["robust_accuracy"] < predicate["robust_interval"]["high"]
        assert predicate["health_verdict"] == "sound"
    strong = found["ensemble"]
    assert strong["robust_accuracy"] <= found["pgd"]["robust_accuracy"]
    assert 1 - strong["robust_accuracy"] >= 0.0407
    assert strong["certified"] / 10_000 <= strong["robust_accuracy"]
    assert 1 - strong["certified"] / 10_000 <= 0.061
