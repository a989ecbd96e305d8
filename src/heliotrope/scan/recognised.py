"""Formats that are recognised but not inspected: their verdict is unsupported, which is no pass."""

from heliotrope.scan.interface import Recognised, Source
from heliotrope.scan.pickles.opcodes import STARTS
from heliotrope.scan.unpacking import PACKINGS, packing_of

__all__ = ["EXPECTED_FORMATS", "MODEL_EXTENSIONS", "holds_model", "recognise"]

_MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x89HDF\r\n\x1a\n", "hdf5"),
    (0, b"lmgg", "ggml"),
    (0, b"fmgg", "ggml"),
    (0, b"tjgg", "ggml"),
    (0, b"algg", "ggml"),
    (0, b"7z\xbc\xaf\x27\x1c", "7z"),
    (0, b"Rar!\x1a\x07", "rar"),
    (0, b"MSCF\0\0\0\0", "cab"),
    (0, b"xar!", "xar"),
    (0, b"ZF0x", "joblib-zfile"),
    (0, b"binf", "xgboost-binary"),
    (0, b"bs64", "xgboost-binary"),
    (0, b"PARE", "parquet-encrypted"),
)
_ARCHIVES_UNREAD: tuple[tuple[bytes, str], ...] = (
    (b"!<arch>\n", "ar"),
    (b"070701", "cpio"),
    (b"070702", "cpio"),
    (b"070707", "cpio"),
    (b"LZIP\1", "lzip"),
    (b"\x89LZO\0\r\n\x1a\n", "lzop"),
    (b"\x1f\x9d", "compress"),
    (b"\x02\x21\x4c\x18", "lz4-legacy"),
)
"""Archives that no loader of models opens, and ways of packing that are not undone."""
_BY_NAME: tuple[tuple[str, str], ...] = (
    ("saved_model.pb", "saved-model"),
    ("saved_model.pbtxt", "saved-model-text"),
    ("saved_model.cpb", "saved-model-chunks"),
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
    (".pt2", "torch-export"),
    (".ptl", "torch-mobile"),
    (".pte", "executorch"),
    (".plan", "tensorrt"),
    (".trt", "tensorrt"),
    (".rknn", "rknn"),
    (".t7", "torch7"),
    (".llamafile", "llamafile"),
    (".caffemodel", "caffe"),
    (".mnn", "mnn"),
)
_PACKED_PICKLES = frozenset({f"{inside}-{packing}" for inside in ("pickle", "joblib") for packing in PACKINGS})
_PICKLES = (
    frozenset(
        {
            "pickle",
            "joblib",
            "joblib-zfile",
            "torch-zip",
            "torch-legacy",
            "torch-tar",
            "torchscript",
            "torch-package",
            "torch-export",
            "zip",
        }
    )
    | _PACKED_PICKLES
)
_BESIDE_MODELS: dict[str, frozenset[str]] = {
    **dict.fromkeys(
        (".md", ".yaml", ".yml", ".toml", ".py", ".png", ".jpg", ".jpeg", ".gif", ".html"),
        frozenset[str](),
    ),
    ".txt": frozenset({"lightgbm"}),
    ".json": frozenset({"xgboost-json", "catboost-json", "keras-json", "json-objects"}),
    ".csv": frozenset({"csv"}),
    ".tsv": frozenset({"tsv"}),
}
"""Names of all kinds of files, and the formats of models or data that come under them."""

EXPECTED_FORMATS: dict[str, frozenset[str]] = {
    ".pkl": _PICKLES,
    ".pickle": _PICKLES,
    ".joblib": _PICKLES | frozenset(PACKINGS),
    ".dill": _PICKLES,
    ".cloudpickle": _PICKLES,
    ".pt": _PICKLES,
    ".pth": _PICKLES,
    ".ckpt": _PICKLES | {"hdf5", "keras-h5"},
    ".safetensors": frozenset({"safetensors"}),
    ".npy": frozenset({"npy"}),
    ".tar": frozenset({"tar", "torch-tar"}),
    ".npz": frozenset({"npz", "zip"}),
    ".onnx": frozenset({"onnx"}),
    ".keras": frozenset({"keras", "keras-h5"}),
    ".h5": frozenset({"hdf5", "keras-h5", "keras"}),
    ".hdf5": frozenset({"hdf5", "keras-h5", "keras"}),
    ".tflite": frozenset({"tflite"}),
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


def recognise(source: Source, name: str) -> Recognised | None:
    """The format of bytes that no analyser takes; None when it is none that models come in."""
    head = source.read(0, 16)
    for offset, magic, label in _MAGIC:
        if head[offset : offset + len(magic)] == magic:
            return Recognised(label, supported=False)
    lower = name.lower()
    packed = _packed(head, lower)
    if packed is not None:
        return packed
    return next((Recognised(label, supported=False) for end, label in _BY_NAME if lower.endswith(end)), None)


def _packed(head: bytes, name: str) -> Recognised | None:
    """Packed bytes that no analyser takes: they are damaged from their beginning, or packed in a way that is not undone."""
    named = any(extension in name for extension in MODEL_EXTENSIONS)
    for magic, label in _ARCHIVES_UNREAD:
        if head.startswith(magic):
            return Recognised(label, supported=False, model=named)
    packing = packing_of(head)
    if packing is None or not PACKINGS[packing].certain:
        return None  # two bytes prove little: it only looks like it
    return Recognised(packing, supported=False, model=named)


def holds_model(inside: bytes) -> bool:
    """Whether unpacked bytes may be a model: a pickle by its header, an archive, or another known magic."""
    magics = tuple(magic for offset, magic, _ in _MAGIC if offset == 0)
    if inside.startswith((*magics, b"GGUF", b"PK\x03\x04", b"\x93NUMPY")) or inside[257:262] == b"ustar":
        return True
    return len(inside) > 1 and inside[0] in STARTS and (inside[0] == 0x80 or not inside[:64].isascii())
