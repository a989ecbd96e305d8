"""Sparse members of tar archives: holes are not stored, and readers put zeros there.

Sources: GNU tar's manual, "Storing Sparse Files" (its old format, and pax formats 0.0, 0.1 and 1.0).
"""

import re
from bisect import bisect
from collections.abc import Iterator

from heliotrope.scan.archives.tar_headers import BLOCK, Header, number
from heliotrope.scan.interface import LimitReachedError, Source, UnreadableError
from heliotrope.scan.limits import Budget, ScanLimits

__all__ = ["SparseSource", "old_sparse", "pax_sparse"]

_MAX_PIECES = 100_000
"""Pieces of one file, at 24 bytes each on the wire."""
_MAX_SIDE = 2**53
_DIGITS = re.compile(rb"\d{1,16}")

Piece = tuple[int, int]
"""Offset in the file as it is unpacked, and length."""


class SparseSource:
    """The file as it is unpacked. Zeros of holes that are read count as unpacked bytes do.

    UnreadableError when the pieces contradict each other or what is stored.
    """

    def __init__(self, stored: Source, pieces: list[Piece], size: int, *, limits: ScanLimits, budget: Budget) -> None:
        self._stored = stored
        self._limits = limits
        self._budget = budget
        self.size = size
        self._pieces: list[tuple[int, int, int]] = []
        """Offset as unpacked, length, offset as stored."""
        at = reached = 0
        for offset, length in pieces:
            if offset < reached or offset + length > size:
                raise UnreadableError("the pieces of a sparse file overlap, or lie beyond its end")
            if length:
                self._pieces.append((offset, length, at))
            at, reached = at + length, offset + length
        if at > stored.size:
            raise UnreadableError("less of a sparse file is stored than its pieces need")

    def read(self, offset: int, length: int) -> bytes:
        length = min(length, self.size - offset)
        if length <= 0 or offset < 0:
            return b""
        self._budget.inflated -= length
        if self._budget.inflated < 0:
            limit = self._limits.max_inflated_bytes
            raise LimitReachedError("max_inflated_bytes", f"more than {limit} unpacked bytes would have to be read")
        out = bytearray(length)
        first = max(bisect(self._pieces, (offset, _MAX_SIDE, 0)) - 1, 0)
        for begin, size, at in self._pieces[first:]:
            if begin >= offset + length:
                break
            start, end = max(begin, offset), min(begin + size, offset + length)
            if start < end:
                data = self._stored.read(at + start - begin, end - start)
                out[start - offset : start - offset + len(data)] = data
        return bytes(out)


def old_sparse(source: Source, header: Header) -> tuple[int, list[Piece], int]:
    """(size as unpacked, pieces, offset of the data) of GNU's old format. UnreadableError when its map is damaged."""
    pieces = list(_entries(header.block[386:482]))
    more, data = header.block[482], header.data
    while more:
        block = source.read(data, BLOCK)
        if len(block) < BLOCK or len(pieces) > _MAX_PIECES:
            raise UnreadableError("the map of a sparse file is damaged")
        pieces += _entries(block[:504])
        more, data = block[504], data + BLOCK
    return _checked(number(header.block[483:495])[0], pieces, data)


def _entries(data: bytes) -> Iterator[Piece]:
    for at in range(0, len(data), 24):
        offset, size = number(data[at : at + 12])[0], number(data[at + 12 : at + 24])[0]
        if offset or size:
            yield offset, size


def pax_sparse(source: Source, header: Header) -> tuple[int, list[Piece], int] | None:
    """The same for pax headers; None for a file that is not sparse."""
    pax = header.pax
    if b"GNU.sparse.map" in pax:
        numbers = pax[b"GNU.sparse.map"][-1].split(b",")
        size, data = pax.get(b"GNU.sparse.size", [b""])[-1], header.data
    elif b"GNU.sparse.numbytes" in pax:
        offsets, lengths = pax.get(b"GNU.sparse.offset", []), pax[b"GNU.sparse.numbytes"]
        numbers = [value for pair in zip(offsets, lengths, strict=False) for value in pair]
        size, data = pax.get(b"GNU.sparse.size", [b""])[-1], header.data
    elif pax.get(b"GNU.sparse.major") == [b"1"] and pax.get(b"GNU.sparse.minor") == [b"0"]:
        numbers, data = _map_in_data(source, header)
        size = pax.get(b"GNU.sparse.realsize", [b""])[-1]
    else:
        return None
    if len(numbers) % 2 or not all(_DIGITS.fullmatch(value) for value in (size, *numbers)):
        raise UnreadableError("the map of a sparse file is damaged")
    values = [int(value) for value in numbers]
    return _checked(int(size), list(zip(values[::2], values[1::2], strict=True)), data)


def _map_in_data(source: Source, header: Header) -> tuple[list[bytes], int]:
    """Decimal numbers, one a line, in whole blocks before the data: how many pieces, and the pieces."""
    lines: list[bytes] = []
    rest, data = b"", header.data
    while not lines or len(lines) <= 2 * _count(lines[0]):
        block = source.read(data, BLOCK)
        if len(block) < BLOCK or data >= header.data + header.size:
            raise UnreadableError("the map of a sparse file is damaged")
        data += BLOCK
        *more, rest = (rest + block).split(b"\n")
        lines += more
    return lines[1 : 1 + 2 * _count(lines[0])], data


def _count(line: bytes) -> int:
    if not _DIGITS.fullmatch(line) or int(line) > _MAX_PIECES:
        raise UnreadableError("the map of a sparse file is damaged")
    return int(line)


def _checked(size: int, pieces: list[Piece], data: int) -> tuple[int, list[Piece], int]:
    values = (size, *(value for piece in pieces for value in piece))
    if len(pieces) > _MAX_PIECES or not all(0 <= value < _MAX_SIDE for value in values):
        raise UnreadableError("the map of a sparse file is damaged")
    return size, pieces, data
