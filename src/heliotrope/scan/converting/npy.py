"""The header of an npy file, and what numpy's types are called in safetensors files. Source: numpy.lib.format."""

import ast
from dataclasses import dataclass
from typing import Any, Final

from heliotrope.scan.converting.tensors import CannotConvertError
from heliotrope.scan.interface import Source

__all__ = ["ARRAY_TYPES", "FIELD_TYPES", "NpyHeader", "npy_header"]

FIELD_TYPES: Final = {
    "b1": "BOOL", "u1": "U8", "i1": "I8", "u2": "U16", "i2": "I16", "f2": "F16", "u4": "U32", "i4": "I32", "f4": "F32",
    "u8": "U64", "i8": "I64", "f8": "F64",
}  # fmt: skip
"""Types of the fields of records."""
ARRAY_TYPES: Final = {**FIELD_TYPES, "c8": "C64"}
_MAX_HEADER = 64 * 2**10


@dataclass(frozen=True, slots=True)
class NpyHeader:
    """What a header says; the types are the file's, and nothing of them is checked."""

    descr: Any
    shape: Any
    fortran: bool
    start: int
    """Offset of the elements."""


def npy_header(source: Source, what: str) -> NpyHeader:
    """Read the header at the beginning of a source; CannotConvertError says that `what` cannot be read."""
    head = source.read(0, 12)
    width = 2 if head[6:7] == b"\x01" else 4
    size = int.from_bytes(head[8 : 8 + width], "little")
    if head[:6] != b"\x93NUMPY" or size > _MAX_HEADER:
        raise CannotConvertError(f"{what} cannot be read")
    try:
        header = ast.literal_eval(source.read(8 + width, size).decode("latin-1").strip())
        descr, shape, fortran = header["descr"], header["shape"], header["fortran_order"]
    except (ValueError, SyntaxError, TypeError, KeyError, MemoryError, RecursionError):
        raise CannotConvertError(f"{what} cannot be read") from None
    return NpyHeader(descr, shape, bool(fortran), 8 + width + size)
