"""Writes pickles opcode by opcode, zip files and tensors, so that tests can say what no pickler would."""

import importlib.util
import io
import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from heliotrope.core.predicates.scan import FileReport
from heliotrope.scan import ScanLimits, scan_paths

__all__ = [
    "SYSTEM",
    "call",
    "gallery",
    "glob",
    "hdf5",
    "keras_archive",
    "keras_layer",
    "npy",
    "obj",
    "onnx_model",
    "onnx_node",
    "onnx_tensor",
    "ordinary",
    "protobuf",
    "renamed_operator",
    "safetensors",
    "scan_bytes",
    "skops",
    "skops_node",
    "stack_global",
    "tensorflow_graph",
    "tensorflow_node",
    "tensorflow_text",
    "text",
    "torch_zip",
    "zipped",
]

REPOSITORY = Path(__file__).resolve().parents[3]


def gallery() -> ModuleType:
    """examples/untrusted/build.py."""
    spec = importlib.util.spec_from_file_location("untrusted_gallery", REPOSITORY / "examples/untrusted/build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def scan_bytes(folder: Path, data: bytes, name: str = "model.pkl", *, limits: ScanLimits | None = None) -> FileReport:
    """Scan bytes under a name and give the report on them."""
    path = folder / name
    path.write_bytes(data)
    (report,) = scan_paths([path], limits=limits).files
    return report


def rules(report: FileReport) -> set[str]:
    return {finding.rule for finding in report.findings}


def text(value: str) -> bytes:
    data = value.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(data)) + data


def glob(module: str, name: str) -> bytes:
    """GLOBAL."""
    return b"c" + module.encode() + b"\n" + name.encode() + b"\n"


def stack_global(module: str, name: str) -> bytes:
    return text(module) + text(name) + b"\x93"


def call(callee: bytes, *arguments: bytes) -> bytes:
    """REDUCE."""
    return callee + b"(" + b"".join(arguments) + b"tR"


def obj(callee: bytes, *arguments: bytes) -> bytes:
    return b"(" + callee + b"".join(arguments) + b"o"


SYSTEM = call(glob("posix", "system"), text("true"))


def zipped(members: dict[str, bytes] | list[tuple[str, bytes]], *, deflate: bool = False) -> bytes:
    buffer = io.BytesIO()
    method = zipfile.ZIP_DEFLATED if deflate else zipfile.ZIP_STORED
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in members.items() if isinstance(members, dict) else members:
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return buffer.getvalue()


def torch_zip(pickled: bytes, **more: bytes) -> bytes:
    members = {"data.pkl": pickled, "version": b"3\n", "data/0": bytes(16), **more}
    return zipped({f"archive/{name}": data for name, data in members.items()})


def npy(header: str, data: bytes, *, version: bytes = b"\x01\x00") -> bytes:
    body = header.encode() + b"\n"
    return b"\x93NUMPY" + version + struct.pack("<H", len(body)) + body + data


def _varint(value: int) -> bytes:
    out = bytearray()
    while True:
        value, low = value >> 7, value & 0x7F
        out.append(low | (0x80 if value else 0))
        if not value:
            return bytes(out)


def protobuf(*fields: tuple[int, int | bytes | str]) -> bytes:
    """A message on the wire: numbers as varints, bytes and text by their length."""
    out = b""
    for number, value in fields:
        if isinstance(value, int):
            out += _varint(number << 3) + _varint(value)
        else:
            data = value.encode() if isinstance(value, str) else value
            out += _varint(number << 3 | 2) + _varint(len(data)) + data
    return out


def onnx_node(operator: str, domain: str = "", *attributes: bytes) -> bytes:
    return protobuf((1, "x"), (2, "y"), (4, operator), (7, domain), *((5, item) for item in attributes))


def onnx_tensor(*, dims: tuple[int, ...] = (2,), raw: bytes | None = None, **external: str) -> bytes:
    """A float tensor, inline or external."""
    fields: list[tuple[int, int | bytes | str]] = [*((1, side) for side in dims), (2, 1), (8, "w")]
    if raw is not None:
        fields.append((9, raw))
    fields += [(13, protobuf((1, key), (2, value))) for key, value in external.items()]
    return protobuf(*fields, *([(14, 1)] if external else []))


def onnx_model(
    *nodes: bytes, tensors: tuple[bytes, ...] = (), more: tuple[tuple[int, int | bytes | str], ...] = ()
) -> bytes:
    graph = protobuf(*((1, node) for node in nodes), (2, "graph"), *((5, tensor) for tensor in tensors))
    return protobuf((1, 8), (2, "tests"), (7, graph), (8, protobuf((2, 18))), *more)


def skops_node(loader: str, full_name: str, content: object = None, **more: object) -> dict[str, object]:
    module, _, name = full_name.rpartition(".")
    return {"__loader__": loader, "__module__": module, "__class__": name, "content": content, **more}


def skops(node: dict[str, object], *, protocol: object = 2, **members: bytes) -> bytes:
    """A skops file around its outermost node."""
    return zipped({"schema.json": json.dumps({**node, "protocol": protocol}).encode(), **members})


def safetensors(header: dict[str, object] | str, data: bytes) -> bytes:
    body = (header if isinstance(header, str) else json.dumps(header)).encode()
    return struct.pack("<Q", len(body)) + body + data


def ordinary(name: str) -> bytes:
    """A file that a framework wrote, see ordinary/make.py."""
    return (Path(__file__).parent / "ordinary" / name).read_bytes()


def keras_layer(class_name: str, module: str | None = "keras.layers", /, **config: object) -> dict[str, object]:
    """A layer as Keras 3 writes it."""
    return {"module": module, "class_name": class_name, "config": config, "registered_name": None}


def keras_archive(config: object, **members: bytes) -> bytes:
    """A .keras archive around a configuration, which may be text."""
    data = config if isinstance(config, bytes) else json.dumps(config).encode()
    return zipped({"metadata.json": b'{"keras_version": "3.15.1"}', "config.json": data, **members})


def hdf5(fill: Callable[[Any], object], **options: object) -> bytes:
    """An HDF5 file that a function fills."""
    import h5py

    buffer = io.BytesIO()
    with h5py.File(buffer, "w", **options) as file:
        fill(file)
    return buffer.getvalue()


def tensorflow_node(operator: str, name: str = "n", *inputs: str, **attributes: bytes) -> bytes:
    """A NodeDef; attributes are messages of AttrValue."""
    entries = [(5, protobuf((1, key), (2, value))) for key, value in attributes.items()]
    return protobuf((1, name), (2, operator), *((3, item) for item in inputs), *entries)


def tensorflow_text(name: str, value: str) -> bytes:
    """A constant text."""
    return tensorflow_node("Const", name, value=protobuf((8, protobuf((1, 7), (8, value)))))


def tensorflow_graph(*nodes: bytes, meta: tuple[tuple[int, bytes], ...] = (), **functions: tuple[bytes, ...]) -> bytes:
    """A SavedModel; functions take one argument, x."""
    library = [
        (1, protobuf((1, protobuf((1, name), (2, protobuf((1, "x"))))), *((3, node) for node in inner)))
        for name, inner in functions.items()
    ]
    graph = protobuf(*((1, node) for node in nodes), (2, protobuf(*library)))
    return protobuf((1, 1), (2, protobuf((1, protobuf((5, "2.21.0"))), (2, graph), *meta)))


def renamed_operator(name: str) -> bytes:
    """A TensorFlow Lite model whose custom operator has another, shorter name."""
    data = bytearray(ordinary("flex.tflite"))
    at = data.index(b"FlexMatrixDeterminant")
    data[at - 4 : at] = struct.pack("<I", len(name))
    data[at : at + len(name) + 1] = name.encode() + b"\0"
    return bytes(data)
