"""The ledger through the command line: forged, foreign, locked, newer, cut off, on a full disk; and runs that are killed."""

import os
import shutil
import signal
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest
from tests.e2e.conftest import HELIO


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "heliotrope.yaml").write_text("version: 1\nproject: demo\n")
    (folder / "model.pkl").write_bytes(b"N.")
    return folder


def forge(project: Path, *statements: str) -> None:
    """Change the database the way somebody with write access can."""
    connection = sqlite3.connect(project / ".heliotrope" / "ledger.db")
    triggers = [row[0] for row in connection.execute("select name from sqlite_master where type = 'trigger'")]
    kept = [row[0] for row in connection.execute("select sql from sqlite_master where type = 'trigger'")]
    for name in triggers:
        connection.execute(f"drop trigger {name}")
    for statement in (*statements, *kept):
        connection.execute(statement)
    connection.commit()
    connection.close()


def table(project: Path) -> str:
    """The table that holds the events."""
    connection = sqlite3.connect(project / ".heliotrope" / "ledger.db")
    names = [row[0] for row in connection.execute("select name from sqlite_master where type = 'table'")]
    connection.close()
    return next(name for name in names if name.startswith("event"))


def test_an_intact_ledger_verifies_and_its_head_is_printed_in_every_report(helio, project, reports):
    said = helio("assess", project)
    head = reports(project / ".heliotrope")["report.json"].split('"head": "')[1].split('"')[0]
    assert head.split(":")[1] in said.out
    for name, text in reports(project / ".heliotrope").items():
        assert head.split(":")[1] in text or name.endswith(("xml", "sarif")), name
    verified = helio("ledger", "verify", project, "--head", head)
    assert verified.code == 0
    assert "agrees with the head given" in verified.out
    assert helio("ledger", "verify", project, "--head", "nonsense").code == 2
    assert helio("ledger", "verify", project, "--format", "json").json()["records"] > 3


def test_a_changed_record_is_named_and_stops_the_next_run(helio, project):
    helio("assess", project, "-q")
    events = table(project)
    forge(project, f"update {events} set body = replace(body, 'demo', 'd3mo') where sequence = 2")
    said = helio("ledger", "verify", project)
    assert said.code == 1
    assert "2" in said.err
    assert "ledger-tampered" in said.err
    assert helio("assess", project, "-q").code == 1


def test_a_deleted_record_and_a_cut_off_end_are_noticed(helio, project):
    helio("assess", project, "-q")
    head = helio("ledger", "verify", project, "--format", "json").json()["head"]
    copy = project / "copy"
    shutil.copytree(project / ".heliotrope", copy)
    events = table(project)
    forge(project, f"delete from {events} where sequence = 2")
    assert helio("ledger", "verify", project).code == 1
    shutil.rmtree(project / ".heliotrope")
    copy.rename(project / ".heliotrope")
    last = int(head.split(":")[0])
    forge(project, *(f"delete from {name} where sequence = {last}" for name in keyed(project)))
    said = helio("ledger", "verify", project, "--head", head)
    assert said.code == 1
    assert helio("ledger", "verify", project).code == 1, "this machine remembers the head"


def keyed(project: Path) -> list[str]:
    """Tables with a column of sequences, children first."""
    connection = sqlite3.connect(project / ".heliotrope" / "ledger.db")
    names = [row[0] for row in connection.execute("select name from sqlite_master where type = 'table'")]
    found = [
        name for name in names if "sequence" in [row[1] for row in connection.execute(f"pragma table_info({name})")]
    ]
    connection.close()
    return sorted(found, key=lambda name: name.startswith("event"))


def test_a_ledger_that_came_with_the_project_is_refused(helio, project, tmp_path):
    helio("assess", project, "-q")
    stranger = {"HELIOTROPE_STATE_HOME": str(tmp_path / "another-person")}
    said = helio("assess", project, env=stranger)
    assert said.code == 3
    assert "was not created by this user" in said.err
    assert "hint:" in said.err


def test_a_ledger_that_git_tracks_is_refused(helio, project):
    helio("assess", project, "-q")
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@example.invalid", "-C", str(project)]
    for command in (["init", "-q"], ["add", "-f", ".heliotrope/ledger.db"], ["commit", "-qm", "x"]):
        subprocess.run([*git, *command], check=True, capture_output=True)
    said = helio("assess", project)
    assert said.code == 3
    assert "tracked by git" in said.err


def test_a_newer_a_broken_and_a_linked_ledger(helio, project, tmp_path):
    state = project / ".heliotrope"
    helio("assess", project, "-q")
    for content in (b"not a database" * 100, (state / "ledger.db").read_bytes()[:5000]):
        (state / "ledger.db").write_bytes(content)
        said = helio("assess", project)
        assert said.code in (1, 3)
        assert said.err.count("error[") == 1
    shutil.rmtree(state)
    (tmp_path / "elsewhere").mkdir()
    state.symlink_to(tmp_path / "elsewhere")
    assert helio("assess", project).code == 3
    assert not list((tmp_path / "elsewhere").iterdir())
    assert helio("ledger", "verify", tmp_path).code == 2
    said = helio("assess", project, "--ledger", "postgresql://u:secret@127.0.0.1:1/x")
    assert said.code == 3
    assert said.err.count("error[") == 1
    assert "secret" not in said.err + said.out
    assert helio("assess", project, "--ledger", "postgresql+odd://u:secret@h/x").code == 2


def test_a_full_disk_is_one_clear_error_and_nothing_recorded_is_lost(helio, project, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", small], capture_output=True, check=False
    ).returncode
    if mounted != 0:
        pytest.skip("a small tmpfs cannot be mounted here")
    try:
        codes = []
        for _ in range(12):
            said = helio(
                "assess", project, "--fresh", "-q", "--ledger", small / "ledger.db", "--report-dir", tmp_path / "out"
            )
            codes.append(said.code)
            if said.code == 3 and "error[" in said.err:
                break
        assert codes[0] == 0
        assert "error[ledger]" in said.err, said.err
        assert "hint:" in said.err
        assert helio("ledger", "verify", "--ledger", small / "ledger.db").code == 0
        said = helio("assess", project, "-q", "--report-dir", small / "reports")
        assert said.code == 3
        assert said.err.count("error[") == 1
    finally:
        subprocess.run(["umount", small], check=True)


def test_killed_at_any_moment_the_next_run_goes_on(helio, project):
    for delay in (0.3, 0.6, 0.9, 1.2, 1.6):
        process = subprocess.Popen(
            [HELIO, "assess", str(project), "--fresh", "-q"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(delay)
        process.kill()
        process.wait()
    assert helio("assess", project, "-q").code == 0
    assert helio("ledger", "verify", project).code == 0


def test_an_interrupt_records_the_rest_as_cancelled(helio, tmp_path, project):
    from tests.plugins import install_plugin

    started = tmp_path / "started"
    body = (
        f"@register('a.slow')\ndef slow(task, context):\n    open({str(started)!r}, 'w').close()\n    time.sleep(60)\n"
    )
    env = {"PYTHONPATH": str(install_plugin(tmp_path / "plugins", "t_slow", body))}
    process = subprocess.Popen(
        [HELIO, "assess", str(project), "--format", "json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **env},
        preexec_fn=_mind_interrupts,  # noqa: PLW1509 - it only sets a signal
    )
    until = time.monotonic() + 60
    while not started.exists() and time.monotonic() < until:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=50)
    assert "Traceback" not in err
    assert process.returncode == 3
    assert '"cancelled"' in out
    assert helio("ledger", "verify", project).code == 0


def _mind_interrupts() -> None:
    """A shell starts background jobs with interrupts ignored, and its children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_a_reader_that_goes_away_is_no_fault_of_ours(project):
    done = subprocess.run(
        f"{HELIO} assess {project} --format json | head -c 10", shell=True, capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr


def test_output_that_cannot_be_written_is_said(helio, project, tmp_path):
    assert helio("assess", project, "--output", tmp_path / "no" / "such" / "file").code == 2
    assert helio("assess", project, "--output", tmp_path / "file.txt").code == 0
    assert "ALLOWED" in (tmp_path / "file.txt").read_text()
