"""From header to header through a tar archive, as tarfile goes, and the other ways that other readers go."""

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

from heliotrope.scan.archives.tar_headers import BLOCK, DATA_TYPES, Header, parse, parse_pax, text
from heliotrope.scan.interface import LimitReachedError, Source
from heliotrope.scan.limits import ScanLimits

__all__ = ["Walk", "lies_in_member", "next_header"]

_PAX, _SOLARIS_PAX, _GLOBAL = ord("x"), ord("X"), ord("g")
_LONG_NAME, _LONG_LINK, _SPARSE = ord("L"), ord("K"), ord("S")
_OLD_FILE, _FOLDER = 0, ord("5")
_MAX_CHAIN = 16
"""Extended headers in front of one member; writers put four at most."""
_NARROW_SIZE = 8**11
"""Bytes that the plain header's size can state."""
_DIGITS = re.compile(rb"\d{1,18}")
_MAX_DIGITS = 24
_CHUNK = 2**20
_MAX_MEMBERS_LOOKED_AT = 100_000


class _DamagedError(Exception):
    """The walk ends here; says why."""


class Walk:
    """The members of one archive from an offset on, and how it ended."""

    def __init__(self, source: Source, limits: ScanLimits, start: int = 0) -> None:
        self._source = source
        self._limits = limits
        self._global: dict[bytes, list[bytes]] = {}
        self.end = start
        """Offset behind the last member."""
        self.damage = ""
        """Why it ended; empty where a block of zeros or the file's end ended it."""
        self.flaw = ""
        """What is wrong where some readers stop and others go on."""
        self.doubts: list[tuple[str, str, int]] = []
        """(member, what readers see differently, offset)."""
        self.elsewhere: list[int] = []
        """Where other readers would see the next header."""

    def __iter__(self) -> Iterator[Header]:
        try:
            while (header := self._next()) is not None:
                yield header
        except _DamagedError as error:
            self.damage = str(error)

    def _next(self) -> Header | None:
        """The next member, its name, size and link as extended headers have it."""
        extended: dict[bytes, list[bytes]] = {}
        names: list[str] = []
        links: list[str] = []
        for count in range(_MAX_CHAIN):
            header = self._header(first=count == 0)
            if header is None:
                return None
            if header.kind in (_PAX, _SOLARIS_PAX, _GLOBAL):
                records = self._records(header)
                (self._global if header.kind == _GLOBAL else extended).update(records)
            elif header.kind == _LONG_NAME:
                names.append(text(self._extension(header)))
            elif header.kind == _LONG_LINK:
                links.append(text(self._extension(header)))
            else:
                return self._member(header, extended, names, links)
            self.end = header.data + _padded(header.size)
        raise _DamagedError(f"more than {_MAX_CHAIN} extended headers stand before one member")

    def _header(self, *, first: bool) -> Header | None:
        block = self._source.read(self.end, BLOCK)
        if (first and not block) or (len(block) == BLOCK and not block.strip(b"\0")):
            if first:
                return None
            raise _DamagedError("it ends behind an extended header")
        if len(block) < BLOCK:
            raise _DamagedError("it breaks off in a header")
        header = parse(block, self.end)
        if header is None:
            raise _DamagedError("a header's checksum is wrong")
        if header.size < 0:
            raise _DamagedError("a member's size is no number, or negative")
        if not header.clear:
            self.doubts.append((header.name, "a size that is not written in octal digits", header.offset))
        return header

    def _extension(self, header: Header) -> bytes:
        limit = self._limits.max_tar_extension
        if header.size > limit:
            reason = f"an extended header has {header.size} bytes, more than {limit}"
            raise LimitReachedError("max_tar_extension", reason)
        data = self._source.read(header.data, header.size)
        if len(data) < header.size:
            raise _DamagedError("it breaks off in an extended header")
        return data

    def _records(self, header: Header) -> dict[bytes, list[bytes]]:
        records, sound = parse_pax(self._extension(header))
        if not sound:
            self.flaw = "an extended header is damaged"
        return records

    def _member(self, header: Header, extended: dict[bytes, list[bytes]], names: list[str], links: list[str]) -> Header:
        pax = {**self._global, **extended}
        stated = [text(pax[key][-1]) for key in (b"GNU.sparse.name", b"path") if key in pax]
        candidates = list(dict.fromkeys([*stated[:1], *names]))
        name = candidates[0] if candidates else header.name
        if len(candidates) > 1:
            self.doubts.append((name, "its name", header.offset))
        link = next(iter([*links, *([text(pax[b"linkpath"][-1])] if b"linkpath" in pax else [])]), header.link)
        size = self._size(header, pax, name)
        folder = header.kind == _OLD_FILE and header.name.endswith("/")
        kind = _FOLDER if folder else header.kind
        behind = header.data + _padded(size)
        if kind == _SPARSE:
            behind = self._behind_sparse(header)
        if kind not in DATA_TYPES:
            self._other_way(name, behind, header, only_if_there=True)
            behind = header.data
        self.end = behind
        return replace(header, name=name, kind=kind, link=link, size=size, pax=pax)

    def _size(self, header: Header, pax: dict[bytes, list[bytes]], name: str) -> int:
        if b"size" not in pax:
            return header.size
        value = pax[b"size"][-1]
        size = 0  # as tarfile has it for what is no number
        if _DIGITS.fullmatch(value):
            size = int(value)
        else:
            self.flaw = "the size in an extended header is no number"
            with suppress(ValueError):  # signs, spaces and underscores, which Python takes
                size = int(value[:_MAX_DIGITS])
        if size < 0:
            raise _DamagedError("the size in an extended header is negative")
        if size != header.size and (size < _NARROW_SIZE or header.size):
            self.doubts.append((name, "its size", header.offset))
            self.elsewhere.append(header.data + _padded(header.size))
        return size

    def _other_way(self, name: str, place: int, header: Header, *, only_if_there: bool) -> None:
        if place == header.data or (only_if_there and parse(self._source.read(place, BLOCK), place) is None):
            return
        self.doubts.append((name, "whether data follows it", header.offset))
        self.elsewhere.append(place)

    def _behind_sparse(self, header: Header) -> int:
        more, data = header.block[482], header.data
        while more:
            block = self._source.read(data, BLOCK)
            if len(block) < BLOCK:
                raise _DamagedError("the map of a sparse file breaks off")
            more, data = block[504], data + BLOCK
        return data + _padded(header.size)


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def next_header(source: Source, offset: int) -> tuple[int | None, int]:
    """Where the next header stands from an offset on, and how many bytes before it are not zero-filled blocks."""
    other = 0
    while chunk := source.read(offset, _CHUNK):
        if chunk.strip(b"\0"):
            for at in range(0, len(chunk), BLOCK):
                block = chunk[at : at + BLOCK]
                if not block.strip(b"\0"):
                    continue
                if block[148:154].strip(b" \0").isdigit() and parse(block, offset + at) is not None:
                    return offset + at, other
                other += len(block)
        offset += len(chunk)
    return None, other


def lies_in_member(source: Source, begin: int, end: int) -> bool:
    """Whether a range of the bytes is part of one member of a tar archive, which is inspected as such."""
    if parse(source.read(0, BLOCK), 0) is None:
        return False
    walk = Walk(source, ScanLimits())
    try:
        for count, header in enumerate(walk):
            if header.data <= begin and end <= header.data + header.size and header.kind in DATA_TYPES:
                return True
            if header.data > begin or count > _MAX_MEMBERS_LOOKED_AT:
                return False
    except LimitReachedError:
        return False
    return False
