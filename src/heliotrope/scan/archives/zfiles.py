"""joblib's compressed files before its release 0.10: a header with the size of what is inside, and one zlib stream.

What is inside is a pickle. Its arrays lie in files of their own beside it, named by an NDArrayWrapper, which no policy
vouches for: such files are found suspicious. Source: read_zfile in joblib's numpy_pickle_compat.py, which still reads them.
"""

import re

from heliotrope.scan.interface import Context, Recognised, Source
from heliotrope.scan.sources import SliceSource
from heliotrope.scan.unpacking import open_packed

__all__ = ["ZfileAnalyser"]

_HEADER = re.compile(rb"ZF(0x[0-9a-fA-F]{1,17}) *")
_LENGTH = 2 + 19
"""The size is padded to the width of 2 ** 64 in hexadecimal."""


class ZfileAnalyser:
    """One such file."""

    format = "joblib-zfile"

    def accepts(self, source: Source, name: str) -> bool:
        del name
        return _HEADER.fullmatch(source.read(0, _LENGTH)) is not None

    def analyse(self, source: Source, name: str, context: Context) -> Recognised:
        head = source.read(0, _LENGTH + 1)
        match = _HEADER.match(head)
        assert match is not None
        begin = _LENGTH + (head[_LENGTH:] == b" ")  # the width that Python 2 has for 2 ** 64 is one more
        unpacked = open_packed(SliceSource(source, begin, source.size - begin), "zlib", context)
        if unpacked.trouble:
            context.notes.incomplete(unpacked.trouble, limit=unpacked.limit, member=context.member)
        elif unpacked.size != int(match[1], 16):
            reason = f"{unpacked.size} bytes are packed where {int(match[1], 16)} are announced"
            context.notes.incomplete(reason, member=context.member)
        if unpacked.left:
            message = f"{unpacked.left} bytes follow the compressed data"
            offset = context.base + source.size - unpacked.left
            context.notes.add("packed-trailing-data", message, member=context.member, offset=offset)
        found = context.nested(unpacked, name, context.inside("unpacked")) if unpacked.size else None
        return Recognised("joblib-zfile", supported=found is not None and found.supported)
