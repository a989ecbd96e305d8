"""JSON that stands for Python objects: pickles in base64 as Stable-Baselines3 writes them, and the tags of jsonpickle.

Sources: stable_baselines3.common.save_util.json_to_data; jsonpickle.tags and jsonpickle.unpickler. Loading either one imports
and calls what the file names (CVE-2020-22083 for jsonpickle).
"""

import base64
import binascii
import json
import re
from typing import Any

from heliotrope.core.text import printable
from heliotrope.scan.interface import Context, Recognised, Source
from heliotrope.scan.policy import shipped_policy
from heliotrope.scan.sources import BytesSource

__all__ = ["JsonObjectsAnalyser"]

_PICKLED = ":serialized:"
_NAMES = frozenset({"py/object", "py/type", "py/function", "py/class", "py/method"})
_TAGS = re.compile(rb'"(?::serialized:|py\\?/(?:object|reduce|type|function|class|method|repr))"\s*:')
_ESCAPE = re.compile(rb"\\u00([2-7][0-9a-fA-F])")
_AGENT = "data"
"""The member in which Stable-Baselines3 keeps what is no tensor."""
_BLANKS = b"\xef\xbb\xbf \t\r\n"
"""With a byte order mark."""
_HEAD = 64 * 1024
"""Of a file larger than a configuration may be, only the head is searched for tags."""


class JsonObjectsAnalyser:
    """Judges every pickle and every name in the document, at any depth."""

    format = "json-objects"

    def accepts(self, source: Source, name: str) -> bool:
        start = source.read(0, _HEAD).lstrip(_BLANKS)[:1]
        if name.rpartition("/")[2] == _AGENT and start == b"{":
            return True
        if start not in (b"{", b"["):
            return False
        whole = source.size <= 5 * 2**20
        text = source.read(0, source.size if whole else _HEAD)
        if b"\\u00" in text:
            text = _ESCAPE.sub(lambda match: bytes([int(match[1], 16)]), text)
        return _TAGS.search(text) is not None

    def analyse(self, source: Source, name: str, context: Context) -> Recognised:
        del name
        limit = context.limits.max_config_bytes
        if source.size > limit:
            reason = f"it is a JSON document of more than {limit} bytes that stands for Python objects"
            context.notes.incomplete(reason, limit="max_config_bytes", member=context.member)
            return Recognised(self.format)
        text = source.read(0, limit)
        try:
            json.loads(text, object_pairs_hook=_Judge(context), strict=False)
        except (ValueError, RecursionError):
            context.notes.incomplete("it is damaged JSON, or nested too deeply", member=context.member)
        return Recognised(self.format)


class _Judge:
    """Called for every object in the document, duplicate keys included."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def __call__(self, pairs: list[tuple[str, Any]]) -> None:
        for key, value in pairs:
            if key == _PICKLED and not isinstance(value, str):
                self._context.notes.incomplete("a pickle in it is no text", member=self._context.member)
            if not isinstance(value, str):
                continue
            if key == _PICKLED:
                self._pickle(value)
            elif key in _NAMES:
                self._named(key, value)
            elif key == "py/repr":
                message = "has jsonpickle evaluate a text of the file's choosing"
                self._context.notes.add("json-dangerous-object", message, key=key, member=self._context.member)

    def _pickle(self, value: str) -> None:
        context = self._context
        try:
            data = base64.b64decode(
                value.encode("utf-8", "replace")
            )  # what is no base64 is passed over, as by the loader
        except (binascii.Error, ValueError):
            context.notes.incomplete("a pickle in it is no base64", member=context.member)
            return
        context.notes.add("json-pickled-object", "a value is a pickle", key=_PICKLED, member=context.member)
        if context.nested(BytesSource(data), "serialized", context.inside("serialized")) is None:
            context.notes.incomplete("a value that is unpickled is no pickle that can be read", member=context.member)

    def _named(self, key: str, value: str) -> None:
        module, _, name = value.rpartition(".")
        entry = shipped_policy().lookup(module or "builtins", name)
        if entry.kind in ("dangerous", "dotted"):
            shown = printable(value[:200])
            message = f"names {shown} as {key}, which {entry.reason}"
            self._context.notes.add("json-dangerous-object", message, key=shown, member=self._context.member)
