"""Reading TOML that may have been written to exhaust a parser."""

import re
import tomllib
from collections.abc import Iterator
from typing import Any

from heliotrope.core.errors import InputError
from heliotrope.supply.dependencies.interface import require_size

__all__ = ["entry_lines", "read_toml", "tables", "text_line", "text_of"]

_MAX_DOTS = 200
"""Dots of one line outside texts. The parser takes time with the square of the parts of a dotted key; real keys have six."""

_QUIET = re.compile(r'"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'|\d\d:\d\d:\d\d\.\d+')
"""Texts and times, whose dots divide nothing."""


def read_toml(data: bytes) -> tuple[dict[str, Any], str]:
    """The document and its text; InputError says where it is not TOML."""
    require_size(data)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(f"line {line}: is not UTF-8 text") from None
    for number, line_text in enumerate(text.split("\n"), start=1):
        if line_text.count(".") > _MAX_DOTS and _QUIET.sub("", line_text).count(".") > _MAX_DOTS:
            raise InputError(f"line {number}: more than {_MAX_DOTS} dots outside texts")
    try:
        return tomllib.loads(text), text
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"is not TOML: {str(error)[:200]}") from None
    except (RecursionError, ValueError, OverflowError):
        raise InputError("is not TOML that can be read: nested too deep, or a number or date out of range") from None


def tables(value: object) -> Iterator[dict[str, Any]]:
    """The tables of an array of tables; whatever else is there is an InputError."""
    if value is None:
        return
    if not isinstance(value, list):
        raise InputError("an array of tables is expected")
    for item in value:
        if not isinstance(item, dict):
            raise InputError("an array of tables is expected")
        yield item


def text_of(value: object) -> str | None:
    """The text, or None for anything else."""
    return value if isinstance(value, str) and value else None


def entry_lines(text: str, header: str, count: int) -> list[int | None]:
    """The line of each `[[header]]`, in order; nothing but None when there are not exactly `count` of them."""
    found: list[int | None] = [
        number for number, line in enumerate(text.split("\n"), start=1) if line.strip() == f"[[{header}]]"
    ]
    return found if len(found) == count else [None] * count


def text_line(text: str, wanted: str) -> int | None:
    """The first line that holds a text in quotes; None when none does, as for one with escapes."""
    for quote in ('"', "'"):
        at = text.find(f"{quote}{wanted}{quote}")
        if at >= 0:
            return text.count("\n", 0, at) + 1
    return None
