"""One member of a zip file: how its two accounts differ, where its bytes lie, and what undoes its packing."""

import zlib

from heliotrope.core.text import printable
from heliotrope.scan.archives.decompressors import ZIP_METHODS
from heliotrope.scan.archives.zip_directory import LocalHeader, Member
from heliotrope.scan.interface import Context, Source
from heliotrope.scan.unpacking import UnpackedSource, decoder_memory

__all__ = ["ENCRYPTED", "STORED", "differences", "member_end", "names_of", "opened", "unreadable_flags", "unsound"]

STORED = 0
ENCRYPTED, _SIZES_FOLLOW, _PATCH, _STRONG, _UTF8, _MASKED = 0x1, 0x8, 0x20, 0x40, 0x800, 0x2000
_DESCRIPTOR = b"PK\x07\x08"
_CHECKED_BYTES = 4 * 2**20
"""Checksums are compared for stored members up to this size; weights are not read a second time."""
_WITHOUT_END = frozenset({14})
"""Methods whose streams may go without a mark of their end."""


def differences(member: Member, header: LocalHeader) -> list[str]:
    """In what the two accounts of a member differ. Zero sizes stand for 'behind the data' where the flag says so."""
    found = []
    if member.raw_name != header.raw_name:
        found.append(f"name ({printable(header.raw_name.decode('utf-8', 'replace'))})")
    elif (member.flags ^ header.flags) & _UTF8 and not member.raw_name.isascii():
        found.append("encoding of the name")
    if member.unicode_name not in (None, member.raw_name) and member.raw_name.isascii():
        found.append(f"name ({printable(member.unicode_name.decode('utf-8', 'replace'))} in an extra field)")
    if member.method != header.method:
        found.append("method")
    if (member.flags ^ header.flags) & ENCRYPTED:
        found.append("encryption")
    follow = (header.flags | member.flags) & _SIZES_FOLLOW
    for label, central, local in (
        ("packed size", member.packed, header.packed),
        ("size", member.size, header.size),
        ("checksum", member.crc, header.crc),
    ):
        if central != local and not (follow and local == 0):
            found.append(label)
    return found


def unreadable_flags(member: Member, header: LocalHeader) -> str | None:
    """What the flags say that keeps some readers from the content."""
    flags = member.flags | header.flags
    if flags & _PATCH:
        return "a member is marked as a patch of another file"
    if flags & (_STRONG | _MASKED):
        return "a member is marked as encrypted together with the directory"
    return "a member is marked as encrypted, which some loaders ignore" if flags & ENCRYPTED else None


def names_of(member: Member, header: LocalHeader) -> list[str]:
    """Every name that some reader has for it."""
    names = (member.raw_name, header.raw_name, member.unicode_name)
    return list(dict.fromkeys(name.decode("utf-8", "surrogateescape") for name in names if name is not None))


def member_end(source: Source, member: Member, header: LocalHeader) -> tuple[int, bool]:
    """Offset behind a member with its data descriptor, and whether that says the same as the directory."""
    end = header.data + member.packed
    if not (header.flags | member.flags) & _SIZES_FOLLOW:
        return end, True
    data = source.read(end, 24)
    for signature in (_DESCRIPTOR, b""):
        for width in (4, 8):
            length = len(signature) + 4 + 2 * width
            fields = (member.crc, 4), (member.packed, width), (member.size, width)
            if all(value < 1 << 8 * size for value, size in fields):
                wanted = signature + b"".join(value.to_bytes(size, "little") for value, size in fields)
                if data[:length] == wanted:
                    return end + length, True
    return (end + 16, False) if data[:4] == _DESCRIPTOR else (end, header.packed == member.packed)


def opened(data: Source, method: int, size: int, context: Context) -> Source | None:
    """The content of a member by a method; None when that is not supported. `size` is what it should unpack to."""
    if method == STORED:
        return data
    make, memory = ZIP_METHODS.get(method), decoder_memory(context)
    if make is None:
        return None
    at_most = size if method in _WITHOUT_END else None
    return UnpackedSource(data, lambda: make(memory), limits=context.limits, budget=context.budget, at_most=at_most)


def unsound(source: Source, member: Member) -> bool:
    """Whether the content's checksum is another than the directory's."""
    if isinstance(source, UnpackedSource):
        return source.sum != member.crc
    return member.size <= _CHECKED_BYTES and zlib.crc32(source.read(0, member.size)) != member.crc
