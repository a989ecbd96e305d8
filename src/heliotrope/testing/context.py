"""A run context that remembers."""

from pathlib import Path

from heliotrope.core.evidence import Blob
from heliotrope.core.records import sha256_hex
from heliotrope.engine.executors import RunCancelledError
from heliotrope.engine.interface import Limits

__all__ = ["FakeContext"]


class FakeContext:
    """A RunContext for calling a check's function directly."""

    def __init__(self, workdir: Path, *, limits: Limits | None = None, cancel_after: int | None = None) -> None:
        """`cancel_after`: the call of progress, counted from 0, at which the person stops the run."""
        self.workdir = workdir
        self.limits = limits or Limits()
        self.said: list[tuple[float, float, str]] = []
        """What progress was told: done, total, text."""
        self.blobs: dict[str, bytes] = {}
        """What was stored, by SHA-256."""
        self._cancel_after = cancel_after

    def progress(self, done: float, total: float, text: str = "") -> None:
        self.said.append((done, total, text))
        if self._cancel_after is not None and len(self.said) > self._cancel_after:
            raise RunCancelledError

    def store(self, data: bytes, media_type: str) -> Blob:
        digest = sha256_hex(data)
        self.blobs[digest] = data
        return Blob(sha256=digest, size=len(data), media_type=media_type)
