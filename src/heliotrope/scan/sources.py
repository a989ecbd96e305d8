"""Where bytes come from: memory, an open file, a part of either, or a compressed member, which is never held whole."""

import os
import zlib

from heliotrope.scan.interface import LimitReachedError, Source, UnreadableError
from heliotrope.scan.limits import Budget, ScanLimits

__all__ = ["BytesSource", "FileSource", "InflatingSource", "SliceSource", "find_byte"]

_COMPRESSED_CHUNK = 64 * 1024
_KEPT_WINDOW = 1024 * 1024
"""Inflated bytes kept behind the newest ones, so that reading a little back does not start over."""


class BytesSource:
    """Bytes in memory."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size = len(data)

    def read(self, offset: int, length: int) -> bytes:
        return self._data[offset : offset + length]


class FileSource:
    """An open file, read by position. It is not mapped into memory: a file cut short meanwhile would kill the process."""

    def __init__(self, descriptor: int, size: int) -> None:
        self._descriptor = descriptor
        self.size = size

    def read(self, offset: int, length: int) -> bytes:
        length = min(length, self.size - offset)
        if length <= 0:
            return b""
        try:
            return os.pread(self._descriptor, length, offset)
        except OSError as error:
            raise UnreadableError(f"cannot be read: {error.strerror}") from None


class SliceSource:
    """A part of another source."""

    def __init__(self, source: Source, offset: int, size: int) -> None:
        self._source = source
        self._offset = offset
        self.size = max(min(size, source.size - offset), 0)

    def read(self, offset: int, length: int) -> bytes:
        length = min(length, self.size - offset)
        if length <= 0 or offset < 0:
            return b""
        return self._source.read(self._offset + offset, length)


class InflatingSource:
    """A deflated member. Reading before the kept window starts over, at the expense of the same budget."""

    def __init__(self, compressed: Source, size: int, *, limits: ScanLimits, budget: Budget) -> None:
        self._compressed = compressed
        self.size = size
        self._limits = limits
        self._budget = budget
        self._restart()

    def _restart(self) -> None:
        self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        self._consumed = 0
        self._pending = b""
        self._window = bytearray()
        self._window_offset = 0
        self._ended = False

    def read(self, offset: int, length: int) -> bytes:
        if offset < self._window_offset:
            self._restart()
        length = min(length, self.size - offset)
        if length <= 0:
            return b""
        while not self._ended and self._window_offset + len(self._window) < offset + length:
            self._inflate(offset)
        start = offset - self._window_offset
        return bytes(self._window[start : start + length])

    def _inflate(self, needed_from: int) -> None:
        if not self._pending and not self._inflater.eof:
            self._pending = self._compressed.read(self._consumed, _COMPRESSED_CHUNK)
            self._consumed += len(self._pending)
        try:
            piece = self._inflater.decompress(self._pending, _KEPT_WINDOW)
        except zlib.error as error:
            raise UnreadableError(f"compressed data is damaged ({error})") from None
        if not piece and (self._inflater.eof or not self._pending):
            self._ended = True
        self._pending = self._inflater.unconsumed_tail
        self._charge(len(piece))
        self._window += piece
        keep_from = min(needed_from, self._window_offset + len(self._window)) - _KEPT_WINDOW
        if keep_from > self._window_offset:
            del self._window[: keep_from - self._window_offset]
            self._window_offset = keep_from

    def _charge(self, amount: int) -> None:
        self._budget.inflated -= amount
        if self._budget.inflated < 0:
            limit = self._limits.max_inflated_bytes
            raise LimitReachedError("max_inflated_bytes", f"more than {limit} bytes would have to be decompressed")
        total = self._window_offset + len(self._window) + amount
        grace, ratio = self._limits.ratio_grace_bytes, self._limits.max_ratio
        if total > grace and total > ratio * max(self._consumed - len(self._pending), 1):
            raise LimitReachedError("max_ratio", f"decompresses to more than {ratio} times its size")


def find_byte(source: Source, needle: bytes, offset: int, *, chunk: int = 256 * 1024) -> int:
    """Offset of the next occurrence of a single byte, or -1."""
    while data := source.read(offset, chunk):
        found = data.find(needle)
        if found >= 0:
            return offset + found
        offset += len(data)
    return -1
