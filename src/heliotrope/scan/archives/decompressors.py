"""What undoes each way of packing, all with one interface: bounded pieces out of bounded pieces in.

The libraries' own messages differ from version to version, so none of them gets into a result.
"""

import bz2
import lzma
import sys
import zlib
from collections.abc import Callable
from typing import Any, Protocol

__all__ = [
    "DECOMPRESSION_ERRORS",
    "ZIP_METHODS",
    "Decompressor",
    "bzip2",
    "gzip",
    "lz4",
    "lzma_alone",
    "xz",
    "zlib_",
    "zstandard",
]

_ZSTD_LEAST_WINDOW = 10

DECOMPRESSION_ERRORS = (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError, RuntimeError)
"""What the decompressors raise for damaged bytes, zstandard's and lz4's among them."""


class Decompressor(Protocol):
    """As the decompressors of bz2 and lzma are."""

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
        self._full = False
        """The last piece was as long as it could be, so that more may be ready without further input."""

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def needs_input(self) -> bool:
        return not self._tail and not self._full and not self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        piece = self._inner.decompress(self._tail + data, max_length)
        self._tail = self._inner.unconsumed_tail
        self._full = len(piece) == max_length
        return piece


class _ZipLzma:
    """lzma as zip files hold it: a version, the length of the properties, the properties, and the raw stream."""

    def __init__(self, memory: int) -> None:
        self._memory = memory
        self._head = b""
        self._inner: lzma.LZMADecompressor | None = None

    @property
    def eof(self) -> bool:
        return self._inner is not None and self._inner.eof

    @property
    def needs_input(self) -> bool:
        return self._inner is None or self._inner.needs_input

    @property
    def unused_data(self) -> bytes:
        return b"" if self._inner is None else self._inner.unused_data

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        if self._inner is None:
            self._head += data
            length = int.from_bytes(self._head[2:4], "little")
            if len(self._head) >= 4 and length != 5:
                raise ValueError("properties of lzma have five bytes")
            if len(self._head) < 9:
                return b""
            self._inner = self._begin(self._head[4:9])
            data = self._head[9:]
        return self._inner.decompress(data, max_length)

    def _begin(self, properties: bytes) -> lzma.LZMADecompressor:
        packed, size = properties[0], int.from_bytes(properties[1:], "little")
        if packed >= 9 * 5 * 5:
            raise ValueError("properties of lzma out of range")
        if size > self._memory:
            raise MemoryError
        settings = {"lc": packed % 9, "lp": packed // 9 % 5, "pb": packed // 45, "dict_size": max(size, 4096)}
        return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA1, **settings}])


def gzip(memory: int) -> Decompressor:
    del memory  # 32 KiB
    return _Zlib(zlib.MAX_WBITS | 16)


def zlib_(memory: int) -> Decompressor:
    del memory
    return _Zlib(zlib.MAX_WBITS)


def _deflate(memory: int) -> Decompressor:
    del memory
    return _Zlib(-zlib.MAX_WBITS)


def bzip2(memory: int) -> Decompressor:
    del memory  # 4 MiB at most
    return bz2.BZ2Decompressor()


def xz(memory: int) -> Decompressor:
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=memory)


def lzma_alone(memory: int) -> Decompressor:
    return lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=memory)


def zstandard(memory: int) -> Decompressor:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    window = max(memory.bit_length() - 1, _ZSTD_LEAST_WINDOW)
    made: Any = zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: window})
    return _Foreign(made, zstd.ZstdError)


def lz4(memory: int) -> Decompressor:
    del memory  # blocks have 4 MiB at most
    from lz4.frame import LZ4FrameDecompressor

    return _Foreign(LZ4FrameDecompressor(), RuntimeError)


class _Foreign:
    """A decompressor of another library, whose errors are told as ValueError."""

    def __init__(self, inner: Any, error: type[Exception]) -> None:
        self._inner = inner
        self._error = error

    @property
    def eof(self) -> bool:
        return bool(self._inner.eof)

    @property
    def needs_input(self) -> bool:
        return bool(self._inner.needs_input) and not self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data or b""

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        try:
            piece: bytes = self._inner.decompress(data, max_length)
        except self._error as error:
            raise ValueError(str(error)) from None
        return piece


ZIP_METHODS: dict[int, Callable[[int], Decompressor]] = {
    8: _deflate,
    12: bzip2,
    14: _ZipLzma,
    20: zstandard,
    93: zstandard,
    95: xz,
}
"""APPNOTE.TXT 4.4.5; 20 is zstandard's number in early writers. Each is given the memory it may take."""
