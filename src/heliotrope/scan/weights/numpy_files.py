"""npy files: the header, and the pickle behind it when the array holds Python objects.

Source: the NPY format specification in numpy's documentation (numpy.lib.format).
"""

import ast
import math
import re
import warnings
from typing import Any

from heliotrope.scan.interface import Context, Recognised, Source
from heliotrope.scan.pickles.streams import analyse_streams, search_pickles

__all__ = ["NumpyAnalyser"]

_MAGIC = b"\x93NUMPY"
_DESCRIPTION = re.compile(r"[<>|=]?([a-zA-Z?])(\d*)(\[\w+\])?")
_PYTHON2_LONG = re.compile(r"\b(\d+)L\b", re.ASCII)
"""Python 2 on Windows wrote the sides of a shape so; numpy drops the letter, too."""
_MAX_DIMENSIONS = 64
_MAX_FIELDS = 10_000
_MAX_SIDE = 2**52
_MAX_ARRAYS = 1_000
"""Arrays one after another in one file, as repeated numpy.save calls write them."""


class _HeaderError(Exception):
    pass


class NumpyAnalyser:
    """Single arrays, and several in one file."""

    format = "npy"

    def accepts(self, source: Source, name: str) -> bool:
        del name
        return source.read(0, 6) == _MAGIC

    def analyse(self, source: Source, name: str, context: Context) -> Recognised:
        del name
        after = 0
        for _ in range(_MAX_ARRAYS):
            end = _array(source, after, context)
            if end is None or end >= source.size:
                return Recognised("npy")
            after = end
            if source.read(after, 6) != _MAGIC:
                break
        context.notes.add(
            "npy-trailing-data", f"{source.size - after} bytes follow the array", member=context.member, offset=after
        )
        search_pickles(source, context, start=after)
        return Recognised("npy")


def _array(source: Source, offset: int, context: Context) -> int | None:
    """Inspect the array at an offset; where the next one may begin, or None when nothing more can be said."""
    try:
        header, data = _header(source, offset, context.limits.max_npy_header)
        size, objects = _item(header["descr"])
        count = _count(header["shape"])
    except _HeaderError as error:
        context.notes.add("npy-invalid-header", str(error), member=context.member, offset=offset)
        context.notes.incomplete(f"the array cannot be read: {error}", member=context.member, offset=offset)
        search_pickles(source, context, start=min(offset + 10, source.size))
        return None
    if objects:
        context.notes.add("npy-object-array", "the array holds Python objects", member=context.member, offset=data)
        if data >= source.size:
            context.notes.incomplete("the file ends where the array's pickle should begin", member=context.member)
        analyse_streams(source, context, start=data)
        return None
    end = data + size * count
    if end > source.size:
        context.notes.incomplete(
            f"the array needs {size * count} bytes, the file has {source.size - data}",
            member=context.member,
            offset=data,
        )
        return None
    return end


def _header(source: Source, offset: int, limit: int) -> tuple[dict[str, Any], int]:
    version = source.read(offset + 6, 2)
    width = {b"\x01\x00": 2, b"\x02\x00": 4, b"\x03\x00": 4}.get(version)
    if width is None:
        raise _HeaderError("its version is unknown")
    start = offset + 8 + width
    length = int.from_bytes(source.read(offset + 8, width), "little")
    if length > limit:
        raise _HeaderError(f"it has {length} bytes, more than numpy's limit of {limit}")
    text = source.read(start, length)
    if len(text) < length:
        raise _HeaderError("it is cut short")
    plain = text.decode("utf-8" if version[0] == 3 else "latin-1", "replace")
    if version[0] < 3:
        plain = _PYTHON2_LONG.sub(r"\1", plain)
    header = _literal(plain)
    if not isinstance(header, dict) or set(header) != {"descr", "fortran_order", "shape"}:
        raise _HeaderError("its keys are not descr, fortran_order and shape")
    return header, start + length


def _literal(text: str) -> Any:
    """A Python literal. ast.literal_eval runs nothing; its input has 10,000 bytes at most."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        raise _HeaderError("it is no Python literal") from None


def _count(shape: Any) -> int:
    if not isinstance(shape, tuple) or len(shape) > _MAX_DIMENSIONS:
        raise _HeaderError("its shape is no tuple")
    if not all(isinstance(side, int) and not isinstance(side, bool) and 0 <= side < _MAX_SIDE for side in shape):
        raise _HeaderError("its shape has sides that are no sizes")
    return math.prod(shape)


def _item(description: Any, depth: int = 0) -> tuple[int, bool]:
    """Bytes of one item of a type description, and whether objects are in it."""
    if isinstance(description, str):
        return _scalar(description)
    if isinstance(description, tuple) and len(description) == 2:  # (type, shape) or (type, metadata)
        size, objects = _item(description[0], depth + 1)
        shape = description[1] if isinstance(description[1], tuple) else ()
        return size * _count(shape), objects
    if not isinstance(description, list) or depth > 8 or len(description) > _MAX_FIELDS:
        raise _HeaderError("its type description is not understood")
    total, any_objects = 0, False
    for field in description:
        if not isinstance(field, tuple) or len(field) not in (2, 3):
            raise _HeaderError("a field of its type is not understood")
        size, objects = _item(field[1], depth + 1)
        total += size * _count(_sides(field[2]) if len(field) == 3 else ())
        any_objects |= objects
    return total, any_objects


def _sides(shape: Any) -> Any:
    return (shape,) if isinstance(shape, int) else shape


def _scalar(description: str) -> tuple[int, bool]:
    match = _DESCRIPTION.fullmatch(description)
    if match is None:
        raise _HeaderError("its type description is not understood")
    letter, digits = match[1], match[2]
    if letter == "O":
        return 8, True
    if letter not in "biufcSUVmMa?tT" or len(digits) > 9:
        raise _HeaderError("its type description is not understood")
    size = int(digits) if digits else 1
    return (4 * size if letter == "U" else size), False
