"""Parameters of Flax and Orbax in MessagePack: arrays are extensions, and their types are names.

Source: flax.serialization (extension 1 an array, 2 a complex number, 3 a number of numpy; the first and the last hold shape,
name of the type and bytes), and msgpack_numpy, whose arrays of objects are pickles.
"""

import re

from heliotrope.core.characters import without_later
from heliotrope.core.text import printable, shorten
from heliotrope.scan.interface import Context, LimitReachedError, Recognised, Source
from heliotrope.scan.pickles.streams import credible_pickle, search_pickles
from heliotrope.scan.sources import SliceSource
from heliotrope.scan.wire.msgpack import Item, MsgpackError, walk_msgpack

__all__ = ["MsgpackAnalyser"]

_ARRAY, _COMPLEX, _NUMBER, _TIME = 1, 2, 3, 255
_PROBED = 200
_DTYPE = re.compile(
    r"(?:[<>=|]?(?:b1|\?|[iu][1248]|f(?:2|4|8|16)|c(?:8|16|32)|[SU]\d{1,6})|bool_?|u?int(?:2|4|8|16|32|64)|float(?:16|32|64|128)"
    r"|complex(?:64|128|256)|bfloat16|float8_\w{1,20}|float[46]_\w{1,20}|[SU]\d{1,6}|key<\w+>)"
)
_WIDTHS = {"bool": 1, "int8": 1, "uint8": 1, "int16": 2, "uint16": 2, "float16": 2, "bfloat16": 2, "int32": 4, "uint32": 4,
           "float32": 4, "int64": 8, "uint64": 8, "float64": 8, "complex64": 8, "complex128": 16}  # fmt: skip
_MAX_DIMENSIONS = 64
_SHOWN = 80


class MsgpackAnalyser:
    """A map of names to maps and arrays."""

    format = "msgpack"

    def accepts(self, source: Source, name: str) -> bool:
        """MessagePack has no magic: a map whose first values make sense, with an array among them, or the name says so."""
        head = source.read(0, 1)
        if not head or not (0x81 <= head[0] <= 0x8F or head[0] in (0xDE, 0xDF)):
            return False
        named = name.lower().endswith((".msgpack", ".mpk"))
        try:
            for index, item in enumerate(walk_msgpack(source, max_items=_PROBED)):
                if item.kind == "ext" and item.code in (_ARRAY, _NUMBER):
                    return True
                if index == 1 and not (item.key and item.kind == "text" and _is_text(source, item)):
                    return False
        except (LimitReachedError, MsgpackError):
            return named
        return named

    def analyse(self, source: Source, name: str, context: Context) -> Recognised:
        del name
        end = 0
        flax = False
        try:
            for item in walk_msgpack(source, max_items=context.limits.max_msgpack_items):
                end = item.offset + (item.length if item.kind not in ("map", "array") else 0)
                flax |= item.kind == "ext" and item.code in (_ARRAY, _NUMBER)
                _judge(source, item, context)
        except MsgpackError as error:
            context.notes.incomplete(f"the values are damaged: {error}", member=context.member, offset=end)
            search_pickles(source, context, start=end)
            return Recognised("msgpack")
        if end < source.size:
            rest = source.size - end
            context.notes.incomplete(f"{rest} bytes follow the values", member=context.member, offset=end)
            search_pickles(source, context, start=end)
        return Recognised("flax-msgpack" if flax else "msgpack")


def _is_text(source: Source, item: Item) -> bool:
    try:
        return without_later(source.read(item.offset, min(item.length, 200)).decode("utf-8", "strict")).isprintable()
    except UnicodeDecodeError:
        return False


def _judge(source: Source, item: Item, context: Context) -> None:
    if item.kind == "ext" and item.code in (_ARRAY, _NUMBER):
        _array(source, item, context)
    elif item.kind == "ext" and item.code not in (_COMPLEX, _TIME):
        reason = f"what an extension of type {item.code} means is decided by the program that loads it"
        context.notes.incomplete(reason, member=context.member, offset=item.offset)
    if item.kind in ("bytes", "ext") and item.length > 1:
        inside = SliceSource(source, item.offset, item.length)
        if credible_pickle(inside, context):
            context.nested(inside, "bytes", context.inside(f"bytes at {item.offset}"))


def _array(source: Source, item: Item, context: Context) -> None:
    """Shape, name of the type, and bytes, as one array of three."""
    body = SliceSource(source, item.offset, item.length)
    try:
        parts = list(walk_msgpack(body, max_items=_MAX_DIMENSIONS + 4))
        problem = _array_problem(body, parts)
    except (MsgpackError, LimitReachedError):
        problem = "it is not shape, type and bytes"
    if problem:
        context.notes.add(
            "msgpack-odd-array",
            f"an array is not one that Flax writes: {problem}",
            key=problem,
            member=context.member,
            offset=item.offset,
        )


def _array_problem(body: Source, parts: list[Item]) -> str:
    top = [part for part in parts if part.depth == 1]
    kinds = [part.kind for part in top]
    if parts[0].kind != "array" or kinds not in (["array", "text", "bytes"], ["array", "bytes", "bytes"]):
        return "it is not shape, type and bytes"
    _, dtype, data = top
    if data.offset + data.length != body.size:
        return "bytes follow it"
    name = body.read(dtype.offset, min(dtype.length, _SHOWN)).decode("utf-8", "replace")
    if not _DTYPE.fullmatch(name):
        return f"its type is {shorten(printable(name), _SHOWN)}"
    sides = [_side(body, part) for part in parts if part.depth == 2]
    if any(side is None for side in sides):
        return "its shape is no shape"
    count = 1
    for side in sides:
        count *= side or 0
    width = _WIDTHS.get(name)
    if width is not None and count * width != data.length:
        return f"its shape takes {count * width} bytes, there are {data.length}"
    return ""


def _side(body: Source, part: Item) -> int | None:
    if part.kind != "number":
        return None
    if part.code < 0x80:
        return part.code
    if 0xCC <= part.code <= 0xCF:
        return int.from_bytes(body.read(part.offset, part.length), "big")
    return None
