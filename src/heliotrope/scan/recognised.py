"""Formats that are recognised but not inspected: their verdict is unsupported, which is no pass."""

from heliotrope.scan.interface import Recognised, Source
from heliotrope.scan.pickles.opcodes import STARTS
from heliotrope.scan.unpacking import PACKINGS, packing_of, unpacked_head

__all__ = ["EXPECTED_FORMATS", "MODEL_EXTENSIONS", "holds_model", "is_tar", "recognise"]

_MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (0, b"lmgg", "ggml"),
    (0, b"fmgg", "ggml"),
    (0, b"tjgg", "ggml"),
    (0, b"algg", "ggml"),
    (0, b"\x89HDF\r\n\x1a\n", "hdf5"),
    (4, b"TFL3", "tflite"),
    (4, b"ET12", "executorch"),
    (0, b"7z\xbc\xaf\x27\x1c", "7z"),
    (0, b"Rar!\x1a\x07", "rar"),
    (0, b"ZF0x", "joblib-zfile"),
    (0, b"binf", "xgboost-binary"),
    (0, b"bs64", "xgboost-binary"),
    (0, b"PARE", "parquet-encrypted"),
)
_PACKED_UNREAD: tuple[tuple[bytes, str], ...] = ((b"\x28\xb5\x2f\xfd", "zstandard"), (b"\x04\x22\x4d\x18", "lz4"))
"""Ways of packing that the standard library cannot undo."""
_BY_NAME: tuple[tuple[str, str], ...] = (
    ("saved_model.pb", "saved-model"),
    (".onnx", "onnx"),
    (".ort", "onnxruntime"),
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
_PACKED_PICKLES = frozenset({f"{inside}-{packing}" for inside in ("pickle", "joblib") for packing in PACKINGS})
_PICKLES = frozenset({"pickle", "joblib", "torch-zip", "torch-legacy", "torchscript", "zip"}) | _PACKED_PICKLES
_BESIDE_MODELS: dict[str, frozenset[str]] = {
    **dict.fromkeys(
        (".md", ".yaml", ".yml", ".toml", ".py", ".png", ".jpg", ".jpeg", ".gif", ".html"),
        frozenset[str](),
    ),
    ".txt": frozenset({"lightgbm"}),
    ".json": frozenset({"xgboost-json", "catboost-json"}),
    ".csv": frozenset({"csv"}),
    ".tsv": frozenset({"tsv"}),
}
"""Names of all kinds of files, and the formats of models or data that come under them."""

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
    ".onnx": frozenset({"onnx"}),
    ".ubj": frozenset({"xgboost-ubj"}),
    ".skops": frozenset({"skops"}),
    ".cbm": frozenset({"catboost"}),
    **_BESIDE_MODELS,
}
"""What a name promises; anything else is a mismatch. Names that promise nothing are not listed."""

MODEL_EXTENSIONS = frozenset(EXPECTED_FORMATS) - frozenset(_BESIDE_MODELS) | frozenset(
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
    packed = _packed(source, head, lower)
    if packed is not None:
        return packed
    return next((Recognised(label, supported=False) for end, label in _BY_NAME if lower.endswith(end)), None)


def _packed(source: Source, head: bytes, name: str) -> Recognised | None:
    """Packed bytes that no analyser takes: not known to hold a model, or packed in a way that cannot be undone."""
    named = any(extension in name for extension in MODEL_EXTENSIONS)
    for magic, label in _PACKED_UNREAD:
        if head.startswith(magic):
            return Recognised(label, supported=False, model=named)
    packing = packing_of(head)
    inside = None if packing is None else unpacked_head(packing, source.read(0, _PEEK), 512)
    if packing is None or (inside is None and packing in ("zlib", "lzma")):
        return None  # two bytes prove little: it only looks like it
    return Recognised(packing, supported=False, model=named or (inside is not None and holds_model(inside)))


def is_tar(source: Source) -> bool:
    """Whether tar readers, torch's old loader among them, would take this: the first header's checksum is right."""
    block = source.read(0, 512)
    field = block[148:156].strip(b" \0")
    if len(block) < 512 or not field or len(field) > 8 or field.strip(b"01234567"):
        return False
    return int(field, 8) == sum(block[:148]) + 8 * 32 + sum(block[156:])


def holds_model(inside: bytes) -> bool:
    """Whether unpacked bytes may be a model: a pickle by its header, an archive, or another known magic."""
    magics = tuple(magic for offset, magic, _ in _MAGIC if offset == 0)
    if inside.startswith((*magics, b"GGUF", b"PK\x03\x04", b"\x93NUMPY")) or inside[257:262] == b"ustar":
        return True
    return len(inside) > 1 and inside[0] in STARTS and (inside[0] == 0x80 or not inside[:64].isascii())
