"""The arrays of a skops file by their path in the schema. Nothing of skops is used: no node is loaded.

Source: skops.io, protocols 0 to 2. Arrays are members named by NdArrayNode, sparse matrices by SparseMatrixNode.
"""

import ast
import json
from collections.abc import Callable
from typing import Any, Final

from heliotrope.core.text import printable
from heliotrope.scan.converting.tensors import CannotConvertError, Tensor
from heliotrope.scan.converting.values import Made
from heliotrope.scan.interface import Source

__all__ = ["FIELD_TYPES", "skops_value"]

FIELD_TYPES: Final = {
    "b1": "BOOL", "u1": "U8", "i1": "I8", "u2": "U16", "i2": "I16", "f2": "F16", "u4": "U32", "i4": "I32", "f4": "F32",
    "u8": "U64", "i8": "I64", "f8": "F64",
}  # fmt: skip
"""numpy's types of fields to those of the safetensors format."""
_MAX_DEPTH = 200
_MAX_NODES = 500_000
_MAX_HEADER = 64 * 2**10


def skops_value(
    schema: bytes,
    opened: Callable[[str], Source],
    array: Callable[[Source, str], Tensor],
    packed: Callable[[Source], dict[str, Source]],
) -> Any:
    """Containers and tensors as the schema nests them; CannotConvertError for what is no schema.

    `opened` gives a member, `array` the tensor of an npy file, `packed` the npy files in an npz file.
    """
    try:
        root = json.loads(schema)
    except (ValueError, RecursionError):
        raise CannotConvertError("its schema is no JSON") from None
    return _Reader(opened, array, packed).value(root, 0)


class _Reader:
    def __init__(
        self,
        opened: Callable[[str], Source],
        array: Callable[[Source, str], Tensor],
        packed: Callable[[Source], dict[str, Source]],
    ) -> None:
        self._opened = opened
        self._array = array
        self._packed = packed
        self._left = _MAX_NODES
        self._known: dict[Any, Any] = {}
        """Arrays by the id of their node, which later nodes may refer to."""

    def value(self, node: Any, depth: int) -> Any:  # noqa: PLR0911 - one for each kind of node
        self._left -= 1
        if depth > _MAX_DEPTH or self._left < 0:
            raise CannotConvertError(
                f"its schema is more than {_MAX_DEPTH} levels deep, or has more than {_MAX_NODES} nodes"
            )
        if isinstance(node, list):
            return [self.value(item, depth + 1) for item in node]
        if not isinstance(node, dict):
            return Made(f"the plain value {printable(str(node))[:40]}", ())
        loader = node.get("__loader__")
        if not isinstance(loader, str):
            return {str(key): self.value(item, depth + 1) for key, item in node.items()}
        if loader == "JsonNode":
            return _plain(node.get("content"))
        if loader == "CachedNode":
            return self._known.get(node.get("__id__"), Made("an object that is named twice", ()))
        if loader in ("NdArrayNode", "SparseMatrixNode", "RandomStateNode") and isinstance(node.get("file"), str):
            found = self._file(node["file"])
            if isinstance(node.get("__id__"), int):
                self._known[node["__id__"]] = found
            return found
        return self._children(node, depth)

    def _children(self, node: dict[str, Any], depth: int) -> Any:
        """What an object holds: its content, and the arguments it is made with; never the types of keys."""
        content = node.get("content")
        made = node.get("__reduce__")
        value = self.value(content, depth + 1) if isinstance(content, dict | list) else None
        if not isinstance(made, dict):
            return Made(f"{node.get('__module__')}.{node.get('__class__')}", ()) if value is None else value
        parts = {key: self.value(item, depth + 1) for key, item in made.items() if isinstance(item, dict | list)}
        return {**parts, **value} if isinstance(value, dict) else {**parts, "content": value}

    def _file(self, name: str) -> Any:
        source = self._opened(name)
        if name.endswith(".npz"):
            return {key.removesuffix(".npy"): self._npy(item, key) for key, item in self._packed(source).items()}
        return self._npy(source, name)

    def _npy(self, source: Source, name: str) -> Any:
        records = _records(source)
        return self._array(source, name) if records is None else records


def _plain(content: Any) -> Any:
    try:
        return json.loads(content) if isinstance(content, str) else content
    except (ValueError, RecursionError):
        return Made("a value that is no JSON", ())


def _records(source: Source) -> dict[str, Tensor] | Made | None:
    """An array of records as one tensor for each field; a placeholder for texts; None for plain numbers."""
    head = source.read(0, 12)
    width = 2 if head[6:7] == b"\x01" else 4
    size = int.from_bytes(head[8 : 8 + width], "little")
    if head[:6] != b"\x93NUMPY" or size > _MAX_HEADER:
        raise CannotConvertError("the header of an array cannot be read")
    try:
        header = ast.literal_eval(source.read(8 + width, size).decode("latin-1").strip())
        descr, shape, fortran = header["descr"], header["shape"], header["fortran_order"]
    except (ValueError, SyntaxError, TypeError, KeyError, MemoryError, RecursionError):
        raise CannotConvertError("the header of an array cannot be read") from None
    if isinstance(descr, str):
        return (
            None if descr[1:] in FIELD_TYPES or descr[1:] == "c8" else Made(f"an array of {printable(descr)[:40]}", ())
        )
    return _fields(source, 8 + width + size, descr, shape, fortran=bool(fortran))


def _fields(source: Source, start: int, descr: Any, shape: Any, *, fortran: bool) -> dict[str, Tensor] | Made:
    plain = isinstance(descr, list) and all(
        isinstance(field, tuple) and len(field) == 2 and isinstance(field[0], str) and isinstance(field[1], str)
        for field in descr
    )
    if (
        not plain
        or not isinstance(shape, tuple)
        or len(shape) != 1
        or type(shape[0]) is not int
        or (fortran and shape[0] > 1)
    ):
        return Made("an array of records within records", ())
    widths = [int(kind[2:]) if kind[2:].isdecimal() and len(kind) < 8 else 0 for _, kind in descr]
    item = sum(widths)
    fields: dict[str, Tensor] = {}
    offset = 0
    for (name, kind), width in zip(descr, widths, strict=True):
        if name and kind[1:] in FIELD_TYPES:
            if item % width:
                return Made("an array of records whose fields are not aligned", ())
            end = start + item * shape[0]
            fields[name] = Tensor(
                FIELD_TYPES[kind[1:]],
                shape,
                (item // width,),
                source,
                start + offset,
                (start, end),
                swapped=kind[0] == ">",
                interleaved=True,
            )
        elif not kind[1:].startswith("V"):  # padding has no name
            return Made(f"an array of records with {printable(kind)[:20]}", ())
        offset += width
    return fields
