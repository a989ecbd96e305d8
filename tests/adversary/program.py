"""Pickles written opcode by opcode, as expressions: what no pickler would say."""

import pickle
import struct
from typing import Any

__all__ = [
    "EMPTY_DICT", "EMPTY_LIST", "EMPTY_TUPLE", "NONE", "additems", "append", "appends", "build", "bytes_", "dictionary",
    "get", "glob", "inst", "integer", "kwargs_new", "listed", "lit", "new", "obj", "pickled", "put", "reduce", "setitem",
    "setitems", "stack_global", "state_of", "stream", "text", "tuple_", "whole",
]  # fmt: skip

NONE, EMPTY_TUPLE, EMPTY_DICT, EMPTY_LIST = b"N", b")", b"}", b"]"


def text(value: str) -> bytes:
    data = value.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(data)) + data


def bytes_(value: bytes) -> bytes:
    return b"B" + struct.pack("<I", len(value)) + value


def integer(value: int) -> bytes:
    if 0 <= value < 256:
        return b"K" + bytes([value])
    return b"J" + struct.pack("<i", value) if -(2**31) <= value < 2**31 else b"L%dL\n" % value


def tuple_(*items: bytes) -> bytes:
    return b"(" + b"".join(items) + b"t" if items else EMPTY_TUPLE


def listed(*items: bytes) -> bytes:
    return b"](" + b"".join(items) + b"e" if items else EMPTY_LIST


def dictionary(items: dict[str, bytes]) -> bytes:
    return b"}(" + b"".join(text(key) + value for key, value in items.items()) + b"u" if items else EMPTY_DICT


def lit(value: Any) -> bytes:
    """A constant, or a container of constants; bytes are taken as an expression, `bytearray` as bytes."""
    if isinstance(value, bytes):
        return value
    if value is None or isinstance(value, bool):
        return {None: b"N", True: b"\x88", False: b"\x89"}[value]
    if isinstance(value, int):
        return integer(value)
    if isinstance(value, float):
        return b"G" + struct.pack(">d", value)
    if isinstance(value, str):
        return text(value)
    if isinstance(value, bytearray):
        return bytes_(bytes(value))
    if isinstance(value, tuple):
        return tuple_(*map(lit, value))
    if isinstance(value, list):
        return listed(*map(lit, value))
    return b"}(" + b"".join(lit(key) + lit(item) for key, item in value.items()) + b"u"


def glob(module: str, name: str) -> bytes:
    return b"c" + module.encode() + b"\n" + name.encode() + b"\n"


def named(full: str) -> bytes:
    """GLOBAL by a name like `package.module:attribute`."""
    module, _, name = full.partition(":")
    return glob(module, name)


def stack_global(module: str, name: str) -> bytes:
    return text(module) + text(name) + b"\x93"


def _callee(callee: str | bytes) -> bytes:
    return named(callee) if isinstance(callee, str) else callee


def reduce(callee: str | bytes, *arguments: Any) -> bytes:
    return _callee(callee) + tuple_(*map(lit, arguments)) + b"R"


def new(cls: str | bytes, *arguments: Any) -> bytes:
    return _callee(cls) + tuple_(*map(lit, arguments)) + b"\x81"


def kwargs_new(cls: str | bytes, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> bytes:
    return _callee(cls) + lit(arguments) + lit(keywords) + b"\x92"


def obj(cls: str | bytes, *arguments: Any) -> bytes:
    return b"(" + _callee(cls) + b"".join(map(lit, arguments)) + b"o"


def inst(full: str, *arguments: Any) -> bytes:
    module, _, name = full.partition(":")
    return b"(" + b"".join(map(lit, arguments)) + b"i" + module.encode() + b"\n" + name.encode() + b"\n"


def build(target: bytes, state: Any) -> bytes:
    return target + lit(state) + b"b"


def append(target: bytes, item: Any) -> bytes:
    return target + lit(item) + b"a"


def appends(target: bytes, *items: Any) -> bytes:
    return target + b"(" + b"".join(map(lit, items)) + b"e"


def additems(target: bytes, *items: Any) -> bytes:
    return target + b"(" + b"".join(map(lit, items)) + b"\x90"


def setitem(target: bytes, key: Any, value: Any) -> bytes:
    return target + lit(key) + lit(value) + b"s"


def setitems(target: bytes, items: dict[Any, Any]) -> bytes:
    return target + b"(" + b"".join(lit(key) + lit(value) for key, value in items.items()) + b"u"


def put(index: int, expression: bytes) -> bytes:
    return expression + b"r" + struct.pack("<I", index)


def get(index: int) -> bytes:
    return b"j" + struct.pack("<I", index)


def pickled(value: Any, protocol: int = 3) -> bytes:
    """What a pickler writes for a value, without header and STOP."""
    data = pickle.dumps(value, protocol)
    return data[2 if protocol >= 2 else 0 : -1]


def stream(expression: bytes, protocol: int | None = 3) -> bytes:
    return (b"" if protocol is None else b"\x80" + bytes([protocol])) + expression + b"."


def whole(expression: bytes) -> bytes:
    return stream(expression)


def state_of(cls: str | bytes, state: Any, *arguments: Any) -> bytes:
    """An instance by NEWOBJ, with a state."""
    return build(new(cls, *arguments), state)
