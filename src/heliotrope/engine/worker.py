"""The other end of the worker executor: `python -m heliotrope.engine.worker ANSWERS PARENT REQUESTS`.

Reads its setup and then one request after the other from the inherited pipe REQUESTS, until that is closed, and writes
messages to the inherited pipe ANSWERS. Whatever the code under test prints goes to the log pipe that the parent put on
standard output and error. A worker contains crashes, hangs and memory, not malice.
"""

import contextlib
import ctypes
import gc
import importlib.metadata
import os
import platform
import resource
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from heliotrope.core.evidence import Blob
from heliotrope.engine._guard import guarded
from heliotrope.engine._protocol import Hello, Progress, Request, Result, Setup, Stored, encode
from heliotrope.engine._staging import stage
from heliotrope.engine.interface import Limits
from heliotrope.engine.listing import forget_listings
from heliotrope.engine.registry import find_check

__all__ = ["main"]

_BETWEEN_REPORTS = 0.05
"""Seconds between two words on how far it is: nobody reads faster, and a check may speak for each of its files."""

_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
_PR_SET_PDEATHSIG = 1
_SIGKILL = 9
_REPORTED_LIBRARIES = (
    "torch", "numpy", "scipy", "safetensors", "PIL", "pandas", "pyarrow", "onnxruntime", "sklearn", "skops", "joblib",
    "xgboost", "lightgbm", "catboost", "urllib3",
)  # fmt: skip


class _Pipe:
    """The way back; a process forked by the code under test must not speak on it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._owner = os.getpid()

    def send(self, message: Hello | Progress | Stored | Result) -> None:
        if os.getpid() != self._owner:
            os._exit(1)
        data = memoryview(encode(message))
        while data:
            data = data[os.write(self._descriptor, data) :]


class _Context:
    """The RunContext of a worker."""

    def __init__(self, pipe: _Pipe, request: Request) -> None:
        self._pipe = pipe
        self._told = 0.0
        self._run = request.run
        self.limits: Limits = request.limits
        self.workdir = Path(request.workdir)

    def progress(self, done: float, total: float, text: str = "") -> None:
        now = time.monotonic()
        if now - self._told >= _BETWEEN_REPORTS or done == total:
            self._told = now
            self._pipe.send(Progress(run=self._run, done=done, total=total, text=text))

    def store(self, data: bytes, media_type: str) -> Blob:
        blob = stage(self.workdir, data, media_type)
        self._pipe.send(Stored(run=self._run, blob=blob))
        return blob


class _Without:
    """A finder of modules that does not find some packages: to all that ask, they are not installed."""

    def __init__(self, finder: Any, hidden: tuple[str, ...]) -> None:
        self._finder = finder
        self._hidden = hidden

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name.partition(".")[0] in self._hidden:
            return None
        found: ModuleSpec | None = self._finder.find_spec(name, path, target)
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._finder, name)


def main(arguments: list[str]) -> int:
    """Serve one request after the other; the exit code says only whether all results were sent."""
    descriptors = int(arguments[0]), int(arguments[2])
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    pipe = _Pipe(descriptors[0])
    _die_with_parent(int(arguments[1]))
    with open(descriptors[1], "rb") as requests:  # noqa: PTH123 - a descriptor, not a path
        setup = Setup.model_validate_json(requests.readline())
        network = "available" if setup.network else _leave_network()
        if setup.hidden:
            sys.meta_path[:] = [_Without(finder, setup.hidden) for finder in sys.meta_path]
        environment = dict(os.environ)
        for line in requests:
            request = Request.model_validate_json(line)
            _begin(request, environment)
            pipe.send(Hello(run=request.run, environment={**_facts(), "isolation": "worker", "network": network}))
            with warnings.catch_warnings():  # what one run silences, the next may show
                result = guarded(find_check(request.check).function, request.task, _Context(pipe, request))
            peak = _peak_memory()
            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(AttributeError, OSError, ValueError):  # closed or replaced
                    stream.flush()
            gc.collect()
            pipe.send(
                Result(
                    run=request.run,
                    result=result,
                    environment=_library_versions(request.libraries),
                    cpu_seconds=_cpu_seconds(),
                    peak_memory_bytes=peak,
                    again=threading.active_count() == 1,
                )
            )
    return 0


def _begin(request: Request, environment: dict[str, str]) -> None:
    """Make the process as it was before its first run, in the folder of this one."""
    os.environ.clear()
    os.environ.update(environment, HOME=request.workdir, TMPDIR=request.workdir)
    os.chdir(request.workdir)
    tempfile.tempdir = None
    forget_listings()
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # the peak of resident memory starts anew


def _cpu_seconds() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _peak_memory() -> int:
    """Bytes; since it was reset, where /proc tells."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_bytes().splitlines():
            if line.startswith(b"VmHWM:"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _facts() -> dict[str, str]:
    return {"python": platform.python_version(), "platform": f"{platform.system()} {platform.machine()}".strip()}


def _library_versions(declared: tuple[str, ...] | None) -> dict[str, str]:
    """Of what is loaded; of what is declared where other runs may have loaded more, with pillow, which only data load."""
    names = {"PIL": ("pillow",), "sklearn": ("scikit-learn",), "xgboost": ("xgboost", "xgboost-cpu")}
    chosen = {module for module in _REPORTED_LIBRARIES if module in sys.modules}
    if declared is not None:
        chosen = (chosen & {"PIL"}) | {module for module in _REPORTED_LIBRARIES if module in declared}
    versions = {}
    for module in _REPORTED_LIBRARIES:
        if module in chosen:
            for name in names.get(module, (module,)):
                with contextlib.suppress(importlib.metadata.PackageNotFoundError):
                    versions[name] = importlib.metadata.version(name)
    return versions


def _die_with_parent(parent: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)  # it died before this was said; nobody holds this run to its limits
        Path("/proc/self/oom_score_adj").write_text("1000")  # if memory runs out, this process goes first


def _leave_network() -> str:
    """Enter a network namespace without interfaces where the system permits it; say which it is."""
    if sys.platform != "linux":
        return "available"
    libc = ctypes.CDLL(None, use_errno=True)
    if os.geteuid() == 0:
        return "none" if libc.unshare(_CLONE_NEWNET) == 0 else "available"
    user, group = os.geteuid(), os.getegid()
    if libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) != 0:
        return "available"
    try:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    except OSError:
        pass  # unmapped ids do not change what this process may read
    return "none"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
