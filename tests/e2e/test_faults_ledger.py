"""The ledger goes away, fills up, or is held by another while an assessment runs; the clock steps."""

import json
import shutil
import sqlite3
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.plugins import install_plugin

from heliotrope.ledger import open_ledger
from heliotrope.lifecycle.assessing import AssessOptions, assess

FAULT = """
import shutil, subprocess
from pathlib import Path

@register('a.fault', isolation='inline')
def fault(task, context):
    {body}
    return CheckResult(outcome=Passed(reason='done'))
"""
BESIDE = ("--format", "json", "--report-dir")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "heliotrope.yaml").write_text("version: 1\nproject: demo\nchecks: {time_limit: 60}\n")
    (folder / "model.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    return folder


def during(tmp_path: Path, body: str) -> dict[str, str]:
    """An environment in which that happens in the middle of an assessment."""
    folder = tmp_path / "plugins"
    shutil.rmtree(folder, ignore_errors=True)
    return {"PYTHONPATH": str(install_plugin(folder, "t_fault", FAULT.format(body=body)))}


@pytest.mark.parametrize(
    "what",
    [
        "path.unlink()",
        "path.rename(path.with_name('away.db')); path.touch()",
        "path.rename(path.with_name('away.db')); shutil.copy(path.with_name('other.db'), path)",
    ],
)
def test_a_database_that_goes_away_during_a_run_acknowledges_nothing(helio, project, tmp_path, what):
    ledger, out = tmp_path / "ledger.db", tmp_path / "out"
    for there in (ledger, tmp_path / "other.db"):
        open_ledger(there, create=True).close()
    env = during(tmp_path, f"path = Path({str(ledger)!r}); {what}")
    said = helio("assess", project, "--fresh", "--ledger", ledger, *BESIDE, out, env=env)
    assert (said.code, said.out) == (3, "")
    assert said.err.count("error[ledger]") == said.err.count("hint:") == 1
    assert not out.exists(), "a report of what is not recorded"


def test_a_database_that_another_process_holds_is_waited_for_and_named(helio, project, tmp_path):
    ledger = tmp_path / "ledger.db"
    first = helio("assess", project, "--ledger", ledger, "--format", "json").json()
    holder = sqlite3.connect(ledger, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    try:
        said = helio("assess", project, "--fresh", "-q", "--ledger", ledger)
    finally:
        holder.close()
    assert (said.code, said.out) == (3, "")
    assert "another process has been writing to it" in said.err
    again = helio("assess", project, "--ledger", ledger, "--format", "json")
    assert again.code == 0
    assert again.json()["difference"]["previous"] == first["id"]


@pytest.fixture
def disk(tmp_path: Path):
    """A small disk of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("a small tmpfs cannot be mounted here")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_disk_that_fills_up_during_a_run_loses_nothing_acknowledged(helio, project, tmp_path, disk):
    ledger = disk / "ledger.db"
    first = helio("assess", project, "--ledger", ledger, "--format", "json").json()
    env = during(tmp_path, f"subprocess.run(['dd', 'if=/dev/zero', 'of={disk}/filler'], capture_output=True)")
    said = helio("assess", project, "--fresh", "-q", "--ledger", ledger, "--report-dir", tmp_path / "out", env=env)
    assert (said.code, said.out) == (3, "")
    assert said.err.count("error[ledger]") == 1
    (disk / "filler").unlink()
    assert helio("ledger", "verify", "--ledger", ledger, "--head", first["ledger"]["head"]).code == 0
    again = helio("assess", project, "--ledger", ledger, "--format", "json")
    assert again.code == 0
    assert again.json()["difference"]["previous"] == first["id"]


@pytest.mark.parametrize("variable", ["TMPDIR", "HELIOTROPE_STATE_HOME"])
def test_a_full_disk_under_temporary_files_or_state_is_one_error(helio, project, tmp_path, disk, variable):
    subprocess.run(["dd", "if=/dev/zero", f"of={disk}/filler"], capture_output=True, check=False)
    said = helio("assess", project, "-q", env={variable: str(disk)})
    assert said.code in (0, 3)  # tempfile goes elsewhere when TMPDIR takes nothing
    assert said.err.count("error[") == (said.code == 3)
    assert helio("assess", project, "-q", "--ledger", tmp_path / "new.db").code == 0


class Clock:
    """A clock that says what it is told, one time after the other."""

    def __init__(self, *times: datetime) -> None:
        self.times = list(times)

    def now(self) -> datetime:
        return self.times.pop(0) if len(self.times) > 1 else self.times[0]


NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def at(project: Path, ledger: str, *times: datetime):
    return assess(project, AssessOptions(settings={"ledger": ledger}), clock=Clock(*times)).assessment


def reused(assessment) -> set[bool]:
    return {run.reused_from is not None for run in assessment.runs}


def test_evidence_from_the_future_or_too_old_is_not_reused_wherever_the_clock_steps(project, ledger_location, helio):
    ledger = ledger_location(project)
    assert reused(at(project, ledger, NOON)) == {False}
    assert reused(at(project, ledger, NOON + timedelta(days=6))) == {True}
    assert reused(at(project, ledger, NOON - timedelta(seconds=1))) == {False}, (
        "it is older than what it would take over"
    )
    assert reused(at(project, ledger, NOON + timedelta(days=6))) == {True}
    assert reused(at(project, ledger, NOON + timedelta(days=3650))) == {False}
    assert reused(at(project, ledger, NOON + timedelta(days=1))) == {False}
    assert reused(at(project, ledger, NOON + timedelta(days=1))) == {True}, "a leap of the clock does no lasting harm"
    assert helio("ledger", "verify", "--ledger", ledger).code == 0


def test_a_clock_that_steps_back_during_a_run_leaves_valid_reports(project, ledger_location, tmp_path):
    options = AssessOptions(settings={"ledger": ledger_location(project), "report_dir": str(tmp_path / "out")})
    assessed = assess(project, options, clock=Clock(NOON, NOON + timedelta(hours=1), NOON - timedelta(days=1)))
    document = json.loads(assessed.reports["json"].read_text())
    assert document["exit_code"] == 0
    assert all(run["cost"]["wall_seconds"] >= 0 for run in document["runs"])
    valid(tmp_path / "out")


def valid(folder: Path) -> None:
    import xmlschema

    from heliotrope.report import junit_schema

    xmlschema.XMLSchema(str(junit_schema())).validate(str(folder / "report.junit.xml"))
    json.loads((folder / "report.sarif").read_text())
