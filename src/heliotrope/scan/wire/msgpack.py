"""MessagePack, walked without making anything of it. Source: the MessagePack specification."""

from collections.abc import Iterator
from typing import Literal, NamedTuple

from heliotrope.scan.interface import LimitReachedError, Source

__all__ = ["Item", "MsgpackError", "walk_msgpack"]

_WINDOW = 64 * 1024
_MAX_DEPTH = 100
"""msgpack's own reader stops at 512; parameters lie ten or twenty deep."""

Kind = Literal["map", "array", "text", "bytes", "ext", "number"]

_FIXED = {
    0xC0: 0,
    0xC2: 0,
    0xC3: 0,
    0xCA: 4,
    0xCB: 8,
    0xCC: 1,
    0xCD: 2,
    0xCE: 4,
    0xCF: 8,
    0xD0: 1,
    0xD1: 2,
    0xD2: 4,
    0xD3: 8,
}
"""Bytes behind the marker of nil, true, false and numbers."""
_SIZED: dict[int, tuple[Kind, int]] = {
    0xC4: ("bytes", 1), 0xC5: ("bytes", 2), 0xC6: ("bytes", 4),
    0xC7: ("ext", 1), 0xC8: ("ext", 2), 0xC9: ("ext", 4),
    0xD9: ("text", 1), 0xDA: ("text", 2), 0xDB: ("text", 4),
    0xDC: ("array", 2), 0xDD: ("array", 4), 0xDE: ("map", 2), 0xDF: ("map", 4),
}  # fmt: skip
_FIXED_EXT = {0xD4: 1, 0xD5: 2, 0xD6: 4, 0xD7: 8, 0xD8: 16}


class MsgpackError(Exception):
    """The bytes are no MessagePack, or break off."""


class Item(NamedTuple):
    """One value; of a map and an array, what is inside follows."""

    kind: Kind
    offset: int
    """Of its content, behind marker, length and type."""
    length: int
    """Bytes of content; values inside of a map (two for each key) or an array."""
    code: int
    """The type of an extension, else the marker."""
    depth: int
    key: bool
    """It is a key of a map."""


class _Reader:
    def __init__(self, source: Source) -> None:
        self._source = source
        self._window = b""
        self._base = 0

    def read(self, offset: int, length: int) -> bytes:
        start = offset - self._base
        if start < 0 or start + length > len(self._window):
            self._base, self._window = offset, self._source.read(offset, _WINDOW)
            start = 0
        data = self._window[start : start + length]
        if len(data) < length:
            raise MsgpackError("it breaks off")
        return data

    def number(self, offset: int, length: int) -> int:
        return int.from_bytes(self.read(offset, length), "big")

    def item(self, offset: int, depth: int, *, key: bool) -> tuple[Item, int]:
        """The value there, and where the next one begins, be it inside or behind."""
        code = self.read(offset, 1)[0]
        kind, start, length, kind_code = self._header(offset, code)
        if kind in ("map", "array"):
            return Item(kind, start, length, code, depth, key), start
        if start + length > self._source.size:
            raise MsgpackError("it breaks off")
        return Item(kind, start, length, kind_code, depth, key), start + length

    def _header(self, offset: int, code: int) -> tuple[Kind, int, int, int]:
        at = offset + 1
        if code < 0x80 or code >= 0xE0:
            return "number", at, 0, code
        if code < 0xC0:
            short: tuple[Kind, int] = ("map", (code & 15) * 2) if code < 0x90 else ("array", code & 15)
            if code >= 0xA0:
                short = "text", code & 31
            return short[0], at, short[1], code
        if code in _FIXED:
            return "number", at, _FIXED[code], code
        if code in _FIXED_EXT:
            return "ext", at + 1, _FIXED_EXT[code], self.number(at, 1)
        if code not in _SIZED:
            raise MsgpackError(f"byte {offset} begins no value")
        kind, width = _SIZED[code]
        length = self.number(at, width)
        if kind == "ext":
            return kind, at + width + 1, length, self.number(at + width, 1)
        return kind, at + width, length * 2 if kind == "map" else length, code


def walk_msgpack(source: Source, offset: int = 0, *, max_items: int) -> Iterator[Item]:
    """Every value from `offset` to the end of the first whole one; the last item tells where that is.

    Raises MsgpackError, and LimitReachedError after `max_items`.
    """
    reader = _Reader(source)
    left: list[int] = []
    """Values still to come in the maps and arrays that are open; those of maps are negative and count up."""
    count = 0
    while True:
        count += 1
        if count > max_items:
            raise LimitReachedError("max_msgpack_items", f"it holds more than {max_items} values")
        key = bool(left) and left[-1] < 0 and left[-1] % 2 == 0
        item, offset = reader.item(offset, len(left), key=key)
        yield item
        if left:
            left[-1] += 1 if left[-1] < 0 else -1
        if item.kind in ("map", "array"):
            if item.length > source.size - offset:
                raise MsgpackError("it announces more values than there are bytes")
            if len(left) >= _MAX_DEPTH:
                raise MsgpackError(f"it is more than {_MAX_DEPTH} levels deep")
            left.append(-item.length if item.kind == "map" else item.length)
        while left and left[-1] == 0:
            left.pop()
        if not left:
            return
