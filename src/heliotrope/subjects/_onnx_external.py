"""Files that an ONNX model keeps its tensors in, read from the protobuf itself; the library is not needed for it.

Field numbers are those of onnx.proto (ONNX IR version 13). https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

import mmap
import os
from collections.abc import Iterator
from pathlib import Path

from heliotrope.core.errors import InputError
from heliotrope.core.text import printable, shorten
from heliotrope.engine.files import open_regular

__all__ = ["MAX_EXTERNAL_FILES", "external_files", "external_files_of", "external_locations"]

MAX_EXTERNAL_FILES = 1000
"""Exporters write one file, or one for each large tensor."""

_MAX_DEPTH = 32
"""Graphs within graphs: an If in a Loop in a Scan is three."""

_MAX_MESSAGES = 5_000_000
"""Tensors, nodes and attributes of the largest published graphs: below one million."""

_DESCEND: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
}
"""Messages that can lead to external data, by the message and the field they lie in."""

_LENGTH_DELIMITED = 2
_FIXED = {1: 8, 5: 4}

Bytes = bytes | memoryview


def external_files(data: Bytes, model: Path, root: Path) -> dict[str, Path]:
    """Location, as the model says it, to the file it means, which lies beside the model and within the project.

    Raises InputError for a location that leads elsewhere, and when the bytes are no protobuf message of ONNX.
    """
    folder, inside = model.parent, root.resolve()
    files = {}
    for location in external_locations(data):
        path = folder / location
        shown = printable(shorten(location, 200))
        plain = bool(location) and "\0" not in location and not Path(location).is_absolute()
        if not plain or ".." in Path(location).parts or not path.resolve().is_relative_to(inside):
            raise InputError(
                f"the model keeps tensors outside the project, in {shown!r}",
                hint="store external data beside the model, within the project folder",
            )
        files[location] = path
    return files


def external_files_of(model: Path, root: Path) -> dict[str, Path]:
    """The same of a file, of which only the pages that lead there are read. InputError as well when it cannot be read."""
    with open_regular(model) as file:
        if not os.fstat(file.fileno()).st_size:
            return {}
        try:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped, memoryview(mapped) as view:
                return external_files(view, model, root)
        except (OSError, ValueError, BufferError) as error:
            raise InputError(f"{printable(str(model))}: {error}", hint="check the file") from None


def external_locations(data: Bytes) -> tuple[str, ...]:
    """Names of the files that tensors anywhere in a model lie in, sorted. Raises InputError for what is no message."""
    found: set[str] = set()
    view = memoryview(data)
    pending = [("model", view, 0)]
    seen = 0
    try:
        while pending:
            kind, message, depth = pending.pop()
            for number, value in _fields(message):
                inner = _DESCEND[kind].get(number)
                if inner == "entry":
                    found |= _location(value)
                elif inner is not None:
                    seen += 1
                    pending.append((inner, value, depth + 1))
            if depth > _MAX_DEPTH * 3 or seen > _MAX_MESSAGES or len(found) > MAX_EXTERNAL_FILES:
                raise InputError(
                    "the ONNX file is nested too deeply or names too many files", hint="export the model again"
                )
    except (ValueError, IndexError):
        raise InputError(
            "this is no ONNX file, or a truncated one", hint="export the model again; it must be a binary ONNX model"
        ) from None
    return tuple(sorted(found))


def _location(entry: memoryview) -> set[str]:
    texts = {number: bytes(value) for number, value in _fields(entry)}
    if texts.get(1) != b"location":
        return set()
    return {texts.get(2, b"").decode("utf-8")}


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Length-delimited fields of a message; others are stepped over. ValueError or IndexError where it is none."""
    position, end = 0, len(message)
    while position < end:
        key, position = _varint(message, position)
        wire = key & 7
        if wire == 0:
            _, position = _varint(message, position)
        elif wire == _LENGTH_DELIMITED:
            length, position = _varint(message, position)
            if length > end - position:
                raise ValueError("a field is longer than its message")
            yield key >> 3, message[position : position + length]
            position += length
        elif wire in _FIXED:
            position += _FIXED[wire]
        else:
            raise ValueError("no wire type of protobuf 3")
    if position != end:
        raise ValueError("a field is longer than its message")


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ValueError("a number has more than ten bytes")
