"""Python source as a syntax tree, with the same answer on every Python: what 3.11 would not parse is not parsed.

Sources: the language reference of 3.11; PEP 701, whose f-strings later versions take and 3.11 does not. Places inside of
f-strings, which versions count differently, are all where the string begins.
"""

import ast
import re
import warnings

from heliotrope.core.characters import has_later, names_later
from heliotrope.scan.limits import ScanLimits

__all__ = ["SourceError", "code_of", "parse_source"]

_TOKEN = re.compile(
    r"#[^\n]*|(?P<prefix>(?:\b[a-zA-Z]{1,2})?)(?P<quote>\"\"\"|'''|\"|')|[(\[{]|[)\]}]|\n|[^\W\d]\w*|[0-9][0-9_]*|[^\S\n]+|.",
    re.DOTALL,
)
_ENDS = {
    quote: re.compile(rf"(?:[^\\{quote[0]}]|\\.|{quote[0]}(?!{quote[1:]}))*+{quote}" if len(quote) == 3
                      else rf"(?:[^\\{quote}\n]|\\.)*+{quote}", re.DOTALL)
    for quote in ('"""', "'''", '"', "'")
}  # fmt: skip
_CODING = re.compile(rb"^[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)")
_ENCODINGS = frozenset({"utf-8", "utf8", "utf-8-sig", "ascii", "us-ascii", "latin-1", "latin1", "iso-8859-1"})
_MAX_BRACKETS = 80
_CONVERSION = re.compile(r"![rsa][:}]")
_MAX_DIGITS = 640
"""Of a number: as many as Python reads with every setting of its limit on them."""
_JOINERS = re.compile("[\u200c\u200d\u30fb\uff65]")
"""Parts of names since Unicode 15.1."""


class SourceError(Exception):
    """It cannot be parsed, and why."""


def code_of(data: bytes) -> str:
    """The text of a module; SourceError for an encoding that could hide something."""
    lines = data.split(b"\n", 2)[:2]
    named = next((match[1].decode("ascii", "replace").lower() for match in map(_CODING.match, lines) if match), "utf-8")
    if named.replace("_", "-") not in _ENCODINGS:
        raise SourceError(f"is written in the encoding {named[:40]}")
    encoding = "latin-1" if "1" in named and "16" not in named else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        raise SourceError("is no UTF-8 text") from None
    if "\0" in text:
        raise SourceError("holds null characters")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def parse_source(text: str, limits: ScanLimits) -> ast.Module:
    """The tree; nothing is compiled or run. SourceError when Python 3.11 would not parse it, or it is too deep."""
    _check_tokens(text, limits.max_module_tokens)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text, feature_version=(3, 11))
    except (SyntaxError, ValueError):
        raise SourceError("is no Python 3.11") from None
    except (RecursionError, MemoryError):
        raise SourceError(f"is more than {limits.max_module_depth} levels deep") from None
    if _settle(tree) > limits.max_module_depth:
        raise SourceError(f"is more than {limits.max_module_depth} levels deep")
    return tree


def _settle(tree: ast.Module) -> int:
    """Even out what versions say differently about one text, and give the depth of its tree."""
    deepest = 0
    nodes: list[tuple[ast.AST, ast.JoinedStr | None]] = [(tree, None)]
    while nodes:
        deepest += 1
        below: list[tuple[ast.AST, ast.JoinedStr | None]] = []
        for node, around in nodes:
            if isinstance(node, ast.FormattedValue) and isinstance(node.value, ast.Starred):
                raise SourceError("is no Python 3.11")
            if around is not None and isinstance(node, ast.expr):
                node.lineno, node.col_offset = around.lineno, around.col_offset
            inside = node if around is None and isinstance(node, ast.JoinedStr) else around
            below.extend((child, inside) for child in ast.iter_child_nodes(node))
        nodes = below
    return deepest


def _check_tokens(text: str, limit: int) -> None:
    """Refuse what only some versions read, in brackets, f-strings, characters and numbers, and more tokens than are looked at."""
    level, at, left = 0, 0, 2 * limit
    while (match := _TOKEN.match(text, at)) is not None:
        at = match.end()
        piece = match[0]
        left -= 1 if piece.isspace() else 2
        if left < 0:
            raise SourceError(f"has more than {limit} tokens")
        if match["quote"]:
            end = _ENDS[match["quote"]].match(text, at)
            if end is None:
                raise SourceError("is no Python 3.11")
            _check_string(match["prefix"].lower(), text[at : end.end() - len(match["quote"])])
            at = end.end()
        elif piece in "([{":
            level += 1
            if level > _MAX_BRACKETS:
                raise SourceError(f"has more than {_MAX_BRACKETS} levels of brackets")
        elif piece in ")]}":
            level -= 1
        elif piece[0] != "#" and (
            (len(piece.replace("_", "")) > _MAX_DIGITS and piece[0].isdigit()) or _is_newer(piece)
        ):
            raise SourceError("is no Python 3.11")


def _is_newer(piece: str) -> bool:
    """Whether a name or mark holds what was no part of names for Unicode 14."""
    return not piece.isascii() and (has_later(piece) or _JOINERS.search(piece) is not None)


def _check_string(prefix: str, body: str) -> None:
    if "r" not in prefix and "b" not in prefix and names_later(body):
        raise SourceError("is no Python 3.11")
    if "f" in prefix:
        _check_fields(body, 0)


def _check_fields(body: str, depth: int) -> None:
    """The inside of an f-string by the rules of 3.11: no backslash, comment or open bracket within a field."""
    at = 0
    while at < len(body):
        character = body[at]
        if body[at : at + 2] in ("{{", "}}") and depth == 0:
            at += 2
        elif character == "\\" and body[at : at + 3] == "\\N{":
            end = body.find("}", at)
            at = end + 1 if end >= 0 else len(body)
        elif character == "{":
            at = _field_end(body, at + 1, depth)
        else:
            at += 1


def _field_end(body: str, at: int, depth: int) -> int:  # noqa: C901 - one branch for each mark
    """Behind the brace that ends a field, as 3.11 finds it."""
    open_brackets: list[str] = []
    while at < len(body):
        character = body[at]
        if character in "\\#" or _is_newer(character):
            raise SourceError("is no Python 3.11")
        if character in "\"'":
            quote = body[at : at + 3] if body[at : at + 3] in ('"""', "'''") else character
            end = body.find(quote, at + len(quote))
            if end < 0 or "\\" in body[at:end]:
                raise SourceError("is no Python 3.11")
            at = end + len(quote)
            continue
        if character in "([{":
            open_brackets.append(character)
        elif character in ")]}" and open_brackets:
            open_brackets.pop()
        elif character == "}":
            return at + 1
        elif character == "!" and not open_brackets and body[at + 1 : at + 2] != "=":
            if _CONVERSION.match(body, at) is None:
                raise SourceError("is no Python 3.11")
        elif character == ":" and not open_brackets:
            return _spec_end(body, at + 1, depth)
        at += 1
    raise SourceError("is no Python 3.11")


def _spec_end(body: str, at: int, depth: int) -> int:
    """Behind the brace that ends a field with a format; fields may stand in the format, one level deep."""
    while at < len(body):
        if body[at] == "{":
            if depth >= 1:
                raise SourceError("is no Python 3.11")
            at = _field_end(body, at + 1, depth + 1)
        elif body[at] == "}":
            return at + 1
        else:
            at += 1
    raise SourceError("is no Python 3.11")
