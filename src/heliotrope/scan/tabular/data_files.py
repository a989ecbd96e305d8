"""Plain data that can be proved inert: idx files, as the MNIST family of data sets comes in."""

import math
import zlib

from heliotrope.scan.interface import Context, LimitReachedError, Recognised, Source

__all__ = ["IdxAnalyser"]

_SIZES = {8: 1, 9: 1, 0xB: 2, 0xC: 4, 0xD: 4, 0xE: 8}
"""Bytes of an item by type code. Source: the description of the format on the MNIST page."""

_MAX_DIMENSIONS = 8
_CHUNK = 256 * 1024


class IdxAnalyser:
    """Numbers with a header of a few bytes, bare or gzipped. It holds no names, so nothing in it can run."""

    format = "idx"

    def accepts(self, source: Source, name: str) -> bool:
        del name
        return _announced(source.read(0, 64)) is not None or _announced(_unzipped_head(source)) is not None

    def analyse(self, source: Source, name: str, context: Context) -> Recognised:
        del name
        head = source.read(0, 64)
        zipped = _announced(head) is None
        wanted = _announced(_unzipped_head(source) if zipped else head)
        actual = _unzipped_size(source, context) if zipped else source.size
        if actual != wanted:
            context.notes.incomplete(f"the header announces {wanted} bytes, there are {actual}", member=context.member)
        return Recognised("idx-gz" if zipped else "idx", model=False)


def _announced(head: bytes) -> int | None:
    """Bytes of the whole file by its header; None when it is no idx header."""
    if len(head) < 8 or head[:2] != b"\0\0" or head[2] not in _SIZES or not 1 <= head[3] <= _MAX_DIMENSIONS:
        return None
    end = 4 + 4 * head[3]
    if len(head) < end:
        return None
    sides = [int.from_bytes(head[at : at + 4], "big") for at in range(4, end, 4)]
    return end + math.prod(sides) * _SIZES[head[2]]


def _unzipped_head(source: Source) -> bytes:
    if source.read(0, 3) != b"\x1f\x8b\x08":
        return b""
    try:
        return zlib.decompressobj(31).decompress(source.read(0, 4096), 64)
    except zlib.error:
        return b""


def _unzipped_size(source: Source, context: Context) -> int:
    inflater = zlib.decompressobj(31)
    offset = total = 0
    pending = b""
    while not inflater.eof:
        if not pending:
            pending = source.read(offset, _CHUNK)
            offset += len(pending)
            if not pending:
                return total
        try:
            piece = inflater.decompress(pending, _CHUNK)
        except zlib.error:
            return total
        pending = inflater.unconsumed_tail
        total += len(piece)
        context.budget.inflated -= len(piece)
        if context.budget.inflated < 0:
            limit = context.limits.max_inflated_bytes
            raise LimitReachedError("max_inflated_bytes", f"more than {limit} bytes would have to be decompressed")
    return total if not inflater.unused_data and offset >= source.size else total + 1
