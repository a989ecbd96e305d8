"""A worker holds whatever a check does: crash, hang, eat memory, fork, print, exit, speak nonsense."""

import importlib
import os
import signal
import time
from pathlib import Path

import pytest
from tests.plugins import install_plugin

from heliotrope.core.records import sha256_hex
from heliotrope.core.subjects import Subject
from heliotrope.engine import registry
from heliotrope.engine._staging import staged_path
from heliotrope.engine.executors import Execution, RunCancelledError, run_inline
from heliotrope.engine.interface import Limits, Task
from heliotrope.engine.worker_executor import run_in_worker

CHECKS = """
@register("naughty.passes")
def passes(task, context):
    context.progress(1, 2, "half")
    return CheckResult(outcome=Passed(reason=str(task.seed)))

@register("naughty.raises")
def raises(task, context):
    raise ValueError("a plain fault")

@register("naughty.input")
def bad_input(task, context):
    raise InputError("data.npz: is empty", hint="give another")

@register("naughty.exits")
def exits(task, context):
    sys.exit(0)

@register("naughty.hard_exit")
def hard_exit(task, context):
    print("last words \\x1b[31m", flush=True)
    os._exit(0)

@register("naughty.dies")
def dies(task, context):
    os.kill(os.getpid(), 11)

@register("naughty.hangs")
def hangs(task, context):
    while True:
        time.sleep(1)

@register("naughty.eats")
def eats(task, context):
    kept = []
    while True:
        kept.append(bytearray(64 * 2**20))
        kept[-1][::4096] = b"x" * len(kept[-1][::4096])

@register("naughty.prints")
def prints(task, context):
    for _ in range(200000):
        print("x" * 100)
    print(input() if False else "end")
    return CheckResult(outcome=Passed())

@register("naughty.reads")
def reads(task, context):
    return CheckResult(outcome=Passed(reason=repr(sys.stdin.read())))

@register("naughty.forks")
def forks(task, context):
    child = os.fork()
    if child == 0:
        return CheckResult(outcome=Passed(reason="from the child"))
    sleeper = os.fork()
    if sleeper == 0:
        time.sleep(600)
        os._exit(0)
    os.waitpid(child, 0)
    return CheckResult(outcome=Passed(reason=str(sleeper)))

@register("naughty.environment")
def environment(task, context):
    return CheckResult(outcome=Passed(reason=" ".join(sorted(os.environ))))

@register("naughty.network")
def network(task, context):
    import socket
    try:
        socket.create_connection(("127.0.0.1", int(task.parameters["port"])), timeout=2).close()
    except OSError as error:
        return CheckResult(outcome=Passed(reason=f"no: {error}"))
    return CheckResult(outcome=Failed(reason="connected"))

@register("naughty.stores")
def stores(task, context):
    blob = context.store(b"picture", "image/png")
    return CheckResult(outcome=Passed(), blobs=(blob,))

@register("naughty.nonsense")
def nonsense(task, context):
    for descriptor in range(3, 64):
        try:
            os.write(descriptor, b"not a message\\n")
        except OSError:
            pass
    time.sleep(30)
"""


@pytest.fixture
def naughty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Run one of the checks above in a worker."""
    monkeypatch.syspath_prepend(str(install_plugin(tmp_path / "plugins", "naughty_checks", CHECKS)))
    monkeypatch.setattr(registry, "_registered", dict(registry._registered))
    importlib.invalidate_caches()
    module = importlib.import_module("naughty_checks")
    importlib.reload(module)
    monkeypatch.setenv("A_SECRET_TOKEN", "hunter2")

    def run(
        check: str, *, inline: bool = False, progress=lambda *_: None, parameters=None, how=None, **limits
    ) -> Execution:
        workdir = tmp_path / "work"
        workdir.mkdir(exist_ok=True)
        subject = Subject(urn="urn:heliotrope:t:project:t", kind="project", name="t")
        task = Task(check=check, subject=subject, root=str(tmp_path), parameters=parameters or {}, inputs={}, seed=7)
        how = how or (run_inline if inline else run_in_worker)
        descriptor = registry._registered[check]
        return how(descriptor, task, workdir=workdir, limits=Limits(**limits), progress=progress)

    return run


def test_a_check_that_passes_says_so_and_reports_progress(naughty):
    seen = []
    execution = naughty("naughty.passes", progress=lambda *step: seen.append(step))
    assert execution.result.outcome.state == "passed"
    assert execution.result.outcome.reason == "7"
    assert (1.0, 2.0, "half") in seen
    assert execution.cost.cpu_seconds > 0
    assert execution.environment["isolation"] == "worker"


@pytest.mark.parametrize("inline", [False, True])
def test_an_exception_is_an_error_outcome(naughty, inline):
    outcome = naughty("naughty.raises", inline=inline).result.outcome
    assert (outcome.state, outcome.kind) == ("error", "exception")
    assert "ValueError: a plain fault" in outcome.reason


@pytest.mark.parametrize("inline", [False, True])
def test_an_input_error_is_inconclusive_and_keeps_its_hint(naughty, inline):
    outcome = naughty("naughty.input", inline=inline).result.outcome
    assert outcome.state == "inconclusive"
    assert "data.npz: is empty" in outcome.reason
    assert "give another" in outcome.reason


@pytest.mark.parametrize("inline", [False, True])
def test_sys_exit_with_zero_is_no_pass(naughty, inline):
    outcome = naughty("naughty.exits", inline=inline).result.outcome
    assert outcome.state == "error"
    assert "sys.exit(0)" in outcome.reason


def test_a_hard_exit_is_a_crash_that_quotes_the_last_words_harmlessly(naughty):
    outcome = naughty("naughty.hard_exit").result.outcome
    assert (outcome.state, outcome.kind) == ("error", "crashed")
    assert "last words" in outcome.reason
    assert "\x1b" not in outcome.reason


def test_a_segmentation_fault_is_named(naughty):
    outcome = naughty("naughty.dies").result.outcome
    assert (outcome.state, outcome.kind) == ("error", "crashed")
    assert "SIGSEGV" in outcome.reason


def test_a_hang_ends_at_the_time_limit(naughty):
    began = time.monotonic()
    outcome = naughty("naughty.hangs", wall_seconds=1.5).result.outcome
    assert (outcome.state, outcome.kind) == ("error", "timeout")
    assert "checks.time_limit" in outcome.reason
    assert time.monotonic() - began < 15


def test_eating_memory_ends_at_the_memory_limit(naughty):
    execution = naughty("naughty.eats", memory_bytes=400 * 2**20, wall_seconds=60)
    assert (execution.result.outcome.state, execution.result.outcome.kind) == ("error", "memory")
    assert execution.cost.peak_memory_bytes < 4 * 2**30


def test_printing_without_end_neither_blocks_nor_fills_anything(naughty):
    execution = naughty("naughty.prints", wall_seconds=60)
    assert execution.result.outcome.state == "passed"
    assert len(execution.log_tail) <= 4096


def test_reading_standard_input_gets_nothing(naughty):
    assert naughty("naughty.reads", wall_seconds=20).result.outcome.reason == "''"


def test_a_forked_child_cannot_answer_and_does_not_outlive_the_run(naughty):
    outcome = naughty("naughty.forks", wall_seconds=30).result.outcome
    assert outcome.state == "passed"
    sleeper = int(outcome.reason)
    time.sleep(0.3)
    try:
        state = Path(f"/proc/{sleeper}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        state = "gone"
    assert state in ("Z", "gone"), "a process started by the check is still running"


def test_no_secret_of_ours_reaches_the_worker(naughty):
    names = naughty("naughty.environment").result.outcome.reason.split()
    assert "A_SECRET_TOKEN" not in names
    assert not [name for name in names if name.startswith("HELIOTROPE_")]


def test_a_variable_reaches_the_worker_only_when_the_plan_names_it(naughty):
    def how(*args, **keywords):
        return run_in_worker(*args, **keywords, network=True, environment=("A_SECRET_TOKEN", "ABSENT"))

    execution = naughty("naughty.environment", how=how)
    assert "A_SECRET_TOKEN" in execution.result.outcome.reason.split()
    assert "hunter2" not in execution.log_tail + repr(execution.environment)


def test_a_worker_with_network_reaches_a_local_server(naughty):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        execution = naughty(
            "naughty.network",
            parameters={"port": server.getsockname()[1]},
            how=lambda *args, **keywords: run_in_worker(*args, **keywords, network=True),
        )
    assert execution.result.outcome.reason == "connected"
    assert execution.environment["network"] == "available"


def test_a_worker_without_network_cannot_reach_a_local_server(naughty):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        execution = naughty("naughty.network", parameters={"port": server.getsockname()[1]})
    if execution.environment["network"] != "none":
        pytest.skip("this system lets no process leave the network")
    assert execution.result.outcome.state == "passed"


def test_a_stored_blob_lies_under_its_digest(naughty, tmp_path):
    (blob,) = naughty("naughty.stores").result.blobs
    assert blob.sha256 == sha256_hex(b"picture")
    assert staged_path(tmp_path / "work", blob.sha256).read_bytes() == b"picture"


def test_what_is_no_message_ends_the_run(naughty):
    outcome = naughty("naughty.nonsense", wall_seconds=20).result.outcome
    assert (outcome.state, outcome.kind) == ("error", "protocol")


def test_cancelling_stops_the_worker(naughty):
    def cancel(*_):
        raise RunCancelledError

    began = time.monotonic()
    outcome = naughty("naughty.hangs", progress=cancel).result.outcome
    assert (outcome.state, outcome.kind) == ("error", "cancelled")
    assert time.monotonic() - began < 15


def children() -> set[int]:
    """Processes whose parent is this one, ended but not yet waited for among them."""
    found = set()
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = status.read_text(errors="replace").rpartition(")")[2].split()[1]
        except OSError:
            continue
        if int(parent) == os.getpid():
            found.add(int(status.parent.name))
    return found


def test_nothing_is_left_behind(naughty):
    # A library that another test used may keep a process of its own, so the worker's are told apart from them.
    before = children()
    for check in ("naughty.passes", "naughty.dies"):
        naughty(check)
    assert children() <= before
    assert signal.getsignal(signal.SIGCHLD) in (signal.SIG_DFL, None)
