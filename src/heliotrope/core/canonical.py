"""Canonical JSON at the speed of the standard library's encoder, where that writes what RFC 8785 asks for.

The general encoder is pure Python and takes most of the time of whatever is recorded. The two agree on ASCII text,
integers that doubles hold, and floats that both write in plain decimal notation; everything else goes to the general one.
"""

import json
from typing import Any

import rfc8785

__all__ = ["MAX_SAFE_INTEGER", "canonical"]

MAX_SAFE_INTEGER = 2**53 - 1
"""Larger integers are written as strings: RFC 8785 numbers are IEEE 754 doubles."""

_dumps = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False).encode


class _BeyondPlainError(Exception):
    """A value that the two encoders may write differently."""


def canonical(data: Any) -> bytes:
    """The bytes that RFC 8785 asks for; ValueError (or RecursionError) for what is no JSON."""
    try:
        text = _dumps(_plain(data))
    except _BeyondPlainError:
        return rfc8785.dumps(data)
    # Beyond ASCII the order of names may differ: RFC 8785 sorts by UTF-16 code units, Python by code points.
    return text.encode("ascii") if text.isascii() else rfc8785.dumps(data)


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
