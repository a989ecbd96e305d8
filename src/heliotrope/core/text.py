"""Making untrusted text safe to show. Paths, names and labels come from whoever made the model."""

import unicodedata

from heliotrope.core.characters import has_later

__all__ = ["counted", "printable", "shorten"]

_HIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Controls, format characters (bidi overrides, zero-width), surrogates, private use, unassigned, separators. What Unicode
assigned after version 14 counts as unassigned, so that every Python shows the same."""


def printable(text: str) -> str:
    """The text with every control, format and surrogate character written as an escape; one line, safe on a terminal."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escape(char) if _is_hidden(char) else char for char in text)


def _is_hidden(char: str) -> bool:
    return unicodedata.category(char) in _HIDDEN_CATEGORIES or has_later(char)


def _escape(char: str) -> str:
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")


def shorten(text: str, width: int) -> str:
    """At most `width` characters, with an ellipsis in the middle, where paths differ least."""
    if len(text) <= width:
        return text
    head = max((width - 1) // 3, 1)
    return f"{text[:head]}…{text[len(text) - (width - head - 1) :]}"


def counted(count: int, one: str, many: str | None = None) -> str:
    """A number with its noun, as in "1 file" and "2 files"."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
