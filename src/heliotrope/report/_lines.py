"""Lines for a terminal: wrapped by the columns they take, optionally coloured, never with anything untrusted unescaped."""

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field

from heliotrope.core.text import printable
from heliotrope.report._text import plain

__all__ = ["Lines", "columns", "wrap"]

_STYLES = {"red": "31", "green": "32", "yellow": "33", "violet": "35", "bold": "1", "dim": "2"}
MIN_WIDTH = 40
_MAX_ADVICE = 400
_MAX_SNIPPET = 12
"""Lines of advice beyond the first."""


def columns(text: str) -> int:
    """How many columns a text takes: two for wide characters, none for combining ones."""
    return sum(_width(char) for char in text)


def _width(char: str) -> int:
    if unicodedata.combining(char) or unicodedata.category(char) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def wrap(text: str, width: int) -> list[str]:
    """Lines of at most `width` columns, broken at spaces where there are any."""
    lines: list[str] = []
    line = ""
    for word in text.split():
        for piece in _pieces(word, width):
            joined = f"{line} {piece}" if line else piece
            if columns(joined) <= width:
                line = joined
            else:
                lines.append(line)
                line = piece
    return [*lines, line] if line else lines


def _pieces(word: str, width: int) -> Iterator[str]:
    """A word that fits, or parts of it that do."""
    if columns(word) <= width:
        yield word
        return
    piece, used = "", 0
    for char in word:
        taken = _width(char)
        if used + taken > width:
            yield piece
            piece, used = "", 0
        piece, used = piece + char, used + taken
    if piece:
        yield piece


@dataclass
class Lines:
    """Collects lines of at most `width` columns; whatever is added is made printable."""

    width: int
    color: bool
    _lines: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.width = max(self.width, MIN_WIDTH)

    def add(self, text: str, *, first: str = "", indent: int = 0, style: str = "") -> None:
        """A paragraph. `first` stands before its first line; the others are indented to its end or by `indent`."""
        hang = max(indent, columns(first))
        lead = first.ljust(hang - columns(first) + len(first)) if first else " " * indent
        for position, line in enumerate(wrap(printable(text), self.width - hang)):
            self._lines.append(self._styled((lead if position == 0 else " " * hang) + line, style))

    def verbatim(self, text: str) -> None:
        """A line that keeps its spaces, cut at the width."""
        self._lines.append(next(_pieces(printable(text), self.width), "").rstrip())

    def advice(self, text: str) -> None:
        """What to do: a paragraph, then lines that keep their spaces, as of a piece of configuration."""
        head, *rest = text.splitlines() or [""]
        if head:
            self.add(plain(head, _MAX_ADVICE), first="    to do   ")
        for line in rest[:_MAX_SNIPPET]:
            self.verbatim(f"            {plain(line, 200)}")

    def heading(self, text: str) -> None:
        """A blank line and a heading."""
        self.blank()
        self._lines.extend(self._styled(line, "bold") for line in wrap(printable(text), self.width))

    def blank(self) -> None:
        if self._lines and self._lines[-1]:
            self._lines.append("")

    def _styled(self, text: str, style: str) -> str:
        if not self.color or not style:
            return text
        codes = ";".join(_STYLES[name] for name in style.split())
        return f"\x1b[{codes}m{text}\x1b[0m"

    def text(self) -> str:
        return "\n".join(self._lines) + "\n"
