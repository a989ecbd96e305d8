"""Models in a compressed stream, as joblib writes them with `compress`, and whatever else is packed that way."""

from heliotrope.scan.interface import Context, Recognised, Source
from heliotrope.scan.pickles.streams import looks_like_pickle
from heliotrope.scan.recognised import holds_model
from heliotrope.scan.sources import BytesSource
from heliotrope.scan.unpacking import UnpackedSource, packing_of, unpacked_head

__all__ = ["PackedAnalyser"]

_PEEK = 4096


class PackedAnalyser:
    """One compressed file; what is inside is inspected as a file of its own."""

    format = "packed"

    def accepts(self, source: Source, name: str) -> bool:
        del name
        packing = packing_of(source.read(0, 16))
        inside = None if packing is None else unpacked_head(packing, source.read(0, _PEEK), _PEEK)
        return (
            inside is not None and len(inside) > 0 and (holds_model(inside) or looks_like_pickle(BytesSource(inside)))
        )

    def analyse(self, source: Source, name: str, context: Context) -> Recognised:
        packing = packing_of(source.read(0, 16))
        assert packing is not None
        unpacked = UnpackedSource(source, packing, limits=context.limits, budget=context.budget)
        if unpacked.trouble:
            context.notes.incomplete(unpacked.trouble, member=context.member)
        inside = context.inside("unpacked")
        found = context.nested(unpacked, name, inside)
        if found is None or not found.supported:
            return Recognised(packing, supported=False)
        return Recognised(f"{found.format}-{packing}", model=found.model)
