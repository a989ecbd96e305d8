"""Whether a UBJSON document is whole. XGBoost ends the process over one that is cut short, so it is looked at before.

UBJSON draft 12, https://ubjson.org, in the subset that XGBoost writes: optimised arrays, no optimised objects.
"""

from heliotrope.core.errors import InputError

__all__ = ["require_whole_ubjson"]

_WIDTHS = {b"i": 1, b"U": 1, b"I": 2, b"l": 4, b"L": 8, b"d": 4, b"D": 8, b"C": 1, b"T": 0, b"F": 0, b"Z": 0, b"N": 0}
_INTEGERS = frozenset(b"iUIlL")
_MAX_DEPTH = 64
"""A model of XGBoost has eight levels."""


def require_whole_ubjson(data: bytes, shown: str) -> None:
    """Raise InputError unless the bytes are one object from its first to its last byte."""
    try:
        if _Walk(data).end() == len(data):
            return
    except (ValueError, IndexError, KeyError):
        pass
    raise InputError(f"{shown} is truncated, or no UBJSON", hint="write it again with booster.save_model('model.ubj')")


class _Walk:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def end(self) -> int:
        """Where the object ends that begins with the first byte. ValueError, IndexError or KeyError where it does not."""
        open_containers: list[int | None] = []  # None: an object; else how many values an array still holds, -1 unknown
        while True:
            mark = self._value_mark(open_containers)
            if mark == b"{":
                open_containers.append(None)
            elif mark == b"[":
                self._array(open_containers)
            elif mark in (b"S", b"H"):
                self._skip(self._length())
            elif mark is not None:
                self._skip(_WIDTHS[mark])
            if len(open_containers) > _MAX_DEPTH:
                raise ValueError("nested too deeply")
            if not open_containers:
                return self._at

    def _value_mark(self, containers: list[int | None]) -> bytes | None:
        """The mark of the next value; None when a container ended instead."""
        if not containers:
            return self._take(1)
        left = containers[-1]
        ended = left == 0
        if left is None or left < 0:
            closing = b"}" if left is None else b"]"
            ended = self._data[self._at : self._at + 1] == closing
            self._at += ended
        if ended:
            containers.pop()
            return None
        if left is None:
            self._skip(self._length())
        elif left > 0:
            containers[-1] = left - 1
        return self._take(1)

    def _array(self, containers: list[int | None]) -> None:
        kind = None
        if self._data[self._at : self._at + 1] == b"$":
            self._at += 1
            kind = self._take(1)
        if self._data[self._at : self._at + 1] != b"#":
            if kind is not None:
                raise ValueError("a typed array has no length")
            containers.append(-1)
            return
        self._at += 1
        count = self._length()
        if kind is None:
            if count > len(self._data) - self._at:
                raise ValueError("an array is longer than the document")
            containers.append(count)
        else:
            self._skip(count * _WIDTHS[kind])

    def _length(self) -> int:
        mark = self._take(1)
        if mark[0] not in _INTEGERS:
            raise ValueError("no length")
        value = int.from_bytes(self._take(_WIDTHS[mark]), "big", signed=mark != b"U")
        if value < 0:
            raise ValueError("a negative length")
        return value

    def _take(self, size: int) -> bytes:
        start = self._at
        self._skip(size)
        return self._data[start : self._at]

    def _skip(self, size: int) -> None:
        self._at += size
        if self._at > len(self._data):
            raise ValueError("the document is cut short")
