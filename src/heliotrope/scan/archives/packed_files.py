"""Files in a compressed stream: what is inside is inspected as a file of its own."""

from heliotrope.scan.interface import Context, Recognised, Source
from heliotrope.scan.pickles.streams import looks_like_pickle
from heliotrope.scan.recognised import MODEL_EXTENSIONS, holds_model
from heliotrope.scan.sources import BytesSource
from heliotrope.scan.tabular.data_files import IdxAnalyser
from heliotrope.scan.unpacking import PACKINGS, open_packed, packing_of, unpacked_head

__all__ = ["PackedAnalyser"]

_PEEK = 4096
_LONG_MAGIC = 4
_EXTENSIONS = {
    ".gz": "", ".bz2": "", ".xz": "", ".lzma": "", ".z": "", ".zz": "", ".zst": "", ".lz4": "",
    ".tgz": ".tar", ".tbz2": ".tar", ".txz": ".tar", ".tzst": ".tar",
}  # fmt: skip
"""Endings of packed files, and what stands there once they are unpacked."""


class PackedAnalyser:
    """One compressed file."""

    format = "packed"

    def __init__(self) -> None:
        self._idx = IdxAnalyser()

    def accepts(self, source: Source, name: str) -> bool:
        packing = packing_of(source.read(0, 16))
        inside = None if packing is None else unpacked_head(packing, source.read(0, _PEEK), _PEEK)
        if packing is None or self._idx.accepts(source, name):
            return False
        known = PACKINGS[packing]
        if inside is None:  # damaged; three bytes alone may be there by chance
            return known.certain and len(known.magics[0]) >= _LONG_MAGIC
        return known.certain or (
            len(inside) > 0
            and (holds_model(inside) or packing_of(inside) is not None or looks_like_pickle(BytesSource(inside)))
        )

    def analyse(self, source: Source, name: str, context: Context) -> Recognised:
        packing = packing_of(source.read(0, 16))
        assert packing is not None
        unpacked = open_packed(source, packing, context)
        if unpacked.trouble:
            context.notes.incomplete(unpacked.trouble, limit=unpacked.limit, member=context.member)
        if unpacked.left:
            offset = context.base + source.size - unpacked.left
            message = f"{unpacked.left} bytes follow the compressed data"
            context.notes.add("packed-trailing-data", message, member=context.member, offset=offset)
        named = any(extension in name.lower() for extension in MODEL_EXTENSIONS)
        found = context.nested(unpacked, _name_inside(name), context.inside("unpacked")) if unpacked.size else None
        if found is None:
            return Recognised(packing, supported=False, model=named)
        if not found.supported:
            other = found.format == "tar" and not found.model  # read to its end, and nothing in it is a model
            return Recognised(packing, supported=False, model=found.model or (named and not other))
        return Recognised(f"{found.format}-{packing}", model=found.model)


def _name_inside(name: str) -> str:
    lower = name.lower()
    for extension, instead in _EXTENSIONS.items():
        if lower.endswith(extension):
            return name[: -len(extension)] + instead
    return name
