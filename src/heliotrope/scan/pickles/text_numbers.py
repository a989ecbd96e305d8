"""Numbers written as lines of text (protocol 0), as far as either unpickler accepts them.

The C unpickler reads them with strtol, PyLong_FromString and PyOS_string_to_double, which stop at a null byte and know
octal and hexadecimal; `pickle._Unpickler` uses int() and float(). What one of them accepts lets its stream go on.
"""

import re
from typing import Final

__all__ = ["is_number", "memo_index"]

_WHOLE: Final = re.compile(
    rb"\s*[+-]?(?:0[xX]_?[0-9a-fA-F](?:_?[0-9a-fA-F])*|0[oO]_?[0-7](?:_?[0-7])*|0[bB]_?[01](?:_?[01])*|[0-9](?:_?[0-9])*)\s*L?\s*"
)
_FLOATING: Final = re.compile(
    rb"\s*[+-]?(?:(?:[0-9](?:_?[0-9])*\.?(?:[0-9](?:_?[0-9])*)?|\.[0-9](?:_?[0-9])*)(?:[eE][+-]?[0-9](?:_?[0-9])*)?|nan|inf(?:inity)?)\s*",
    re.IGNORECASE,
)
_INDEX: Final = re.compile(rb"\s*([+-]?)([0-9](?:_?[0-9])*)\s*")
_EXACT_DIGITS: Final = 18
_BEYOND: Final = 2**64


def is_number(line: bytes, *, floating: bool) -> bool:
    """Whether INT or LONG, or else FLOAT, takes a line without its end. May say yes where both refuse, never no where one takes it."""
    head, null, _ = line.partition(b"\0")
    if null and not head:
        return True  # strtol ends where it began, at a zero byte, and calls that success
    return (_FLOATING if floating else _WHOLE).fullmatch(head) is not None


def memo_index(line: bytes) -> int | None:
    """The index that GET and PUT read. One of more than 18 digits gives a number of its own, above any that fits an opcode."""
    match = _INDEX.fullmatch(line.partition(b"\0")[0])
    if match is None:
        return None
    digits = match[2].replace(b"_", b"").lstrip(b"0") or b"0"
    # Read as hexadecimal, which has no limit of digits that the environment could change.
    size = int(digits) if len(digits) <= _EXACT_DIGITS else _BEYOND + int(digits, 16)
    return -size if match[1] == b"-" else size
