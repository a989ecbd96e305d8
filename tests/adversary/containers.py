"""Files around a pickle that sings: what loaders open, in ordinary and in crooked ways."""

import bz2
import gzip
import io
import lzma
import pickle
import struct
import tarfile
import warnings
import zipfile
import zlib
from typing import Any

from tests.adversary.encodings import SINGS
from tests.adversary.program import lit, new, reduce, stack_global, stream, text, tuple_

__all__ = ["containers"]

PAYLOAD = stream(SINGS, 2)
BENIGN = stream(lit({"a": 1}), 2)


def _zip(members: list[tuple[str, bytes]], *, method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w", method) as archive:
        warnings.simplefilter("ignore")  # two members of one name are what some of this is about
        for name, data in members:
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return buffer.getvalue()


def _torch(payload: bytes = PAYLOAD, **more: bytes) -> list[tuple[str, bytes]]:
    members = {
        "data.pkl": payload,
        "byteorder": b"little",
        "version": b"3\n",
        ".data/serialization_id": b"1" * 40,
        **more,
    }
    return [(f"archive/{name}", data) for name, data in members.items()]


def _tar(members: list[tuple[str, bytes]], mode: str = "w") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload]
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def _npy(payload: bytes = PAYLOAD, *, descr: str = "'|O'", version: bytes = b"\x01\x00") -> bytes:
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': (1,), }}".encode()
    width = "<H" if version == b"\x01\x00" else "<I"
    header += b" " * ((64 - (len(header) + 9 + struct.calcsize(width))) % 64) + b"\n"
    return b"\x93NUMPY" + version + struct.pack(width, len(header)) + header + payload


def _legacy(*streams: bytes) -> bytes:
    """torch's format before 1.6: magic number, protocol, machine, object, storages."""
    head = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2)
    machine = pickle.dumps(
        {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}, 2
    )
    return head + machine + b"".join(streams)


def _joblib(value: Any, **options: Any) -> bytes:
    import joblib

    buffer = io.BytesIO()
    joblib.dump(value, buffer, **options)
    return buffer.getvalue()


class _Sings:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        import os

        return os.system, ("touch canary",)


def _changed(archive: bytes, old: bytes, new: bytes, *, last: bool = False) -> bytes:
    """One occurrence replaced: local headers come first, the directory last."""
    if last:
        at = archive.rindex(old)
        return archive[:at] + new + archive[at + len(old) :]
    return archive.replace(old, new, 1)


def _flags(archive: bytes, mask: int) -> bytes:
    out = bytearray(archive)
    at = -1
    while (at := archive.find(b"PK\x03\x04", at + 1)) >= 0:
        out[at + 6] |= mask
    return bytes(out)


def containers() -> dict[str, tuple[bytes, str]]:
    """Name to a file's bytes and its name."""
    import numpy as np

    torch_zip = _zip(_torch())
    arrays = {"a": np.arange(5.0), "b": [np.arange(3), _Sings()]}
    found: dict[str, tuple[bytes, str]] = {
        "torch zip": (torch_zip, "m.pt"),
        "torch zip named .bin": (torch_zip, "pytorch_model.bin"),
        "torch zip without a name": (torch_zip, "model"),
        "torch zip, deflated": (_zip(_torch(), method=zipfile.ZIP_DEFLATED), "m.pt"),
        "torch zip, bzip2": (_zip(_torch(), method=zipfile.ZIP_BZIP2), "m.zip"),
        "torch zip, lzma": (_zip(_torch(), method=zipfile.ZIP_LZMA), "m.zip"),
        "torch zip, bad checksum": (torch_zip.replace(zlib.crc32(PAYLOAD).to_bytes(4, "little"), b"\1\2\3\4"), "m.pt"),
        "torch zip, name differs locally": (_changed(torch_zip, b"archive/data.pkl", b"archive/data.txt"), "m.pt"),
        "torch zip, name differs in the directory": (_changed(torch_zip, b"archive/data.pkl", b"archive/data.txt", last=True), "m.pt"),
        "torch zip, encrypted flag": (_flags(torch_zip, 1), "m.pt"),
        "torch zip, flag of sizes behind": (_flags(torch_zip, 8), "m.pt"),
        "torch zip, duplicate member": (_zip([*_torch(BENIGN), ("archive/data.pkl", PAYLOAD)]), "m.pt"),
        "torch zip, duplicate member first": (_zip([("archive/data.pkl", PAYLOAD), *_torch(BENIGN)]), "m.pt"),
        "torch zip behind junk": (b"junk" * 50 + torch_zip, "m.pt"),
        "torch zip with a comment": (torch_zip[:-2] + struct.pack("<H", 4) + b"text", "m.pt"),
        "torch zip, payload as a storage": (_zip(_torch(BENIGN, **{"data/0": PAYLOAD})), "m.pt"),
        "torch zip, another pickle": (_zip(_torch(BENIGN, **{"extra.pkl": PAYLOAD})), "m.pt"),
        "torchscript constants": (_zip(_torch(BENIGN, **{"constants.pkl": PAYLOAD})), "m.pt"),
        "pickle then zip": (PAYLOAD + _zip(_torch(BENIGN)), "m.pt"),
        "pickle then zip, as pickle": (PAYLOAD + torch_zip, "m.pkl"),
        "torch legacy": (_legacy(PAYLOAD), "m.pth"),
        "torch legacy, storages": (_legacy(BENIGN, PAYLOAD), "m.pth"),
        "torch legacy, machine": (pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2) + PAYLOAD, "m.pth"),
        "torch legacy, computed magic": (stream(reduce("builtins:eval", "[open('canary','w'), 0x1950a86a20f9469cfc6c][1]"), 2), "m.pth"),
        "zip of a pickle": (_zip([("a/b.txt", PAYLOAD)]), "models.zip"),
        "zip in zip": (_zip([("inner.zip", _zip([("m.pkl", PAYLOAD)]))]), "models.zip"),
        "zip in zip in zip": (_zip([("x", _zip([("inner", _zip([("m", PAYLOAD)]))]))]), "models.zip"),
        "tar of a pickle": (_tar([("a/model.pkl", PAYLOAD)]), "models.tar"),
        "tar, duplicate names": (_tar([("model.pkl", BENIGN), ("model.pkl", PAYLOAD)]), "model.nemo"),
        "tar.gz of a pickle": (_tar([("a/model.pkl", PAYLOAD)], "w:gz"), "models.tar.gz"),
        "tar.bz2 of a pickle": (_tar([("a/model.pkl", PAYLOAD)], "w:bz2"), "models.tar.bz2"),
        "tar.xz of a pickle": (_tar([("a/model.pkl", PAYLOAD)], "w:xz"), "models.tar.xz"),
        "zip in tar": (_tar([("a/model.pt", torch_zip)]), "models.tar"),
        "tar in zip": (_zip([("a.tar", _tar([("model.pkl", PAYLOAD)]))]), "models.zip"),
        "gzip": (gzip.compress(PAYLOAD), "m.pkl.gz"),
        "gzip, two members": (gzip.compress(BENIGN[:-1]) + gzip.compress(PAYLOAD), "m.pkl.gz"),
        "bzip2": (bz2.compress(PAYLOAD), "m.pkl.bz2"),
        "xz": (lzma.compress(PAYLOAD), "m.pkl.xz"),
        "lzma": (lzma.compress(PAYLOAD, lzma.FORMAT_ALONE), "m.pkl.lzma"),
        "zlib": (zlib.compress(PAYLOAD), "m.joblib"),
        "zlib, stored": (zlib.compress(PAYLOAD, 0), "m.joblib"),
        "gzip in gzip": (gzip.compress(gzip.compress(PAYLOAD)), "m.gz"),
        "npy of objects": (_npy(), "a.npy"),
        "npy of objects, version 2": (_npy(version=b"\x02\x00"), "a.npy"),
        "npy of objects, version 3": (_npy(version=b"\x03\x00"), "a.npy"),
        "npy of records with objects": (_npy(descr="[('a', '|O')]"), "a.npy"),
        "npy of records with objects inside": (_npy(descr="[('a', [('b', '<f4'), ('c', '|O', (1,))])]"), "a.npy"),
        "npy named otherwise": (_npy(), "weights.bin"),
        "npz": (_zip([("a.npy", _npy())]), "a.npz"),
        "npz, deflated": (_zip([("a.npy", _npy())], method=zipfile.ZIP_DEFLATED), "a.npz"),
        "npz in npy name": (_zip([("a.npy", _npy())]), "a.npy"),
        "npz with a pickle": (_zip([("a.npy", PAYLOAD)]), "a.npz"),
        "joblib": (_joblib(_Sings()), "m.joblib"),
        "joblib behind an array": (_joblib(arrays), "m.joblib"),
        "joblib, object array": (_joblib(np.array([_Sings(), 1], dtype=object)), "m.joblib"),
        "joblib zlib": (_joblib(arrays, compress=3), "m.joblib"),
        "joblib gzip": (_joblib(arrays, compress=("gzip", 3)), "m.joblib"),
        "joblib bz2": (_joblib(arrays, compress=("bz2", 3)), "m.joblib"),
        "joblib xz": (_joblib(arrays, compress=("xz", 1)), "m.joblib"),
        "joblib lzma": (_joblib(arrays, compress=("lzma", 1)), "m.joblib"),
        "pickle named txt": (PAYLOAD, "readme.txt"),
        "pickle named safetensors": (PAYLOAD, "model.safetensors"),
        "pickle named json": (PAYLOAD, "config.json"),
        "pickle named onnx": (PAYLOAD, "model.onnx"),
        "pickle named h5": (PAYLOAD, "model.h5"),
        "torch zip named safetensors": (torch_zip, "model.safetensors"),
        "protocol 0 named csv": (pickle.dumps(_Sings(), 0), "table.csv"),
        "protocol 0 named py": (pickle.dumps(_Sings(), 0), "module.py"),
    }  # fmt: skip
    return found | _safetensors() | _arrays() | _headers() | _packages()


def _headers() -> dict[str, tuple[bytes, str]]:
    """What numpy reads though it looks wrong, and members under names that make them look like something else."""
    hidden = stream(stack_global("posix", "system") + tuple_(text("touch canary")) + b"R", None)
    long = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }".ljust(11_999) + b"\n"
    nested = PAYLOAD
    for _ in range(7):
        nested = stream(reduce("torch.storage:_load_from_bytes", bytearray(nested)))
    return {
        "npy, header of Python 2": (_npy().replace(b"(1,), }", b"(1L,),}"), "a.npy"),
        "npy, long header": (b"\x93NUMPY\x02\x00" + struct.pack("<I", len(long)) + long + PAYLOAD, "a.npy"),
        "npy, long header, pickle without one": (
            b"\x93NUMPY\x02\x00" + struct.pack("<I", len(long)) + long + hidden,
            "a.npy",
        ),
        "npy, type in words": (_npy(descr="'object'"), "a.npy"),
        "npy, type in words, pickle without header": (_npy(hidden, descr="'object'"), "a.npy"),
        "npy, type of eight bytes": (_npy(descr="'>O8'"), "a.npy"),
        "npz, array named like a storage": (_zip([("data.pkl", BENIGN), ("data/0", _npy())]), "a.npz"),
        "zip named like a storage": (
            _zip([("a/data.pkl", BENIGN), ("a/version", b"3\n"), ("a/data/0", _zip([("m.pkl", PAYLOAD)]))]),
            "a.zip",
        ),
        "torch zip, pickle without header": (_zip(_torch(hidden)), "m.pt"),
        "torch zip, an import and nothing else": (_zip(_torch(b"]cplanted\nx\n")), "m.pt"),
        "magic of GGUF": (b"GGUF\x03\0\0\0\0" + stream(SINGS, None), "m.gguf"),
        "magic of TFLite": (b"C\x0a\0\0TFL3\0\0\0\0" + stream(SINGS, None), "m.tflite"),
        "nested seven deep": (nested, "m.pkl"),
    }


def _packages() -> dict[str, tuple[bytes, str]]:
    """torch.package: the archive brings its own module under a name that everybody knows."""
    members = [
        ("p/sklearn/__init__.py", b""),
        ("p/sklearn/base.py", b"open('canary', 'w')\nclass BaseEstimator: pass\n"),
        ("p/model/model.pkl", stream(new("sklearn.base:BaseEstimator"), 2)),
        ("p/.data/extern_modules", b""),
        ("p/.data/version", b"6\n"),
        ("p/.data/python_version", b"3.11.0"),
        ("p/version", b"3\n"),
        ("p/byteorder", b"little"),
    ]
    return {"torch.package with its own sklearn": (_zip(members), "m.pt")}


def _safetensors() -> dict[str, tuple[bytes, str]]:
    """safetensors files that another loader takes for something else."""
    torch_zip = _zip(_torch())
    header = f'{{"a":{{"dtype":"U8","shape":[{len(torch_zip)}],"data_offsets":[0,{len(torch_zip)}]}}}}'.encode()
    return {"safetensors that is a zip": (struct.pack("<Q", len(header)) + header + torch_zip, "model.safetensors")}


def _arrays() -> dict[str, tuple[bytes, str]]:
    """Arrays whose pickles say one thing to joblib and another to pickle."""
    import numpy as np

    opcodes = np.frombuffer(SINGS + b"0" * 7, dtype=np.uint8)[: len(SINGS) // 8 * 8]
    return {
        "array of opcodes, then the payload": (_joblib([np.resize(opcodes, 64), _Sings()]), "m.joblib"),
        "array without bytes": (_joblib([np.zeros((0, 3)), _Sings()]), "m.joblib"),
        "fortran array": (_joblib([np.asfortranarray(np.ones((3, 2))), _Sings()]), "m.joblib"),
        "record array": (_joblib([np.zeros(3, dtype=[("a", "<f4"), ("b", "<i8")]), _Sings()]), "m.joblib"),
        "masked array": (_joblib([np.ma.masked_array([1.0, 2.0], [0, 1]), _Sings()]), "m.joblib"),
    }
