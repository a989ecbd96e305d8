"""Protocol buffers on the wire: fields are walked by position, and what need not be read is passed over by its length.

Source: the encoding page of the protocol buffers documentation. Groups, which nothing here uses, count as damage.
"""

import re
from collections.abc import Iterator

from heliotrope.scan.interface import LimitReachedError, Source

__all__ = ["BYTES", "FIXED32", "FIXED64", "VARINT", "DamagedError", "Field", "Wire"]

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_CHUNK = 64 * 1024
_LONGEST_VARINT = 10
_RUNS = {
    VARINT: rb"(?:%s[\x80-\xff]{0,9}[\x00-\x7f]){2,}+",
    FIXED32: rb"(?:%s[\x00-\xff]{4}){2,}+",
    FIXED64: rb"(?:%s[\x00-\xff]{8}){2,}+",
}
"""Unpacked lists of numbers: one field for each, which may be millions."""

Field = tuple[int, int, int, int]
"""Number, wire type, value or start of the content, and where the field ends."""


class DamagedError(Exception):
    """The bytes are no protocol buffer."""


class Wire:
    """A reader of one source."""

    def __init__(self, source: Source, max_fields: int) -> None:
        self._source = source
        self._max_fields = max_fields
        self._left = max_fields
        self._buffer = b""
        self._base = 0
        self._patterns: dict[int, re.Pattern[bytes]] = {}

    def fields(self, start: int, end: int) -> Iterator[Field]:
        """The fields of the message from `start` to `end`. Raises DamagedError or LimitReachedError."""
        at = start
        while at < end:
            self._left -= 1
            if self._left < 0:
                reason = f"more than {self._max_fields} fields"
                raise LimitReachedError("max_protobuf_fields", reason)
            tag, after = self.varint(at, end)
            number, wire = tag >> 3, tag & 7
            if number == 0 or number >= 2**29:
                raise DamagedError(f"a field has the number {number}")
            if wire == VARINT:
                value, stop = self.varint(after, end)
            elif wire == BYTES:
                length, value = self.varint(after, end)
                stop = value + length
            elif wire in (FIXED32, FIXED64):
                value, stop = after, after + (4 if wire == FIXED32 else 8)
            else:
                raise DamagedError(f"a field has the wire type {wire}")
            if stop > end:
                raise DamagedError("a field reaches beyond its message")
            yield number, wire, value, stop
            at = stop

    def numbers(self, start: int, end: int) -> Iterator[Field]:
        """As `fields`, without the numbers of long unpacked lists of them, except the first of each."""
        at = start
        while at < end:
            for field in self.fields(at, end):
                yield field
                number, wire, _, stop = field
                at = stop
                if wire != BYTES and number < 16:
                    at = self._behind_run(number << 3 | wire, wire, stop, end)
                    if at != stop:
                        break
            else:
                return

    def text(self, field: Field, limit: int) -> str:
        """The text of a field of bytes, cut at a limit of bytes."""
        return self.read(field[2], min(field[3] - field[2], limit)).decode("utf-8", "replace")

    def read(self, at: int, length: int) -> bytes:
        index = at - self._base
        if index < 0 or index + length > len(self._buffer):
            self._buffer = self._source.read(at, max(_CHUNK, length))
            self._base, index = at, 0
        return self._buffer[index : index + length]

    def varint(self, at: int, end: int) -> tuple[int, int]:
        data = self.read(at, min(_LONGEST_VARINT, end - at))
        value = shift = 0
        for count, byte in enumerate(data, 1):
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value & (2**64 - 1), at + count
            shift += 7
        raise DamagedError("a number does not end" if len(data) == _LONGEST_VARINT else "it breaks off")

    def _behind_run(self, tag: int, wire: int, at: int, end: int) -> int:
        if tag not in self._patterns:
            self._patterns[tag] = re.compile(_RUNS[wire] % re.escape(bytes([tag])), re.DOTALL)
        pattern = self._patterns[tag]
        while at < end:
            self.read(at, 1)
            index = at - self._base
            match = pattern.match(self._buffer, index, min(index + end - at, len(self._buffer)))
            if match is None:
                return at
            at = self._base + match.end()
            if match.end() < len(self._buffer) - 2 * _LONGEST_VARINT:
                return at
            self._buffer = b""
        return at
