"""Formats that are recognised but not inspected: their verdict is unsupported, which is no pass."""

import bz2
import lzma
import zlib

from heliotrope.scan.interface import Recognised, Source
from heliotrope.scan.pickles.opcodes import STARTS

__all__ = ["EXPECTED_FORMATS", "MODEL_EXTENSIONS", "is_tar", "recognise"]

_MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (0, b"GGUF", "gguf"),
    (0, b"lmgg", "ggml"),
    (0, b"fmgg", "ggml"),
    (0, b"tjgg", "ggml"),
    (0, b"\x89HDF\r\n\x1a\n", "hdf5"),
    (4, b"TFL3", "tflite"),
    (4, b"ET12", "executorch"),
    (0, b"7z\xbc\xaf\x27\x1c", "7z"),
    (0, b"Rar!\x1a\x07", "rar"),
)
_PACKED: tuple[tuple[bytes, str], ...] = (
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\0", "xz"),
    (b"\x5d\0\0", "lzma"),
    (b"\x28\xb5\x2f\xfd", "zstandard"),
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"x\x01", "zlib"),
    (b"x\x5e", "zlib"),
    (b"x\x9c", "zlib"),
    (b"x\xda", "zlib"),
)
_BY_NAME: tuple[tuple[str, str], ...] = (
    ("saved_model.pb", "saved-model"),
    (".onnx", "onnx"),
    (".pb", "protobuf"),
    (".keras", "keras"),
    (".h5", "hdf5"),
    (".hdf5", "hdf5"),
    (".tflite", "tflite"),
    (".gguf", "gguf"),
    (".mlmodel", "coreml"),
    (".pmml", "pmml"),
    (".nemo", "nemo"),
    (".mar", "torch-archive"),
    (".skops", "skops"),
    (".ubj", "xgboost"),
    (".cbm", "catboost"),
    (".msgpack", "msgpack"),
    (".rds", "r-data"),
    (".engine", "tensorrt"),
    (".pdiparams", "paddle"),
    (".pdmodel", "paddle"),
)
_PICKLES = frozenset({"pickle", "joblib", "torch-zip", "torch-legacy", "torchscript", "zip"})
EXPECTED_FORMATS: dict[str, frozenset[str]] = {
    ".pkl": _PICKLES,
    ".pickle": _PICKLES,
    ".joblib": _PICKLES | {"zlib", "gzip", "bzip2", "xz", "lzma", "lz4"},
    ".dill": _PICKLES,
    ".cloudpickle": _PICKLES,
    ".pt": _PICKLES,
    ".pth": _PICKLES,
    ".ckpt": _PICKLES | {"hdf5"},
    ".safetensors": frozenset({"safetensors"}),
    ".npy": frozenset({"npy"}),
    ".npz": frozenset({"npz", "zip"}),
    **dict.fromkeys(
        (
            ".txt",
            ".md",
            ".csv",
            ".tsv",
            ".json",
            ".yaml",
            ".yml",
            ".toml",
            ".py",
            ".png",
            ".jpg",
            ".jpeg",
            ".gif",
            ".html",
        ),
        frozenset[str](),
    ),
}
"""What a name promises; anything else is a mismatch. Names that promise nothing are not listed."""

MODEL_EXTENSIONS = frozenset(name for name, formats in EXPECTED_FORMATS.items() if formats) | frozenset(
    name for name, _ in _BY_NAME if name.startswith(".")
)
"""A file of such a name is judged inside a folder even when its content is not recognised."""

_PEEK = 4096


def recognise(source: Source, name: str) -> Recognised | None:
    """The format of bytes that no analyser takes; None when it is none that models come in."""
    head = source.read(0, 16)
    for offset, magic, label in _MAGIC:
        if head[offset : offset + len(magic)] == magic:
            return Recognised(label, supported=False)
    if is_tar(source):
        return Recognised("tar", supported=False)
    lower = name.lower()
    for magic, label in _PACKED:
        if head.startswith(magic):
            inside = _peek(label, source.read(0, _PEEK))
            if inside is not None:
                model = _holds_model(inside) or any(extension in lower for extension in MODEL_EXTENSIONS)
                return Recognised(label, supported=False, model=model)
    return next((Recognised(label, supported=False) for end, label in _BY_NAME if lower.endswith(end)), None)


def is_tar(source: Source) -> bool:
    """Whether tar readers, torch's old loader among them, would take this: the first header's checksum is right."""
    block = source.read(0, 512)
    field = block[148:156].strip(b" \0")
    if len(block) < 512 or not field or len(field) > 8 or field.strip(b"01234567"):
        return False
    return int(field, 8) == sum(block[:148]) + 8 * 32 + sum(block[156:])


def _peek(label: str, head: bytes) -> bytes | None:
    """The first bytes inside, empty when they cannot be had; None when it is not compressed at all."""
    try:
        if label in ("gzip", "zlib"):
            return zlib.decompressobj(31 if label == "gzip" else 15).decompress(head, 512)
        if label == "bzip2":
            return bz2.BZ2Decompressor().decompress(head, 512)
        if label in ("xz", "lzma"):
            return lzma.LZMADecompressor(memlimit=64 * 2**20).decompress(head, 512)
    except (zlib.error, OSError, lzma.LZMAError, EOFError):
        return None if label in ("zlib", "lzma") else b""
    return b""


def _holds_model(inside: bytes) -> bool:
    """Whether unpacked bytes may be a model: a pickle by its header, an archive, or another known magic."""
    magics = tuple(magic for offset, magic, _ in _MAGIC if offset == 0)
    if inside.startswith((*magics, b"PK\x03\x04", b"\x93NUMPY")) or inside[257:262] == b"ustar":
        return True
    return len(inside) > 1 and inside[0] in STARTS and (inside[0] == 0x80 or not inside[:64].isascii())
