"""Objects from files that could run code: read once, cleared, and loaded with nothing but what the clearance names.

Raw pickles, joblib files (compressed ones too) and skops files. Call this in a worker only: a clearance says that the
policy vouches for what is imported, and a worker contains what goes wrong all the same.
"""

import bz2
import copyreg
import importlib
import io
import lzma
import math
import pickle
import zlib
from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from heliotrope.core.clearances import Clearance
from heliotrope.core.errors import HeliotropeError, InputError, MissingExtraError
from heliotrope.core.records import sha256_hex
from heliotrope.core.text import printable, shorten

if TYPE_CHECKING:
    import numpy as np

__all__ = ["MAX_UNPACKED_BYTES", "load_cleared"]

MAX_UNPACKED_BYTES = 2 * 2**30
"""Decompressed size of a file, the same as a file's size may be: both are held in memory."""

_WRAPPER = "joblib.numpy_pickle.NumpyArrayWrapper"
_LZMA_MEMORY = 256 * 2**20
"""What an lzma stream may ask for its dictionary; the highest preset takes 65 MiB."""

_EXTRAS = {
    "sklearn": "sklearn",
    "skops": "sklearn",
    "xgboost": "xgboost",
    "lightgbm": "lightgbm",
    "catboost": "catboost",
    "torch": "torch",
    "numpy": "data",
    "scipy": "data",
    "pandas": "data",
}
"""Extra of this package by the root module that a file needs."""


def load_cleared(data: bytes, clearance: Clearance) -> Any:
    """The object in a file, made with no other globals than those of the clearance.

    `clearance` must be about exactly these bytes (engine.clearance.clear gives it). Raises InputError when it is not, when
    the format holds no object, when the file asks for anything else while it loads, or when it cannot be loaded here;
    MissingExtraError when a library that the file needs is not installed.
    """
    if len(data) != clearance.size or sha256_hex(data) != clearance.sha256:
        raise InputError(
            "these are not the bytes that the clearance is about",
            hint="read the file once, clear these bytes and load the same bytes",
        )
    kind, _, packing = clearance.format.partition("-")
    load = _LOADERS.get(kind)
    if load is None or packing not in _UNPACKERS:
        raise InputError(
            f"a file of the format {clearance.format} holds no object that is loaded under a clearance",
            hint="pickle, joblib and skops files do",
        )
    try:
        return load(_UNPACKERS[packing](data), _Admitted(clearance.globals))
    except (HeliotropeError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 - rebuilding objects fails in as many ways as there are libraries
        reason = shorten(printable(f"{type(error).__name__}: {error}"), 300)
        raise InputError(
            f"the file is clean but cannot be loaded here: {reason}",
            hint="install the versions of the libraries that it was written with, or export it again",
        ) from None


class _Admitted:
    """The globals a file may import."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = frozenset(names)

    def resolve(self, module: str, name: str) -> Any:
        """The object of that name. Names of Python 2, which old protocols write, mean what Python 3 makes of them."""
        for asked_module, asked_name in ((module, name), _python3_name(module, name)):
            full_name = f"{asked_module}.{asked_name}"
            if full_name in self.names:
                return _ArrayInFile if full_name == _WRAPPER else _imported(asked_module, asked_name)
        raise _refused(f"the file asks for {printable(f'{module}.{name}')}, which its clearance does not name")


class _ArrayInFile:
    """Stands in for joblib's wrapper: the state says what the raw bytes behind it are."""

    subclass: Any
    shape: tuple[int, ...]
    order: str
    dtype: "np.dtype[Any]"
    allow_mmap: bool
    numpy_array_alignment_bytes: int | None


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, admitted: _Admitted) -> None:
        super().__init__(file)
        self._admitted = admitted

    def find_class(self, module: str, name: str) -> Any:
        return self._admitted.resolve(module, name)

    def persistent_load(self, pid: Any) -> NoReturn:
        del pid
        raise _refused("the file refers to objects outside itself")


class _JoblibUnpickler(pickle._Unpickler):  # noqa: SLF001 - joblib's own reader rests on it: arrays lie between opcodes
    dispatch = dict(pickle._Unpickler.dispatch)  # noqa: SLF001
    stack: list[Any]

    def __init__(self, file: io.BytesIO, admitted: _Admitted) -> None:
        super().__init__(file)
        self._file = file
        self._admitted = admitted

    def find_class(self, module: str, name: str) -> Any:
        return self._admitted.resolve(module, name)

    def persistent_load(self, pid: Any) -> NoReturn:
        del pid
        raise _refused("the file refers to objects outside itself")

    def get_extension(self, code: int) -> NoReturn:
        raise _refused(f"the file uses extension code {code}")

    def load_build(self) -> None:
        super().load_build()  # type: ignore[misc]  # the stubs leave the methods of opcodes out
        if isinstance(self.stack[-1], _ArrayInFile):
            self.stack.append(_array(self.stack.pop(), self._file, self._admitted))

    dispatch[pickle.BUILD[0]] = load_build  # type: ignore[assignment]  # as above


def _array(wrapper: _ArrayInFile, file: io.BytesIO, admitted: _Admitted) -> Any:
    """The array whose bytes come next in the file. It is never mapped, and never larger than what the file has left."""
    import numpy as np

    described: tuple[Any, Any] = (wrapper.dtype, wrapper.shape)
    if not (isinstance(described[0], np.dtype) and isinstance(described[1], tuple)):
        raise _refused("an array's description is none")
    if wrapper.dtype.hasobject:
        return _Unpickler(file, admitted).load()
    if getattr(wrapper, "numpy_array_alignment_bytes", None) is not None:
        padding = file.read(1)
        file.read(int.from_bytes(padding, "little"))
    size = math.prod(wrapper.shape) * wrapper.dtype.itemsize
    if size < 0 or size > file.getbuffer().nbytes - file.tell():
        raise _refused(f"an array of {size} bytes is announced, which the file does not have")
    if size == 0:
        return np.empty(wrapper.shape, wrapper.dtype)
    flat = np.frombuffer(bytearray(file.read(size)), wrapper.dtype)
    array = flat.reshape(wrapper.shape[::-1]).transpose() if wrapper.order == "F" else flat.reshape(wrapper.shape)
    native = array.dtype.newbyteorder("=")
    return array if array.dtype == native else array.astype(native)


def _load_pickle(data: bytes, admitted: _Admitted) -> Any:
    copyreg.clear_extension_cache()  # the C unpickler takes what lies there without asking for the class
    return _Unpickler(io.BytesIO(data), admitted).load()


def _load_joblib(data: bytes, admitted: _Admitted) -> Any:
    copyreg.clear_extension_cache()
    return _JoblibUnpickler(io.BytesIO(data), admitted).load()


def _load_skops(data: bytes, admitted: _Admitted) -> Any:
    try:
        import skops.io
    except ImportError:
        raise MissingExtraError(_EXTRAS["skops"], module="skops") from None
    wanted = skops.io.get_untrusted_types(data=data)
    strange = [name for name in wanted if name not in admitted.names]
    if strange:
        raise _refused(f"the file asks for {printable(strange[0])}, which its clearance does not name")
    return skops.io.loads(data, trusted=wanted)


_LOADERS: dict[str, Callable[[bytes, _Admitted], Any]] = {
    "pickle": _load_pickle,
    "joblib": _load_joblib,
    "skops": _load_skops,
}


# compressed files


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = ..., /) -> bytes: ...


def _unpacked(make: Callable[[], _Decompressor]) -> Callable[[bytes], bytes]:
    def unpack(data: bytes) -> bytes:
        plain = bytearray()
        while data:  # readers take several streams one after another for one
            decompressor = make()
            plain += decompressor.decompress(data, MAX_UNPACKED_BYTES + 1 - len(plain))
            if len(plain) > MAX_UNPACKED_BYTES:
                raise InputError(
                    f"the file has more than {MAX_UNPACKED_BYTES} bytes when unpacked",
                    hint="save it without compression",
                )
            if not decompressor.eof:
                raise InputError("the compressed data breaks off", hint="save the model again")
            data = decompressor.unused_data
        return bytes(plain)

    return unpack


_UNPACKERS: dict[str, Callable[[bytes], bytes]] = {
    "": lambda data: data,
    "zlib": _unpacked(lambda: zlib.decompressobj(zlib.MAX_WBITS)),
    "gzip": _unpacked(lambda: zlib.decompressobj(zlib.MAX_WBITS | 16)),
    "bzip2": _unpacked(bz2.BZ2Decompressor),
    "xz": _unpacked(lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_LZMA_MEMORY)),
    "lzma": _unpacked(lambda: lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=_LZMA_MEMORY)),
}
"""By what follows the first hyphen in the scanner's name of the format."""


def _imported(module: str, name: str) -> Any:
    try:
        found: Any = importlib.import_module(module)
    except ModuleNotFoundError as error:
        root = (error.name or module).partition(".")[0]
        if root in _EXTRAS and _is_missing(root):
            raise MissingExtraError(_EXTRAS[root], module=root) from None
        raise
    for part in name.split("."):
        found = getattr(found, part)
    return found


def _is_missing(root: str) -> bool:
    return find_spec(root) is None


def _python3_name(module: str, name: str) -> tuple[str, str]:
    from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING

    renamed = NAME_MAPPING.get((module, name))
    return renamed or (IMPORT_MAPPING.get(module, module), name)


def _refused(what: str) -> InputError:
    return InputError(what, hint="do not load this file; get the model from its publisher")
