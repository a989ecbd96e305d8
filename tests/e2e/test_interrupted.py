"""Runs that are stopped: by Ctrl-C, by a time limit from outside, by kill -9. Nothing acknowledged is lost, nothing reads as a pass."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from tests.e2e.conftest import HELIO
from tests.plugins import install_plugin

CHECKS = """
from pathlib import Path

@register('a.worker')
def worker(task, context):
    Path(task.root, 'started').write_text(str(os.getpid()))
    time.sleep(60)

@register('b.inline', isolation='inline')
def inline(task, context):
    Path(task.root, 'started').write_text('inline')
    time.sleep(60)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "heliotrope.yaml").write_text("version: 1\nproject: demo\n")
    (folder / "model.pkl").write_bytes(b"N.")
    return folder


@pytest.fixture
def begin(tmp_path: Path, project: Path):
    """Start an assessment with two checks that never end; it returns once one of them runs."""
    env = {**os.environ, "PYTHONPATH": str(install_plugin(tmp_path / "plugins", "t_endless", CHECKS))}
    begun: list[subprocess.Popen[str]] = []

    def start(*more: str) -> subprocess.Popen[str]:
        (project / "started").unlink(missing_ok=True)
        process = subprocess.Popen(
            [HELIO, "assess", str(project), "--format", "json", "--fresh", *more],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env,
        )  # fmt: skip
        begun.append(process)
        until = time.monotonic() + 30
        while not (project / "started").exists():
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < until, "the check did not begin"
            time.sleep(0.02)
        return process

    yield start
    for process in begun:
        process.kill()
        process.communicate()


def records(helio, project: Path) -> int:
    return helio("ledger", "verify", project, "--format", "json").json()["records"]


ENDINGS = {
    "Ctrl-C in a worker": (signal.SIGINT, "a.worker"),
    "Ctrl-C inline": (signal.SIGINT, "b.inline"),
    "a time limit from outside": (signal.SIGTERM, "a.worker"),
    "the terminal closes": (signal.SIGHUP, "b.inline"),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_asked_to_end_it_records_the_rest_as_cancelled_and_reports(helio, begin, project, reports, ending):
    asked, check = ENDINGS[ending]
    process = begin("--only", check, "--only", "scan.*")
    process.send_signal(asked)
    out, err = process.communicate(timeout=30)
    assert "Traceback" not in err
    assert process.returncode == 3
    document = json.loads(out)
    runs = {run["check"]: (run["outcome"], run["code"]) for run in document["runs"]}
    assert runs[check] == ("error", "cancelled")
    assert runs["scan.files"] == ("error", "cancelled"), "what had not begun is not left out"
    assert document["decision"]["verdict"] == "needs-review"
    assert all("cancelled" in text for text in reports(project / ".heliotrope").values())
    assert helio("ledger", "verify", project, "--head", document["ledger"]["head"]).code == 0


def test_an_interrupt_before_anything_ran_is_said_in_one_line(helio, project):
    for delay in (0.25, 0.4):
        process = subprocess.Popen(
            [HELIO, "assess", str(project), "-q"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        time.sleep(delay)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=30)
        assert "ALLOWED" not in out or process.returncode == 0
        assert process.returncode in (0, 3, -signal.SIGINT)


def test_killed_while_a_check_runs_nothing_acknowledged_is_lost(helio, begin, project):
    first = helio("assess", project, "--format", "json").json()
    before = records(helio, project)
    process = begin()
    worker = int((project / "started").read_text())
    process.kill()
    process.communicate()
    assert records(helio, project) >= before
    until = time.monotonic() + 10
    while Path(f"/proc/{worker}").exists() and time.monotonic() < until:
        time.sleep(0.02)
    assert not Path(f"/proc/{worker}").exists(), "the worker outlived the command"
    again = helio("assess", project, "--format", "json")
    assert again.code == 0, again.out
    assert again.json()["difference"]["previous"] == first["id"]
    assert helio("ledger", "verify", project).code == 0


def test_killed_while_it_records_every_record_is_whole(helio, project):
    """Each round kills a little later, so that opening, recording and reporting are all hit."""
    count = 0
    for delay in [0.45 + 0.13 * step for step in range(7)]:
        process = subprocess.Popen(
            [HELIO, "assess", str(project), "--fresh", "-q"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(delay)
        process.kill()
        process.wait()
        if (project / ".heliotrope" / "ledger.db").exists():
            said = helio("ledger", "verify", project, "--format", "json")
            if said.code == 0:
                assert said.json()["records"] >= count
                count = said.json()["records"]
            else:
                assert said.code == 3, said.err  # killed before the ledger was laid out
                assert count == 0
    assert helio("assess", project, "-q").code == 0
    assert records(helio, project) > count
