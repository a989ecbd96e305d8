"""Arrays from npy, npz and idx bytes. Nothing is unpickled; sizes are checked before memory is taken."""

import gzip
import io
import math
import struct
import tokenize
import zipfile
import zlib
from typing import IO, TYPE_CHECKING

from heliotrope.core.errors import InputError
from heliotrope.core.text import printable, shorten
from heliotrope.subjects._files import ReadFile, show

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.generic]

__all__ = ["MAX_ARRAY_BYTES", "MAX_MEMBERS", "read_array", "read_npz"]

MAX_ARRAY_BYTES = 2 * 2**30
"""The largest array that is unpacked: with its float32 copy it must fit in a worker's default 8 GiB."""

MAX_MEMBERS = 1000
"""Arrays in an npz file: a data set has a handful, and listing a forged directory must stay cheap."""

MAX_DEFLATE_RATIO = 1032
"""Deflate cannot expand further than 1032:1 (zlib's technical notes), so a larger claim is false."""

_NPY_MAGIC = b"\x93NUMPY"
_GZIP_MAGIC = b"\x1f\x8b"
_IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_MAX_IDX_DIMENSIONS = 8
_EXPORT_HINT = "write it again, as with numpy.save or numpy.savez"


def read_array(file: ReadFile, *, what: str) -> "Array":
    """The array of an npy, idx or gzipped idx file, told apart by its first bytes. Raises InputError."""
    data = file.data
    if data.startswith(_NPY_MAGIC):
        return _read_npy(io.BytesIO(data), len(data), f"{what}: {show(file.path)}")
    if data.startswith(_GZIP_MAGIC):
        return _read_idx_gz(data, f"{what}: {show(file.path)}")
    if data.startswith(b"\x00\x00"):
        return _read_idx(io.BytesIO(data), len(data), f"{what}: {show(file.path)}")
    raise InputError(
        f"{what}: {show(file.path)} is neither npy nor idx nor gzipped idx: it begins with {data[:8].hex(' ')}",
        hint="store arrays with numpy.save, or one npz file named by `path`",
    )


def read_npz(file: ReadFile, keys: dict[str, str]) -> dict[str, "Array"]:
    """The arrays of an npz file: `keys` maps a configuration key to the name of its array. Raises InputError."""
    where = show(file.path)
    try:
        archive = zipfile.ZipFile(io.BytesIO(file.data))
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError, struct.error) as error:
        raise InputError(f"{where} is not a readable npz file: {printable(str(error))}", hint=_EXPORT_HINT) from None
    with archive:
        members = archive.infolist()
        if len(members) > MAX_MEMBERS:
            raise InputError(f"{where} has {len(members)} members, the limit is {MAX_MEMBERS}", hint=_EXPORT_HINT)
        return {key: _read_member(archive, members, key, name, where) for key, name in keys.items()}


def _read_member(archive: zipfile.ZipFile, members: list[zipfile.ZipInfo], key: str, name: str, where: str) -> "Array":
    found = [member for member in members if member.filename == f"{name}.npy"]
    if len(found) != 1:
        names = ", ".join(sorted(member.filename.removesuffix(".npy") for member in members)) or "none"
        fault = "no array" if not found else "more than one array"
        raise InputError(
            f"{where} has {fault} named {printable(name)!r}; there are: {shorten(printable(names), 300)}",
            hint=f"set {key} in the data section of heliotrope.yaml",
        )
    member = found[0]
    label = f"{where}, array {printable(name)!r}"
    if member.file_size > MAX_DEFLATE_RATIO * max(member.compress_size, 1) or member.file_size > MAX_ARRAY_BYTES:
        raise InputError(
            f"{label}: {member.compress_size} bytes claim to unpack to {member.file_size}; the limit is {MAX_ARRAY_BYTES}",
            hint=_EXPORT_HINT,
        )
    try:
        with archive.open(member) as stream:
            return _read_npy(stream, member.file_size, label)
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        RuntimeError,
        NotImplementedError,
        OSError,
        struct.error,
    ) as error:
        raise InputError(f"{label} cannot be unpacked: {printable(str(error))}", hint=_EXPORT_HINT) from None


def _read_npy(stream: IO[bytes], size: int, label: str) -> "Array":
    import numpy as np
    from numpy.lib import format as npy

    try:
        version = npy.read_magic(stream)
        if version not in {(1, 0), (2, 0)}:
            raise InputError(f"{label}: npy version {version[0]}.{version[1]} is not supported", hint=_EXPORT_HINT)
        read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran, dtype = read_header(stream)
    except (ValueError, TypeError, SyntaxError, EOFError, RecursionError, tokenize.TokenError) as error:
        reason = shorten(printable(str(error)), 200)
        raise InputError(f"{label}: not a readable npy array: {reason}", hint=_EXPORT_HINT) from None
    if dtype.hasobject:
        raise InputError(
            f"{label} holds Python objects; reading them would run code, so they are refused",
            hint="convert to numbers first: array.astype('float32') or array.astype('int64')",
        )
    if dtype.kind not in "buif":
        raise InputError(f"{label} has the type {printable(str(dtype))}, expected numbers", hint=_EXPORT_HINT)
    header = size - _remaining(shape, dtype.itemsize, label)
    if header != stream.tell():
        raise InputError(
            f"{label}: the header promises {list(shape)} of {dtype}, the file holds {size - stream.tell()} bytes of data",
            hint="the file is truncated or damaged; " + _EXPORT_HINT,
        )
    array = np.frombuffer(_read_exactly(stream, size - header, label), dtype=dtype)
    return array.reshape(shape[::-1]).transpose() if fortran else array.reshape(shape)


def _remaining(shape: tuple[int, ...], itemsize: int, label: str) -> int:
    """Bytes of an array, or an InputError when it is impossible or over the limit."""
    if any(length < 0 for length in shape):
        raise InputError(f"{label}: the shape {list(shape)} has a negative length", hint=_EXPORT_HINT)
    total = math.prod(shape) * itemsize
    if total == 0:
        raise InputError(f"{label} is an array {list(shape)} without values", hint="evaluate on at least one sample")
    if total > MAX_ARRAY_BYTES:
        raise InputError(
            f"{label}: an array {list(shape)} takes {total} bytes, the limit is {MAX_ARRAY_BYTES}",
            hint="evaluate on a part of the data",
        )
    return total


def _read_exactly(stream: IO[bytes] | gzip.GzipFile, count: int, label: str) -> bytes:
    data = stream.read(count)
    if len(data) != count:
        raise InputError(f"{label} is truncated: {len(data)} of {count} bytes of data", hint="copy or export it again")
    return data


def _read_idx_gz(data: bytes, label: str) -> "Array":
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
            array = _read_idx(stream, None, label, most=MAX_DEFLATE_RATIO * len(data))
            if stream.read(1):
                raise InputError(f"{label} has more data than its header says", hint="copy or export it again")
            return array
    except (OSError, EOFError, zlib.error, struct.error) as error:
        raise InputError(
            f"{label} cannot be unpacked: {printable(str(error))}",
            hint="the file is truncated or damaged; copy it again",
        ) from None


def _read_idx(
    stream: IO[bytes] | gzip.GzipFile, size: int | None, label: str, *, most: int = MAX_ARRAY_BYTES
) -> "Array":
    """The array of an idx stream of `size` bytes (None: packed, so unknown) that cannot be longer than `most`."""
    import numpy as np

    zero, code, dimensions = struct.unpack(">HBB", _read_exactly(stream, 4, label))
    if zero != 0 or code not in _IDX_TYPES or not 1 <= dimensions <= _MAX_IDX_DIMENSIONS:
        raise InputError(
            f"{label} has the wrong magic number 0x{zero << 16 | code << 8 | dimensions:08x} for an idx file",
            hint="images begin with 0x00000803, labels with 0x00000801",
        )
    shape = struct.unpack(f">{dimensions}I", _read_exactly(stream, 4 * dimensions, label))
    dtype = np.dtype(_IDX_TYPES[code])
    total = _remaining(shape, dtype.itemsize, label)
    if (size is not None and stream.tell() + total != size) or total > most:
        raise InputError(
            f"{label}: the header promises {list(shape)} values, which the file cannot hold or exceeds",
            hint="the file is truncated or damaged; copy it again",
        )
    return np.frombuffer(_read_exactly(stream, total, label), dtype=dtype).reshape(shape)
