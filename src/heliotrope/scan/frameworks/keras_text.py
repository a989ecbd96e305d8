"""JSON of Keras' configurations: bounded, every duplicate kept, read as Python's json module would read it."""

import json
import re
from typing import Any

from heliotrope.scan.interface import Context

__all__ = ["DUPLICATES", "parse_config", "speaks_of_classes"]

DUPLICATES = "\0duplicates"
"""Key of what stood under keys that occur again; no reader takes it, but another reader may have taken its values."""


def _escaped(word: str) -> re.Pattern[bytes]:
    """The word as JSON may write it, any of its letters escaped."""
    letters = "".join(rf"(?:{letter}|\\u00{ord(letter):02x})" for letter in word)
    return re.compile(f'"{letters}"'.encode(), re.IGNORECASE)


_CLASS_NAME, _CONFIG = _escaped("class_name"), _escaped("config")
"""The keys of an object of Keras."""

_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*+"|[\[{]|[\]}]', re.DOTALL)


def speaks_of_classes(text: bytes) -> bool:
    """Whether JSON may describe objects of Keras."""
    return _CLASS_NAME.search(text) is not None and _CONFIG.search(text) is not None


def parse_config(text: bytes, context: Context) -> Any:
    """The value, or None with a note on why there is none. The same on every version of Python."""
    limits, notes = context.limits, context.notes
    if len(text) > limits.max_keras_config:
        reason = f"the configuration has more than {limits.max_keras_config} bytes"
        notes.incomplete(reason, limit="max_keras_config", member=context.member)
        return None
    try:
        decoded = text.decode(json.detect_encoding(text), "surrogatepass")
    except UnicodeDecodeError:
        notes.incomplete("the configuration is no text", member=context.member)
        return None
    if _depth(decoded) > limits.max_keras_depth:
        reason = f"the configuration is more than {limits.max_keras_depth} levels deep"
        notes.incomplete(reason, limit="max_keras_depth", member=context.member)
        return None

    def kept(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            notes.add("keras-duplicate-key", "the configuration names a key twice", member=context.member)
            found[DUPLICATES] = [value for key, value in pairs if found[key] is not value]
        return found

    try:
        return json.loads(decoded, object_pairs_hook=kept)
    except (ValueError, RecursionError):
        notes.incomplete("the configuration is no JSON", member=context.member)
        return None


def _depth(text: str) -> int:
    """How deep its brackets go. Python's own limit differs between versions."""
    depth = deepest = 0
    for match in _BRACKETS.finditer(text):
        first = text[match.start()]
        if first in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif first in "]}":
            depth -= 1
    return deepest
