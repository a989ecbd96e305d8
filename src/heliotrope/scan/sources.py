"""Where bytes come from: memory, an open file, or a part of either; see unpacking for compressed ones."""

import os

from heliotrope.scan.interface import Source, UnreadableError

__all__ = ["BytesSource", "FileSource", "SliceSource", "find_byte"]


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


def find_byte(source: Source, needle: bytes, offset: int, *, chunk: int = 256 * 1024) -> int:
    """Offset of the next occurrence of a single byte, or -1."""
    while data := source.read(offset, chunk):
        found = data.find(needle)
        if found >= 0:
            return offset + found
        offset += len(data)
    return -1
