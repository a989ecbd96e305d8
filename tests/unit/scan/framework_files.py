"""Files of frameworks, ordinary and not, written by their own libraries where these are here and by hand where not."""

import json
import struct
import warnings
from pathlib import Path
from typing import Any

from tests.unit.scan.assembler import zipped

__all__ = [
    "CASES",
    "ELF",
    "elf",
    "exported",
    "flax_array",
    "msgpack",
    "portable",
    "save_ordinary_torch_files",
    "script",
    "torch_package",
]


def script(code: str, **members: bytes) -> bytes:
    """A TorchScript archive with one file of code."""
    files = {
        "data.pkl": b"\x80\x02}.",
        "code/__torch__.py": code.encode(),
        "constants.pkl": b"\x80\x02).",
        "version": b"3\n",
    }
    return zipped({f"m/{name}": data for name, data in {**files, **members}.items()})


def torch_package(**sources: str) -> bytes:
    """A package of torch.package with modules, without one by default."""
    files = {".data/extern_modules": b"torch\n", ".data/version": b"6\n"}
    files |= {f"{name}.py": text.encode() for name, text in sources.items()}
    return zipped({f"p/{name}": data for name, data in files.items()})


def exported(
    target: str = "torch.ops.aten.add.Tensor", size: str = "Symbol('s0', integer=True)", spec: str = ""
) -> bytes:
    """An archive of torch.export with one operator, one size and one structure."""
    program = {
        "graph_module": {"graph": {"nodes": [{"target": target, "inputs": [], "outputs": []}]}},
        "sizes": [{"as_expr": {"expr_str": size, "hint": {"as_int": 8}}}],
        "module_call_graph": [{"fqn": "", "signature": {"in_spec": spec}}],
    }
    files = {
        "models/model.json": json.dumps(program).encode(),
        "archive_format": b"pt2",
        "data/weights/weight_0": bytes(16),
    }
    return zipped({f"e/{name}": data for name, data in files.items()})


def elf(*, machine: int = 62) -> bytes:
    """The header of a program for Linux, and nothing behind it."""
    return b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHI", 3, machine, 1) + bytes(44)


ELF = elf()


def portable() -> bytes:
    """The headers of a program for Windows."""
    return b"MZ" + bytes(58) + struct.pack("<I", 64) + b"PE\0\0" + struct.pack("<H", 0x8664) + bytes(60)


def msgpack(value: Any) -> bytes:  # noqa: PLR0911 - one for each type
    """MessagePack of maps, lists, texts, numbers, bytes, and extensions given as (type, bytes)."""
    if isinstance(value, bool) or value is None:
        return {None: b"\xc0", False: b"\xc2", True: b"\xc3"}[value]
    if isinstance(value, int):
        return bytes([value]) if 0 <= value < 128 else b"\xd3" + struct.pack(">q", value)
    if isinstance(value, float):
        return b"\xcb" + struct.pack(">d", value)
    if isinstance(value, str):
        data = value.encode()
        return (bytes([0xA0 | len(data)]) if len(data) < 32 else b"\xdb" + struct.pack(">I", len(data))) + data
    if isinstance(value, bytes):
        return b"\xc6" + struct.pack(">I", len(value)) + value
    if isinstance(value, tuple):
        return b"\xc9" + struct.pack(">I", len(value[1])) + bytes([value[0]]) + value[1]
    if isinstance(value, list):
        return b"\xdc" + struct.pack(">H", len(value)) + b"".join(map(msgpack, value))
    pairs = b"".join(msgpack(key) + msgpack(item) for key, item in value.items())
    return (bytes([0x80 | len(value)]) if len(value) < 16 else b"\xde" + struct.pack(">H", len(value))) + pairs


def flax_array(dtype: str = "float32", shape: list[int] | None = None, data: bytes = bytes(24)) -> tuple[int, bytes]:
    """An array as Flax packs it."""
    return 1, msgpack([[2, 3] if shape is None else shape, dtype, data])


MLMODEL = """artifact_path: model
flavors:
  python_function:
    env:
      conda: conda.yaml
      virtualenv: python_env.yaml
    loader_module: %(loader)s
    model_path: %(path)s
    predict_fn: predict
    python_version: 3.11.9
%(more)s  sklearn:
    code: null
    pickled_model: model.pkl
    serialization_format: cloudpickle
model_uuid: 0b6f4c1e
signature:
  inputs: '[{"type": "double", "name": "code: x"}]'
"""


def mlmodel(*, loader: str = "mlflow.sklearn", path: str = "model.pkl", more: str = "") -> bytes:
    """A description as MLflow writes it."""
    return (MLMODEL % {"loader": loader, "path": path, "more": more}).encode()


_PMML = '<?xml version="1.0"?>%s<PMML xmlns="http://www.dmg.org/PMML-4_4" version="4.4"><Header/></PMML>'
_FORWARD = "def forward(self, x: Tensor) -> Tensor:\n  return %s\n"

CASES: dict[str, tuple[str, bytes, bytes]] = {
    "torch-file-operator": (
        "m.pt", script(_FORWARD % 'torch.from_file("/etc/passwd", False, 4)'), script(_FORWARD % "torch.add(x, 1)")
    ),
    "torch-process-operator": (
        "m.pt", script(_FORWARD % 'rpc_sync("w", "f", (x,))'), script(_FORWARD % "(self.sync).forward(x, )")
    ),
    "torch-custom-operator": (
        "m.pt", script(_FORWARD % "ops.acme.trick(x)"), script(_FORWARD % "ops.quantized.linear(x, x, 1., 0)")
    ),
    "torch-odd-target": ("m.pt2", exported("torch.serialization.os.system"), exported()),
    "torch-odd-expression": (
        "m.pt2",
        exported(size="__import__('os').system('true')"),
        exported(size="Max(1, FloorDiv(Symbol('s77', positive=True, integer=True), Integer(2)))"),
    ),
    "packaged-native-code": ("m.pt2", zipped({"p/data/aotinductor/model/m.so": ELF}), exported()),
    "packaged-source": ("m.pt", torch_package(mine="x = 1\n"), torch_package()),
    "packaged-dangerous-call": (
        "m.pt", torch_package(mine="import os\nos.system('true')\n"), torch_package(mine="import os\nos.getcwd()\n")
    ),
    "packaged-dangerous-name": (
        "m.pt", torch_package(mine="from os import system as f\nmap(f, ['true'])\n"), torch_package(mine="system = 1\nsystem\n")
    ),
    "embedded-executable": ("m.pt", ELF, elf(machine=190)),
    "json-dangerous-object": (
        "m.json", b'{"a": [{"py/reduce": [{"py/function": "os.system"}, {"py/tuple": ["true"]}]}]}',
        b'{"a": [{"py/object": "acme.Config", "size": 1}]}'
    ),
    "json-pickled-object": (
        "m.json", b'{"a": {":type:": "x", ":serialized:": "gAJ9Lg=="}}', b'{"a": {":type:": "x", "text": "gAJ9Lg=="}}'
    ),
    "msgpack-odd-array": (
        "m.msgpack", msgpack({"a": flax_array("object")}), msgpack({"a": flax_array(), "b": flax_array("bfloat16", [12])})
    ),
    "mlflow-foreign-loader": ("MLmodel", mlmodel(loader="os.path"), mlmodel()),
    "mlflow-shipped-code": ("MLmodel", mlmodel(more="    code: code\n"), mlmodel(more="    code: null\n")),
    "mlflow-outside-path": ("MLmodel", mlmodel(path="../other/model.pkl"), mlmodel(path="data/model..pkl")),
    "xml-entity": ("m.pmml", (_PMML % '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>').encode(), (_PMML % "").encode()),
}  # fmt: skip
"""Rule to (file name, what breaks it, what does not)."""


def save_ordinary_torch_files(folder: Path) -> list[Path]:
    """What torch itself writes: scripted, traced, frozen, quantised and mobile models, exported programs, packages."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _save_scripts(folder, torch)
        _save_programs(folder, torch)
    return sorted(folder.iterdir())


def _save_scripts(folder: Path, torch: Any) -> None:
    from tests.unit.scan import torch_models as models

    nn, jit = torch.nn, torch.jit
    plain = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 2)).eval()
    jit.script(models.Detector()).save(folder / "detector.pt")
    jit.script(models.Recurrent()).save(folder / "recurrent.pt")
    jit.trace(models.Recurrent().eval(), torch.zeros(1, 5, dtype=torch.long), check_trace=False).save(
        folder / "traced.pt"
    )
    jit.freeze(jit.script(plain)).save(folder / "frozen.pt")
    jit.script(models.dynamic_quantised()).save(folder / "dynamic.pt")
    jit.script(models.quantised()).save(folder / "quantised.pt")
    jit.script(plain)._save_for_lite_interpreter(str(folder / "mobile.ptl"))
    jit.save(jit.script(plain), folder / "extra.pt", _extra_files={"config.json": '{"labels": ["exec"]}'})


def _save_programs(folder: Path, torch: Any) -> None:
    from tests.unit.scan import torch_models as models

    batch = torch.export.Dim("batch", min=2, max=64)
    program = torch.export.export(models.Reshaping(), (torch.zeros(8, 4),), dynamic_shapes={"x": {0: batch}})
    torch.export.save(program, folder / "dynamic.pt2")
    torch.export.save(torch.export.export(models.Reshaping(), (torch.zeros(8, 4),)), folder / "fixed.pt2")
    from torch.package import PackageExporter

    with PackageExporter(folder / "package.pt") as exporter:
        exporter.extern("torch.**")
        exporter.save_pickle("model", "model.pkl", torch.nn.Linear(2, 2))
        exporter.save_text("about", "labels.txt", "exec")
