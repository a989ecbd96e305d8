"""The values of a GGUF header, read one after another through a window; nothing is allocated by what a header announces."""

import struct
from typing import Literal

from heliotrope.scan.interface import Source

__all__ = ["ARRAY", "STRING", "WIDTHS", "GgufError", "GgufLimitError", "GgufReader"]

STRING, ARRAY = 8, 9
WIDTHS = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""Bytes of a value by its type; texts and arrays say their length themselves."""

_WINDOW = 1024 * 1024
_VERSIONS = (1, 2, 3)
_NAME_COST = 50
"""What a name counts, since it is kept; other values are passed over."""


class GgufError(Exception):
    """The header cannot be read on."""

    def __init__(self, reason: str, offset: int, *, malformed: bool = True) -> None:
        super().__init__(reason)
        self.offset = offset
        self.malformed = malformed
        """Not merely cut short, or of a version that is not known."""


class GgufLimitError(GgufError):
    """A limit of ScanLimits was reached."""

    def __init__(self, limit: str, reason: str, offset: int) -> None:
        super().__init__(reason, offset, malformed=False)
        self.limit = limit
        self.reason = reason


class GgufReader:
    """A place in the header, and the values from there on."""

    def __init__(self, source: Source, max_items: int) -> None:
        self._source = source
        self._max_items = self._left = max_items
        self._buffer = b""
        self._base = 0
        self.at = 4
        self.width = 8
        """Bytes of counts and lengths: four in version 1."""
        self.order: Literal["little", "big"] = "little"

    def begin(self) -> tuple[int, int]:
        """How many tensors and metadata entries follow, behind magic and version."""
        version = self.u32()
        if version & 0xFFFF == 0 and version:
            self.order = "big"
            version = int.from_bytes(version.to_bytes(4, "little"), "big")
        if version not in _VERSIONS:
            raise GgufError(f"is of version {version}, which is not known", 4, malformed=False)
        self.width = 4 if version == 1 else 8
        return self.count(), self.count()

    def charge(self, items: int) -> None:
        """Count values that are read one by one."""
        self._left -= items
        if self._left < 0:
            reason = f"has more than {self._max_items} values"
            raise GgufLimitError("max_gguf_items", f"the header {reason}", self.at)

    def require(self, count: int, each: int, what: str) -> None:
        """Refuse a number of things that the rest of the file cannot hold."""
        if count * each > self._source.size - self.at:
            raise GgufError(f"announces {count} {what}, more than the file can hold", self.at)

    def u32(self) -> int:
        return int.from_bytes(self.take(4), self.order)

    def u64(self) -> int:
        return int.from_bytes(self.take(8), self.order)

    def count(self) -> int:
        return int.from_bytes(self.take(self.width), self.order)

    def take(self, length: int) -> bytes:
        """The next bytes; the caller has bounded how many."""
        start = self.at - self._base
        if start < 0 or start + length > len(self._buffer):
            self._base = self.at
            self._buffer = self._source.read(self.at, max(length, _WINDOW))
            start = 0
        data = self._buffer[start : start + length]
        if len(data) < length:
            raise GgufError("breaks off", self.at, malformed=False)
        self.at += length
        return data

    def skip(self, length: int) -> None:
        """Pass over bytes."""
        if length > self._source.size - self.at:
            raise GgufError("breaks off", self.at, malformed=False)
        self.at += length

    def text(self, limit: int) -> bytes:
        """A name; GgufLimitError for one that is longer."""
        self.charge(_NAME_COST)
        length = self.count()
        if length > limit:
            raise GgufLimitError("max_gguf_name", f"a name has {length} bytes, more than {limit}", self.at)
        return self.take(length)

    def skip_texts(self, count: int) -> None:
        """Pass over texts: a vocabulary has hundreds of thousands, so this loop is short."""
        self.charge(count)
        width = self.width
        unpack = struct.Struct(("<" if self.order == "little" else ">") + ("I" if width == 4 else "Q")).unpack_from
        size = self._source.size
        while count:
            data = self._source.read(self.at, _WINDOW)
            last, at = len(data) - width, 0
            while count and at <= last:
                at += width + unpack(data, at)[0]
                count -= 1
            self.at += at
            if at == 0 or self.at > size:
                raise GgufError("breaks off", min(self.at, size), malformed=False)
