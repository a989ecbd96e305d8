"""Where HDF5 files begin. Source: HDF5 File Format Specification 3.0, II.A."""

from heliotrope.scan.interface import Source
from heliotrope.scan.unpacking import UnpackedSource

__all__ = ["SIGNATURE", "may_be_hdf5", "superblock_offset"]

SIGNATURE = b"\x89HDF\r\n\x1a\n"
_UNPACKED = 512 * 1024
"""Of what is packed and has another name, so much is searched: what lies behind would have to be unpacked first."""


def may_be_hdf5(head: bytes, name: str, source: Source) -> bool:
    """Whether HDF5's readers would take a file of that name (in lower case)."""
    del head
    unnamed = isinstance(source, UnpackedSource) and not name.endswith((".h5", ".hdf5", ".keras"))
    return superblock_offset(source, end=_UNPACKED if unnamed else None) is not None


def superblock_offset(source: Source, *, end: int | None = None) -> int | None:
    """Where the file's first structure stands: at 0, 512, 1024 and so on doubled, behind bytes of the user's own."""
    if source.read(0, 8) == SIGNATURE:
        return 0
    offset = 512
    while offset < (source.size if end is None else min(end, source.size)):
        if source.read(offset, 8) == SIGNATURE:
            return offset
        offset *= 2
    return None
