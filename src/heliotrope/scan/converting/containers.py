"""The tensors of a file by name, for every format that can be converted."""

import ast
import math
from typing import Any, Final

from heliotrope.core.text import printable
from heliotrope.scan.archives.decompressors import ZIP_METHODS
from heliotrope.scan.archives.zip_directory import Member, NoDirectoryError, end_records, local_header, read_directories
from heliotrope.scan.converting.skops_values import skops_value
from heliotrope.scan.converting.tensors import SIZES, CannotConvertError, Tensor
from heliotrope.scan.converting.torch_values import Storage, TorchCalls
from heliotrope.scan.converting.values import Bytes, Made, build
from heliotrope.scan.interface import Source
from heliotrope.scan.limits import Budget, ScanLimits
from heliotrope.scan.pickles.replay import Unclear, described_dtype
from heliotrope.scan.sources import BytesSource, SliceSource
from heliotrope.scan.unpacking import PACKINGS, UnpackedSource

__all__ = ["read_value"]

_NUMPY: Final = {
    "b1": "BOOL", "u1": "U8", "i1": "I8", "u2": "U16", "i2": "I16", "f2": "F16", "u4": "U32", "i4": "I32",
    "f4": "F32", "u8": "U64", "i8": "I64", "f8": "F64", "c8": "C64",
}  # fmt: skip
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_MAX_HEADER = 64 * 2**10
_RECONSTRUCT = ("numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct")
_WRAPPER = ("joblib.numpy_pickle.NumpyArrayWrapper",)
_SCALAR = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")
_FROM_BUFFER = ("numpy.core.numeric._frombuffer", "numpy._core.numeric._frombuffer")


def read_value(source: Source, format_: str, limits: ScanLimits) -> Any:
    """What a clean file of that format holds: containers, tensors, and placeholders for the rest.

    CannotConvertError for formats that are not known, and for files that are not written as their libraries write them.
    """
    try:
        return _read(source, format_, limits)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, NoDirectoryError) as error:
        raise CannotConvertError(
            f"it is not written as files of the format {format_} are ({printable(str(error))[:200]})"
        ) from None


def _read(source: Source, format_: str, limits: ScanLimits) -> Any:  # noqa: PLR0911 - one for each format
    inner, _, packing = format_.rpartition("-")
    if packing in PACKINGS:
        known = PACKINGS[packing]
        unpacked = UnpackedSource(
            source,
            lambda: known.make(limits.max_decoder_memory),
            limits=limits,
            budget=Budget.of(limits, source.size),
            further=(*known.magics, *known.more),
        )
        return _read(unpacked, inner, limits)
    if format_ == "torch-zip":
        return _torch_zip(source, limits)
    if format_ == "torch-legacy":
        return _torch_legacy(source)
    if format_ == "npz":
        return _npz(source, limits)
    if format_ == "npy":
        return {"array": _npy(source, "array")}
    if format_ in ("pickle", "joblib"):
        return _numpy_pickle(source)
    if format_ == "skops":
        return _skops(source, limits)
    raise CannotConvertError(
        f"files of the format {format_} cannot be converted",
        hint="torch's files, npy, npz, skops files, pickles and joblib files of plain arrays can",
    )


def _members(source: Source, limits: ScanLimits) -> dict[str, Member]:
    ends = end_records(source)
    if not ends:
        raise NoDirectoryError("it has no directory")
    return {member.name: member for member in read_directories(source, ends[0], limits)[0].members}


def _opened(source: Source, member: Member, limits: ScanLimits) -> Source:
    header = local_header(source, member.header)
    make = ZIP_METHODS.get(member.method)
    if header is None or (member.method != 0 and make is None):
        raise CannotConvertError(f"{printable(member.name)}: the member cannot be read")
    packed = SliceSource(source, header.data, member.packed)
    if make is None:
        return packed
    opened = UnpackedSource(
        packed,
        lambda: make(limits.max_decoder_memory),
        limits=limits,
        budget=Budget.of(limits, source.size),
        at_most=member.size,
    )
    if opened.size != member.size:
        raise CannotConvertError(f"{printable(member.name)}: the member cannot be read")
    return opened


def _torch_zip(source: Source, limits: ScanLimits) -> Any:
    members = _members(source, limits)
    name = next((item for item in members if item.endswith("/data.pkl") or item == "data.pkl"), "")
    prefix = name.removesuffix("data.pkl")
    order = members.get(f"{prefix}byteorder")
    big = order is not None and _opened(source, order, limits).read(0, 16).strip() == b"big"
    opened: dict[str, Source] = {}

    def place(storage: Storage) -> tuple[Source, int]:
        if storage.key not in opened:
            member = members.get(f"{prefix}data/{storage.key}")
            if member is None:
                raise CannotConvertError(f"the bytes of storage {printable(storage.key)} are missing")
            opened[storage.key] = _opened(source, member, limits)
        held = opened[storage.key]
        if storage.size > held.size:
            raise CannotConvertError(f"storage {printable(storage.key)} is shorter than its tensors need")
        return held, 0

    calls = TorchCalls(place, big_endian=big)
    value, _ = build(
        _opened(source, members[name], limits), 0, call=calls.call, persistent=calls.storage, built=_torch_built
    )
    return value


def _torch_built(target: Any, state: Any, at: int) -> tuple[Any, int]:
    if isinstance(target, Made):
        target.state = state
    return target, at


def _torch_legacy(source: Source) -> Any:
    """Magic number, version, system, the pickle, the keys of the storages, and their bytes behind their lengths."""
    found: dict[str, int] = {}
    sizes: dict[str, Storage] = {}

    def place(storage: Storage) -> tuple[Source, int]:
        sizes[storage.key] = storage
        return source, found.get(storage.key, 0)

    def read(at: int, calls: TorchCalls) -> tuple[Any, int]:
        return build(source, at, call=calls.call, persistent=calls.storage, built=_torch_built)

    first = TorchCalls(place)
    magic, at = read(0, first)
    if magic != _LEGACY_MAGIC:
        raise CannotConvertError("it is not written as torch's old format is")
    _, at = read(at, first)
    system, pickled = read(at, first)
    _, at = read(pickled, first)  # once for the storages, whose places only the end tells
    keys, at = read(at, first)
    for key in keys:
        storage = sizes.get(str(key))
        if storage is None:
            raise CannotConvertError(f"storage {printable(str(key))} belongs to no tensor")
        count = int.from_bytes(source.read(at, 8), "little")
        found[str(key)] = at + 8
        if at + 8 + storage.size > source.size or count * SIZES[storage.dtype] != storage.size:
            raise CannotConvertError(f"storage {printable(str(key))} is shorter than its tensors need")
        at += 8 + storage.size
    big = isinstance(system, dict) and system.get("little_endian") is False
    value, _ = read(pickled, TorchCalls(place, big_endian=big))
    return value


def _npz(source: Source, limits: ScanLimits) -> dict[str, Tensor]:
    arrays = {}
    for name, member in _members(source, limits).items():
        short = name.removesuffix(".npy")
        arrays[short] = _npy(_opened(source, member, limits), short)
    return arrays


def _skops(source: Source, limits: ScanLimits) -> Any:
    members = _members(source, limits)

    def opened(name: str) -> Source:
        if name not in members:
            raise CannotConvertError(f"the member {printable(name)[:100]} is missing")
        return _opened(source, members[name], limits)

    schema = opened("schema.json")
    return skops_value(
        schema.read(0, limits.max_skops_schema),
        opened,
        _npy,
        lambda packed: {name: _opened(packed, member, limits) for name, member in _members(packed, limits).items()},
    )


def _npy(source: Source, name: str) -> Tensor:
    """An array by its header. Source: numpy.lib.format."""
    head = source.read(0, 12)
    width = 2 if head[6:7] == b"\x01" else 4
    size = int.from_bytes(head[8 : 8 + width], "little")
    if head[:6] != b"\x93NUMPY" or size > _MAX_HEADER:
        raise CannotConvertError(f"{printable(name)}: the header of the array cannot be read")
    try:
        header = ast.literal_eval(source.read(8 + width, size).decode("latin-1").strip())
        descr, shape, fortran = header["descr"], header["shape"], header["fortran_order"]
    except (ValueError, SyntaxError, TypeError, KeyError, MemoryError, RecursionError):
        raise CannotConvertError(f"{printable(name)}: the header of the array cannot be read") from None
    return _array(source, 8 + width + size, descr, shape, name, fortran=bool(fortran))


def _array(source: Source, start: int, descr: Any, shape: Any, name: str, *, fortran: bool) -> Tensor:
    if not isinstance(descr, str) or descr[1:] not in _NUMPY or not isinstance(shape, tuple):
        raise CannotConvertError(
            f"{printable(name)}: arrays of type {printable(str(descr))[:60]} have no type in safetensors files"
        )
    dtype = _NUMPY[descr[1:]]
    strides: list[int] = []
    step = 1
    for side in shape if fortran else reversed(shape):
        strides.append(step)
        step *= side
    if not fortran:
        strides.reverse()
    size = math.prod(shape) * int(descr[2:])
    return Tensor(dtype, shape, tuple(strides), source, start, (start, start + size), swapped=descr[0] == ">")


def _numpy_pickle(source: Source) -> Any:
    """Arrays that numpy or joblib pickled: in their state, in bytes, or between the opcodes."""

    def call(name: str, arguments: tuple[Any, ...]) -> Any:
        plain = TorchCalls(lambda _: (source, 0)).call(name, arguments)
        if plain is not NotImplemented:
            return plain
        if name in ("_codecs.encode", "codecs.encode") and isinstance(arguments[0], str):
            return arguments[0].encode("latin-1")
        if name in _FROM_BUFFER:
            data, dtype, shape, order = arguments
            return _from_bytes(source, data, _descr(dtype), shape, fortran=order == "F")
        return NotImplemented

    def built(target: Any, state: Any, at: int) -> tuple[Any, int]:
        if not isinstance(target, Made):
            return target, at
        target.state = state
        if target.callee in _RECONSTRUCT:
            _, shape, dtype, fortran, data = state
            return _from_bytes(source, data, _descr(dtype), shape, fortran=bool(fortran)), at
        if target.callee in _WRAPPER:
            return _inline(source, state, at)
        return target, at

    def persistent(_: Any) -> Any:
        raise CannotConvertError("it refers to objects outside the file")

    value, _ = build(source, 0, call=call, persistent=persistent, built=built)
    return value


def _inline(source: Source, state: Any, at: int) -> tuple[Tensor, int]:
    """A joblib array: a byte that says how much padding follows, where the release writes one, and then the elements."""
    if state.get("numpy_array_alignment_bytes") is not None:
        at += 1 + source.read(at, 1)[0]
    tensor = _array(source, at, _descr(state["dtype"]), state["shape"], "an array", fortran=state["order"] == "F")
    return tensor, at + tensor.size


def _descr(dtype: Any) -> str:
    """As in <f4, of a pickled numpy.dtype."""
    if not isinstance(dtype, Made) or dtype.callee != "numpy.dtype":
        raise CannotConvertError("an array has no type of its own")
    written = str(dtype.arguments[0])
    try:
        known = described_dtype(written)
    except Unclear:
        known = None
    if known is None or written.lstrip("<>|=") not in _NUMPY:
        raise CannotConvertError(f"arrays of type {printable(written)[:60]} have no type in safetensors files")
    order = dtype.state[1] if isinstance(dtype.state, tuple) and len(dtype.state) > 1 else "<"
    return f"{'>' if order == '>' else '<'}{written.lstrip('<>|=')}"


def _from_bytes(source: Source, data: Any, descr: str, shape: Any, *, fortran: bool) -> Tensor:
    if isinstance(data, Bytes):
        made = _array(source, data.offset, descr, tuple(shape), "an array", fortran=fortran)
        size = data.size
    elif isinstance(data, bytes):
        made = _array(BytesSource(data), 0, descr, tuple(shape), "an array", fortran=fortran)
        size = len(data)
    else:
        raise CannotConvertError("an array's elements are objects", hint="convert arrays of numbers")
    if made.size > size:
        raise CannotConvertError("an array is longer than its bytes")
    return made
