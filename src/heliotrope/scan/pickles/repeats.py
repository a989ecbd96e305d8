"""Opcodes that repeat and change nothing, as bombs are made of: run once, compared, and passed over.

When one period leaves stack, marks and memo as they were and told the observer nothing, each further one does the same.
"""

from collections.abc import Callable

__all__ = ["Repeats"]

_PROBE = 64
_LONGEST = 64 * 1024
"""Bytes of a period that is noticed; half a chunk at most would be of use."""


class Repeats:
    """Notices that a chunk repeats itself, and says how far to skip after the first period has been run."""

    def __init__(self) -> None:
        self.pending = False
        """Whether one period is being run."""
        self.boundary = 0
        """Offset at which it has been run."""
        self.skipping = False
        """Whether the one that was run changed nothing."""
        self._unit = b""
        self._end = 0
        self._before: tuple[object, ...] = ()

    def look(self, buffer: bytes, start: int, end: int, base: int, state: Callable[[], tuple[object, ...]]) -> None:
        """Look whether the buffer repeats itself from `start` to `end`; remember the state if so."""
        probe = buffer[start : start + _PROBE]
        found = buffer.find(probe, start + 1, start + _PROBE + _LONGEST)
        period = found - start
        if found < 0 or end - start < 3 * period or buffer[start : end - period] != buffer[found:end]:
            return
        self.pending = True
        self._unit = buffer[start:found]
        self.boundary = base + found
        self._end = base + end
        self._before = state()

    def skip(self, index: int, base: int, now: tuple[object, ...]) -> int:
        """Where to go on: behind the repetitions when the one that was run changed nothing."""
        self.skipping = False
        if base + index < self.boundary:
            return index
        self.pending = False
        before, self._before = self._before, ()
        self.skipping = base + index == self.boundary and before == now
        if not self.skipping:
            return index
        return index + (self._end - self.boundary) // len(self._unit) * len(self._unit)

    def length(self, buffer: bytes, end: int) -> int:
        """How much of a further chunk consists of the unit that changes nothing."""
        size = len(self._unit)
        times = end // size
        return times * size if times and buffer[: times * size] == self._unit * times else 0
