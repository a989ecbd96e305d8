"""A small builder of values from a pickle: containers, texts, numbers, tensors and arrays. It imports and calls nothing.

It runs on files that the scan found clean. Objects of any other kind become placeholders that remember their name, their
arguments and their state, so that tensors in them are not lost without a word.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from heliotrope.scan.converting.tensors import CannotConvertError
from heliotrope.scan.interface import Source
from heliotrope.scan.sources import find_byte

__all__ = ["Bytes", "Global", "Made", "build"]

_MAX_OPCODES = 4_000_000
"""Values take about a hundred bytes each. A checkpoint of 10,000 tensors has under a million."""
_MAX_TEXT = 2**20
_MAX_NUMBER = 1024
"""Bytes, or digits, of a number."""
_MAX_TEXTS = 256 * 2**20
"""Bytes of all texts."""
_MARK: Final = object()


@dataclass(frozen=True, slots=True)
class Global:
    """An imported name."""

    name: str


@dataclass(frozen=True, slots=True)
class Bytes:
    """Bytes that lie in the source."""

    offset: int
    size: int


@dataclass(slots=True, eq=False)
class Made:
    """An object that some call would make."""

    callee: str
    arguments: tuple[Any, ...]
    state: Any = None
    items: list[Any] = field(default_factory=list)


Call = Callable[[str, tuple[Any, ...]], Any]
"""Makes a value of a call by name and arguments; NotImplemented for one it does not know."""


class _Builder:
    def __init__(
        self,
        source: Source,
        call: Call,
        persistent: Callable[[Any], Any],
        built: Callable[[Any, Any, int], tuple[Any, int]],
        *,
        max_opcodes: int = _MAX_OPCODES,
        max_texts: int = _MAX_TEXTS,
        strict: bool = False,
    ) -> None:
        self._source = source
        self._max_opcodes = max_opcodes
        self._max_texts = max_texts
        self._strict = strict
        self._call = call
        self._persistent = persistent
        self._built = built
        self.at = 0
        self._texts = 0
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, start: int) -> Any:
        self.at = start
        for _ in range(self._max_opcodes):
            code = self._take(1)[0]
            if code == 0x2E:
                return self.stack.pop()
            handler = _HANDLERS.get(code)
            if handler is None:
                raise CannotConvertError(f"opcode 0x{code:02x} at byte {self.at - 1} has no place in a file of tensors")
            handler(self)
        raise CannotConvertError(f"more than {self._max_opcodes} pickle opcodes")

    def _take(self, size: int) -> bytes:
        data = self._source.read(self.at, size)
        if len(data) < size:
            raise CannotConvertError("the pickle ends too early")
        self.at += size
        return data

    def number(self, width: int, *, signed: bool = False) -> int:
        return int.from_bytes(self._take(width), "little", signed=signed)

    def line(self, encoding: str = "utf-8") -> str:
        end = find_byte(self._source, b"\n", self.at)
        if end < 0 or end - self.at > _MAX_TEXT:
            raise CannotConvertError("a line of text does not end")
        data = self._take(end + 1 - self.at)
        return data[:-1].decode(encoding, "replace")

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def text(self, width: int, encoding: str = "utf-8") -> None:
        size = self.number(width)
        self._texts += size
        if self._texts > self._max_texts:
            raise CannotConvertError(f"its texts have more than {self._max_texts} bytes")
        if size > _MAX_TEXT:
            self.push(self._skipped(size))
        else:
            self.push(self._take(size).decode(encoding, "surrogatepass" if encoding == "utf-8" else "strict"))

    def bytes(self, width: int) -> None:
        self.push(self._skipped(self.number(width)))

    def _skipped(self, size: int) -> Bytes:
        found = Bytes(self.at, size)
        self.at += size
        if self.at > self._source.size:
            raise CannotConvertError("the pickle ends too early")
        return found

    def cut(self) -> list[Any]:
        place = len(self.stack) - 1
        while self.stack[place] is not _MARK:
            place -= 1
        items = self.stack[place + 1 :]
        del self.stack[place:]
        return items

    def make(self, callee: Any, arguments: Any) -> None:
        name = callee.name if isinstance(callee, Global) else "an object"
        found = self._call(name, tuple(arguments))
        self.push(Made(name, tuple(arguments)) if found is NotImplemented else found)

    def two(self, function: Callable[[Any, Any], None]) -> None:
        second, first = self.stack.pop(), self.stack.pop()
        function(first, second)

    def build(self) -> None:
        state, target = self.stack.pop(), self.stack.pop()
        value, self.at = self._built(target, state, self.at)
        self.push(value)

    def set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, Made):
            target.items.extend(items)
            return
        for key, value in zip(items[::2], items[1::2], strict=True):
            if self._strict and not isinstance(key, str | int | float | bool | tuple | Global | None):
                raise CannotConvertError("a key of a dictionary is computed")
            target[key if isinstance(key, str | int | float | bool | tuple | None) else repr(key)] = value

    def append(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, Made):
            target.items.extend(items)
        else:
            target.extend(items)

    def long(self, size: int) -> None:
        if size > _MAX_NUMBER:
            raise CannotConvertError(f"a number of {size} bytes")
        self.push(int.from_bytes(self._take(size), "little", signed=True))

    def decimal(self) -> None:
        line = self.line().strip().rstrip("L")
        self.push({"00": False, "01": True}.get(line, int(line[:_MAX_NUMBER] or "0")))

    def persistent(self, identifier: Any) -> None:
        self.push(self._persistent(identifier))


def build(
    source: Source,
    start: int,
    *,
    call: Call,
    persistent: Callable[[Any], Any],
    built: Callable[[Any, Any, int], tuple[Any, int]],
    max_opcodes: int = _MAX_OPCODES,
    max_texts: int = _MAX_TEXTS,
    strict: bool = False,
) -> tuple[Any, int]:
    """The value of the pickle at an offset, and where the next byte lies. `built` also says where the stream goes on.

    CannotConvertError for a stream that is no ordinary one; if `strict`, also for keys of dictionaries that are computed.
    """
    builder = _Builder(source, call, persistent, built, max_opcodes=max_opcodes, max_texts=max_texts, strict=strict)
    try:
        return builder.run(start), builder.at
    except (IndexError, KeyError, TypeError, ValueError, AttributeError, OverflowError, UnicodeError) as error:
        raise CannotConvertError(
            f"the pickle cannot be followed at byte {builder.at}: {type(error).__name__}"
        ) from None


def _put(builder: _Builder, index: int) -> None:
    builder.memo[index] = builder.stack[-1]


def _get(builder: _Builder, index: int) -> None:
    builder.push(builder.memo[index])


def _tuple(builder: _Builder, size: int) -> None:
    items = tuple(builder.stack[-size:])
    del builder.stack[-size:]
    builder.push(items)


def _named(builder: _Builder, kind: Callable[[list[Any]], Any]) -> None:
    builder.push(kind(builder.cut()))


def _pairs(items: list[Any]) -> dict[Any, Any]:
    return dict(zip(items[::2], items[1::2], strict=True))


def _newobj_ex(builder: _Builder) -> None:
    builder.stack.pop()
    builder.two(builder.make)


def _inst(builder: _Builder) -> None:
    name = f"{builder.line()}.{builder.line()}"
    builder.make(Global(name), builder.cut())


def _obj(builder: _Builder) -> None:
    callee, *arguments = builder.cut()
    builder.make(callee, arguments)


def _setitem(builder: _Builder) -> None:
    value, key = builder.stack.pop(), builder.stack.pop()
    builder.set_items([key, value])


def _additems(builder: _Builder) -> None:
    builder.stack[-1].extend(builder.cut()) if isinstance(builder.stack[-1], list) else builder.cut()


def _string(builder: _Builder) -> None:
    line = builder.line()
    if "\\" in line:
        raise CannotConvertError("a text of protocol 0 is written with escapes")
    builder.push(line.strip("'\""))


_HANDLERS: Final[dict[int, Callable[[_Builder], Any]]] = {
    0x28: lambda it: it.push(_MARK),
    0x29: lambda it: it.push(()),
    0x30: lambda it: it.stack.pop(),
    0x31: lambda it: it.cut(),
    0x32: lambda it: it.push(it.stack[-1]),
    0x42: lambda it: it.bytes(4),
    0x43: lambda it: it.bytes(1),
    0x46: lambda it: it.push(float(it.line())),
    0x47: lambda it: it.push(struct.unpack(">d", it._take(8))[0]),  # noqa: SLF001 - the table is part of the builder
    0x49: lambda it: it.decimal(),
    0x4A: lambda it: it.push(it.number(4, signed=True)),
    0x4B: lambda it: it.push(it.number(1)),
    0x4C: lambda it: it.decimal(),
    0x4D: lambda it: it.push(it.number(2)),
    0x4E: lambda it: it.push(None),
    0x50: lambda it: it.persistent(it.line()),
    0x51: lambda it: it.persistent(it.stack.pop()),
    0x52: lambda it: it.two(it.make),
    0x53: _string,
    0x54: lambda it: it.text(4, "latin-1"),
    0x55: lambda it: it.text(1, "latin-1"),
    0x56: lambda it: it.push(it.line("raw-unicode-escape")),
    0x58: lambda it: it.text(4),
    0x5D: lambda it: it.push([]),
    0x61: lambda it: it.append([it.stack.pop()]),
    0x62: lambda it: it.build(),
    0x63: lambda it: it.push(Global(f"{it.line()}.{it.line()}")),
    0x64: lambda it: _named(it, _pairs),
    0x65: lambda it: it.append(it.cut()),
    0x67: lambda it: _get(it, int(it.line())),
    0x68: lambda it: _get(it, it.number(1)),
    0x69: _inst,
    0x6A: lambda it: _get(it, it.number(4)),
    0x6C: lambda it: _named(it, list),
    0x6F: _obj,
    0x70: lambda it: _put(it, int(it.line())),
    0x71: lambda it: _put(it, it.number(1)),
    0x72: lambda it: _put(it, it.number(4)),
    0x73: _setitem,
    0x74: lambda it: _named(it, tuple),
    0x75: lambda it: it.set_items(it.cut()),
    0x7D: lambda it: it.push({}),
    0x80: lambda it: it.number(1),
    0x81: lambda it: it.two(it.make),
    0x85: lambda it: _tuple(it, 1),
    0x86: lambda it: _tuple(it, 2),
    0x87: lambda it: _tuple(it, 3),
    0x88: lambda it: it.push(True),
    0x89: lambda it: it.push(False),
    0x8A: lambda it: it.long(it.number(1)),
    0x8B: lambda it: it.long(it.number(4)),
    0x8C: lambda it: it.text(1),
    0x8D: lambda it: it.text(8),
    0x8E: lambda it: it.bytes(8),
    0x8F: lambda it: it.push([]),
    0x90: _additems,
    0x91: lambda it: _named(it, tuple),
    0x92: _newobj_ex,
    0x93: lambda it: it.two(lambda module, name: it.push(Global(f"{module}.{name}"))),
    0x94: lambda it: _put(it, len(it.memo)),
    0x95: lambda it: it.number(8),
    0x96: lambda it: it.bytes(8),
}
