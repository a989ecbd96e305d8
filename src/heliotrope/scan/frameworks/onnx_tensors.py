"""Tensors of ONNX models that keep their values in files of their own: where those lie, and whether they fit.

Source: the page on external data of ONNX's documentation, and onnxruntime's tag for tensors in memory.
"""

import math
import re

from heliotrope.core.text import printable, shorten
from heliotrope.scan.beside import Beside
from heliotrope.scan.interface import Context

__all__ = ["ExternalTensor", "check_external"]

_BITS = {
    1: 32, 2: 8, 3: 8, 4: 16, 5: 16, 6: 32, 7: 64, 9: 8, 10: 16, 11: 64, 12: 32, 13: 64, 14: 64, 15: 128, 16: 16,
    17: 8, 18: 8, 19: 8, 20: 8, 21: 4, 22: 4, 23: 4, 24: 8, 25: 2, 26: 2,
}  # fmt: skip
"""Of an item, by TensorProto.DataType; text has no fixed size and cannot be external."""

_MEMORY = "_ORT_MEM_ADDR_"
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_DRIVE = re.compile(r"[A-Za-z]:")
_SHOWN = 120


class ExternalTensor:
    """What a TensorProto says about values that are elsewhere."""

    def __init__(self, offset: int) -> None:
        self.offset = offset
        """Of the message in the file."""
        self.dims: list[int] = []
        self.data_type = 0
        self.entries: dict[str, str] = {}
        self.external = False

    @property
    def size(self) -> int | None:
        """Bytes of its values; None when its type has no fixed size."""
        bits = _BITS.get(self.data_type)
        return None if bits is None else (math.prod(self.dims) * bits + 7) // 8


def check_external(tensor: ExternalTensor, context: Context) -> None:
    """Note where a tensor's values lie outside the model's folder, are missing, or do not fit."""
    location = tensor.entries.get("location", "")
    shown = shorten(printable(location), _SHOWN)
    if _MEMORY in location:
        message = "a tensor's values are said to lie at an address in memory"
        context.notes.add("onnx-memory-address", message, key="address", member=context.member, offset=tensor.offset)
        return
    if not location or "\0" in location:
        context.notes.incomplete("a tensor's values are elsewhere, but it is not said where", member=context.member)
        return
    if _leaves(location):
        _outside(f"a tensor's values are read from {shown}", location, tensor, context)
        return
    if context.beside is None:
        context.notes.incomplete(f"the values in {shown} cannot be seen from here", member=context.member)
        return
    found: Beside = context.beside.look(location)
    if found.state == "leaves":
        _outside(f"a tensor's values are read from {shown}, a link out of the folder", location, tensor, context)
    elif found.state == "missing":
        context.notes.incomplete(f"the file {shown} with the values of tensors is missing", member=context.member)
    elif found.state == "odd":
        context.notes.incomplete(f"{shown}, which should hold the values of tensors, is no file", member=context.member)
    else:
        _check_range(tensor, found.size, shown, context)


def _leaves(location: str) -> bool:
    parts = location.replace("\\", "/").split("/")
    return parts[0] == "" or ".." in parts or bool(_URL.match(location) or _DRIVE.match(location))


def _outside(message: str, location: str, tensor: ExternalTensor, context: Context) -> None:
    context.notes.add("onnx-external-path", message, key=location[:_SHOWN], member=context.member, offset=tensor.offset)


def _check_range(tensor: ExternalTensor, available: int, shown: str, context: Context) -> None:
    start, length = _number(tensor.entries.get("offset", "0")), _number(tensor.entries.get("length", ""))
    wanted = tensor.size
    if start is None or (length is None and "length" in tensor.entries):
        problem = "their place is no number"
    elif start + (length if length is not None else wanted or 0) > available:
        problem = f"they would end behind its {available} bytes"
    elif wanted is not None and length is not None and length != wanted:
        problem = f"the tensor needs {wanted} bytes, not {length}"
    else:
        return
    message = f"the values of a tensor do not fit into {shown}: {problem}"
    context.notes.add("onnx-external-range", message, key=shown, member=context.member, offset=tensor.offset)


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None
