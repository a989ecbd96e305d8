"""What torch's pickles say of tensors: storages by persistent id, and the calls that rebuild views of them.

Source: torch._utils and torch.serialization, releases 0.4 to 2.13.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from heliotrope.core.text import printable
from heliotrope.scan.converting.tensors import SIZES, CannotConvertError, Tensor
from heliotrope.scan.converting.values import Global, Made
from heliotrope.scan.interface import Source

__all__ = ["Storage", "TorchCalls"]

_STORAGES: Final = {
    "Double": "F64", "Float": "F32", "Half": "F16", "BFloat16": "BF16", "Long": "I64", "Int": "I32", "Short": "I16",
    "Char": "I8", "Byte": "U8", "Bool": "BOOL", "ComplexFloat": "C64", "Untyped": "U8",
}  # fmt: skip
_DTYPES: Final = {
    "torch.float8_e4m3fn": "F8_E4M3", "torch.float8_e5m2": "F8_E5M2", "torch.uint16": "U16", "torch.uint32": "U32",
    "torch.uint64": "U64", "torch.float64": "F64", "torch.float32": "F32", "torch.float16": "F16",
    "torch.bfloat16": "BF16", "torch.int64": "I64", "torch.int32": "I32", "torch.int16": "I16", "torch.int8": "I8",
    "torch.uint8": "U8", "torch.bool": "BOOL", "torch.complex64": "C64",
}  # fmt: skip
_PLAIN: Final = {
    "collections.OrderedDict": dict,
    "torch.Size": tuple,
    "builtins.set": list,
    "builtins.list": list,
    "builtins.dict": dict,
    "builtins.tuple": tuple,
    "__builtin__.set": list,
}
_MAX_SIDE = 2**52


@dataclass(frozen=True, slots=True)
class Storage:
    """Bytes of one storage, and the type that its class gives to elements."""

    dtype: str
    key: str
    size: int
    """Bytes."""
    first: int = 0
    """Elements that a view of old releases begins behind."""


class TorchCalls:
    """Answers the builder's calls; `place` says where the bytes of a storage lie: source and offset."""

    def __init__(self, place: Callable[[Storage], tuple[Source, int]], *, big_endian: bool = False) -> None:
        self._place = place
        self._big_endian = big_endian

    def call(self, name: str, arguments: tuple[Any, ...]) -> Any:
        """A tensor or a container, or NotImplemented."""
        if name in _PLAIN:
            return _PLAIN[name](*arguments)
        if name in ("torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor"):
            return self._tensor(*arguments[:4])
        if name == "torch._utils._rebuild_tensor_v3":
            dtype = _DTYPES.get(arguments[6].name) if isinstance(arguments[6], Global) else None
            if dtype is None:
                raise CannotConvertError(
                    f"tensors of type {printable(_named(arguments[6]))[:100]} have no type in safetensors files"
                )
            return self._tensor(*arguments[:4], dtype=dtype)
        if name in (
            "torch._utils._rebuild_parameter",
            "torch._utils._rebuild_parameter_with_state",
            "torch.nn.parameter.Parameter",
        ):
            return arguments[0]
        if name == "torch._tensor._rebuild_from_type_v2":
            return self.call(_named(arguments[0]), tuple(arguments[2]))
        if name.startswith("torch._utils._rebuild_"):
            raise CannotConvertError(
                f"it holds a tensor made by {printable(name)[:100]}, which has no place in a safetensors file",
                hint="save dense tensors of plain types",
            )
        return NotImplemented

    def storage(self, identifier: Any) -> Storage:
        """The storage of a persistent id: ("storage", class, key, location, number of elements[, view])."""
        if not isinstance(identifier, tuple) or len(identifier) < 5 or identifier[0] != "storage":
            raise CannotConvertError("it refers to something outside the file that is no storage of torch")
        kind = _named(identifier[1]).rpartition(".")[2].removesuffix("Storage")
        dtype = _STORAGES.get(kind)
        if dtype is None:
            raise CannotConvertError(
                f"a storage of class {printable(kind)[:100]}Storage has no type in safetensors files"
            )
        key, count = str(identifier[2]), identifier[4]
        if type(count) is not int or not 0 <= count < _MAX_SIDE:
            raise CannotConvertError("a storage has no size")
        first = 0
        if len(identifier) > 5 and identifier[5] is not None:
            first = int(identifier[5][1])
        return Storage(dtype, key, count * SIZES[dtype], first)

    def _tensor(self, storage: Any, offset: Any, shape: Any, strides: Any, *, dtype: str = "") -> Tensor:
        sides = (offset, *shape, *strides)
        if not isinstance(storage, Storage) or not all(type(side) is int and 0 <= side < _MAX_SIDE for side in sides):
            raise CannotConvertError("a tensor is not described as torch does it")
        source, at = self._place(storage)
        kind = dtype or storage.dtype
        start = at + (offset + storage.first) * SIZES[kind]
        return Tensor(
            kind, tuple(shape), tuple(strides), source, start, (at, at + storage.size), swapped=self._big_endian
        )


def _named(value: Any) -> str:
    if isinstance(value, Global):
        return value.name
    return value.callee if isinstance(value, Made) else type(value).__name__
