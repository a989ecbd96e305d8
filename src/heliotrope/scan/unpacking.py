"""Compressed streams as sources: decompressed through a window and never held whole, unless they are small."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from heliotrope.scan.archives import decompressors
from heliotrope.scan.archives.decompressors import DECOMPRESSION_ERRORS, Decompressor
from heliotrope.scan.interface import Context, LimitReachedError, Source, UnreadableError
from heliotrope.scan.limits import Budget, ScanLimits

__all__ = ["PACKINGS", "Packing", "UnpackedSource", "decoder_memory", "open_packed", "packing_of", "unpacked_head"]

_COMPRESSED_CHUNK = 64 * 1024
_PIECE = 1024 * 1024
_KEPT_WINDOW = 1024 * 1024
"""Unpacked bytes kept behind the newest ones, so that reading a little back does not start over."""
_KEPT_ENDS = 80 * 1024
"""Unpacked bytes kept of the beginning and of the end, where formats are recognised; a zip file's end record has 64 KiB."""
_KEPT_WHOLE = 2 * 2**20
"""What unpacks to no more than this is kept, and read in any order at no cost."""
_LONGEST_MAGIC = 6
_USUAL_MEMORY = ScanLimits().max_decoder_memory
_SKIPPABLE = tuple(bytes((low, 0x2A, 0x4D, 0x18)) for low in range(0x50, 0x60))
"""Frames of zstandard and lz4 that hold nothing."""


@dataclass(frozen=True, slots=True)
class Packing:
    """A way of packing one stream, and several one after another."""

    magics: tuple[bytes, ...]
    make: Callable[[int], Decompressor]
    """Given the bytes of memory it may take."""
    certain: bool = True
    """The magic proves it; two bytes do not."""
    more: tuple[bytes, ...] = ()
    """What a further stream may begin with besides."""


PACKINGS: dict[str, Packing] = {
    "gzip": Packing((b"\x1f\x8b\x08",), decompressors.gzip),
    "bzip2": Packing((b"BZh",), decompressors.bzip2),
    "xz": Packing((b"\xfd7zXZ\0",), decompressors.xz),
    "lzma": Packing((b"\x5d\0",), decompressors.lzma_alone, certain=False),
    "zlib": Packing((b"x\x01", b"x\x5e", b"x\x9c", b"x\xda"), decompressors.zlib_, certain=False),
    "zstandard": Packing((b"\x28\xb5\x2f\xfd",), decompressors.zstandard, more=_SKIPPABLE),
    "lz4": Packing((b"\x04\x22\x4d\x18",), decompressors.lz4, more=_SKIPPABLE),
}
"""Name of a way of packing to what its streams begin with and to what undoes it."""


def packing_of(head: bytes) -> str | None:
    """The way of packing by the first bytes."""
    return next((name for name, packing in PACKINGS.items() if head.startswith(packing.magics)), None)


def unpacked_head(packing: str, data: bytes, length: int, *, memory: int = _USUAL_MEMORY) -> bytes | None:
    """Up to `length` bytes from the beginning of a stream that begins with `data`; None when it is none."""
    try:
        return PACKINGS[packing].make(memory).decompress(data, length)
    except (*DECOMPRESSION_ERRORS, MemoryError):
        return None


def decoder_memory(context: Context) -> int:
    """Bytes that one stream may take there, while those it lies in are open as well."""
    limits = context.limits
    return limits.max_decoder_memory if context.depth <= 1 else limits.max_inner_decoder_memory


def open_packed(packed: Source, packing: str, context: Context) -> "UnpackedSource":
    """What is inside a file that is packed in a known way."""
    known, memory = PACKINGS[packing], decoder_memory(context)
    return UnpackedSource(
        packed,
        lambda: known.make(memory),
        limits=context.limits,
        budget=context.budget,
        further=(*known.magics, *known.more),
    )


class UnpackedSource:
    """What is inside a compressed stream, or several one after another, as the readers of these formats take them.

    It is unpacked once to learn its size, and to see that it is sound to its last byte, and again while it is read. Bytes
    that are passed over, as those of arrays are, do not count against the budget of what is interpreted; those that are
    read do. All that is unpacked counts against a budget of its own.
    """

    def __init__(
        self,
        packed: Source,
        make: Callable[[], Decompressor],
        *,
        limits: ScanLimits,
        budget: Budget,
        further: tuple[bytes, ...] = (),
        at_most: int | None = None,
    ) -> None:
        """`further`: what another stream may begin with. `at_most`: where one without an end of its own stops."""
        self._packed = packed
        self._make = make
        self._further = further
        self._at_most = at_most
        self._limits = limits
        self._budget = budget
        self.trouble = ""
        """Why the stream does not end as it should; what comes before can be read."""
        self.limit: str | None = None
        """The limit at which it was given up."""
        self.left = 0
        """Bytes behind the last stream that belong to none; zeros do not count, as they pad."""
        self.sum = 0
        """CRC-32 of what it unpacks to."""
        self.size = 0
        self._whole: bytearray | None = bytearray()
        self._head = b""
        self._tail = bytearray()
        self._window_offset = 0
        self._rewind()
        self._measure()
        self._rewind()

    def read(self, offset: int, length: int) -> bytes:
        length = min(length, self.size - offset)
        if length <= 0 or offset < 0:
            return b""
        if self._whole is not None:
            self._charge(length)
            return bytes(self._whole[offset : offset + length])
        if offset + length <= len(self._head):
            return self._head[offset : offset + length]
        behind = offset - (self.size - len(self._tail))
        if behind >= 0:
            return bytes(self._tail[behind : behind + length])
        if offset < self._window_offset:
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
            raise LimitReachedError("max_inflated_bytes", f"more than {limit} unpacked bytes would have to be read")

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
        self._position = 0
        self._ended = False
        self._streams = 1

    def _measure(self) -> None:
        try:
            if self._budget.unpacked < 0:
                self._pay(0)
            while not self._ended:
                self._take(self._piece())
        except UnreadableError as error:
            self.trouble = str(error)
        except LimitReachedError as error:
            self.trouble, self.limit = error.reason, error.limit
        if self._whole is not None:
            self._head, self._tail = b"", bytearray()

    def _take(self, piece: bytes) -> None:
        self.sum = zlib.crc32(piece, self.sum)
        if self._whole is not None:
            self._whole += piece
            if len(self._whole) > _KEPT_WHOLE:
                self._head, self._tail = bytes(self._whole[:_KEPT_ENDS]), self._whole
                self._whole = None
        else:
            self._tail += piece
        if self._whole is None:
            del self._tail[:-_KEPT_ENDS]
        self.size += len(piece)

    def _piece(self) -> bytes:
        """The next unpacked bytes; empty ones do not mean the end."""
        if self._position == self._at_most or (self._decompressor.eof and not self._next_stream()):
            self._ended = True
            return b""
        wants = self._decompressor.needs_input
        if wants and not self._pending:
            self._pending = self._packed.read(self._consumed, _COMPRESSED_CHUNK)
            self._consumed += len(self._pending)
            if not self._pending:
                self._break("the compressed data breaks off")
        length = _PIECE if self._at_most is None else min(_PIECE, self._at_most - self._position)
        try:
            piece = self._decompressor.decompress(self._pending, length)
        except MemoryError:
            self._break_for_memory()
        except DECOMPRESSION_ERRORS as error:
            if "emory" in str(error):
                self._break_for_memory()
            self._break("compressed data is damaged")
        if not (piece or wants or self._pending or self._decompressor.eof or self._decompressor.needs_input):
            self._break("compressed data is damaged")  # it neither takes nor gives
        self._pending = b""
        self._position += len(piece)
        self._pay(len(piece))
        return piece

    def _pay(self, amount: int) -> None:
        if (
            self.limit is not None
        ):  # given up; what comes before the limit is read at the expense of what is interpreted
            self._charge(amount)
            return
        self._budget.unpacked -= amount
        if self._budget.unpacked < 0:
            self._ended = True
            reason = "it unpacks to more than a file may: see max_unpacked_bytes and unpacked_per_byte"
            raise LimitReachedError("max_unpacked_bytes", reason)

    def _break(self, reason: str) -> NoReturn:
        self._ended = True
        raise UnreadableError(reason)

    def _break_for_memory(self) -> NoReturn:
        self._ended = True
        raise LimitReachedError("max_decoder_memory", "it takes more memory to unpack than is allowed")

    def _next_stream(self) -> bool:
        """Whether another stream follows; sets the decompressor to its beginning."""
        rest = self._decompressor.unused_data + self._pending
        self._pending = b""
        while len(rest) < _LONGEST_MAGIC and (more := self._packed.read(self._consumed, _COMPRESSED_CHUNK)):
            self._consumed += len(more)
            rest += more
        if not rest:
            return False
        if not rest.startswith(self._further):
            self.left = self._unpadded(rest)
            return False
        self._streams += 1
        if self._streams > self._limits.max_packed_streams:
            reason = f"more than {self._limits.max_packed_streams} compressed streams one after another"
            self._ended = True
            raise LimitReachedError("max_packed_streams", reason)
        self._pending = rest
        self._decompressor = self._make()
        return True

    def _unpadded(self, rest: bytes) -> int:
        """Bytes from here to the end; 0 when all of them are zero."""
        begin = self._consumed - len(rest)
        offset = self._consumed
        while rest and not rest.strip(b"\0"):
            rest = self._packed.read(offset, _COMPRESSED_CHUNK)
            offset += len(rest)
        return self._packed.size - begin if rest else 0
