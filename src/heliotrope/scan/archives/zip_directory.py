"""Reading zip files by both of their accounts: the central directory and the local headers.

Source: PKWARE's APPNOTE.TXT 6.3.10. CRC and flags do not decide what is read, as they do not for some loaders.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from heliotrope.scan.interface import LimitReachedError, Source
from heliotrope.scan.limits import ScanLimits

__all__ = [
    "Directory",
    "LocalHeader",
    "Member",
    "NoDirectoryError",
    "has_directory",
    "hidden_headers",
    "local_header",
    "read_directory",
]

_END = b"PK\x05\x06"
_END_SIZE = 22
_TAIL = 65_535 + _END_SIZE
_END64 = b"PK\x06\x06"
_LOCATOR64 = b"PK\x06\x07"
_LOCATOR64_SIZE = 20
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_MAX16, _MAX32 = 0xFFFF, 0xFFFFFFFF
_LOCAL_SIGNATURE = re.compile(rb"PK\x03\x04")
_CHUNK = 2**20


class NoDirectoryError(Exception):
    """There is no central directory, or it cannot be read."""


@dataclass(frozen=True, slots=True)
class Member:
    """A member as the central directory describes it."""

    raw_name: bytes
    flags: int
    method: int
    crc: int
    packed: int
    """Bytes in the archive."""
    size: int
    """Bytes when unpacked."""
    header: int
    """Offset of the local header in the file."""

    @property
    def name(self) -> str:
        return self.raw_name.decode("utf-8", "surrogateescape")


@dataclass(frozen=True, slots=True)
class LocalHeader:
    """What stands in front of a member's data."""

    raw_name: bytes
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    data: int
    """Offset of the data in the file."""

    def member(self, offset: int) -> Member:
        """As if the directory had listed it."""
        return Member(self.raw_name, self.flags, self.method, self.crc, self.packed, self.size, offset)


@dataclass(frozen=True, slots=True)
class Directory:
    """The members the central directory lists, and where it lies."""

    members: tuple[Member, ...]
    offset: int
    end: int
    """Offset behind the archive's last byte, its comment included."""
    ambiguous: bool = False
    """The end records contradict each other or the directory."""


def _find_end(source: Source) -> tuple[int, bytes] | None:
    tail_at = max(source.size - _TAIL, 0)
    tail = source.read(tail_at, _TAIL)
    found = tail.rfind(_END, 0, len(tail) - _END_SIZE + 4)
    return None if found < 0 else (tail_at + found, tail[found:])


def has_directory(source: Source) -> bool:
    """Whether zip readers that start from the end would take this for an archive."""
    found = _find_end(source)
    if found is None:
        return False
    try:
        extent = _extent(source, *found)
    except NoDirectoryError:
        return False
    listed = extent.count > 0 and source.read(extent.offset, 4) == _CENTRAL_SIGNATURE
    return listed or (extent.size == 0 and found[0] == 0)


@dataclass(frozen=True, slots=True)
class _Extent:
    """Where the central directory lies."""

    offset: int
    size: int
    count: int
    shift: int
    """Added to all offsets the archive states: bytes were put in front of it."""
    ambiguous: bool
    """The 32-bit and the 64-bit end record state different things."""


def _extent(source: Source, end: int, record: bytes) -> _Extent:
    count, size, announced = struct.unpack_from("<10xH2L", record)
    behind, ambiguous = end, False
    locator = source.read(end - _LOCATOR64_SIZE, _LOCATOR64_SIZE) if end >= _LOCATOR64_SIZE else b""
    if locator[:4] == _LOCATOR64:  # readers go by it even when the 32-bit record would do
        behind = end - _LOCATOR64_SIZE - 56
        record64 = source.read(behind, 56) if behind >= 0 else b""
        if record64[:4] != _END64:
            raise NoDirectoryError("the 64-bit end record is missing")
        wide = struct.unpack_from("<32x3Q", record64)
        narrow = zip((count, size, announced), (_MAX16, _MAX32, _MAX32), wide, strict=True)
        ambiguous = any(value not in (maximum, exact) for value, maximum, exact in narrow)
        count, size, announced = wide
    offset = behind - size
    if offset < 0:
        raise NoDirectoryError("the directory is larger than the file")
    return _Extent(offset, size, count, offset - announced, ambiguous)


def read_directory(source: Source, limits: ScanLimits) -> Directory:
    """The central directory; NoDirectoryError or LimitReachedError when it cannot be had."""
    found = _find_end(source)
    if found is None:
        raise NoDirectoryError("the directory at the end is missing")
    extent = _extent(source, *found)
    if extent.size > limits.max_directory_bytes:
        raise LimitReachedError("max_directory_bytes", f"the directory has {extent.size} bytes")
    data = source.read(extent.offset, extent.size)
    members: list[Member] = []
    at = 0
    while data[at : at + 4] == _CENTRAL_SIGNATURE and at + _CENTRAL.size <= len(data):
        if len(members) >= limits.max_members:
            raise LimitReachedError("max_members", f"more than {limits.max_members} members")
        member, at = _central(data, at, extent.shift)
        members.append(member)
    if at < len(data):
        raise NoDirectoryError("the directory is damaged")
    comment = struct.unpack_from("<20xH", found[1])[0]
    ambiguous = extent.ambiguous or extent.count != len(members)
    return Directory(tuple(members), extent.offset, min(found[0] + _END_SIZE + comment, source.size), ambiguous)


def _central(data: bytes, at: int, shift: int) -> tuple[Member, int]:
    fields = _CENTRAL.unpack_from(data, at)
    flags, method, crc, packed, size = fields[3], fields[4], fields[7], fields[8], fields[9]
    name_size, extra_size, comment_size, header = fields[10], fields[11], fields[12], fields[16]
    name_at = at + _CENTRAL.size
    extra = data[name_at + name_size : name_at + name_size + extra_size]
    size, packed, header = _wide(extra, [size, packed, header])
    name = data[name_at : name_at + name_size]
    member = Member(name, flags, method, crc, packed, size, header + shift)
    return member, name_at + name_size + extra_size + comment_size


def _wide(extra: bytes, values: list[int]) -> list[int]:
    """The values, those that read 0xFFFFFFFF taken from the 64-bit extra field, in its order."""
    at = 0
    while at + 4 <= len(extra):
        tag, size = struct.unpack_from("<2H", extra, at)
        if tag == 1:
            field = extra[at + 4 : at + 4 + size]
            for index, value in enumerate(values):
                if value == _MAX32 and len(field) >= 8:
                    values[index] = int.from_bytes(field[:8], "little")
                    field = field[8:]
            break
        at += 4 + size
    return values


def local_header(source: Source, offset: int) -> LocalHeader | None:
    """The local header at an offset; None when there is none."""
    data = source.read(offset, _LOCAL.size) if 0 <= offset < source.size else b""
    if len(data) < _LOCAL.size or data[:4] != b"PK\x03\x04":
        return None
    _, _, flags, method, _, _, crc, packed, size, name_size, extra_size = _LOCAL.unpack(data)
    rest = source.read(offset + _LOCAL.size, name_size + extra_size)
    size, packed = _wide(rest[name_size:], [size, packed])
    start = offset + _LOCAL.size + name_size + extra_size
    return LocalHeader(rest[:name_size], flags, method, crc, packed, size, start)


def hidden_headers(source: Source, spans: list[tuple[int, int]], end: int) -> Iterator[int]:
    """Offsets of local headers outside the given sorted spans and before `end`."""
    at = 0
    for begin, behind in [*spans, (end, end)]:
        while at < begin:
            data = source.read(at, min(begin - at, _CHUNK))
            if not data:
                break
            for match in _LOCAL_SIGNATURE.finditer(data):
                if match.start() < begin - at:
                    yield at + match.start()
            at += max(len(data) - 3, 1) if len(data) == _CHUNK else len(data)
        at = max(at, behind)


_CENTRAL_SIGNATURE = b"PK\x01\x02"
