"""A model on a table from configuration to decision: parquet for training, csv for evaluation, no consent needed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.projects import table_project

pytest.importorskip("xgboost", reason="needs xgboost (extra 'xgboost')")
pytest.importorskip("pyarrow", reason="needs pyarrow (extra 'data')")


def test_a_table_is_assessed_and_a_leak_is_told(tmp_path):
    folder = table_project(tmp_path / "loans")
    found = assess(folder)
    states = {run["check"]: run["outcome"] for run in found["runs"]}
    assert states["quality.leakage"] == "passed"
    assert states["quality.performance"] == "passed"
    train, test = folder / "train.parquet", folder / "test.csv"
    import pandas as pd

    pd.concat([pd.read_parquet(train)[:60], pd.read_csv(test)]).to_csv(test, index=False)
    found = assess(folder)
    (leak,) = [finding for finding in found["findings"] if finding["rule"] == "duplicate-rows-across-splits"]
    assert leak["severity"] == "high"
    (share,) = [item for item in found["measurements"] if item["metric"] == "duplicate_share"]
    assert share["value"] == pytest.approx(64 / 360)  # four more have no income and are equal by chance


def assess(folder):
    report = folder.parent / "report.json"
    helio = Path(sys.executable).with_name("helio")
    command = [helio, "assess", folder, "--only", "quality.leakage", "--only", "quality.performance"]
    subprocess.run([*command, "--format", "json", "--output", report, "-q"], check=False, timeout=120)
    return json.loads(report.read_text())
