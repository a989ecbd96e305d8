"""Compressed streams as sources: zlib, gzip, bzip2, xz and lzma, decompressed through a window and never held whole."""

import bz2
import lzma
import zlib
from collections.abc import Callable
from typing import Protocol

from heliotrope.scan.interface import LimitReachedError, Source, UnreadableError
from heliotrope.scan.limits import Budget, ScanLimits

__all__ = ["PACKINGS", "UnpackedSource", "packing_of", "unpacked_head"]

_COMPRESSED_CHUNK = 64 * 1024
_PIECE = 1024 * 1024
_KEPT_WINDOW = 1024 * 1024
"""Unpacked bytes kept behind the newest ones, so that reading a little back does not start over."""
_KEPT_ENDS = 80 * 1024
"""Unpacked bytes kept of the beginning and of the end, where formats are recognised; a zip file's end record has 64 KiB."""
_LZMA_MEMORY = 128 * 2**20
"""The dictionary of an lzma stream; the highest preset takes 65 MiB."""

_ERRORS = (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError)


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class _Zlib:
    """zlib's decompressor with the interface of those of bz2 and lzma."""

    def __init__(self, bits: int) -> None:
        self._inner = zlib.decompressobj(bits)
        self._tail = b""

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def needs_input(self) -> bool:
        return not self._tail and not self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        piece = self._inner.decompress(self._tail + data, max_length)
        self._tail = self._inner.unconsumed_tail
        return piece


PACKINGS: dict[str, tuple[tuple[bytes, ...], Callable[[], _Decompressor]]] = {
    "gzip": ((b"\x1f\x8b\x08",), lambda: _Zlib(zlib.MAX_WBITS | 16)),
    "bzip2": ((b"BZh",), bz2.BZ2Decompressor),
    "xz": ((b"\xfd7zXZ\0",), lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_LZMA_MEMORY)),
    "lzma": ((b"\x5d\0",), lambda: lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=_LZMA_MEMORY)),
    "zlib": ((b"x\x01", b"x\x5e", b"x\x9c", b"x\xda"), lambda: _Zlib(zlib.MAX_WBITS)),
}
"""Name of a way of packing to what its streams begin with and to what undoes it. joblib knows the same ones, and lz4."""


def packing_of(head: bytes) -> str | None:
    """The way of packing by the first bytes."""
    return next((name for name, (magics, _) in PACKINGS.items() if head.startswith(magics)), None)


def unpacked_head(packing: str, data: bytes, length: int) -> bytes | None:
    """Up to `length` bytes from the beginning of a stream that begins with `data`; None when it is none."""
    try:
        return PACKINGS[packing][1]().decompress(data, length)
    except _ERRORS:
        return None


class UnpackedSource:
    """What is inside a compressed stream, or several one after another, as the readers of these formats take them.

    It is unpacked once to learn its size, and to see that it is sound to its last byte, and again while it is read. Bytes
    that are passed over, as those of arrays are, do not count against the budget; those that are read do, each time.
    """

    def __init__(self, packed: Source, packing: str, *, limits: ScanLimits, budget: Budget) -> None:
        self._packed = packed
        self._make = PACKINGS[packing][1]
        self._limits = limits
        self._budget = budget
        self.trouble = ""
        """Why the stream does not end as it should; what comes before can be read."""
        self._head = bytearray()
        self._tail = bytearray()
        self.size = 0
        self._window_offset = 0
        self._rewind()
        self._measure()
        self._rewind()

    def read(self, offset: int, length: int) -> bytes:
        length = min(length, self.size - offset)
        if length <= 0 or offset < 0:
            return b""
        if offset + length <= len(self._head):
            return bytes(self._head[offset : offset + length])
        behind = offset - (self.size - len(self._tail))
        if behind >= 0:
            return bytes(self._tail[behind : behind + length])
        if offset < self._window_offset:
            self._charge(offset)
            self._rewind()
        while not self._ended and self._window_offset + len(self._window) < offset + length:
            self._window += self._piece()
            self._forget(offset)
        self._charge(length)
        start = offset - self._window_offset
        return bytes(self._window[start : start + length])

    def _charge(self, amount: int) -> None:
        self._budget.inflated -= amount
        if self._budget.inflated < 0:
            limit = self._limits.max_inflated_bytes
            raise LimitReachedError("max_inflated_bytes", f"more than {limit} bytes would have to be decompressed")

    def _forget(self, needed_from: int) -> None:
        keep_from = min(needed_from, self._window_offset + len(self._window)) - _KEPT_WINDOW
        if keep_from > self._window_offset:
            del self._window[: keep_from - self._window_offset]
            self._window_offset = keep_from

    def _rewind(self) -> None:
        self._decompressor = self._make()
        self._consumed = 0
        self._pending = b""
        self._window = bytearray()
        self._window_offset = 0
        self._ended = False

    def _measure(self) -> None:
        limit = self._limits.max_unpacked_bytes
        try:
            while not self._ended:
                piece = self._piece()
                self.size += len(piece)
                self._head += piece[: max(_KEPT_ENDS - len(self._head), 0)]
                self._tail += piece
                del self._tail[:-_KEPT_ENDS]
                if self.size > limit:
                    raise LimitReachedError("max_unpacked_bytes", f"it unpacks to more than {limit} bytes")
        except UnreadableError as error:
            self.trouble = str(error)

    def _piece(self) -> bytes:
        """The next unpacked bytes; empty ones do not mean the end."""
        if self._decompressor.eof and not self._next_stream():
            self._ended = True
            return b""
        if self._decompressor.needs_input and not self._pending:
            self._pending = self._packed.read(self._consumed, _COMPRESSED_CHUNK)
            self._consumed += len(self._pending)
            if not self._pending:
                self._ended = True
                raise UnreadableError("the compressed data breaks off")
        try:
            piece = self._decompressor.decompress(self._pending, _PIECE)
        except _ERRORS as error:
            self._ended = True
            raise UnreadableError(f"compressed data is damaged ({error})") from None
        self._pending = b""
        return piece

    def _next_stream(self) -> bool:
        rest = self._decompressor.unused_data
        self._pending = rest or self._packed.read(self._consumed, _COMPRESSED_CHUNK)
        if not rest:
            self._consumed += len(self._pending)
        if not self._pending:
            return False
        self._decompressor = self._make()
        return True
