"""Inspecting several files at once, each by one worker process at a time. A worker that dies takes one file with it, not the run.

Workers are fresh interpreters that import this package and nothing of the caller's; they talk over pipes, a line each.
The order of the results is that of the files. When the run ends, however it ends, no worker is left.
"""

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import heliotrope
from heliotrope.core.predicates.scan import FileReport
from heliotrope.engine.files import Stamp
from heliotrope.scan.limits import ScanLimits

__all__ = ["Asked", "Outcome", "inspect_in_workers", "worthwhile_jobs"]

_MAX_JOBS = 8
"""More than this waits for the disk."""
_SECONDS_PER_BYTE = 1.5e-9
_SECONDS_PER_FILE = 4e-4
_WORTH_SECONDS = 3.0
"""Of work for each worker: one takes a third of a second to start."""
_MAX_LINE = 64 * 2**20
"""Bytes of one answer; 500 findings have under one."""
_CHUNK = 2**20


@dataclass(frozen=True, slots=True)
class Asked:
    """A file for a worker: the fields of a target, and a place to answer to."""

    number: int
    path: str
    shown: str
    named: bool
    size: int
    inode: int | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one file."""

    report: FileReport | None
    places: tuple[str, ...] | None = None
    """What a cache keeps beside the report; None for what is not to be kept."""
    stamp: Stamp | None = None
    """What stands for the bytes that were read."""
    died: str = ""
    """How the worker ended that had it."""


@dataclass(slots=True)
class _Worker:
    process: "subprocess.Popen[bytes]"
    has: Asked | None = None
    heard: bytearray = field(default_factory=bytearray)


def worthwhile_jobs(sizes: Sequence[int]) -> int:
    """How many workers pay for files of these sizes; 1 for none."""
    seconds = sum(sizes) * _SECONDS_PER_BYTE + len(sizes) * _SECONDS_PER_FILE
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(min(cpus, _MAX_JOBS, len(sizes), int(seconds / _WORTH_SECONDS)), 1)


def inspect_in_workers(
    asked: Sequence[Asked],
    *,
    jobs: int,
    limits: ScanLimits,
    analysers: Sequence[str],
    finished: Callable[[Asked], None],
) -> dict[int, Outcome]:
    """Inspect files in up to `jobs` processes; the outcome by number. The largest files go first, so that none is last."""
    waiting = sorted(asked, key=lambda item: item.size)
    setup = json.dumps({"limits": asdict(limits), "analysers": list(analysers)}).encode("ascii") + b"\n"
    outcomes: dict[int, Outcome] = {}
    workers: list[_Worker] = []
    with selectors.DefaultSelector() as selector:
        try:
            while waiting or any(worker.has for worker in workers):
                while waiting and len(workers) < jobs:
                    worker = _Worker(_start())
                    workers.append(worker)
                    assert worker.process.stdout is not None
                    selector.register(worker.process.stdout, selectors.EVENT_READ, worker)
                    _send(worker, setup)
                    _hand(worker, waiting.pop())
                for key, _ in selector.select():
                    worker = key.data
                    had = worker.has
                    outcome = _listen(worker)
                    if outcome is None:
                        continue
                    if had is not None:
                        outcomes[had.number] = outcome
                        finished(had)
                    if outcome.died or not waiting:
                        selector.unregister(key.fileobj)
                        workers.remove(worker)
                        _end(worker)
                    else:
                        _hand(worker, waiting.pop())
        finally:
            for worker in workers:
                _end(worker)
    return outcomes


def _start() -> "subprocess.Popen[bytes]":
    package = str(Path(heliotrope.__file__).resolve().parent.parent)
    here = str(Path.cwd())
    paths = [entry for entry in sys.path if Path(entry).is_absolute() and entry != here and Path(entry).is_dir()]
    environment = {
        name: os.environ[name]
        for name in ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TMPDIR", "LD_LIBRARY_PATH")
        if name in os.environ
    }
    environment |= {"PYTHONPATH": os.pathsep.join(dict.fromkeys([package, *paths])), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.Popen(
        [sys.executable, "-P", "-s", "-m", "heliotrope.scan.parallel_worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        start_new_session=True,  # an interrupt from the keyboard reaches the parent, which ends them all
    )


def _hand(worker: _Worker, item: Asked) -> None:
    worker.has = item
    _send(worker, json.dumps(asdict(item), ensure_ascii=True).encode("ascii") + b"\n")


def _send(worker: _Worker, line: bytes) -> None:
    assert worker.process.stdin is not None
    with contextlib.suppress(BrokenPipeError):  # it died; reading from it says so
        worker.process.stdin.write(line)
        worker.process.stdin.flush()


def _listen(worker: _Worker) -> Outcome | None:
    """The outcome of the file it has; None while there is none."""
    assert worker.process.stdout is not None
    data = os.read(worker.process.stdout.fileno(), _CHUNK)
    worker.heard += data
    if not data or len(worker.heard) > _MAX_LINE:
        return Outcome(None, died=_how_it_ended(worker) if not data else "the worker process said too much")
    line, found, rest = worker.heard.partition(b"\n")
    if not found:
        return None
    worker.heard = bytearray(rest)
    worker.has = None
    try:
        answer = json.loads(line)
    except ValueError:
        return Outcome(None, died="the worker process that inspected it gave an answer that is none")
    report = FileReport.model_validate_json(json.dumps(answer["report"])) if answer["report"] is not None else None
    device, inode, size, changed, touched = answer["stamp"] or (0, 0, 0, 0, 0)
    return Outcome(
        report,
        tuple(answer["places"]) if answer["places"] is not None else None,
        (device, inode, size, changed, touched) if answer["stamp"] else None,
    )


def _how_it_ended(worker: _Worker) -> str:
    code = worker.process.wait()
    how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
    return f"the worker process that inspected it {how}"


def _end(worker: _Worker) -> None:
    process = worker.process
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()
    if process.poll() is None and worker.has is None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=1.0)
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()
