"""Words of Python source, TorchScript among it, without Python's own parser: its answer would depend on the Python that runs.

Source: the lexical analysis of the Python language reference. What is no Python comes out as single characters, so that
nothing stops the reader.
"""

import re
import unicodedata
from collections.abc import Iterator
from typing import Literal, NamedTuple

from heliotrope.core.characters import names_later, without_later

__all__ = ["Token", "literal", "tokens"]

_SPACE = re.compile(r"(?:[ \t\f\r]|\\\r?\n|#[^\n]*)+")
_TOKEN = re.compile(
    r"""
    (?P<prefix>[A-Za-z]{0,2})(?P<quote>\"{3}|'{3}|"|')
    | (?P<name>[^\W\d]\w*)
    | (?P<number>\d[\d_]*(?:\.[\d_]*)?(?:[eE][+-]?\d+)?)
    | (?P<line>\n)
    | (?P<sign>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_ENDS = {
    "'": re.compile(r"(?:[^'\\\n]|\\.)*+'", re.DOTALL),
    '"': re.compile(r'(?:[^"\\\n]|\\.)*+"', re.DOTALL),
    "'''": re.compile(r"(?:[^'\\]|\\.|'(?!''))*+'''", re.DOTALL),
    '"""': re.compile(r'(?:[^"\\]|\\.|"(?!""))*+"""', re.DOTALL),
}
_PREFIXES = frozenset({"", "r", "b", "u", "f", "t", "br", "rb", "fr", "rf", "tr", "rt"})
_BRACES = re.compile(r"\{([^{}]*)\}")
_MAX_FORMATTED_DEPTH = 4
"""Formatted text inside formatted text; Python 3.12 and later allow any depth, which nobody can read."""

_MAX_UNCLOSED = 50
"""Quotes that nothing closes, each sought to the end of the source. Behind these, texts are read as code, which finds more."""

Kind = Literal["name", "text", "number", "sign", "line", "open text"]


class Token(NamedTuple):
    """A word, and where it stands."""

    kind: Kind
    """`open text`: a quote that nothing closes."""
    text: str
    """As written; a name in the form that Python compares."""
    offset: int
    """In characters."""


def tokens(source: str, *, base: int = 0, depth: int = 0) -> Iterator[Token]:
    """The words in their order, comments and spaces left out. Code inside formatted text follows it in parentheses."""
    source = without_later(source)
    at, end, unclosed = 0, len(source), 0
    while at < end:
        space = _SPACE.match(source, at)
        at = space.end() if space else at
        match = _TOKEN.match(source, at)
        if match is None:
            return
        quote = match["quote"]
        if quote is not None:
            sought = match["prefix"].lower() in _PREFIXES and unclosed < _MAX_UNCLOSED
            stop = _ENDS[quote].match(source, match.end()) if sought else None
            unclosed += sought and stop is None
            if stop is not None:
                yield Token("text", source[at : stop.end()], base + at)
                if depth < _MAX_FORMATTED_DEPTH and set(match["prefix"].lower()) & {"f", "t"}:
                    yield from _formatted(source[match.end() : stop.end()], base + match.end(), depth)
                at = stop.end()
                continue
            if match["prefix"]:
                yield Token("name", match["prefix"], base + at)
                at += len(match["prefix"])
                continue
            yield Token("open text", quote, base + at)
        elif match["name"] is not None:
            yield Token("name", _compared(match["name"]), base + at)
        elif match["number"] is not None:
            yield Token("number", match["number"], base + at)
        else:
            yield Token("line" if match["line"] else "sign", match[0], base + at)
        at = match.end()


def _compared(name: str) -> str:
    """Python compares names in this form, so that letters from elsewhere may spell `os`."""
    return name if name.isascii() else unicodedata.normalize("NFKC", name)


def _formatted(body: str, base: int, depth: int) -> Iterator[Token]:
    for match in _BRACES.finditer(body.replace("{{", "  ").replace("}}", "  ") if "{{" in body else body):
        yield Token("sign", "(", base + match.start())
        yield from tokens(match[1], base=base + match.start(1), depth=depth + 1)
        yield Token("sign", ")", base + match.end() - 1)


def literal(text: str) -> str | None:
    """The value of a text in quotes; None when it cannot be told."""
    prefix = text[: min(text.find(quote) for quote in "'\"" if quote in text)].lower()
    body = text[len(prefix) :]
    body = body[3:-3] if body[:3] in ('"""', "'''") else body[1:-1]
    if "f" in prefix or "t" in prefix:
        return None
    if "\\" not in body or "r" in prefix:
        return body
    if names_later(body):
        return None
    try:
        return body.encode("latin-1", "backslashreplace").decode("unicode_escape")
    except UnicodeDecodeError:
        return None
