"""The values behind a few opcodes that the machine has just run: what a state says, read a second time for its numbers.

The machine forgets numbers and the contents of containers. Where they decide how the stream goes on (the size of an array
whose bytes lie between the opcodes), the opcodes between the making of an object and its BUILD are read again here. They
form its state and nothing else when they leave exactly one value and never reach below where they began.
"""

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from heliotrope.scan.pickles import opcodes as op
from heliotrope.scan.pickles.state import BYTES_WIDTH, COUNTED_TEXT, State

__all__ = ["ContradictoryType", "Dtype", "Name", "Unclear", "described_dtype", "replay"]

_MAX_BYTES = 64 * 1024
"""Of opcodes read again at once: a record type of a thousand fields."""

_SCALAR = re.compile(r"([biufcSUVmMO])(\d{1,9})")
"""What numpy writes about a type, as in f8 and U5."""


class Unclear(Exception):  # noqa: N818 - it is an answer, not a failure
    """The opcodes are not of the kind that is read again."""


class ContradictoryType(Unclear):
    """The state of a type says things that do not agree: reading it would take the bytes of a file for pointers."""


@dataclass(frozen=True, slots=True)
class Name:
    """A global."""

    module: str
    name: str


@dataclass(frozen=True, slots=True)
class Dtype:
    """What is needed of a numpy type."""

    letter: str
    size: int
    """Bytes of an item."""
    objects: bool
    """Whether items are Python objects, which are pickled."""


_MARK: Final = object()
_UNKNOWN: Final = object()
"""A value that does not matter here, and makes everything unclear where it does."""

Lookup = Callable[[int], Any]
"""From a tag of the machine's memo that is no text to a Name, a Dtype, or None."""


def described_dtype(description: Any) -> Dtype:
    """The type of numpy.dtype(description), without its state. Raises Unclear."""
    match = _SCALAR.fullmatch(description) if isinstance(description, str) else None
    if match is None:
        raise Unclear("its type is not written as numpy writes types")
    letter, size = match[1], int(match[2])
    return Dtype(letter, 4 * size if letter == "U" else size, letter == "O")


def replay(machine: State, start: int, end: int, lookup: Lookup) -> Any:
    """The one value that the opcodes from `start` to `end` leave. Raises Unclear for anything unusual."""
    if not 0 < end - start <= _MAX_BYTES:
        raise Unclear("its description is far from it")
    try:
        return _Replay(machine, start, end, lookup).run()
    except (IndexError, ValueError):
        raise Unclear("its description is not in one piece") from None


class _Replay:
    def __init__(self, machine: State, start: int, end: int, lookup: Lookup) -> None:
        self._machine = machine
        self._start = start
        self._data = machine.peek(start, end - start)
        self._lookup = lookup
        self._stack: list[Any] = []
        self._recalled: set[int] = set()
        self._at = 0

    def run(self) -> Any:
        while self._at < len(self._data):
            self._step(self._data[self._at])
        (value,) = self._stack
        return value

    def _step(self, code: int) -> None:  # noqa: C901, PLR0912 - one branch for each family of opcodes
        stack = self._stack
        if code in _CONSTANTS:
            stack.append(_CONSTANTS[code])
            self._at += 1
        elif code in _INTEGERS:
            stack.append(int.from_bytes(self._argument(_INTEGERS[code]), "little", signed=code == 0x4A))
        elif code in COUNTED_TEXT:
            stack.append(self._machine.text(self._start + self._at << op.KIND_BITS | op.STR))
            width = COUNTED_TEXT[code][0]
            self._at += 1 + width
            self._at += int.from_bytes(self._data[self._at - width : self._at], "little")
        elif code == 0x8A:  # LONG1
            width = self._data[self._at + 1]
            stack.append(int.from_bytes(self._argument(1 + width)[1:], "little", signed=True))
        elif code in BYTES_WIDTH:
            self._argument(int.from_bytes(self._argument(BYTES_WIDTH[code]), "little") - 1)
            stack.append(_UNKNOWN)
        elif code == 0x95:  # FRAME
            self._argument(8)
        elif code in _FORGOTTEN:
            self._at += 1
            _FORGOTTEN[code](self)
        elif code in _GETS:
            self._recall(int.from_bytes(self._argument(_GETS[code]), "little"))
        elif code in _PUTS:
            self._put(int.from_bytes(self._argument(_PUTS[code]), "little"))
        elif code == ord("G"):  # BINFLOAT
            self._argument(8)
            stack.append(_UNKNOWN)
        elif code in b"ILF":
            self._at += 1
            stack.append(_written_number(code, self._line()))
        elif code == ord("V"):
            stack.append(self._machine.text(self._start + self._at << op.KIND_BITS | op.STR))
            self._at = self._data.index(b"\n", self._at) + 1
        elif code in b"pg":
            self._at += 1
            (self._put if code == ord("p") else self._recall)(int(self._line()))
        elif code == ord("c"):
            self._at += 1
            module, name = (self._line() for _ in range(2))
            stack.append(Name(module, name))
        else:
            raise Unclear("its description uses opcodes that no pickler uses there")

    def _argument(self, width: int) -> bytes:
        self._at += 1 + width
        if self._at > len(self._data):
            raise Unclear("its description is cut")
        return self._data[self._at - width : self._at]

    def _line(self) -> str:
        begin = self._at
        end = self._data.index(b"\n", begin)
        self._at = end + 1
        return self._data[begin:end].decode("utf-8")

    # the memo is the machine's, as it stands behind the last of these opcodes

    def _recall(self, index: int) -> None:
        self._recalled.add(index)
        tag = self._machine.memoised(index)
        if tag is None:
            raise Unclear("its description recalls what was never put aside")
        text = self._machine.text(tag)
        if text is not None:
            self._stack.append(text)
        else:
            found = self._lookup(tag)
            self._stack.append(_UNKNOWN if found is None else found)

    def _put(self, index: int) -> None:
        if index in self._recalled:
            raise Unclear("its description writes over what it recalled")

    def memoize(self) -> None:
        if not self._machine.memo_is_dense:
            raise Unclear("its description mixes two ways of putting things aside")

    # what combines values

    def cut(self) -> list[Any]:
        place = len(self._stack) - 1 - self._stack[::-1].index(_MARK)
        items = self._stack[place + 1 :]
        del self._stack[place:]
        return items

    def take(self, count: int) -> list[Any]:
        if count > len(self._stack):
            raise Unclear("its description reaches below itself")
        items = self._stack[len(self._stack) - count :]
        del self._stack[len(self._stack) - count :]
        return items

    def mark(self) -> None:
        self._stack.append(_MARK)

    def tuple(self, count: int | None) -> None:
        self._stack.append(tuple(self.cut() if count is None else self.take(count)))

    def dictionary(self) -> None:
        self._stack.append({})

    def set_items(self, *, one: bool) -> None:
        self._set(self.take(2) if one else self.cut())

    def _set(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if not isinstance(target, dict) or len(items) % 2:
            raise Unclear("its description is no dictionary")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, str) or key in target:
                raise Unclear("its description says things twice")
            target[key] = value

    def list(self) -> None:
        self._stack.append([])

    def filled_list(self) -> None:
        self.cut()
        self._stack.append([])

    def filled_dictionary(self) -> None:
        items = self.cut()
        self._stack.append({})
        self._set(items)

    def append(self, *, one: bool) -> None:
        if one:
            self.take(1)
        else:
            self.cut()
        if not isinstance(self._stack[-1], list):
            raise Unclear("its description is no list")

    def new(self) -> None:
        self.take(2)
        self._stack.append(_UNKNOWN)

    def stack_global(self) -> None:
        module, name = self.take(2)
        if not isinstance(module, str) or not isinstance(name, str):
            raise Unclear("its description computes a name")
        self._stack.append(Name(module, name))

    def reduce(self) -> None:
        callee, arguments = self.take(2)
        if callee != Name("numpy", "dtype"):
            self._stack.append(_UNKNOWN)
        elif isinstance(arguments, tuple) and arguments:
            self._stack.append(described_dtype(arguments[0]))
        else:
            raise Unclear("its type is not written as numpy writes types")

    def build(self) -> None:
        target, state = self.take(2)
        behind = self._machine.skipped.get(self._start + self._at - 1)
        if behind is not None:
            self._at = behind - self._start
        if target is _UNKNOWN:
            self._stack.append(_UNKNOWN)
            return
        if not isinstance(target, Dtype):
            raise Unclear("its description sets the state of something else than a type")
        self._stack.append(dtype_with_state(target, state))


def _written_number(code: int, line: str) -> Any:
    if code == ord("F"):
        return _UNKNOWN
    if code == ord("I") and line in ("00", "01"):
        return line == "01"
    return int(line.rstrip("L")[:40])


def dtype_with_state(dtype: Dtype, state: Any) -> Dtype:
    """A type after its BUILD: for text and records, the state has the size, and for all whether objects are inside.

    numpy believes what the state says, also that the pointers of objects are plain numbers, which a file could then choose.
    Raises ContradictoryType where the parts of a state do not agree. Source: arraydescr_setstate in numpy's descriptor.c,
    versions 3 and 4 of the state.
    """
    if not isinstance(state, tuple) or len(state) not in (8, 9) or state[0] not in (3, 4):
        raise Unclear("the state of its type is not as numpy writes it")
    _, _, subarray, _, fields, size, alignment, flags = state[:8]
    if any(type(number) is not int for number in (size, alignment, flags)):
        raise Unclear("the state of its type is not as numpy writes it")
    objects = dtype.letter == "O"
    if dtype.letter in "SUV":
        if size < 0 or (dtype.letter == "U" and size % 4):
            raise ContradictoryType("its type has no size")
        if alignment not in _ALIGNMENTS:
            raise ContradictoryType(f"its type is aligned to {alignment} bytes, by which numpy divides")
        dtype = replace(dtype, size=size)
        parts = list(_parts(subarray, fields, size))  # every one of them is checked
        objects = any(part.objects for part in parts)
    elif subarray is not None or fields is not None:
        raise ContradictoryType("its type is a number that has parts")
    if bool(flags & _HAS_OBJECTS) != objects or (flags & _POINTERS and not objects):
        raise ContradictoryType("its type contradicts itself about objects")
    return replace(dtype, objects=objects)


_ALIGNMENTS = frozenset({1, 2, 4, 8, 16, 32, 64})
_HAS_OBJECTS = 1
_POINTERS = 2 | 4
"""Of NPY_ITEM_…: items are references, are pickled as a list, are pointers."""


def _parts(subarray: Any, fields: Any, size: int) -> Iterator[Dtype]:
    """The types inside a type of `size` bytes."""
    if subarray is not None:
        if not isinstance(subarray, tuple) or len(subarray) != 2 or not isinstance(subarray[0], Dtype):
            raise Unclear("the state of its type is not as numpy writes it")
        sides = subarray[1] if isinstance(subarray[1], tuple) else (subarray[1],)
        if not all(type(side) is int and side >= 0 for side in sides):
            raise Unclear("the state of its type is not as numpy writes it")
        if math.prod(sides) * subarray[0].size != size:
            raise ContradictoryType("its type has another size than its parts")
        yield subarray[0]
    if fields is None:
        return
    if not isinstance(fields, dict):
        raise Unclear("the state of its type is not as numpy writes it")
    for field in fields.values():
        if not isinstance(field, tuple) or not isinstance(field[0], Dtype) or type(field[1]) is not int:
            raise Unclear("the state of its type is not as numpy writes it")
        if not 0 <= field[1] <= size - field[0].size:
            raise ContradictoryType("a field lies outside its type")
        yield field[0]


_CONSTANTS: Final = {ord("N"): None, 0x88: True, 0x89: False, ord(")"): ()}
_INTEGERS: Final = {ord("K"): 1, ord("M"): 2, ord("J"): 4}
_GETS: Final = {ord("h"): 1, ord("j"): 4}
_PUTS: Final = {ord("q"): 1, ord("r"): 4}
_FORGOTTEN: Final[dict[int, Callable[[_Replay], None]]] = {
    0x94: _Replay.memoize,
    ord("("): _Replay.mark,
    ord("t"): lambda it: it.tuple(None),
    0x85: lambda it: it.tuple(1),
    0x86: lambda it: it.tuple(2),
    0x87: lambda it: it.tuple(3),
    ord("}"): _Replay.dictionary,
    ord("]"): _Replay.list,
    0x8F: _Replay.list,  # a set, whose items do not matter either
    0x90: lambda it: it.append(one=False),
    0x98: lambda _: None,  # READONLY_BUFFER
    ord("l"): _Replay.filled_list,
    ord("d"): _Replay.filled_dictionary,
    ord("a"): lambda it: it.append(one=True),
    ord("e"): lambda it: it.append(one=False),
    0x81: _Replay.new,
    ord("u"): lambda it: it.set_items(one=False),
    ord("s"): lambda it: it.set_items(one=True),
    0x93: _Replay.stack_global,
    ord("R"): _Replay.reduce,
    ord("b"): _Replay.build,
}
"""Opcodes without an argument."""
