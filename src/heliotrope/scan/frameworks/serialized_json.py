"""Archives of Stable-Baselines3: a JSON member in which whatever JSON cannot say is a pickle written in base64.

Source: stable_baselines3.common.save_util (json_to_data), which hands every text under ":serialized:" to cloudpickle.
"""

import base64
import binascii

from heliotrope.core.text import printable, shorten
from heliotrope.scan.interface import Context, Recognised, Source
from heliotrope.scan.repositories.documents import DocumentError, mappings, read_json
from heliotrope.scan.sources import BytesSource

__all__ = ["SerializedJsonAnalyser"]

_KEY = ":serialized:"
_HEAD = 2**20
_MAX_PICKLES = 1_000
"""A saved agent has about ten."""


class SerializedJsonAnalyser:
    """The member `data`, and any JSON with such a key at its beginning."""

    format = "sb3-data"

    def accepts(self, source: Source, name: str) -> bool:
        head = source.read(0, _HEAD)
        start = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
        if name.rpartition("/")[2] == "data":
            return start == b"{" or (start == b"" and len(head) == _HEAD)
        return start == b"{" and b'":serialized:"' in head

    def analyse(self, source: Source, name: str, context: Context) -> Recognised:
        del name
        limit = context.limits.max_config_bytes
        data = source.read(0, limit + 1)
        if len(data) > limit:
            reason = f"a saved agent of more than {limit} bytes"
            context.notes.incomplete(reason, limit="max_config_bytes", member=context.member)
            return Recognised(self.format)
        try:
            document = read_json(data, context.limits)
        except DocumentError as error:
            context.notes.incomplete(f"it {error}", member=context.member)
            return Recognised(self.format)
        seen = 0
        for mapping, _ in mappings(document):
            for key, value in mapping:
                if not isinstance(value, list) or not hasattr(value, "all"):
                    continue
                for text in value.all(_KEY):
                    seen += 1
                    if seen > _MAX_PICKLES:
                        context.notes.incomplete(f"more than {_MAX_PICKLES} pickles", member=context.member)
                        return Recognised(self.format)
                    _pickle(text, shorten(printable(key), 80), context)
        return Recognised(self.format)


def _pickle(text: object, key: str, context: Context) -> None:
    """One value; the loader ignores characters that are no base64, and so do we."""
    inside = context.inside(key)
    if not isinstance(text, str):
        context.notes.incomplete("a pickle in it is no text", member=inside.member)
        return
    try:
        data = base64.b64decode(text.encode("utf-8", "replace"))
    except (binascii.Error, ValueError):
        context.notes.incomplete("a pickle in it is not written in base64", member=inside.member)
        return
    if context.nested(BytesSource(data), f"{key}.pkl", inside) is None:
        context.notes.incomplete("a pickle in it is not recognised", member=inside.member)
