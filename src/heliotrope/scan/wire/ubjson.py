"""Universal Binary JSON walked by position, as XGBoost writes it; typed arrays are passed over by their length.

Source: the type reference of the UBJSON specification, draft 12.
"""

from collections.abc import Iterator

from heliotrope.scan.interface import Source
from heliotrope.scan.wire.json_stream import Place

__all__ = ["UbjsonError", "walk_ubjson"]

_CHUNK = 64 * 1024
_SIZES = {b"i": 1, b"U": 1, b"I": 2, b"l": 4, b"L": 8, b"d": 4, b"D": 8, b"C": 1}
_INTEGERS = frozenset({b"i", b"U", b"I", b"l", b"L"})
_EMPTY = frozenset({b"Z", b"T", b"F"})
_MAX_DEPTH = 100
_TOLD_DEPTH = 3
_MAX_VALUES = 20_000_000
"""Values that are not in typed arrays: some seconds of work. A forest of 10,000 trees has about 300,000."""


class UbjsonError(Exception):
    """The bytes are no UBJSON, or not whole."""


def walk_ubjson(source: Source) -> Iterator[tuple[Place, bytes]]:
    """Each value at most three keys deep, with its type marker. Raises UbjsonError as walk_json does."""
    walk = _Walk(source)
    yield from walk.value((), walk.marker(), 0)
    if walk.at != source.size:
        raise UbjsonError("more follows behind its value")


class _Walk:
    def __init__(self, source: Source) -> None:
        self._source = source
        self._buffer = b""
        self._base = 0
        self._values = 0
        self.at = 0

    def marker(self) -> bytes:
        """One byte."""
        return self._take(1)

    def value(self, place: Place, marker: bytes, depth: int) -> Iterator[tuple[Place, bytes]]:
        """Walk the value whose type marker has been read."""
        self._values += 1
        if self._values > _MAX_VALUES or depth > _MAX_DEPTH:
            raise UbjsonError(f"it has more than {_MAX_VALUES} values, or more than {_MAX_DEPTH} levels")
        if len(place) <= _TOLD_DEPTH:
            yield place, marker
        if marker in _SIZES:
            self._skip(_SIZES[marker])
        elif marker in (b"S", b"H"):
            self._skip(self._length(self.marker()))
        elif marker == b"{":
            yield from self._object(place, depth)
        elif marker == b"[":
            yield from self._array(place, depth)
        elif marker not in _EMPTY:
            raise UbjsonError("a type is not known")

    def _object(self, place: Place, depth: int) -> Iterator[tuple[Place, bytes]]:
        kind, count, marker = self._header()
        seen: set[str] = set()
        done = 0
        while True:
            if count is None:
                if marker == b"}":
                    return
            elif done >= count:
                return
            elif done:
                marker = self.marker()
            key = self._key(marker, seen if depth < _TOLD_DEPTH else None)
            yield from self.value((*place, key), kind or self.marker(), depth + 1)
            done += 1
            if count is None:
                marker = self.marker()

    def _array(self, place: Place, depth: int) -> Iterator[tuple[Place, bytes]]:
        kind, count, marker = self._header()
        if kind is not None and count is not None:
            if kind in _SIZES:
                self._skip(_SIZES[kind] * count)
                return
            if kind in _EMPTY:
                raise UbjsonError("an array has values that take no space")
        done = 0
        while (marker != b"]") if count is None else (done < count):
            if done and count is not None and kind is None:
                marker = self.marker()
            yield from self.value((*place, ""), kind or marker, depth + 1)
            done += 1
            if count is None:
                marker = self.marker()

    def _header(self) -> tuple[bytes | None, int | None, bytes]:
        """Type and number of the values where they are announced, and the marker of the first one otherwise.

        With a number but no type, the first marker is read as well, unless there are none.
        """
        marker = self.marker()
        kind = None
        if marker == b"$":
            kind, marker = self.marker(), self.marker()
            if marker != b"#":
                raise UbjsonError("a type is announced without a number")
        if marker != b"#":
            return None, None, marker
        count = self._length(self.marker())
        if count > self._source.size:
            raise UbjsonError("more values are announced than the file has bytes")
        return kind, count, self._peeked(kind, count)

    def _peeked(self, kind: bytes | None, count: int) -> bytes:
        return b"" if count == 0 or kind is not None else self.marker()

    def _key(self, marker: bytes, seen: set[str] | None) -> str:
        length = self._length(marker or self.marker())
        if length > _CHUNK:
            raise UbjsonError("a key is longer than any name")
        key = self._take(length)[:200].decode("utf-8", "replace")
        if seen is not None:
            if key in seen or len(seen) > 100_000:
                raise UbjsonError("a key occurs twice")
            seen.add(key)
        return key

    def _length(self, marker: bytes) -> int:
        if marker not in _INTEGERS:
            raise UbjsonError("a length is no whole number")
        value = int.from_bytes(self._take(_SIZES[marker]), "big", signed=marker != b"U")
        if value < 0:
            raise UbjsonError("a length is negative")
        return value

    def _skip(self, amount: int) -> None:
        self.at += amount
        if self.at > self._source.size:
            raise UbjsonError("it breaks off")

    def _take(self, amount: int) -> bytes:
        index = self.at - self._base
        if index < 0 or index + amount > len(self._buffer):
            self._buffer = self._source.read(self.at, max(_CHUNK, amount))
            self._base, index = self.at, 0
        data = self._buffer[index : index + amount]
        if len(data) < amount:
            raise UbjsonError("it breaks off")
        self.at += amount
        return data
