"""Files that change under us, that cannot be reached, or that claim to be endless; names that are no text; a machine that is short of everything."""

import json
import os
import resource
import signal
import subprocess
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from tests.e2e.conftest import HELIO
from tests.plugins import install_plugin

CLEAN = b"\x02\0\0\0\0\0\0\0{}"
BODY = """
@register('a.fault', isolation='inline', plan=lambda project: [Planned(
    subject=Subject(urn=subject_urn(project.name, "project", project.name), kind="project", name=project.name),
    parameters=Parameters(), inputs={{"tree": project.root}})])
def fault(task, context):
    from pathlib import Path
    path = Path(task.root, 'model.safetensors')
    {body}
    return CheckResult(outcome=Passed(reason='done'))

@register('a.stopped')
def stopped(task, context):
    import signal
    os.kill(os.getpid(), signal.SIGSTOP)
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)  # and back afterwards, wherever a test has gone
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "heliotrope.yaml").write_text("version: 1\nproject: demo\nchecks: {time_limit: 6}\n")
    (folder / "model.safetensors").write_bytes(CLEAN)
    return folder


def plugin(tmp_path: Path, body: str) -> dict[str, str]:
    return {"PYTHONPATH": str(install_plugin(tmp_path / "plugins", "t_fault", BODY.format(body=body)))}


def outcomes(said) -> dict[str, tuple[str, str]]:
    return {run["check"]: (run["outcome"], run["reason"]) for run in said.json()["runs"]}


def whole(reports: dict[str, str]) -> None:
    assert set(reports) == {
        "report.html",
        "report.json",
        "report.sarif",
        "report.junit.xml",
        "report.md",
        "bom.cdx.json",
    }
    json.loads(reports["report.json"])
    json.loads(reports["report.sarif"])
    ET.fromstring(reports["report.junit.xml"])
    assert reports["report.html"].endswith("</html>")
    assert not any("\x1b" in text or "\u202e" in text for text in reports.values())


@pytest.mark.parametrize(
    "what",
    [
        "path.write_bytes(b'other')",
        "path.unlink(); os.mkfifo(path)",
        "path.unlink(); path.symlink_to('/dev/zero')",
        "import shutil; shutil.rmtree(task.root)",
    ],
)
def test_what_changes_while_it_is_examined_is_no_evidence(helio, project, tmp_path, what):
    beside = ("--ledger", tmp_path / "l.db", "--report-dir", tmp_path / "out", "--only", "a.fault")
    said = helio("assess", project, "--format", "json", *beside, env=plugin(tmp_path, what))
    assert said.code == 3
    outcome, reason = outcomes(said)["a.fault"]
    assert outcome == "inconclusive"
    assert "changed while it was examined: tree" in reason
    whole({path.name: path.read_text() for path in (tmp_path / "out").iterdir()})


def test_a_file_that_is_written_to_all_the_time_does_not_hold_the_run_up(helio, project):
    writer = subprocess.Popen(["sh", "-c", f"while :; do date >> {project}/log.txt; done"])
    try:
        said = helio("assess", project, "--format", "json", timeout=60)
    finally:
        writer.kill()
        writer.wait()
    assert said.code == 3
    assert {outcome for outcome, _ in outcomes(said).values()} <= {"inconclusive", "not_applicable"}
    assert any("changed while" in reason for _, reason in outcomes(said).values())


def test_a_stopped_worker_ends_at_the_time_limit(helio, project, tmp_path):
    said = helio("assess", project, "--only", "a.stopped", "--format", "json", env=plugin(tmp_path, "pass"))
    assert said.code == 3
    assert outcomes(said)["a.stopped"] == ("error", "stopped after 6 s (checks.time_limit)")


def test_signals_that_interrupt_system_calls_change_nothing(project):
    process = subprocess.Popen(
        [HELIO, "assess", project, "--format", "json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    while process.poll() is None:
        for number in (signal.SIGSTOP, signal.SIGCONT, signal.SIGWINCH, signal.SIGURG):
            process.send_signal(number)
            time.sleep(0.01)
    out, err = process.communicate()
    assert (process.returncode, b"Traceback" in err) == (0, False)
    assert json.loads(out)["decision"]["verdict"] == "allow"


def test_names_and_links_and_things_that_are_no_files(helio, project, reports):
    os.chdir(project)
    names = [
        b"\xff\xfe.pkl",
        b"x" * 200 + b".pkl",
        b"esc\x1b[31m\n.pkl",
        "\u202egnp.pkl".encode(),
        b"-rf",
        b" ",
        b"a\\xff.pkl",
    ]
    for name in names:
        Path(os.fsdecode(name)).write_bytes(b"N.")
    for name, target in {"one": "two", "two": "one", "self": ".", "up": "..", "zero": "/dev/zero", "gone": "x"}.items():
        Path(name).symlink_to(target)
    os.mkfifo("pipe")
    said = helio("assess", project, "--format", "json")
    assert said.code == 3
    (inventory,) = [item["predicate"] for item in said.json()["evidence"] if "inventory" in item["predicate_type"]]
    assert inventory["total_files"] == len(names) + 2
    assert {item["path"] for item in inventory["problems"]} == {"one", "two", "up", "zero", "gone", "pipe"}
    whole(reports(project / ".heliotrope"))
    shown = helio("assess", project)
    assert all(character.isprintable() or character == "\n" for character in shown.out)
    assert helio("ledger", "verify", project).code == 0


def test_folders_deeper_than_any_path_may_be(helio, project, reports):
    os.chdir(project)
    for _ in range(50):
        Path("d" * 100).mkdir()
        os.chdir("d" * 100)
        Path("file").touch()
    os.chdir("/")
    said = helio("assess", project, "--format", "json")
    assert said.code == 3
    assert any("too long" in reason or "longer than" in reason for _, reason in outcomes(said).values())
    whole(reports(project / ".heliotrope"))
    subprocess.run(["rm", "-rf", project], check=True)


def test_ten_thousand_tiny_files(helio, project, reports):
    (project / "heliotrope.yaml").write_text("version: 1\nproject: demo\nchecks: {time_limit: 60}\n")
    for index in range(10_000):
        if index % 100 == 0:
            folder = project / f"{index}"
            folder.mkdir()
        (folder / f"{index}.txt").write_bytes(b"%d" % index)
    said = helio("assess", project, "-q")
    assert said.code == 0
    texts = reports(project / ".heliotrope")
    whole(texts)
    assert len(texts["report.html"]) < 1_000_000
    assert len(texts["report.sarif"]) < 1_000_000
    assert len(texts["report.md"]) < 65_536
    again = helio("assess", project, "--format", "json")
    assert all(run["reused_from"] for run in again.json()["runs"])


def sparse(helio, project: Path, size: int) -> tuple[float, float]:
    with (project / "model.safetensors").open("ab") as file:
        file.truncate(size)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    said = helio("assess", project, "--format", "json", "--only", "supply.*", timeout=3000)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert outcomes(said)["supply.inventory"][0] == "passed"
    peaks = [run["cost"]["peak_memory_bytes"] or 0 for run in json.loads(said.out)["runs"]]
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, max(peaks) / 2**20


def test_a_sparse_file_of_two_gigabytes_takes_seconds_and_no_memory(helio, project):
    time.sleep(2.1)
    seconds, megabytes = sparse(helio, project, 2 * 10**9)
    assert seconds < 30
    assert megabytes < 400


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_a_sparse_file_of_twenty_gigabytes(helio, project):
    seconds, megabytes = sparse(helio, project, 20 * 10**9)
    assert seconds < 120
    assert megabytes < 400


def unshared(project: Path, line: str, *options: str) -> subprocess.CompletedProcess[str]:
    """A shell line in a namespace of its own, so that the machine can be short of things for it alone."""
    done = subprocess.run(
        ["unshare", *options, "bash", "-c", line], cwd=project, capture_output=True, text=True, check=False
    )
    if "unshare:" in done.stderr or "mount:" in done.stderr:
        pytest.skip(f"namespaces are not permitted here: {done.stderr.strip()[-100:]}")
    assert "Traceback" not in done.stderr
    return done


def test_a_user_without_home_and_name(project, tmp_path):
    nobody = ("-U", "--map-user=12345")
    run = f"env -u HOME -u XDG_STATE_HOME -u XDG_CONFIG_HOME -u HELIOTROPE_CONFIG_HOME {HELIO}"
    without = unshared(project, f"env -u HELIOTROPE_STATE_HOME {run} assess -q", *nobody)
    assert (without.returncode, "HELIOTROPE_STATE_HOME" in without.stderr) == (3, True)
    assert unshared(project, f"{run} assess -q", *nobody).returncode == 0
    trust = unshared(project, f"{run} trust project", *nobody)
    assert (trust.returncode, "HELIOTROPE_CONFIG_HOME" in trust.stderr) == (2, True)


def test_no_place_for_temporary_files_is_said_and_the_project_is_not_used_for_them(project):
    fill = "for folder in /tmp /var/tmp; do mount -t tmpfs -o size=4k,nr_inodes=1 none $folder; done; unset TMPDIR TMP TEMP"
    keep = "mount -t tmpfs none /mnt && cp -r . /mnt && cd /mnt"
    done = unshared(
        project,
        f"{keep}; {fill}; HELIOTROPE_STATE_HOME=/mnt/.state {HELIO} assess -q; code=$?; ls -A; exit $code",
        "-m",
    )
    assert done.returncode == 3
    assert "error[system]: no folder takes temporary files" in done.stderr
    assert "heliotrope-run" not in done.stdout


def test_a_project_on_a_read_only_disk(project):
    mount = f"mount -t tmpfs none /mnt && cp -r . /mnt && mount -o remount,ro /mnt; {HELIO} assess -q /mnt"
    refused = unshared(project, mount, "-m")
    assert (refused.returncode, refused.stdout) == (3, "")
    assert "--ledger and --report-dir" in refused.stderr
    beside = unshared(project, f"{mount} --ledger {project}/own.db --report-dir {project}/out", "-m")
    assert beside.returncode == 0, beside.stderr


@pytest.mark.parametrize("files", [8, 12])
def test_too_few_open_files_is_the_machine_s_fault(helio, project, files):
    done = subprocess.run(
        ["bash", "-c", f"ulimit -n {files}; exec {HELIO} assess {project} -q"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (3, "")
    assert "Too many open files" in done.stderr
    assert "Traceback" not in done.stderr
    assert helio("assess", project, "-q").code == 0
