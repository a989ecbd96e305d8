"""Which names a source refers to and calls: dotted, with what `import`, assignment and `getattr` say they stand for."""

from collections.abc import Iterator
from typing import NamedTuple

from heliotrope.scan.frameworks.code_tokens import Token, literal, tokens

__all__ = ["Reference", "references"]

_END = Token("line", "", 0)
_MAX_ALIASES = 100_000
_MAX_PARTS = 40
_MAX_STARS = 20
_KEYWORDS = frozenset({
    "and", "as", "assert", "async", "await", "class", "def", "del", "elif", "else", "except", "finally", "for", "global",
    "if", "in", "is", "lambda", "nonlocal", "not", "or", "pass", "raise", "return", "try", "while", "with", "yield",
    "break", "continue", "True", "False", "None",
})  # fmt: skip


class Reference(NamedTuple):
    """A name that the source uses."""

    name: str
    """Dotted; `?` stands for a value that only exists while it runs, as in `?.save`."""
    called: bool
    imported: bool
    """It stands in an import statement."""
    argument: str | None
    """The first argument of a call, if it is a text."""
    offset: int


def references(source: str) -> Iterator[Reference]:
    """Every name in its order. What a name stands for is taken from the nearest assignment before it, in any scope."""
    yield from _Reader(source).run()


class _Reader:
    def __init__(self, source: str) -> None:
        self._tokens = tokens(source)
        self._ahead: list[Token] = []
        self._previous = _END
        self._aliases: dict[str, str] = {}
        self._stars: list[str] = []
        self._targets: list[str] = []
        """Names left of an assignment whose right side begins here."""
        self._at_start = True

    # the words

    def _peek(self, index: int = 0) -> Token:
        while len(self._ahead) <= index:
            self._ahead.append(next(self._tokens, _END))
        return self._ahead[index]

    def _next(self) -> Token:
        token = self._peek()
        del self._ahead[0]
        self._previous = token
        return token

    def _ended(self) -> bool:
        return self._peek() is _END

    def _behind_lines(self, index: int = 0) -> int:
        """The place of the next word that is no end of line; inside brackets these mean nothing. At most some are passed."""
        while self._peek(index).kind == "line" and self._peek(index) is not _END and index < _MAX_PARTS:
            index += 1
        return index

    def _skip(self, text: str) -> bool:
        index = self._behind_lines()
        if self._peek(index).text != text or self._peek(index).kind == "text":
            return False
        for _ in range(index + 1):
            self._next()
        return True

    # what they refer to

    def run(self) -> Iterator[Reference]:
        while not self._ended():
            start, self._at_start = self._at_start, False
            token = self._peek()
            if token.kind == "name" and start and token.text in ("import", "from"):
                yield from self._import()
            elif token.kind == "name":
                yield from self._name(start=start)
            else:
                self._next()
            last = self._previous
            self._at_start = last.kind == "line" or last.text in (";", ":")
            if last.kind == "line":
                self._targets.clear()

    def _name(self, *, start: bool) -> Iterator[Reference]:
        method = self._previous.text == "." and self._previous.kind == "sign"
        token = self._next()
        if token.text in _KEYWORDS and not method:
            return
        parts = self._chain(token.text)
        simple = len(parts) == 1 and not method
        if simple and parts[0] == "getattr" and self._peek(self._behind_lines()).text == "(":
            yield from self._getattr(token)
            return
        if simple and self._assigned(start=start):
            self._targets.append(parts[0])
            return
        name = ".".join(["?", *parts]) if method else self._resolved(parts)
        yield from self._used(name, token.offset, bare=simple)

    def _used(self, name: str, offset: int, *, bare: bool = False) -> Iterator[Reference]:
        index = self._behind_lines()
        while self._peek(index).text == ")" and index < _MAX_PARTS:  # `(os.system)("true")`
            index = self._behind_lines(index + 1)
        called = self._peek(index).text == "(" and self._peek(index).kind == "sign"
        argument = self._argument(index + 1) if called else None
        yield Reference(name, called, imported=False, argument=argument, offset=offset)
        if bare and name not in self._aliases:
            for module in self._stars:
                yield Reference(f"{module}.{name}", called, imported=False, argument=argument, offset=offset)
        if self._targets and (self._peek().kind == "line" or self._peek().text in (";", ")")):
            for target in self._targets:
                if len(self._aliases) < _MAX_ALIASES:
                    self._aliases[target] = name
        self._targets.clear()

    def _argument(self, index: int) -> str | None:
        token = self._peek(self._behind_lines(index))
        return literal(token.text) if token.kind == "text" else None

    def _chain(self, first: str) -> list[str]:
        parts = [first]
        while True:
            dot = self._behind_lines()
            name = self._behind_lines(dot + 1)
            if self._peek(dot).text != "." or self._peek(name).kind != "name":
                return parts
            for _ in range(name):
                self._next()
            parts.append(self._next().text)
            if len(parts) > _MAX_PARTS:  # the middle of such a chain says nothing
                del parts[2]

    def _assigned(self, *, start: bool) -> bool:
        """Whether `=` or `:=` follows, which is then passed."""
        if (start or self._targets) and self._peek().text == "=" and self._peek(1).text != "=":
            self._next()
            return True
        if self._peek().text == ":" and self._peek(1).text == "=":
            self._next()
            self._next()
            return True
        return False

    def _resolved(self, parts: list[str]) -> str:
        first = self._aliases.get(parts[0], parts[0])
        return ".".join([first, *parts[1:]])

    def _getattr(self, token: Token) -> Iterator[Reference]:
        """`getattr(a.b, "c")` is a.b.c; with a name that only exists while it runs, it is `getattr` itself."""
        yield Reference("getattr", called=True, imported=False, argument=None, offset=token.offset)
        self._skip("(")
        if self._peek().kind != "name":
            return
        owner = self._resolved(self._chain(self._next().text))
        if not self._skip(","):
            yield from self._used(owner, token.offset)
            return
        name = self._texts()
        if name:
            yield from self._used(f"{owner}.{name}", token.offset)
        else:  # whatever it is, nobody takes such pains without a use for it
            yield Reference(f"{owner}.?", called=True, imported=False, argument=None, offset=token.offset)

    def _texts(self) -> str | None:
        """The value of texts one after another, up to the end of the arguments; None when it is computed."""
        value: str | None = ""
        while self._peek(self._behind_lines()).kind == "text":
            for _ in range(self._behind_lines()):
                self._next()
            part = literal(self._next().text)
            value = None if value is None or part is None else value + part
        return value if self._skip(")") or self._peek(self._behind_lines()).text == "," else None

    # statements of import

    def _import(self) -> Iterator[Reference]:
        word = self._next()
        if word.text == "import":
            yield from self._imported("", word.offset)
            return
        module = ""
        while self._peek().text == ".":
            module += self._next().text
        if self._peek().kind == "name" and self._peek().text != "import":
            module += ".".join(self._chain(self._next().text))
        if self._peek().text != "import":
            return
        self._next()
        self._skip("(")
        if self._peek().text == "*":
            self._next()
            if len(self._stars) < _MAX_STARS:
                self._stars.append(module)
            yield Reference(module, called=False, imported=True, argument=None, offset=word.offset)
            return
        yield from self._imported(module, word.offset)

    def _imported(self, module: str, offset: int) -> Iterator[Reference]:
        """The names behind `import`, with what they are called from here on."""
        while self._peek(self._behind_lines() if module else 0).kind == "name":
            if module:
                for _ in range(self._behind_lines()):
                    self._next()
            parts = self._chain(self._next().text)
            name = ".".join(parts)
            full = f"{module}{'' if module.endswith('.') else '.'}{name}" if module else name
            yield Reference(full, called=False, imported=True, argument=None, offset=offset)
            known = parts[0]
            stands_for = full if module else parts[0]
            if self._peek().text == "as" and self._peek(1).kind == "name":
                self._next()
                known, stands_for = self._next().text, full
            if len(self._aliases) < _MAX_ALIASES:
                self._aliases[known] = stands_for
            if not self._skip(","):
                return
