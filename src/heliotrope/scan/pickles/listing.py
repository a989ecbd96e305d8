"""A pickle's program as text: one opcode after the other, from bytes alone. It follows no memo and keeps no stack.

Source: the documentation of the opcodes in CPython's pickletools.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from heliotrope.core.text import printable
from heliotrope.scan.interface import Source
from heliotrope.scan.sources import find_byte

__all__ = ["Instruction", "instruction_at", "instructions"]

_SHOWN = 60
"""Characters or bytes of a value that are shown."""
_MAX_LINE = 1024


@dataclass(frozen=True, slots=True)
class Instruction:
    """One opcode with its argument."""

    offset: int
    name: str
    argument: str
    """Escaped and shortened; empty when there is none."""
    effect: str
    """What it does to the stack, in words."""
    size: int
    """Bytes with its argument."""
    text: str | None = None
    """The text it pushes, cut, where it pushes some."""


_Row = tuple[str, str, str]

_OPCODES: Final[dict[int, _Row]] = {
    0x28: ("MARK", "", "puts a mark on the stack"),
    0x29: ("EMPTY_TUPLE", "", "pushes an empty tuple"),
    0x2E: ("STOP", "", "ends the pickle; the top of the stack is the result"),
    0x30: ("POP", "", "throws the top of the stack away"),
    0x31: ("POP_MARK", "", "throws everything down to the mark away"),
    0x32: ("DUP", "", "pushes the top of the stack once more"),
    0x42: ("BINBYTES", "b4", "pushes bytes"),
    0x43: ("SHORT_BINBYTES", "b1", "pushes bytes"),
    0x46: ("FLOAT", "line", "pushes a number"),
    0x47: ("BINFLOAT", "float", "pushes a number"),
    0x49: ("INT", "line", "pushes a number"),
    0x4A: ("BININT", "i4", "pushes a number"),
    0x4B: ("BININT1", "u1", "pushes a number"),
    0x4C: ("LONG", "line", "pushes a number"),
    0x4D: ("BININT2", "u2", "pushes a number"),
    0x4E: ("NONE", "", "pushes None"),
    0x50: ("PERSID", "line", "asks the loading program for the object with this id"),
    0x51: ("BINPERSID", "", "asks the loading program for the object whose id is on top"),
    0x52: ("REDUCE", "", "calls the function below with the tuple on top; the result takes their place"),
    0x53: ("STRING", "text line", "pushes text"),
    0x54: ("BINSTRING", "t4", "pushes text"),
    0x55: ("SHORT_BINSTRING", "t1", "pushes text"),
    0x56: ("UNICODE", "text line", "pushes text"),
    0x58: ("BINUNICODE", "t4", "pushes text"),
    0x5D: ("EMPTY_LIST", "", "pushes an empty list"),
    0x61: ("APPEND", "", "appends the top to the object below"),
    0x62: ("BUILD", "", "hands the top to the object below as its state (its __setstate__ runs)"),
    0x63: ("GLOBAL", "two lines", "imports this name and pushes what it stands for"),
    0x64: ("DICT", "", "makes a dict of everything down to the mark"),
    0x65: ("APPENDS", "", "appends everything down to the mark to the object below"),
    0x67: ("GET", "line", "recalls what was put aside under this number"),
    0x68: ("BINGET", "u1", "recalls what was put aside under this number"),
    0x69: ("INST", "two lines", "imports this name and calls it with everything down to the mark"),
    0x6A: ("LONG_BINGET", "u4", "recalls what was put aside under this number"),
    0x6C: ("LIST", "", "makes a list of everything down to the mark"),
    0x6F: ("OBJ", "", "calls the first value behind the mark with the others"),
    0x70: ("PUT", "line", "puts the top aside under this number"),
    0x71: ("BINPUT", "u1", "puts the top aside under this number"),
    0x72: ("LONG_BINPUT", "u4", "puts the top aside under this number"),
    0x73: ("SETITEM", "", "sets one item of the object below"),
    0x74: ("TUPLE", "", "makes a tuple of everything down to the mark"),
    0x75: ("SETITEMS", "", "sets items of the object below from everything down to the mark"),
    0x7D: ("EMPTY_DICT", "", "pushes an empty dict"),
    0x80: ("PROTO", "u1", "says the protocol's version"),
    0x81: ("NEWOBJ", "", "makes an object of the class below with the tuple on top"),
    0x82: ("EXT1", "u1", "pushes what this number stands for in the extension registry"),
    0x83: ("EXT2", "u2", "pushes what this number stands for in the extension registry"),
    0x84: ("EXT4", "i4", "pushes what this number stands for in the extension registry"),
    0x85: ("TUPLE1", "", "makes a tuple of the top value"),
    0x86: ("TUPLE2", "", "makes a tuple of the two top values"),
    0x87: ("TUPLE3", "", "makes a tuple of the three top values"),
    0x88: ("NEWTRUE", "", "pushes True"),
    0x89: ("NEWFALSE", "", "pushes False"),
    0x8A: ("LONG1", "n1", "pushes a number"),
    0x8B: ("LONG4", "n4", "pushes a number"),
    0x8C: ("SHORT_BINUNICODE", "t1", "pushes text"),
    0x8D: ("BINUNICODE8", "t8", "pushes text"),
    0x8E: ("BINBYTES8", "b8", "pushes bytes"),
    0x8F: ("EMPTY_SET", "", "pushes an empty set"),
    0x90: ("ADDITEMS", "", "adds everything down to the mark to the object below"),
    0x91: ("FROZENSET", "", "makes a frozen set of everything down to the mark"),
    0x92: ("NEWOBJ_EX", "", "makes an object of a class with a tuple and named arguments"),
    0x93: ("STACK_GLOBAL", "", "imports the name on top from the module below and pushes what it stands for"),
    0x94: ("MEMOIZE", "", "puts the top aside under the next number"),
    0x95: ("FRAME", "u8", "says how many bytes follow in one piece"),
    0x96: ("BYTEARRAY8", "b8", "pushes changeable bytes"),
    0x97: ("NEXT_BUFFER", "", "pushes a buffer from outside the pickle"),
    0x98: ("READONLY_BUFFER", "", "makes the buffer on top read-only"),
}
"""Opcode to (name, argument, effect). Arguments: u and i are numbers of that many bytes; t, b and n are text, bytes and
numbers behind a length of that many bytes."""


def instruction_at(source: Source, offset: int) -> Instruction | None:  # noqa: PLR0911 - a kind of argument each
    """The instruction at an offset; None where there is none, or the source ends in it."""
    head = source.read(offset, 9)
    row = _OPCODES.get(head[0]) if head else None
    if row is None:
        return None
    name, kind, effect = row
    if kind == "":
        return Instruction(offset, name, "", effect, 1)
    if kind.endswith(("line", "lines")):
        return _lines(source, offset, name, kind, effect)
    if kind == "float":
        return _float(offset, name, effect, head)
    width = int(kind[1])
    if len(head) < 1 + width:
        return None
    number = int.from_bytes(head[1 : 1 + width], "little", signed=kind[0] == "i")
    if kind[0] in "ui":
        return Instruction(offset, name, str(number), effect, 1 + width)
    if offset + 1 + width + number > source.size:
        return None
    value = source.read(offset + 1 + width, min(number, _MAX_LINE))
    size = 1 + width + number
    if kind[0] == "n":
        shown = str(int.from_bytes(value, "little", signed=True)) if number <= 16 else f"{number} bytes"
        return Instruction(offset, name, shown, effect, size)
    if kind[0] == "b":
        return Instruction(offset, name, _shown_bytes(value, number), effect, size)
    text = value.decode("utf-8", "replace")
    return Instruction(offset, name, _shown_text(text, number), effect, size, text)


def _float(offset: int, name: str, effect: str, head: bytes) -> Instruction | None:
    import struct

    if len(head) < 9:
        return None
    return Instruction(offset, name, f"{struct.unpack('>d', head[1:9])[0]:g}", effect, 9)


def _lines(source: Source, offset: int, name: str, kind: str, effect: str) -> Instruction | None:
    at, read = offset + 1, []
    for _ in range(2 if kind == "two lines" else 1):
        end = find_byte(source, b"\n", at)
        if end < 0:
            return None
        read.append(source.read(at, min(end - at, _MAX_LINE)).decode("utf-8", "replace"))
        at = end + 1
    text = read[0].strip("'\"") if kind == "text line" else None
    shown = _cut(printable(".".join(read)))
    return Instruction(offset, name, shown, effect, at - offset, text)


def _shown_text(text: str, size: int) -> str:
    shown = _cut(printable(text))
    return f"'{shown}'" + (f" ({size:,} bytes)" if len(text) > _SHOWN or size > len(text) * 4 else "")


def _shown_bytes(value: bytes, size: int) -> str:
    shown = "".join(chr(byte) if 32 <= byte < 127 else f"\\x{byte:02x}" for byte in value[: _SHOWN // 3])
    return f"'{shown}{'…' if size > _SHOWN // 3 else ''}' ({size:,} bytes)"


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def instructions(source: Source, start: int, limit: int) -> Iterator[Instruction]:
    """Up to `limit` instructions from an offset to STOP, or to where there are none any more."""
    offset = start
    for _ in range(limit):
        found = instruction_at(source, offset)
        if found is None:
            return
        yield found
        if found.name == "STOP":
            return
        offset += found.size
