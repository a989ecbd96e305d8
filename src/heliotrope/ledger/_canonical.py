"""Canonical JSON at the speed of the standard library's encoder, where that writes what RFC 8785 asks for.

The general encoder (core.records.canonical_bytes) takes most of the time of an append. The two agree on ASCII text,
integers that doubles hold, and floats that both write in plain decimal notation; everything else goes to the general one.
"""

import json
from typing import Any

from heliotrope.core.records import MAX_SAFE_INTEGER, Record, canonical_bytes

__all__ = ["canonical"]

_dumps = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False).encode


class _BeyondPlainError(Exception):
    """A value that the two encoders may write differently."""


def canonical(content: Record | dict[str, Any]) -> bytes:
    """The same bytes as `canonical_bytes`, and the same errors."""
    data = content.document() if isinstance(content, Record) else content
    try:
        text = _dumps(_plain(data))
    except _BeyondPlainError:
        return canonical_bytes(data)
    # Beyond ASCII the order of names may differ: RFC 8785 sorts by UTF-16 code units, Python by code points.
    return text.encode("ascii") if text.isascii() else canonical_bytes(data)


def _plain(value: Any) -> Any:
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return value
    if kind is dict:
        if all(type(key) is str for key in value):
            return {key: _plain(item) for key, item in value.items()}
    elif kind is list or kind is tuple:
        return [_plain(item) for item in value]
    elif kind is int:
        if -MAX_SAFE_INTEGER <= value <= MAX_SAFE_INTEGER:
            return value
    elif kind is float:
        if value.is_integer():
            return _plain(int(value))
        if 1e-4 <= abs(value) < 1e16:  # outside of this Python writes an exponent, RFC 8785 at other limits
            return value
    raise _BeyondPlainError
