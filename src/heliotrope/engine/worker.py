"""The other end of the worker executor: `python -m heliotrope.engine.worker FD PARENT`.

Reads one request from standard input and writes messages to the inherited pipe FD. Whatever the code under test prints goes
to the log pipe that the parent put on standard output and error. A worker contains crashes, hangs and memory, not malice.
"""

import contextlib
import ctypes
import importlib.metadata
import os
import platform
import sys
import time
from pathlib import Path

from heliotrope.core.evidence import Blob
from heliotrope.engine._guard import guarded
from heliotrope.engine._protocol import Hello, Progress, Request, Result, Stored, encode
from heliotrope.engine._staging import stage
from heliotrope.engine.interface import Limits
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
        self.limits: Limits = request.limits
        self.workdir = Path(request.workdir)

    def progress(self, done: float, total: float, text: str = "") -> None:
        now = time.monotonic()
        if now - self._told >= _BETWEEN_REPORTS or done == total:
            self._told = now
            self._pipe.send(Progress(done=done, total=total, text=text))

    def store(self, data: bytes, media_type: str) -> Blob:
        blob = stage(self.workdir, data, media_type)
        self._pipe.send(Stored(blob=blob))
        return blob


def main(arguments: list[str]) -> int:
    """Serve one request; the exit code says only whether a result was sent."""
    pipe = _Pipe(int(arguments[0]))
    os.set_inheritable(int(arguments[0]), False)
    _die_with_parent(int(arguments[1]))
    request = Request.model_validate_json(sys.stdin.buffer.readline())
    network = "available" if request.network else _leave_network()
    _replace_stdin()
    pipe.send(Hello(environment={**_facts(), "isolation": "worker", "network": network}))
    result = guarded(find_check(request.check).function, request.task, _Context(pipe, request))
    pipe.send(Result(result=result, environment=_library_versions()))
    return 0


def _facts() -> dict[str, str]:
    return {"python": platform.python_version(), "platform": f"{platform.system()} {platform.machine()}".strip()}


def _library_versions() -> dict[str, str]:
    names = {"PIL": ("pillow",), "sklearn": ("scikit-learn",), "xgboost": ("xgboost", "xgboost-cpu")}
    versions = {}
    for module in _REPORTED_LIBRARIES:
        if module in sys.modules:
            for name in names.get(module, (module,)):
                with contextlib.suppress(importlib.metadata.PackageNotFoundError):
                    versions[name] = importlib.metadata.version(name)
    return versions


def _replace_stdin() -> None:
    """The code under test must not wait for input."""
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)


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
