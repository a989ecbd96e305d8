"""Which analysers there are, and when one is worth importing: the first bytes or the name decide, at next to no cost.

A condition may let too much through, never too little: what an analyser accepts, its condition lets through.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module

from heliotrope.scan.archives.tar_headers import is_tar
from heliotrope.scan.archives.zip_directory import end_records
from heliotrope.scan.frameworks.hdf5_signature import may_be_hdf5
from heliotrope.scan.interface import Analyser, Source
from heliotrope.scan.pickles.opcodes import STARTS
from heliotrope.scan.unpacking import packing_of

__all__ = ["ANALYSERS", "HEAD", "TEXTS", "Registered"]

HEAD = 64
"""First bytes that a condition sees."""

May = Callable[[bytes, str, Source], bool]
"""Told the first bytes, the name in lower case, and the source."""


@dataclass(frozen=True, slots=True)
class Registered:
    """An analyser that is imported when it is wanted."""

    format: str
    """What it calls most of its files."""
    module: str
    """Below heliotrope.scan."""
    name: str
    may: May

    def load(self) -> Analyser:
        return _made(self.module, self.name)


@cache
def _made(module: str, name: str) -> Analyser:
    analyser: Analyser = getattr(import_module(f"heliotrope.scan.{module}"), name)()
    return analyser


def _begins(*magics: bytes, at: int = 0) -> May:
    def may(head: bytes, name: str, source: Source) -> bool:
        del name, source
        return head.startswith(magics, at)

    return may


def _named(*endings: str) -> May:
    def may(head: bytes, name: str, source: Source) -> bool:
        del head, source
        return name.endswith(endings)

    return may


def _zip(head: bytes, name: str, source: Source) -> bool:
    del name
    return head.startswith(b"PK\x03\x04") or bool(end_records(source))


def _safetensors(head: bytes, name: str, source: Source) -> bool:
    del source
    return head[8:9] == b"{" or name.endswith(".safetensors")


def _packed(head: bytes, name: str, source: Source) -> bool:
    del name, source
    return packing_of(head) is not None


def _tar(head: bytes, name: str, source: Source) -> bool:
    del head, name
    return is_tar(source)


def _pickle(head: bytes, name: str, source: Source) -> bool:
    del name, source
    return len(head) >= 2 and head[0] in STARTS


def _object(head: bytes, name: str, source: Source) -> bool:
    """A JSON object, perhaps behind blanks."""
    del name, source
    return head.lstrip()[:1] in (b"{", b"")


def _document(head: bytes, name: str, source: Source) -> bool:
    """A JSON object or array, perhaps behind blanks or a byte order mark."""
    del name, source
    return head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"[", b"")


def _saved_model(head: bytes, name: str, source: Source) -> bool:
    del source
    return head.startswith((b"\x08", b"\x0a", b"\x12")) or name.endswith((
        "saved_model.pb", "keras_metadata.pb", "fingerprint.pb", ".index",
    ))  # fmt: skip


def _onnx_value(head: bytes, name: str, source: Source) -> bool:
    del head, source
    return name.endswith((".pb", ".tensorproto"))


def _onnx(head: bytes, name: str, source: Source) -> bool:
    """The key of a first field that a model may have: its number and kind of value."""
    del name, source
    return len(head) >= 2 and head[0] & 7 in (0, 2)


def _msgpack(head: bytes, name: str, source: Source) -> bool:
    """A map."""
    del name, source
    return len(head) > 0 and (0x81 <= head[0] <= 0x8F or head[0] in (0xDE, 0xDF))


_OTHER = (
    b"ftrt", b"ptrt", b"RKNN", b"7767517\n", b"\x12\x01\0", b"B\0C\0", b"RDX", b"RDA", b"X\n\0", b"B\n", b"A\n",
    b"\x03\0\0\0", b"\x04\0\0\0", b"3\n", b"4\n", b"{", b"<", b"\xff\xfe", b"\xfe\xff", b"\0<", b"\xef\xbb\xbf",
    b" ", b"\t", b"\n", b"\r", b"\v", b"\f",
)  # fmt: skip


def _other(head: bytes, name: str, source: Source) -> bool:
    del name, source
    return head.startswith(_OTHER) or head[4:8] == b"PTMF" or head[4:6] == b"ET"


def _executable(head: bytes, name: str, source: Source) -> bool:
    del name, source
    return head.startswith((
        b"\x7fELF", b"MZ", b"#!", b"\xca\xfe\xba", b"\xfe\xed\xfa", b"\xce\xfa\xed\xfe", b"\xcf\xfa\xed\xfe",
    )) or head[2:4] == b"\r\n"  # fmt: skip


def _mlflow(head: bytes, name: str, source: Source) -> bool:
    del head, source
    return name.endswith("mlmodel")


ANALYSERS: tuple[Registered, ...] = (
    Registered("zip", "archives.zip_files", "ZipAnalyser", _zip),
    Registered("tar", "archives.tar_files", "TarAnalyser", _tar),
    Registered("npy", "weights.numpy_files", "NumpyAnalyser", _begins(b"\x93NUMPY")),
    Registered("safetensors", "weights.safetensors_files", "SafetensorsAnalyser", _safetensors),
    Registered("gguf", "weights.gguf_files", "GgufAnalyser", _begins(b"GGUF")),
    Registered("git-lfs-pointer", "repositories.pointers", "PointerAnalyser", _begins(b"version ")),
    Registered("idx", "tabular.data_files", "IdxAnalyser", _begins(b"\0\0", b"\x1f\x8b\x08")),
    Registered("packed", "archives.packed_files", "PackedAnalyser", _packed),
    Registered("joblib-zfile", "archives.zfiles", "ZfileAnalyser", _begins(b"ZF0x")),
    Registered("onnx", "frameworks.onnx_files", "OnnxAnalyser", _onnx),
    Registered("onnx-tensor", "frameworks.onnx_files", "OnnxValueAnalyser", _onnx_value),
    Registered("xgboost-json", "frameworks.tree_files", "JsonTreesAnalyser", _object),
    Registered("xgboost-ubj", "frameworks.tree_files", "UbjsonTreesAnalyser", _begins(b"{")),
    Registered("lightgbm", "frameworks.tree_files", "LightgbmAnalyser", _begins(b"tree")),
    Registered("catboost", "frameworks.tree_files", "CatboostAnalyser", _begins(b"CBM1")),
    Registered("hdf5", "frameworks.hdf5_files", "Hdf5Analyser", may_be_hdf5),
    Registered("keras-json", "frameworks.keras_files", "KerasJsonAnalyser", _object),
    Registered("json-objects", "frameworks.json_objects", "JsonObjectsAnalyser", _document),
    Registered("saved-model", "frameworks.saved_model", "SavedModelAnalyser", _saved_model),
    Registered("tflite", "frameworks.tflite", "TfliteAnalyser", _begins(b"TFL3", at=4)),
    Registered("parquet", "tabular.tables", "ParquetAnalyser", _begins(b"PAR1")),
    Registered("arrow", "tabular.tables", "ArrowAnalyser", _begins(b"ARROW1\0\0")),
    Registered("msgpack", "frameworks.msgpack_files", "MsgpackAnalyser", _msgpack),
    Registered("mlflow", "frameworks.mlflow_files", "MlflowAnalyser", _mlflow),
    Registered("other", "frameworks.other_formats", "OtherAnalyser", _other),
    Registered("executable", "frameworks.executables", "ExecutableAnalyser", _executable),
    Registered("csv", "tabular.tables", "SeparatedAnalyser", _named(".csv", ".tsv")),
    Registered("pickle", "pickles.streams", "PickleAnalyser", _pickle),
)
"""In the order in which they name a file that is of several formats by its beginning."""

TEXTS = Registered(
    "hf-config",
    "repositories.repository_files",
    "RepositoryAnalyser",
    _named(
        ".json", ".py", ".yaml", ".yml", ".ipynb", ".jinja", ".jinja2", ".j2",
        ".env", ".toml", ".ini", ".cfg", ".conf", ".properties",
    ),
)  # fmt: skip
"""Takes part by name, and so besides any other: words in a configuration count whatever else its bytes are."""
