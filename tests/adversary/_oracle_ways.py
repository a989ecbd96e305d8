"""How people load a file and what they then do with what comes out. Imported by the oracle's process only."""

import builtins
import contextlib
import copy
import gc
import importlib
import io
import os
import pickle
import signal
import sys
import tarfile
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Note = Callable[[str], None]
_SECONDS = 2.0
"""For one step; a payload needs milliseconds."""


def preload(names: list[str]) -> None:
    """Import frameworks once, before any fork."""
    for name in names:
        with contextlib.suppress(BaseException):
            importlib.import_module(name)
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)


class _TookTooLongError(BaseException):
    pass


@contextlib.contextmanager
def _limited(note: Note, step: str) -> Iterator[None]:
    """One step: errors end it, not the rest."""

    def late(_signal: int, _frame: Any) -> None:
        raise _TookTooLongError

    signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, _SECONDS)
    note(f"# {step}")
    try:
        yield
    except _TookTooLongError:
        note(f"# {step}: too long")
    except BaseException as error:
        with contextlib.suppress(BaseException):
            note(f"# {step}: {type(error).__name__}")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    if _marked():
        note("! canary")


def _marked() -> bool:
    return os.path.lexists("canary") or hasattr(builtins, "CANARY") or "CANARY" in os.environ


def run(path: str, ways: list[str], note: Note, *, use: bool) -> None:
    """Load the file in each way, use what comes out, and stop at the first canary."""
    warnings.simplefilter("ignore")
    for way in ways:
        for loaded in _objects(path, way, note):
            if use and not _marked():
                _use(loaded, note)
            if _marked():
                return
    with _limited(note, "end"):
        gc.collect()


def _objects(path: str, way: str, note: Note) -> Iterator[Any]:
    loader = LOADERS[way]
    steps: list[Any] = []
    with _limited(note, f"load {way}"):
        for item in loader(path):
            steps.append(item)
            if len(steps) > 20 or _marked():
                break
    while steps:
        yield steps.pop(0)


# loaders


def _pickle(path: str) -> Iterator[Any]:
    with open(path, "rb") as file:
        yield pickle.load(file)


def _pypickle(path: str) -> Iterator[Any]:
    with open(path, "rb") as file:
        yield pickle._Unpickler(file).load()


def _latin(path: str) -> Iterator[Any]:
    with open(path, "rb") as file:
        yield pickle.load(file, encoding="latin1", fix_imports=False)


def _raw_strings(path: str) -> Iterator[Any]:
    with open(path, "rb") as file:
        yield pickle.load(file, encoding="bytes")


def _streams(path: str) -> Iterator[Any]:
    """One pickle after the other, over padding."""
    data = Path(path).read_bytes()
    file = io.BytesIO(data)
    for _ in range(50):
        while file.tell() < len(data) and data[file.tell()] in b"\0 \n\r\t":
            file.seek(1, 1)
        if file.tell() >= len(data):
            return
        yield pickle.load(file)


def _torch(path: str) -> Iterator[Any]:
    import torch

    yield torch.load(path, weights_only=False, map_location="cpu")


def _torch_weights(path: str) -> Iterator[Any]:
    import torch

    yield torch.load(path, weights_only=True, map_location="cpu")


def _package(path: str) -> Iterator[Any]:
    from torch.package import PackageImporter

    yield PackageImporter(path).load_pickle("model", "model.pkl")


def _jit(path: str) -> Iterator[Any]:
    import torch

    yield torch.jit.load(path, map_location="cpu")


def _joblib(path: str) -> Iterator[Any]:
    import joblib

    yield joblib.load(path)


def _joblib_mmap(path: str) -> Iterator[Any]:
    import joblib

    yield joblib.load(path, mmap_mode="r")


def _numpy(path: str) -> Iterator[Any]:
    import numpy as np

    loaded = np.load(path, allow_pickle=True)
    if hasattr(loaded, "files"):
        for name in loaded.files:
            yield loaded[name]
    else:
        yield loaded


def _numpy_latin(path: str) -> Iterator[Any]:
    import numpy as np

    yield np.load(path, allow_pickle=True, encoding="latin1", fix_imports=False)


def _pandas(path: str) -> Iterator[Any]:
    import pandas as pd

    yield pd.read_pickle(path)


def _zip(path: str) -> Iterator[Any]:
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        for number, name in enumerate(names[:30]):
            inner = f"member{number}"
            Path(inner).write_bytes(archive.read(name))
            yield from _any(inner)


def _tar(path: str) -> Iterator[Any]:
    with tarfile.open(path) as archive:
        for number, member in enumerate(archive.getmembers()[:30]):
            file = archive.extractfile(member)
            if file is not None:
                inner = f"member{number}"
                Path(inner).write_bytes(file.read())
                yield from _any(inner)


def _unpacked(path: str) -> Iterator[Any]:
    import bz2
    import gzip
    import lzma
    import zlib

    data = Path(path).read_bytes()
    for unpack in (gzip.decompress, bz2.decompress, lzma.decompress, zlib.decompress):
        with contextlib.suppress(Exception):
            Path("unpacked").write_bytes(unpack(data))
            yield from _any("unpacked")
            return


def _any(path: str) -> Iterator[Any]:
    """A file from inside another one: as whatever takes it."""
    for way in ("pickle", "numpy", "joblib", "zip", "tar"):
        try:
            yield from LOADERS[way](path)
        except Exception:
            continue


def _skops(path: str) -> Iterator[Any]:
    import skops.io

    yield skops.io.load(path, trusted=skops.io.get_untrusted_types(file=path))


def _each(path: str) -> Iterator[Any]:
    """Pickles behind their lengths, none of which minds what became of the one before."""
    data = Path(path).read_bytes()
    while data and not _marked():
        size = int.from_bytes(data[:4], "little")
        one, data = data[4 : 4 + size], data[4 + size :]
        try:
            yield pickle.loads(one)
        except _TookTooLongError:
            raise
        except BaseException:
            yield None


LOADERS: dict[str, Callable[[str], Iterator[Any]]] = {
    "pickle": _pickle,
    "pypickle": _pypickle,
    "latin1": _latin,
    "bytes": _raw_strings,
    "streams": _streams,
    "torch": _torch,
    "torch-weights": _torch_weights,
    "jit": _jit,
    "package": _package,
    "joblib": _joblib,
    "joblib-mmap": _joblib_mmap,
    "numpy": _numpy,
    "numpy-latin1": _numpy_latin,
    "pandas": _pandas,
    "zip": _zip,
    "each": _each,
    "tar": _tar,
    "unpacked": _unpacked,
    "skops": _skops,
}


# use

_METHODS = (
    "predict", "transform", "predict_proba", "decision_function", "score_samples", "inverse_transform", "kneighbors",
    "fit_predict", "fit_transform", "forward", "eval", "state_dict", "parameters", "get_params", "rvs", "step",
    "zero_grad", "sample", "split", "describe", "sum", "head", "to_numpy", "keys", "items", "values", "get",
    "named_modules", "cpu", "float", "numpy", "tolist", "mean", "copy", "close", "train", "save_raw", "__array__",
)  # fmt: skip
"""What people call on models, tables and arrays."""


def _inputs() -> list[Any]:
    inputs: list[Any] = []
    with contextlib.suppress(ImportError):
        import numpy as np

        inputs += [np.zeros((2, 4)), np.zeros((2, 1)), np.zeros(4)]
    if "pandas" in sys.modules:
        inputs.append(sys.modules["pandas"].DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]}))
    if "torch" in sys.modules:
        inputs.append(sys.modules["torch"].zeros(2, 4))
    return [*inputs, ["some text", "more of it"]]


def _use(loaded: Any, note: Note) -> None:
    steps: list[tuple[str, Callable[[], Any]]] = [
        ("repr", lambda: repr(loaded)),
        ("str", lambda: str(loaded)),
        ("len", lambda: len(loaded)),
        ("bool", lambda: bool(loaded)),
        ("equal", lambda: loaded == loaded),  # noqa: PLR0124
        ("hash", lambda: hash(loaded)),
        ("iterate", lambda: [item for item, _ in zip(loaded, range(10), strict=False)]),
        ("missing key", lambda: loaded["no such key"]),
        ("first", lambda: loaded[0]),
        ("arithmetic", lambda: loaded + loaded),
        ("enter", lambda: type(loaded).__enter__(loaded) if hasattr(type(loaded), "__enter__") else loaded.__enter__()),
        ("exit", lambda: loaded.__exit__(None, None, None)),
        ("next", lambda: next(loaded)),
        ("format", lambda: f"{loaded}"),
        ("copy", lambda: copy.deepcopy(loaded)),
        ("pickle", lambda: pickle.dumps(loaded)),
        ("attributes", lambda: [getattr(loaded, name, None) for name in dir(loaded)]),
        ("isinstance", lambda: isinstance(loaded, os.PathLike)),
    ]
    for name, step in steps:
        with _limited(note, name):
            step()
        if _marked():
            return
    if isinstance(loaded, dict | list | tuple | set) and len(loaded) < 100:
        for item in list(loaded.values() if isinstance(loaded, dict) else loaded)[:5]:
            if not isinstance(item, int | float | str | bytes | type(None)):
                _call(item, note)
    _call(loaded, note)


def _call(loaded: Any, note: Note) -> None:
    """As a model."""
    inputs = _inputs()
    for name in _METHODS:
        with _limited(note, name):
            method = getattr(loaded, name, None)
            if callable(method):
                _tried(method, [*inputs, None])
        if _marked():
            return
    if "torch" in sys.modules and isinstance(loaded, sys.modules["torch"].Tensor):
        with _limited(note, "gradient"):
            (loaded * 2).sum().backward()
    if callable(loaded):
        with _limited(note, "call"):
            _tried(loaded, [*inputs, None])
        with _limited(note, "gradients"):
            torch = sys.modules["torch"]
            loaded(torch.zeros(2, 4, requires_grad=True)).sum().backward()


def _tried(method: Callable[..., Any], inputs: list[Any]) -> None:
    for given in inputs:
        with contextlib.suppress(Exception):
            method() if given is None else method(given)
        if _marked():
            return
