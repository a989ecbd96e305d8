"""Asks a sandboxed process what loading and using a file sets off."""

import json
import os
import select
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

__all__ = ["FRAMEWORKS", "PICKLE_WAYS", "WAYS", "Oracle", "Seen"]

FRAMEWORKS = ("numpy", "scipy.stats", "pandas", "joblib", "sklearn.ensemble", "sklearn.pipeline", "torch")
PICKLE_WAYS = ("pickle", "pypickle", "latin1", "bytes", "streams")
WAYS = (
    *PICKLE_WAYS, "torch", "torch-weights", "jit", "package", "joblib", "joblib-mmap", "numpy", "numpy-latin1", "pandas", "zip",
    "tar", "unpacked",
)  # fmt: skip
"""Every way in which a file of an unknown kind is loaded, plain ones first."""

_REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Seen:
    """What came of one file."""

    sings: bool
    """The canary was found."""
    fired: bool
    """It was, or something was started, changed, deleted or reached that no model may."""
    events: tuple[str, ...]
    steps: tuple[str, ...]
    status: int
    timed_out: bool


class Oracle:
    """A warm process that forks for every file. It has no network, little memory, and a folder of its own."""

    def __init__(self, frameworks: tuple[str, ...] = FRAMEWORKS) -> None:
        self._frameworks = frameworks
        self._folder = tempfile.TemporaryDirectory(prefix="oracle")
        os.chmod(self._folder.name, 0o755)
        self._process = self._start()

    def _start(self) -> "subprocess.Popen[str]":
        environment = {
            "PATH": os.environ.get("PATH", ""),
            "PYTHONPATH": os.pathsep.join([str(_REPOSITORY), *(item for item in sys.path if item)]),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONHASHSEED": "0",
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        }
        command = [
            sys.executable,
            "-W",
            "ignore",
            "-m",
            "tests.adversary._oracle_server",
            self._folder.name,
            ",".join(self._frameworks),
        ]
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
            cwd=self._folder.name,
        )
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            raise RuntimeError("the oracle did not start")
        return process

    def load(
        self,
        data: bytes,
        name: str = "model.pkl",
        *,
        ways: tuple[str, ...] = WAYS,
        use: bool = True,
        beside: dict[str, str] | None = None,
        seconds: float = 20.0,
    ) -> Seen:
        """Load the bytes under a name, in each of the ways; `beside` are text files in the same folder."""
        request: dict[str, Any] = {"data": data.hex(), "name": name, "ways": ways, "use": use, "seconds": seconds}
        request["beside"] = beside or {}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        ready, _, _ = select.select([self._process.stdout], [], [], seconds + 30)
        line = self._process.stdout.readline() if ready else ""
        if not line:
            raise RuntimeError("the oracle does not answer")
        answer = json.loads(line)
        return Seen(
            answer["sings"],
            answer["fired"],
            tuple(answer["events"]),
            tuple(answer["steps"]),
            answer["status"],
            answer["timed_out"],
        )

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._folder.cleanup()

    def __enter__(self) -> "Oracle":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
