"""A worker process as its parent sees it: started, asked for one run after the other, watched, ended."""

import contextlib
import os
import resource
import secrets
import select
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import heliotrope
from heliotrope.core.outcomes import Errored, ErrorKind
from heliotrope.core.records import Record
from heliotrope.core.runs import CheckResult, Cost
from heliotrope.core.text import printable
from heliotrope.engine._log_tail import LogTail
from heliotrope.engine._processes import MemoryWatch
from heliotrope.engine._protocol import MAX_LINE_BYTES, Hello, Progress, Request, Result, Setup, decode, encode
from heliotrope.engine.executors import Execution, ProgressFunction, RunCancelledError
from heliotrope.engine.interface import CheckDescriptor, Limits, Task

__all__ = ["WorkerProcess"]

_POLL_SECONDS = 0.05
_GRACE_SECONDS = 1.0
"""For a worker that was not stopped to end by itself."""
_PASSED_ENVIRONMENT = (
    "PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "LD_LIBRARY_PATH", "SYSTEMROOT",
    "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "CUDA_VISIBLE_DEVICES",
)  # fmt: skip
"""All a worker inherits, unless the plan of a run names more: nothing that could hold a secret."""


class _StoppedError(Exception):
    """The worker is to be stopped from outside; carries the outcome."""

    def __init__(self, kind: ErrorKind, reason: str) -> None:
        super().__init__(reason)
        self.outcome = Errored(kind=kind, reason=reason)


@dataclass(slots=True)
class _Conversation:
    """What the worker said so far of one run."""

    run: str
    environment: dict[str, str] = field(default_factory=dict)
    said: Result | None = None
    pending: bytes = b""
    latest: Progress | None = None

    def feed(self, data: bytes) -> None:
        self.pending += data
        *lines, self.pending = self.pending.split(b"\n")
        if len(self.pending) > MAX_LINE_BYTES:
            raise _StoppedError("protocol", f"the worker sent a line of more than {MAX_LINE_BYTES} bytes")
        for line in lines:
            self._take(line)
        if self.said is not None and self.pending:
            raise _StoppedError("protocol", "the worker went on after its result")

    def _take(self, line: bytes) -> None:
        try:
            message = decode(line)
        except ValueError as error:
            raise _StoppedError("protocol", f"the worker sent something that is no message: {error}") from None
        if message.run != self.run:
            raise _StoppedError("protocol", "the worker sent a message of another run")
        if self.said is not None:
            raise _StoppedError("protocol", "the worker went on after its result")
        if isinstance(message, Hello):
            self.environment.update(message.environment)
        elif isinstance(message, Progress):
            self.latest = message
        elif isinstance(message, Result):
            self.environment.update(message.environment)
            self.said = message


class WorkerProcess:
    """One process in a session of its own. It is over after a run that did not return, and after `close`."""

    def __init__(
        self,
        workdir: Path,
        *,
        network: bool = False,
        hidden: tuple[str, ...] = (),
        environment: tuple[str, ...] = (),
    ) -> None:
        """Start it in the folder of its first run. `environment` names variables that are passed on beside the usual ones."""
        self._answers, write_end = os.pipe()
        read_end, self._requests = os.pipe()
        try:
            self._process = _start(workdir, write_end, read_end, environment)
        except BaseException:
            os.close(self._answers)
            os.close(self._requests)
            raise
        finally:
            os.close(write_end)
            os.close(read_end)
        self._log = LogTail(self._process.stdout)
        self._usage: resource.struct_rusage | None = None
        self._spent = 0.0
        self._again = False
        self._send(Setup(network=network, hidden=hidden))

    @property
    def pid(self) -> int:
        """Of the process, which is that of its session."""
        return self._process.pid

    @property
    def cpu_seconds(self) -> float:
        """What all its runs took; with start and end once it is over."""
        return self._usage.ru_utime + self._usage.ru_stime if self._usage else self._spent

    def ready(self) -> bool:
        """Whether the run before has left it fit for another: it is there, said that it can, and was silent since."""
        if not self._again or self._usage is not None or _has_ended(self.pid):
            return False
        return not select.select([self._answers], [], [], 0.0)[0]

    def run(
        self,
        descriptor: CheckDescriptor,
        task: Task,
        *,
        workdir: Path,
        limits: Limits,
        progress: ProgressFunction,
        libraries: tuple[str, ...] | None = None,
    ) -> Execution:
        """Run a check in it; never raises for what happens in there. `libraries`: whose versions to report."""
        started, spent = time.perf_counter(), self._spent
        self._again = False
        self._log.clear()
        talk = _Conversation(secrets.token_hex(16))
        stopped: Errored | None = None
        try:
            self._send(
                Request(
                    run=talk.run,
                    check=descriptor.id,
                    task=task,
                    limits=limits,
                    workdir=str(workdir),
                    libraries=libraries,
                )
            )
            self._listen(talk, limits, progress)
        except _StoppedError as stop:
            stopped = stop.outcome
        except (RunCancelledError, KeyboardInterrupt):
            stopped = Errored(kind="cancelled", reason="cancelled before it finished")
        except BaseException:
            self._end(grace_seconds=0.0)
            raise
        self._log.drain()
        said = talk.said if stopped is None else None
        if said is not None:
            result, peak = said.result, said.peak_memory_bytes
            self._spent, self._again = said.cpu_seconds, said.again and result.outcome.state != "error"
        else:
            status, usage = self._end(grace_seconds=0.0 if stopped else _GRACE_SECONDS)
            result = CheckResult(outcome=stopped or _crash(status, self._log.text()))
            peak = usage.ru_maxrss * 1024
        cost = Cost(
            wall_seconds=time.perf_counter() - started,
            cpu_seconds=max(self.cpu_seconds - spent, 0.0),
            peak_memory_bytes=peak,
        )
        return Execution(result, cost, talk.environment, self._log.text())

    def close(self) -> resource.struct_rusage:
        """End it, with all that is left of its session, and say what it took."""
        _, usage = self._end(grace_seconds=_GRACE_SECONDS)
        return usage

    def _send(self, message: Record) -> None:
        data = memoryview(encode(message))
        try:
            while data:
                data = data[os.write(self._requests, data) :]
        except BrokenPipeError:
            pass  # it died at once; the exit status will say how

    def _listen(self, talk: _Conversation, limits: Limits, progress: ProgressFunction) -> None:
        """Read messages until the result or the end, holding the run to its limits."""
        deadline = time.monotonic() + limits.wall_seconds
        watch = MemoryWatch(self.pid)
        while talk.said is None:
            ended = _has_ended(self.pid)  # before the look at what it said: nothing of that is lost
            ready, _, _ = select.select([self._answers, *self._log.sources], [], [], _POLL_SECONDS)
            self._log.take(ready)
            if self._answers in ready:
                data = os.read(self._answers, 1 << 20)
                if not data:
                    return
                talk.feed(data)
            elif ended:
                return  # a child of its own may still hold the pipe open
            latest = talk.latest or Progress(run=talk.run, done=0.0, total=0.0)
            progress(latest.done, latest.total, printable(latest.text)[:200])
            if talk.said is not None:
                return
            if time.monotonic() > deadline:
                raise _StoppedError("timeout", f"stopped after {limits.wall_seconds:g} s (checks.time_limit)")
            memory = watch.bytes()
            if memory > limits.memory_bytes:
                size = f"{memory / 2**30:.1f} GiB, over {limits.memory_bytes / 2**30:g} GiB"
                raise _StoppedError("memory", f"stopped at {size} (checks.memory_limit)")

    def _end(self, *, grace_seconds: float) -> tuple[int, resource.struct_rusage]:
        """Kill whatever is left of the session and collect what it took; once."""
        if self._usage is None:
            os.close(self._requests)
            until = time.monotonic() + grace_seconds
            try:
                while not _has_ended(self.pid) and time.monotonic() < until:
                    self._log.drain()
                    time.sleep(0.005)
            finally:  # also when a person has no patience
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self.pid, signal.SIGKILL)
                _, status, self._usage = os.wait4(self.pid, 0)
                self._process.returncode = os.waitstatus_to_exitcode(status)
                os.close(self._answers)
                self._log.close()
        return self._process.returncode, self._usage


def _start(workdir: Path, answers: int, requests: int, named: tuple[str, ...]) -> "subprocess.Popen[bytes]":
    environment = {name: os.environ[name] for name in (*_PASSED_ENVIRONMENT, *named) if name in os.environ}
    environment |= {
        "HOME": str(workdir),
        "TMPDIR": str(workdir),
        "PYTHONPATH": _import_path(),
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    arguments = [str(answers), str(os.getpid()), str(requests)]
    return subprocess.Popen(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-P", "-s", "-m", "heliotrope.engine.worker", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=workdir,
        env=environment,
        pass_fds=(answers, requests),
        start_new_session=True,
    )


def _import_path() -> str:
    """Where this interpreter finds packages, so that the worker finds the same; never the current folder."""
    package_parent = str(Path(heliotrope.__file__).resolve().parent.parent)
    here = str(Path.cwd())
    entries = [entry for entry in sys.path if Path(entry).is_absolute() and entry != here and Path(entry).is_dir()]
    return os.pathsep.join(dict.fromkeys([package_parent, *entries]))


def _has_ended(pid: int) -> bool:
    """Whether the process is over, without collecting it."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _crash(returncode: int, log: str) -> Errored:
    if returncode < 0:
        how = f"was killed by {signal.Signals(-returncode).name}"
    else:
        how = f"exited with code {returncode} without a result"
    last = log.strip().splitlines()[-1:] if log.strip() else []
    said = f"; it last printed: {printable(last[0])[:300]}" if last else ""
    return Errored(kind="crashed", reason=f"the worker process {how}{said}")
