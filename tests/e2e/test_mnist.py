"""The published MNIST model on all 10,000 test images, end to end; minutes of work, so nightly."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the torch extra")
pytestmark = [pytest.mark.torch, pytest.mark.nightly, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]


def test_the_published_figures_come_out(helio, tmp_path, test_data):
    """Published: clean error 1.8 %, PGD 4.1 %, certified at most 5.8 % (Wong & Kolter 2018, L-inf 0.1)."""
    project = tmp_path / "mnist"
    link = ROOT / "examples" / "mnist" / "link_data.py"
    subprocess.run([sys.executable, link, test_data / "mnist", project], check=True, capture_output=True)
    said = helio("assess", project, "--allow-code", "--format", "json", timeout=800)
    assert said.code == 0
    measured = {item["metric"]: item for item in said.json()["measurements"]}
    assert measured["clean_accuracy"]["value"] == pytest.approx(0.982, abs=1e-9)
    robust = measured["robust_accuracy"]
    assert robust["n"] == 10_000
    assert 0.039 <= 1 - robust["value"] <= 0.058
    assert robust["interval"]["low"] < robust["value"] < robust["interval"]["high"]
    evasion = next(item for item in said.json()["evidence"] if item["predicate_type"].endswith("evasion:v1"))
    assert evasion["predicate"]["health_verdict"] == "sound"
