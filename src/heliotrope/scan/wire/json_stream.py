"""JSON walked in pieces: strictly, to the last byte, without ever holding more than one token and a window.

Source: RFC 8259; NaN and Infinity are taken as numbers, because the libraries that write models write them.
"""

import re
from collections.abc import Iterator

from heliotrope.scan.interface import Source

__all__ = ["MAX_TOKEN", "JsonError", "Place", "walk_json"]

_WINDOW = 256 * 1024
MAX_TOKEN = 4 * 2**20
"""Bytes of one string; descriptions that libraries leave in their models have some thousand."""
_MAX_TOKENS = 10_000_000
"""Tokens, some twenty seconds of work; runs of numbers count as one. A forest of 10,000 trees has half a million."""
_MAX_DEPTH = 100
_TOLD_DEPTH = 3

_NUMBER = rb"-?(?:(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?|NaN|Infinity)"
_STRING = rb'"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+"'
_TOKEN = re.compile(rb"[ \t\n\r]*+(?:([{}\[\],:])|(" + _STRING + rb")|(" + _NUMBER + rb"|true|false|null))")
_NUMBERS = re.compile(rb"(?:[ \t\n\r]*+" + _NUMBER + rb"[ \t\n\r]*+,)++")
"""A run of numbers in an array, each with the comma behind it."""
_SPACE = re.compile(rb"[ \t\n\r]*+")

Place = tuple[str, ...]
"""The keys that lead to a value, outermost first."""


class JsonError(Exception):
    """The bytes are no JSON, or not whole."""


class _Tokens:
    """Tokens one after another, from a window of the source."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._base = 0
        self._buffer = source.read(0, _WINDOW)
        self._at = 0
        self._left = _MAX_TOKENS

    @property
    def _last(self) -> bool:
        return self._base + len(self._buffer) >= self._source.size

    def next(self) -> bytes | None:
        """The next token; None at the end of the source."""
        self._left -= 1
        if self._left < 0:
            raise JsonError(f"it has more than {_MAX_TOKENS} tokens")
        while True:
            match = _TOKEN.match(self._buffer, self._at)
            # Three bytes behind a number show that it has no exponent or fraction that the window cuts.
            whole = match is not None and (match[1] or match[2] or match.end() + 2 < len(self._buffer) or self._last)
            if match is not None and whole:
                self._at = match.end()
                return match[match.lastindex or 0]
            if self._last:
                rest = _SPACE.match(self._buffer, self._at)
                if rest is not None and rest.end() == len(self._buffer):
                    return None
                raise JsonError(f"it is no JSON from byte {self._base + self._at} on")
            self._more()

    def skip_numbers(self) -> bool:
        """Pass over numbers that are followed by a comma; whether there were any."""
        begun = self._base + self._at
        while (match := _NUMBERS.match(self._buffer, self._at)) is not None:
            self._at = match.end()
            if match.end() < len(self._buffer) - 64 or self._last:
                break
            self._more()
        return self._base + self._at > begun

    def _more(self) -> None:
        kept = len(self._buffer) - self._at
        if kept > MAX_TOKEN:
            raise JsonError(f"a token has more than {MAX_TOKEN} bytes")
        self._base += self._at
        self._buffer = self._source.read(self._base, kept * 2 + _WINDOW)
        self._at = 0


def walk_json(source: Source) -> Iterator[tuple[Place, bytes]]:
    """Each value at most three keys deep, with its first token: `{`, `[`, a string in quotes, a number, or a word.

    The iteration ends at the last byte. Raises JsonError for anything that is not one JSON value, or names a key twice
    at these depths.
    """
    tokens = _Tokens(source)
    yield from _Walk(tokens).run()
    if tokens.next() is not None:
        raise JsonError("more follows behind its value")


class _Walk:
    def __init__(self, tokens: _Tokens) -> None:
        self._tokens = tokens
        self._open: list[bytes] = []
        self._keys: list[str] = []
        """Of the objects that are open; an array takes part with an empty one."""
        self._seen: list[set[str]] = []

    def run(self) -> Iterator[tuple[Place, bytes]]:
        token = self._required()
        while True:
            if token in (b"}", b"]", b",", b":"):
                raise JsonError("a value is missing")
            if len(self._keys) <= _TOLD_DEPTH:
                yield tuple(self._keys), token
            token = self._enter(token) if token in (b"{", b"[") else b""
            while token in (b"", b"}", b"]"):  # a value has ended
                if token:
                    self._leave(token)
                if not self._open:
                    return
                token = self._behind_value()

    def _enter(self, bracket: bytes) -> bytes:
        """The first token inside that begins a value, or the bracket that closes it."""
        if len(self._open) >= _MAX_DEPTH:
            raise JsonError(f"it is more than {_MAX_DEPTH} levels deep")
        self._open.append(bracket)
        self._keys.append("")
        self._seen.append(set())
        if bracket == b"[":
            return self._value() if self._tokens.skip_numbers() else self._required()
        token = self._required()
        return token if token == b"}" else self._key(token)

    def _key(self, token: bytes) -> bytes:
        if token[:1] != b'"':
            raise JsonError("a key is no text")
        if len(self._keys) <= _TOLD_DEPTH:
            key = token[1:-1][:200].decode("utf-8", "replace")
            if key in self._seen[-1] or len(self._seen[-1]) > 100_000:
                raise JsonError("a key occurs twice")
            self._seen[-1].add(key)
            self._keys[-1] = key
        if self._required() != b":":
            raise JsonError("a colon is missing")
        return self._required()

    def _leave(self, bracket: bytes) -> None:
        if not self._open or self._open[-1] + bracket not in (b"{}", b"[]"):
            raise JsonError("brackets do not match")
        self._open.pop()
        self._keys.pop()
        self._seen.pop()

    def _behind_value(self) -> bytes:
        """A closing bracket, or the first token of the next value."""
        token = self._required()
        if token in (b"}", b"]"):
            return token
        if token != b",":
            raise JsonError("a comma is missing")
        if self._open[-1] == b"[":
            self._tokens.skip_numbers()
            return self._value()
        return self._key(self._required())

    def _value(self) -> bytes:
        token = self._required()
        if token in (b"}", b"]"):
            raise JsonError("a value is missing")
        return token

    def _required(self) -> bytes:
        token = self._tokens.next()
        if token is None:
            raise JsonError("it breaks off")
        return token
