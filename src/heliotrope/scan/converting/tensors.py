"""A tensor as a view of bytes that lie somewhere in a file, and how its elements are read in order."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from heliotrope.core.errors import InputError
from heliotrope.scan.interface import Source

__all__ = ["SIZES", "CannotConvertError", "Tensor", "elements"]

SIZES: Final = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "U16": 2, "I16": 2, "F16": 2, "BF16": 2,
    "U32": 4, "I32": 4, "F32": 4, "U64": 8, "I64": 8, "F64": 8, "C64": 8,
}  # fmt: skip
"""Type of the safetensors format to bytes of an element."""

_CHUNK = 4 * 2**20
_MAX_GATHERED = 2**30
"""Bytes held at once for a tensor whose elements are not in order; 1 GiB."""
_FORMATS: Final[dict[int, Literal["B", "H", "I", "Q"]]] = {1: "B", 2: "H", 4: "I", 8: "Q"}


class CannotConvertError(InputError):
    """What a file holds has no place in a safetensors file, or cannot be decoded without loading it."""

    code = "convert"


@dataclass(frozen=True, slots=True)
class Tensor:
    """Type, shape and strides (in elements) over a part of a source."""

    dtype: str
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    source: Source
    start: int
    """Offset of the first element in the source, in bytes."""
    extent: tuple[int, int]
    """First byte of the storage in the source, and the one behind it."""
    swapped: bool = False
    """Elements are big-endian."""
    interleaved: bool = False
    """A field of records: others lie between its elements."""

    @property
    def count(self) -> int:
        return math.prod(self.shape)

    @property
    def size(self) -> int:
        """Bytes when written."""
        return self.count * SIZES[self.dtype]

    def check(self, name: str) -> None:
        """CannotConvertError when it reaches beyond its storage."""
        if len(self.shape) != len(self.strides) or any(side < 0 for side in (*self.shape, *self.strides)):
            raise CannotConvertError(f"{name}: its shape or strides are no sizes")
        if not self.count:
            return
        last = sum((side - 1) * stride for side, stride in zip(self.shape, self.strides, strict=True))
        begin, end = self.extent
        if self.start < begin or self.start + (last + 1) * SIZES[self.dtype] > end:
            raise CannotConvertError(f"{name}: it reaches beyond the bytes of its storage")


def elements(tensor: Tensor, name: str) -> Iterator[bytes]:
    """The bytes of all elements in row-major order, in pieces."""
    if not tensor.count:
        return
    shape, strides = _squeezed(tensor)
    if _is_contiguous(shape, strides):
        pieces = _run(tensor.source, tensor.start, tensor.size, name)
    else:
        pieces = _gathered(tensor, shape, strides, name)
    for piece in pieces:
        yield _turned(piece, tensor.dtype) if tensor.swapped else piece


def _squeezed(tensor: Tensor) -> tuple[tuple[int, ...], tuple[int, ...]]:
    kept = [(side, stride) for side, stride in zip(tensor.shape, tensor.strides, strict=True) if side != 1]
    return tuple(side for side, _ in kept), tuple(stride for _, stride in kept)


def _is_contiguous(shape: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    expected = 1
    for side, stride in zip(reversed(shape), reversed(strides), strict=True):
        if stride != expected:
            return False
        expected *= side
    return True


def _run(source: Source, start: int, size: int, name: str) -> Iterator[bytes]:
    done = 0
    while done < size:
        piece = source.read(start + done, min(_CHUNK, size - done))
        if not piece:
            raise CannotConvertError(f"{name}: its bytes end after {done} of {size}")
        done += len(piece)
        yield piece


def _gathered(tensor: Tensor, shape: tuple[int, ...], strides: tuple[int, ...], name: str) -> Iterator[bytes]:
    """Row by row through memory; a row is a slice with a step, which costs no loop."""
    width = SIZES[tensor.dtype]
    last = sum((side - 1) * stride for side, stride in zip(shape, strides, strict=True))
    span = (last + 1) * width
    if span > _MAX_GATHERED:
        raise CannotConvertError(
            f"{name}: its elements are not in order and lie in {span} bytes, more than {_MAX_GATHERED}",
            hint="save it with .contiguous() first",
        )
    held = memoryview(b"".join(_run(tensor.source, tensor.start, span, name))).cast(_FORMATS[width])
    piece = bytearray()
    side, stride = shape[-1], strides[-1]
    for base in _bases(shape[:-1], strides[:-1]):
        if stride:
            piece += held[base : base + (side - 1) * stride + 1 : stride].tobytes()
        else:
            piece += held[base : base + 1].tobytes() * side
        if len(piece) >= _CHUNK:
            yield bytes(piece)
            piece.clear()
    yield bytes(piece)


def _bases(shape: tuple[int, ...], strides: tuple[int, ...]) -> Iterator[int]:
    if not shape:
        yield 0
        return
    for outer in _bases(shape[:-1], strides[:-1]):
        for position in range(shape[-1]):
            yield outer + position * strides[-1]


def _turned(piece: bytes, dtype: str) -> bytes:
    """Little-endian elements of big-endian ones. Pieces hold whole elements."""
    width = 4 if dtype == "C64" else SIZES[dtype]
    if width == 1:
        return piece
    turned = bytearray(len(piece))
    for place in range(width):
        turned[place::width] = piece[width - 1 - place :: width]
    return bytes(turned)
