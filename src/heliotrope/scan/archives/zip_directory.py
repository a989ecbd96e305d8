"""Reading zip files by both of their accounts: the central directory and the local headers.

Source: PKWARE's APPNOTE.TXT 6.3.10. Readers differ in which end record they take, in whether the 64-bit one counts, and in
how they find the directory from there; every directory that one of them would read is read here. CRC and flags do not
decide what is read, as they do not for some loaders.
"""

import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from heliotrope.scan.interface import LimitReachedError, Source
from heliotrope.scan.limits import ScanLimits

__all__ = [
    "Directory",
    "LocalHeader",
    "Member",
    "NoDirectoryError",
    "archive_extent",
    "end_records",
    "has_directory",
    "hidden_headers",
    "local_header",
    "read_directories",
]

_END = b"PK\x05\x06"
_END_SIZE = 22
_TAIL = 65_535 + _END_SIZE + 8 * 1024
"""A comment has 64 KiB at most; miniz, which torch reads with, looks back somewhat further, by its buffer."""
_MAX_ENDS = 64
"""End records looked at in the tail; a real file has one."""
_END64 = b"PK\x06\x06"
_END64_SIZE = 56
_LOCATOR64 = b"PK\x06\x07"
_LOCATOR64_SIZE = 20
_CENTRAL_SIGNATURE = b"PK\x01\x02"
_DIGITAL_SIGNATURE = b"PK\x05\x05"
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_MAX16, _MAX32 = 0xFFFF, 0xFFFFFFFF
_LOCAL_SIGNATURE = re.compile(rb"PK\x03\x04")
_CHUNK = 2**20
_WIDE_SIZES, _UNICODE_PATH = 0x0001, 0x7075
_MADE_ON_UNIX, _LINK, _TYPE = 3, 0o120000, 0o170000


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
    unicode_name: bytes | None = None
    """Another name in an extra field, which some readers prefer."""
    link: bool = False
    """A symbolic link by its attributes; its content is where it points."""

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
    damaged: bool = False
    """Something else stands between its entries or behind them."""
    record: int = 0
    """Offset of the end record."""


@dataclass(frozen=True, slots=True)
class _Extent:
    """Where a central directory may lie."""

    offset: int
    size: int
    count: int
    shift: int
    """Added to all offsets the archive states: bytes were put in front of it."""


def end_records(source: Source) -> list[int]:
    """Offsets of what may be an end record, the last one first, which is the one that most readers take."""
    begin = max(source.size - _TAIL, 0)
    tail = source.read(begin, _TAIL)
    found: list[int] = []
    at = len(tail) - _END_SIZE + len(_END)
    while len(found) < _MAX_ENDS and (at := tail.rfind(_END, 0, max(at, 0))) >= 0:
        found.append(begin + at)
        at += len(_END) - 1
    return found


def has_directory(source: Source) -> bool:
    """Whether zip readers that start from the end would take this for an archive."""
    return archive_extent(source) is not None


def archive_extent(source: Source) -> tuple[int, int] | None:
    """Where an archive that ends the file begins and ends, by its directory; None when there is none."""
    for end in end_records(source):
        extents = _extents(source, end)
        if extents:
            return max(extents[0].shift, 0), end + _END_SIZE
        if end == 0 and source.read(0, _END_SIZE)[4:] == bytes(_END_SIZE - 4):
            return 0, _END_SIZE  # an empty archive
    return None


def _extents(source: Source, end: int) -> list[_Extent]:
    """Every place where a reader would look for the directory of an end record and find one, the usual one first."""
    count, size, announced = struct.unpack("<10xH2L", source.read(end, _END_SIZE)[:20])
    stated = [(count, size, announced, end)]
    for behind in _wide_ends(source, end):
        stated.insert(0, (*struct.unpack("<32x3Q", source.read(behind, _END64_SIZE)), behind))
    found: list[_Extent] = []
    for count, size, announced, behind in stated:
        # Right in front of a 64-bit record, the directory is where it is stated to be. Counted from the 32-bit record
        # behind it, an entry of exactly the size of both records would pass for another beginning.
        settled = announced + size == end - _LOCATOR64_SIZE - _END64_SIZE and len(stated) > 1
        for offset in (announced,) if settled else dict.fromkeys((behind - size, announced)):
            extent = _Extent(offset, size, count, offset - announced)
            if size and offset >= 0 and source.read(offset, 4) == _CENTRAL_SIGNATURE:
                found.append(extent)
    return list(dict.fromkeys(found))


def _wide_ends(source: Source, end: int) -> list[int]:
    """Offsets of the 64-bit end record: where its locator says, and right in front of that. The latter comes last."""
    locator = source.read(end - _LOCATOR64_SIZE, _LOCATOR64_SIZE) if end >= _LOCATOR64_SIZE else b""
    if locator[:4] != _LOCATOR64:  # readers go by it even when the 32-bit record would do
        return []
    stated = struct.unpack_from("<8xQ", locator)[0]
    places = dict.fromkeys((stated, end - _LOCATOR64_SIZE - _END64_SIZE))
    return [
        place
        for place in places
        if 0 <= place <= end
        and (record := source.read(place, _END64_SIZE))[:4] == _END64
        and len(record) == _END64_SIZE
    ]


def read_directories(source: Source, end: int, limits: ScanLimits) -> list[Directory]:
    """The directories that readers find from an end record, the usual one first.

    NoDirectoryError or LimitReachedError when none can be had.
    """
    record = source.read(end, _END_SIZE)
    count, size, comment = struct.unpack("<10xHL4xH", record)
    behind = min(end + _END_SIZE + comment, source.size)
    extents = _extents(source, end)
    if not extents:
        if size == 0 and count == 0 and not _wide_ends(source, end):
            return [Directory((), end, behind, record=end)]
        raise NoDirectoryError("there is no directory where the record at the end says")
    return [_directory(source, extent, end, behind, limits) for extent in extents]


def _directory(source: Source, extent: _Extent, end: int, behind: int, limits: ScanLimits) -> Directory:
    if extent.size > limits.max_directory_bytes:
        raise LimitReachedError("max_directory_bytes", f"the directory has {extent.size} bytes")
    data = source.read(extent.offset, min(extent.size, end - extent.offset))
    members: list[Member] = []
    at = 0
    while data[at : at + 4] == _CENTRAL_SIGNATURE and at + _CENTRAL.size <= len(data):
        if len(members) >= limits.max_members:
            raise LimitReachedError("max_members", f"more than {limits.max_members} members")
        member, at = _central(data, at, extent.shift)
        members.append(member)
    signed = data[at : at + 4] == _DIGITAL_SIGNATURE
    damaged = at != extent.size and not signed
    narrow = _ambiguous(source, end, extent)
    return Directory(tuple(members), extent.offset, behind, narrow or extent.count != len(members), damaged, end)


def _ambiguous(source: Source, end: int, extent: _Extent) -> bool:
    """Whether the 32-bit record states other things than the 64-bit one, beyond what it cannot hold."""
    stated = struct.unpack("<10xH2L", source.read(end, _END_SIZE)[:20])
    exact = (extent.count, extent.size, extent.offset - extent.shift)
    return any(
        value not in (maximum, wide)
        for value, maximum, wide in zip(stated, (_MAX16, _MAX32, _MAX32), exact, strict=True)
    )


def _central(data: bytes, at: int, shift: int) -> tuple[Member, int]:
    fields = _CENTRAL.unpack_from(data, at)
    flags, method, crc, packed, size = fields[3], fields[4], fields[7], fields[8], fields[9]
    name_size, extra_size, comment_size, attributes, header = *fields[10:13], fields[15], fields[16]
    name_at = at + _CENTRAL.size
    extra = data[name_at + name_size : name_at + name_size + extra_size]
    size, packed, header = _wide(extra, [size, packed, header])
    name = data[name_at : name_at + name_size]
    link = fields[1] >> 8 == _MADE_ON_UNIX and attributes >> 16 & _TYPE == _LINK
    unicode_name = _unicode_path(extra, name)
    member = Member(name, flags, method, crc, packed, size, header + shift, unicode_name, link)
    return member, name_at + name_size + extra_size + comment_size


def _fields(extra: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 4 <= len(extra):
        tag, size = struct.unpack_from("<2H", extra, at)
        yield tag, extra[at + 4 : at + 4 + size]
        at += 4 + size


def _wide(extra: bytes, values: list[int]) -> list[int]:
    """The values, those that read 0xFFFFFFFF taken from the 64-bit extra field, in its order."""
    field = next((field for tag, field in _fields(extra) if tag == _WIDE_SIZES), b"")
    for index, value in enumerate(values):
        if value == _MAX32 and len(field) >= 8:
            values[index] = int.from_bytes(field[:8], "little")
            field = field[8:]
    return values


def _unicode_path(extra: bytes, name: bytes) -> bytes | None:
    """The name in Info-ZIP's extra field, when it is about this one."""
    for tag, field in _fields(extra):
        if tag == _UNICODE_PATH and field[:1] == b"\1" and int.from_bytes(field[1:5], "little") == zlib.crc32(name):
            return field[5:]
    return None


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


def hidden_headers(source: Source, spans: Sequence[tuple[int, int]]) -> Iterator[int]:
    """Offsets of local headers outside the given sorted spans."""
    at = 0
    for begin, behind in [*spans, (source.size, source.size)]:
        while at < begin:
            data = source.read(at, min(begin - at + 3, _CHUNK))
            if not data:
                break
            for match in _LOCAL_SIGNATURE.finditer(data):
                if match.start() < begin - at:
                    yield at + match.start()
            at += max(len(data) - 3, 1)
        at = max(at, behind)
