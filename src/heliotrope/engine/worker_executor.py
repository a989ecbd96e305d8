"""The worker executor: one process per run, watched from outside."""

import contextlib
import os
import resource
import select
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import heliotrope
from heliotrope.core.outcomes import Errored, ErrorKind
from heliotrope.core.runs import CheckResult, Cost
from heliotrope.core.text import printable
from heliotrope.engine._processes import MemoryWatch
from heliotrope.engine._protocol import MAX_LINE_BYTES, Hello, Progress, Request, Result, decode, encode
from heliotrope.engine.executors import Execution, ProgressFunction, RunCancelledError
from heliotrope.engine.interface import CheckDescriptor, Limits, Task

__all__ = ["run_in_worker"]

_POLL_SECONDS = 0.05
_LOG_TAIL_BYTES = 4096
_PASSED_ENVIRONMENT = (
    "PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "LD_LIBRARY_PATH", "SYSTEMROOT",
    "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "CUDA_VISIBLE_DEVICES",
)  # fmt: skip
"""All a worker inherits, unless the plan of a run names more: nothing that could hold a secret."""


class _StoppedError(Exception):
    """The worker was stopped from outside; carries the outcome."""

    def __init__(self, kind: ErrorKind, reason: str) -> None:
        super().__init__(reason)
        self.outcome = Errored(kind=kind, reason=reason)


@dataclass(slots=True)
class _Conversation:
    """What the worker said so far."""

    environment: dict[str, str] = field(default_factory=dict)
    result: CheckResult | None = None
    pending: bytes = b""
    latest: Progress | None = None

    def feed(self, data: bytes) -> None:
        self.pending += data
        *lines, self.pending = self.pending.split(b"\n")
        if len(self.pending) > MAX_LINE_BYTES:
            raise _StoppedError("protocol", f"the worker sent a line of more than {MAX_LINE_BYTES} bytes")
        for line in lines:
            self._take(line)

    def _take(self, line: bytes) -> None:
        try:
            message = decode(line)
        except ValueError as error:
            raise _StoppedError("protocol", f"the worker sent something that is no message: {error}") from None
        if isinstance(message, Hello):
            self.environment.update(message.environment)
        elif isinstance(message, Progress):
            self.latest = message
        elif isinstance(message, Result):
            self.environment.update(message.environment)
            self.result = message.result


def run_in_worker(
    descriptor: CheckDescriptor,
    task: Task,
    *,
    workdir: Path,
    limits: Limits,
    progress: ProgressFunction,
    network: bool = False,
    environment: tuple[str, ...] = (),
) -> Execution:
    """Run a check in a process of its own; never raises for what happens in there.

    `environment` names variables that are passed on beside the usual ones.
    """
    started = time.perf_counter()
    read_end, write_end = os.pipe()
    process = _start(workdir, write_end, environment)
    os.close(write_end)
    log = _LogTail(process.stdout)
    talk = _Conversation()
    stopped: Errored | None = None
    try:
        _ask(process, Request(check=descriptor.id, task=task, limits=limits, workdir=str(workdir), network=network))
        _listen(process, read_end, talk, limits, progress)
    except _StoppedError as stop:
        stopped = stop.outcome
    except (RunCancelledError, KeyboardInterrupt):
        stopped = Errored(kind="cancelled", reason="cancelled before it finished")
    finally:
        os.close(read_end)
    status, usage = _end(process, grace_seconds=0.0 if stopped else 1.0)
    log.close()
    result = CheckResult(outcome=stopped) if stopped else talk.result or CheckResult(outcome=_crash(status, log.text()))
    cost = Cost(
        wall_seconds=time.perf_counter() - started,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        peak_memory_bytes=usage.ru_maxrss * 1024,
    )
    return Execution(result, cost, talk.environment, log.text())


def _start(workdir: Path, write_end: int, named: tuple[str, ...]) -> "subprocess.Popen[bytes]":
    environment = {name: os.environ[name] for name in (*_PASSED_ENVIRONMENT, *named) if name in os.environ}
    environment |= {
        "HOME": str(workdir),
        "TMPDIR": str(workdir),
        "PYTHONPATH": _import_path(),
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return subprocess.Popen(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-P", "-s", "-m", "heliotrope.engine.worker", str(write_end), str(os.getpid())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=workdir,
        env=environment,
        pass_fds=(write_end,),
        start_new_session=True,
    )


def _import_path() -> str:
    """Where this interpreter finds packages, so that the worker finds the same; never the current folder."""
    package_parent = str(Path(heliotrope.__file__).resolve().parent.parent)
    here = str(Path.cwd())
    entries = [entry for entry in sys.path if Path(entry).is_absolute() and entry != here and Path(entry).is_dir()]
    return os.pathsep.join(dict.fromkeys([package_parent, *entries]))


def _ask(process: "subprocess.Popen[bytes]", request: Request) -> None:
    stream = process.stdin
    if stream is None:
        raise _StoppedError("protocol", "the worker has no standard input")
    try:
        stream.write(encode(request))
        stream.close()
    except BrokenPipeError:
        pass  # it died at once; the exit status will say how


def _listen(
    process: "subprocess.Popen[bytes]", read_end: int, talk: _Conversation, limits: Limits, progress: ProgressFunction
) -> None:
    """Read messages until the result or the end, holding the run to its limits."""
    deadline = time.monotonic() + limits.wall_seconds
    watch = MemoryWatch(process.pid)
    while talk.result is None:
        ready, _, _ = select.select([read_end], [], [], _POLL_SECONDS)
        if ready:
            data = os.read(read_end, 1 << 20)
            if not data:
                return
            talk.feed(data)
        elif _has_ended(process.pid):
            return  # a child of its own may still hold the pipe open
        latest = talk.latest or Progress(done=0.0, total=0.0)
        progress(latest.done, latest.total, printable(latest.text)[:200])
        if talk.result is not None:
            return
        if time.monotonic() > deadline:
            raise _StoppedError("timeout", f"stopped after {limits.wall_seconds:g} s (checks.time_limit)")
        memory = watch.bytes()
        if memory > limits.memory_bytes:
            raise _StoppedError(
                "memory",
                f"stopped at {memory / 2**30:.1f} GiB, over {limits.memory_bytes / 2**30:g} GiB (checks.memory_limit)",
            )


def _has_ended(pid: int) -> bool:
    """Whether the process is over, without collecting it."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _end(process: "subprocess.Popen[bytes]", *, grace_seconds: float) -> tuple[int, resource.struct_rusage]:
    """Kill whatever is left of the worker's session and collect its cost."""
    until = time.monotonic() + grace_seconds
    while not _has_ended(process.pid) and time.monotonic() < until:
        time.sleep(0.005)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, usage


def _crash(returncode: int, log: str) -> Errored:
    if returncode < 0:
        how = f"was killed by {signal.Signals(-returncode).name}"
    else:
        how = f"exited with code {returncode} without a result"
    last = log.strip().splitlines()[-1:] if log.strip() else []
    said = f"; it last printed: {printable(last[0])[:300]}" if last else ""
    return Errored(kind="crashed", reason=f"the worker process {how}{said}")


class _LogTail:
    """Drains what the code under test prints, so that it never blocks, and keeps the end."""

    def __init__(self, stream: IO[bytes] | None) -> None:
        self._stream = stream
        self._tail: deque[int] = deque(maxlen=_LOG_TAIL_BYTES)
        self._thread = threading.Thread(target=self._drain, daemon=True)
        self._thread.start()

    def _drain(self) -> None:
        while self._stream is not None and (data := os.read(self._stream.fileno(), 1 << 16)):
            self._tail.extend(data[-_LOG_TAIL_BYTES:])

    def close(self) -> None:
        self._thread.join(timeout=2.0)
        if self._stream is not None and not self._thread.is_alive():
            self._stream.close()

    def text(self) -> str:
        return bytes(self._tail).decode("utf-8", "replace")
