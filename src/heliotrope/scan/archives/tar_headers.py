"""Headers of tar archives as their readers take them: ustar, pax, GNU's and the oldest ones.

Sources: POSIX.1-2024, pax; GNU tar's manual, "Basic Tar Format"; Python's tarfile, which torch's old loader reads with.
"""

import re
import struct
from dataclasses import dataclass, field

from heliotrope.scan.interface import Source

__all__ = ["BLOCK", "DATA_TYPES", "LINK_TYPES", "Header", "is_tar", "number", "parse", "parse_pax", "text"]

BLOCK = 512
_OCTAL = re.compile(rb"[0-7]+")
_PAX_RECORD = re.compile(rb"(\d{1,20}) ")
_NO_DATA = frozenset(b"123456")
"""Links, devices, folders and pipes: no data follows them, whatever their size says."""
LINK_TYPES = frozenset(b"12")
DATA_TYPES = frozenset(range(256)) - _NO_DATA
"""Unknown types are taken for regular files."""


@dataclass(slots=True)
class Header:
    """One member's header."""

    name: str
    kind: int
    """The type's letter, as its byte."""
    size: int
    link: str
    offset: int
    """Of the header."""
    data: int
    """Offset of the data."""
    block: bytes
    clear: bool = True
    """All numbers are written as the standard has it."""
    pax: dict[bytes, list[bytes]] = field(default_factory=dict)


def is_tar(source: Source) -> bool:
    """Whether tar readers, torch's old loader among them, would take this: the first header's checksum is right."""
    return _checksum_right(source.read(0, BLOCK))


def _checksum_right(block: bytes) -> bool:
    """By the sum of unsigned bytes, or of signed ones, as some old writers have it."""
    if len(block) < BLOCK or not block[148:156].strip(b" \0"):
        return False
    stated = number(block[148:156])[0]
    unsigned = sum(block[:148]) + 8 * 32 + sum(block[156:])
    if stated < 0:
        return False
    if stated == unsigned:
        return True
    signed: tuple[int, ...] = struct.unpack("<148b8x356b", block)
    return stated == sum(signed) + 8 * 32


def number(data: bytes) -> tuple[int, bool]:
    """A number and whether it is written clearly: in octal digits, or in base 256 when they do not suffice.

    -1 stands for what no reader understands.
    """
    if data[0] in (0x80, 0xFF):
        value = int.from_bytes(data[1:], "big")
        return (value, True) if data[0] == 0x80 else (value - 256 ** (len(data) - 1), False)
    plain = data.split(b"\0")[0].strip(b" \t\n\r\x0b\x0c")
    if not plain:
        return 0, True
    if _OCTAL.fullmatch(plain):
        return int(plain, 8), True
    try:
        return int(plain, 8), False  # signs, 0o and underscores, which Python takes
    except ValueError:
        return -1, False


def text(data: bytes) -> str:
    return data.split(b"\0")[0].decode("utf-8", "surrogateescape")


def parse(block: bytes, offset: int) -> Header | None:
    """The header in a block at an offset; None when its checksum is wrong."""
    if not _checksum_right(block):
        return None
    kind = block[156]
    name, (size, clear) = text(block[:100]), number(block[124:136])
    if block[257:263] == b"ustar\0" and block[345]:
        name = f"{text(block[345:500])}/{name}"
    return Header(name, kind, size, text(block[157:257]), offset, offset + BLOCK, block, clear)


def parse_pax(data: bytes) -> tuple[dict[bytes, list[bytes]], bool]:
    """Records of an extended header: all values of each keyword, in order, and whether the whole is well written.

    Readers differ in what they make of one that is not; records are taken as far as the most patient one takes them.
    """
    records: dict[bytes, list[bytes]] = {}
    at, sound = 0, True
    while at < len(data) and data[at]:
        match = _PAX_RECORD.match(data, at)
        end = 0 if match is None else at + int(match[1])
        if match is None or end <= match.end():
            return records, False
        key, equals, value = data[match.end() : end - 1].partition(b"=")
        if not equals:
            return records, False
        sound &= end <= len(data) and data[end - 1 : end] == b"\n" and key != b""
        records.setdefault(key, []).append(value)
        at = end
    return records, sound
