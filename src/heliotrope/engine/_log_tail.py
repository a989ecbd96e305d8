"""The end of what a worker prints."""

import os
from typing import IO

__all__ = ["LogTail"]

_KEPT_BYTES = 4096
_READ_BYTES = 1 << 16
_DRAINED_READS = 256
"""At most, when it is drained: what prints without end must not hold us up."""


class LogTail:
    """Takes what the code under test prints, so that it never blocks for long, and keeps the end of one run's."""

    def __init__(self, stream: IO[bytes] | None) -> None:
        self._stream = stream
        self._tail = b""
        self.sources: tuple[int, ...] = ()
        """What to wait for in select; empty when nobody can print any more."""
        if stream is not None:
            self.sources = (stream.fileno(),)
            os.set_blocking(stream.fileno(), False)

    def clear(self) -> None:
        """Forget what was printed so far."""
        self.drain()
        self._tail = b""

    def take(self, ready: list[int]) -> None:
        """Read once from those of the sources that are ready."""
        for source in self.sources:
            if source in ready:
                self._read(source)

    def drain(self) -> None:
        """Read what is there now."""
        for _ in range(_DRAINED_READS):
            if not any(self._read(source) for source in self.sources):
                return

    def close(self) -> None:
        self.drain()
        self.sources = ()
        if self._stream is not None:
            self._stream.close()

    def text(self) -> str:
        return self._tail.decode("utf-8", "replace")

    def _read(self, source: int) -> bool:
        try:
            data = os.read(source, _READ_BYTES)
        except BlockingIOError:
            return False
        if not data:
            self.sources = ()
        self._tail = (self._tail + data)[-_KEPT_BYTES:]
        return bool(data)
