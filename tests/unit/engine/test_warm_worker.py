"""Runs that take turns in one worker: what they share, and what ends it."""

import importlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.plugins import install_plugin

from heliotrope.core.records import Record
from heliotrope.core.subjects import Subject
from heliotrope.engine import registry
from heliotrope.engine.executors import Execution, RunCancelledError
from heliotrope.engine.interface import CheckDescriptor, Limits, Planned, Task
from heliotrope.engine.runner import Consent, Runner
from heliotrope.engine.warm_worker import WarmWorkers, may_share

CHECKS = """
def said(*words):
    return CheckResult(outcome=Passed(reason=" ".join(map(str, words))))

@register("turns.pid")
def pid(task, context):
    print("log of", context.workdir.name)
    return said(os.getpid())

@register("turns.where")
def where(task, context):
    import tempfile
    os.environ["LEFT_BEHIND"] = "by the last"
    return said(os.getcwd(), tempfile.gettempdir(), os.environ["HOME"])

@register("turns.names")
def names(task, context):
    return said("LEFT_BEHIND" in os.environ)

@register("turns.works")
def works(task, context):
    until = time.process_time() + 0.6
    kept = bytearray(b"x") * (150 * 2**20)
    while time.process_time() < until:
        pass
    return said(os.getpid())

@register("turns.raises")
def raises(task, context):
    raise ValueError("a plain fault")

@register("turns.dies")
def dies(task, context):
    os.kill(os.getpid(), 11)

@register("turns.hangs")
def hangs(task, context):
    context.progress(1, 2, str(os.getpid()))
    time.sleep(600)

@register("turns.eats")
def eats(task, context):
    kept = []
    while True:
        kept.append(bytearray(b"x") * (64 * 2**20))

@register("turns.thread")
def thread(task, context):
    import threading
    threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
    return said(os.getpid())

@register("turns.child")
def child(task, context):
    if os.fork() == 0:
        time.sleep(600)
        os._exit(0)
    return said(os.getpid())

@register("turns.keeps")
def keeps(task, context):
    sys.kept = bytearray(b"x") * (200 * 2**20)
    return said(os.getpid())

def speak(run):
    line = ('{"type":"progress","run":"%s","done":1,"total":2}' % run).encode() + b"\\n"
    for descriptor in range(3, 64):
        try:
            os.write(descriptor, line)
        except OSError:
            pass

@register("turns.stale")
def stale(task, context):
    speak(getattr(sys, "earlier_run", "another"))
    time.sleep(30)

@register("turns.remembers")
def remembers(task, context):
    sys.earlier_run = context._run
    return said(os.getpid())

@register("turns.torch")
def torch(task, context):
    import importlib.util
    try:
        import torch.nn
    except ModuleNotFoundError as error:
        return said(importlib.util.find_spec("torch"), error)
    return said("found")

@register("turns.needs")
def needs(task, context):
    from heliotrope.core.errors import MissingExtraError
    try:
        import torch
    except ImportError:
        raise MissingExtraError("torch", module="torch") from None
    return said(os.getpid())
"""


@pytest.fixture(scope="module")
def plugins(tmp_path_factory) -> Path:
    return install_plugin(tmp_path_factory.mktemp("plugins"), "turn_checks", CHECKS)


@pytest.fixture
def workers():
    with WarmWorkers() as kept:
        yield kept


@pytest.fixture
def turn(tmp_path, monkeypatch, plugins, workers):
    """Run one of the checks above in a kept worker."""
    monkeypatch.syspath_prepend(str(plugins))
    monkeypatch.setattr(registry, "_registered", dict(registry._registered))
    importlib.invalidate_caches()
    importlib.reload(importlib.import_module("turn_checks"))
    count = iter(range(1000))

    def run(check: str, *, subject="m", modules=(), progress=lambda *_: None, **limits) -> Execution:
        workdir = tmp_path / f"run-{next(count)}"
        workdir.mkdir()
        task = Task(check=check, subject=model(subject), root=str(tmp_path), parameters={}, inputs={}, seed=7)
        return workers.run(
            registry._registered[check], task, workdir=workdir, limits=Limits(**limits), progress=progress,
            modules=modules,
        )  # fmt: skip

    return run


def model(name: str) -> Subject:
    return Subject(urn=f"urn:heliotrope:t:model:{name}", kind="model", name=name)


def pid_of(execution: Execution) -> int:
    assert execution.result.outcome.state == "passed", execution.result.outcome
    return int(execution.result.outcome.reason)


def is_gone(pid: int) -> bool:
    for _ in range(100):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.05)
    return False


def test_runs_on_one_subject_share_a_process_and_nothing_else(turn, tmp_path):
    first, second = turn("turns.pid"), turn("turns.pid")
    assert pid_of(first) == pid_of(second)
    assert (first.log_tail, second.log_tail) == ("log of run-0\n", "log of run-1\n")
    assert turn("turns.where").result.outcome.reason.split() == [str(tmp_path / "run-2")] * 3
    assert turn("turns.names").result.outcome.reason == "False"
    assert second.environment == first.environment
    assert second.environment["isolation"] == "worker"


def test_another_subject_has_another_process(turn):
    assert pid_of(turn("turns.pid", subject="a")) != pid_of(turn("turns.pid", subject="b"))


def test_each_run_is_charged_what_it_took(turn):
    costs = [turn(check).cost for check in ("turns.pid", "turns.works", "turns.pid")]
    assert costs[1].cpu_seconds >= 0.5
    assert costs[2].cpu_seconds < 0.3
    if costs[2].peak_memory_bytes >= costs[1].peak_memory_bytes:
        pytest.skip("this system does not forget a peak")
    assert costs[1].peak_memory_bytes > 150 * 2**20


@pytest.mark.parametrize(
    ("check", "kind", "limits"),
    [
        ("turns.raises", "exception", {}),
        ("turns.dies", "crashed", {}),
        ("turns.hangs", "timeout", {"wall_seconds": 0.5}),
        ("turns.eats", "memory", {"memory_bytes": 400 * 2**20}),
        ("turns.stale", "protocol", {"wall_seconds": 20}),
    ],
)
def test_a_run_that_ends_in_an_error_ends_the_process_for_itself_alone(turn, check, kind, limits):
    first = pid_of(turn("turns.remembers"))
    failed = turn(check, **limits)
    assert (failed.result.outcome.state, failed.result.outcome.kind) == ("error", kind)
    assert is_gone(first)
    assert pid_of(turn("turns.pid")) != first


@pytest.mark.parametrize("check", ["turns.thread", "turns.child", "turns.keeps"])
def test_a_run_that_leaves_something_behind_is_believed_and_the_next_starts_afresh(turn, check):
    first = pid_of(turn(check, memory_bytes=800 * 2**20))
    assert is_gone(first)
    assert pid_of(turn("turns.pid")) != first


def test_a_cancelled_run_ends_the_process(turn):
    first = pid_of(turn("turns.pid"))

    def cancel(done: float, *_: object) -> None:
        if done:
            raise RunCancelledError

    assert turn("turns.hangs", progress=cancel).result.outcome.kind == "cancelled"
    assert is_gone(first)


def test_one_that_died_meanwhile_is_replaced(turn):
    first = pid_of(turn("turns.pid"))
    os.kill(first, signal.SIGKILL)
    time.sleep(0.1)
    assert pid_of(turn("turns.pid")) != first


def test_few_are_kept_and_none_outlives_the_block(turn, workers):
    pids = [pid_of(turn("turns.pid", subject=name)) for name in "abcd"]
    assert [Path(f"/proc/{pid}").exists() for pid in pids] == [False, True, True, True]
    with pytest.raises(RuntimeError), workers:
        raise RuntimeError
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def test_torch_is_found_only_where_it_is_declared(turn):
    pytest.importorskip("torch")
    assert turn("turns.torch").result.outcome.reason == "None No module named 'torch'"


def test_a_subject_that_needs_torch_all_the_same_finds_it(turn):
    pytest.importorskip("torch")
    assert pid_of(turn("turns.needs")) == pid_of(turn("turns.needs"))


PARENT = """
import sys, tempfile, time
from pathlib import Path
from heliotrope.core.subjects import Subject
from heliotrope.engine.interface import Limits, Task
from heliotrope.engine.registry import find_check
from heliotrope.engine.warm_worker import WarmWorkers
subject = Subject(urn="urn:heliotrope:t:model:m", kind="model", name="m")
task = Task(check="turns.pid", subject=subject, root="/", parameters={}, inputs={}, seed=0)
done = WarmWorkers().run(find_check("turns.pid"), task, workdir=Path(sys.argv[1]), limits=Limits(),
                         progress=lambda *_: None, modules=())
print(done.result.outcome.reason, flush=True)
time.sleep(600)
"""


def test_an_idle_worker_goes_with_its_parent(plugins, tmp_path):
    path = os.pathsep.join([str(plugins), *filter(None, sys.path)])
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, tmp_path],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    ) as parent:
        worker = int(parent.stdout.readline())
        assert Path(f"/proc/{worker}").exists()
        parent.kill()
    assert is_gone(worker)


class Parameters(Record):
    """Nothing to say."""


def ours(task, context):
    """A check of our own, by its module."""


ours.__module__ = "heliotrope.quality.inputs"


def descriptor(function=ours, **fields) -> CheckDescriptor:
    made = {"id": "t", "version": "1", "title": "t", "applies_to": "model", "cost": "quick", "isolation": "worker",
            "runs_project_code": False, "extra": None, "modules": (), "parameters": Parameters,
            "plan": lambda _: iter(()), "function": function}  # fmt: skip
    return CheckDescriptor(**{**made, **fields})


def planned(subject=None, **fields) -> Planned:
    return Planned(subject=subject or model("m"), parameters=Parameters(), modules=("json",), **fields)


def test_project_code_and_network_never_share(monkeypatch):
    alone = []
    monkeypatch.setattr("heliotrope.engine.runner.run_in_worker", lambda **more: alone.append(more["network"]))
    with WarmWorkers() as workers:
        runner = Runner(None, None, None, Consent(True, "said so"), Limits(), None, 0, workers=workers)
        shared = runner._executor(descriptor(), planned(consent="none"))
        assert shared.func == workers.run
        for kind in ("code", "network"):
            runner._executor(descriptor(), planned(consent=kind))()
        runner._executor(descriptor(runs_project_code=True), planned())()
    assert alone == [False, True, False]


def test_only_checks_of_ours_on_models_share():
    assert may_share(descriptor(), planned())
    assert not may_share(descriptor(function=descriptor), planned())
    assert not may_share(descriptor(), planned(Subject(urn="urn:heliotrope:t:project:t", kind="project", name="t")))
