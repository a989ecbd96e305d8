"""Code in archives of torch, programs under models' names, MessagePack, MLflow, and formats that are only recognised."""

import gzip
import json
import struct
import warnings
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.scan.assembler import SYSTEM, rules, scan_bytes, zipped
from tests.unit.scan.framework_files import (
    ELF,
    elf,
    exported,
    flax_array,
    mlmodel,
    msgpack,
    portable,
    save_ordinary_torch_files,
    script,
    torch_package,
)

from heliotrope.core.predicates.scan import FileReport
from heliotrope.scan import ScanLimits, scan_paths
from heliotrope.scan.frameworks.code_names import references


def worst(report: FileReport) -> set[str]:
    return {finding.rule for finding in report.findings if finding.severity != "info"}


# what torch writes


@pytest.mark.torch
def test_ordinary_files_of_torch_are_clean(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    paths = save_ordinary_torch_files(tmp_path)
    reports = scan_paths([tmp_path]).files
    assert len(reports) == len(paths) == 11
    for report in reports:
        assert (report.path, report.verdict, worst(report), report.incomplete) == (report.path, "clean", set(), ())
    assert {report.format for report in reports} == {"torchscript", "torch-export", "torch-package"}


@pytest.mark.torch
def test_file_operators_as_torch_writes_them(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = torch.jit.script(torch.nn.Identity())
    module.define(
        "def read(self, x: Tensor):\n  torch.save(x, 'there')\n  return torch.from_file('/etc/passwd', False, 4)\n"
    )
    module.save(tmp_path / "m.pt")
    (report,) = scan_paths([tmp_path / "m.pt"]).files
    assert report.verdict == "suspicious"
    assert {item.global_ for item in report.findings if item.rule == "torch-file-operator"} == {
        "aten::save",
        "aten::from_file",
    }


# TorchScript


@pytest.mark.parametrize(
    ("expression", "rule"),
    [
        ('torch.save(x, "f")', "torch-file-operator"),
        ('ops.aten.save(x, "f")', "torch-file-operator"),
        ('(x).save("f")', "torch-file-operator"),
        ('"f".from_file(False, 4)', "torch-file-operator"),
        ('getattr(torch, "save")(x, "f")', "torch-file-operator"),
        ('getattr(torch, "sa" "ve")(x, "f")', "torch-file-operator"),
        ('getattr(torch, "sa\\x76e")(x, "f")', "torch-file-operator"),
        ("torch  . \\\n  from_file('f')", "torch-file-operator"),
        ('ops.image.read_file("f")', "torch-file-operator"),
        ('ops.debugprims.load_tensor("f")', "torch-file-operator"),
        ("ops.c10d.send(x)", "torch-process-operator"),
        ("rpc_async('w', 'f')", "torch-process-operator"),
        ("ops.prim.PythonOp(x)", "torch-process-operator"),
        ("ops.acme.trick(x)", "torch-custom-operator"),
        ("__torch__.torch.classes.acme.Thing(x)", "torch-custom-operator"),
        ("[ops, 1]", "torch-custom-operator"),
    ],
)
def test_operators_however_they_are_written(expression: str, rule: str, tmp_path: Path) -> None:
    for code in (
        f"def f(x):\n  return {expression}\n",
        f"def f(x):\n  y = {expression}\n",
        f"# c\nif {expression}:\n  pass\n",
    ):
        assert rule in rules(scan_bytes(tmp_path, script(code), "m.pt"))


def test_operators_under_another_name(tmp_path: Path) -> None:
    for code in ("a = torch\nb = a\nb.save(x, 'f')\n", "a = ops.aten\na.save(x, 'f')\n", "a = torch.save\na(x, 'f')\n"):
        assert scan_bytes(tmp_path, script(code), "m.pt").verdict == "suspicious"


def test_words_in_texts_and_comments_are_no_operators(tmp_path: Path) -> None:
    code = "def f(self, x):\n  # torch.save(x)\n  print(\"torch.save(x, 'f')\")\n  y = self.save\n  return torch.add(x, 1)\n"
    assert scan_bytes(tmp_path, script(code), "m.pt").verdict == "clean"


def test_bytecode_for_mobile_devices(tmp_path: Path) -> None:
    data = b"\x80\x02X\x0a\x00\x00\x00aten::save."
    assert "torch-file-operator" in rules(scan_bytes(tmp_path, script("", **{"bytecode.pkl": data}), "m.ptl"))
    flat = b"4\0\0\0PTMF" + bytes(20) + b"\x0a\0\0\0aten::add\0\x0f\0\0\0aten::from_file\0"
    report = scan_bytes(tmp_path, flat, "m.ptl")
    assert (report.format, report.verdict, rules(report)) == ("torch-mobile", "suspicious", {"torch-file-operator"})


def test_a_source_that_is_too_long_or_no_text(tmp_path: Path) -> None:
    report = scan_bytes(tmp_path, script("x = 1\n" * 100), "m.pt", limits=ScanLimits(max_source_bytes=50))
    assert (report.verdict, report.incomplete[0].limit) == ("incomplete", "max_source_bytes")
    odd = zipped(
        {"m/data.pkl": b"\x80\x02}.", "m/code/a.py": b"\xff\xfe = ops.acme.x(1)", "m/constants.pkl": b"\x80\x02)."}
    )
    report = scan_bytes(tmp_path, odd, "m.pt")
    assert (report.verdict, "torch-custom-operator" in rules(report), len(report.incomplete)) == ("suspicious", True, 1)


# Python source


@pytest.mark.parametrize(
    "source",
    [
        "import os\nos.system('x')",
        "import os as o\no.system('x')",
        "from os import (path,\n  system as s)\ns('x')",
        "from os import *\nsystem('x')",
        "import subprocess as p, re\np.run(['x'])",
        "__import__('os')",
        "import os\nf = os.system\nf('x')",
        "import os\ngetattr(os, 'sys' 'tem')('x')",
        "import os\ngetattr(os, 'sys' + 'tem')('x')",
        "import os\ngetattr(os, name, None)('x')",
        "import os\nx = f\"{os.system('x')}\"",
        "import os\n(os\n .system)('x')",
        "\uff45\uff56\uff41\uff4c('1')",
        "().__class__.__base__.__subclasses__()",
        "class A:\n  def f(self):\n    exec(self.x)",
        "import ctypes\nctypes.CDLL('x')",
        "if 1: import socket; socket.create_connection(('x', 1))",
    ],
)
def test_dangerous_calls_in_packages(source: str, tmp_path: Path) -> None:
    report = scan_bytes(tmp_path, torch_package(mine=source), "m.pt")
    assert (report.verdict, "packaged-dangerous-call" in rules(report)) == ("malicious", True)


def test_source_of_packages_is_suspicious_and_script_inside_is_not(tmp_path: Path) -> None:
    ordinary = (
        "import re, torch\nclass M(torch.nn.Module):\n  def f(self, x):\n    return re.compile('a'), self.eval(), x\n"
    )
    report = scan_bytes(tmp_path, torch_package(mine=ordinary), "m.pt")
    assert (report.format, report.verdict, worst(report)) == ("torch-package", "suspicious", {"packaged-source"})
    scripted = torch_package(**{".data/ts_code/code/__torch__": "def f(x):\n  return torch.add(x, 1)\n"})
    assert scan_bytes(tmp_path, scripted, "m.pt").verdict == "clean"


def test_other_encodings_are_not_followed(tmp_path: Path) -> None:
    report = scan_bytes(tmp_path, torch_package(mine="# coding: rot13\nvzcbeg bf\n"), "m.pt")
    assert report.incomplete[0].reason.startswith("the source declares the encoding rot13")


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="ab.()=,:'\"\\\n {}frimport getattr\u00e9\0", max_size=80))
def test_any_text_is_words(text: str) -> None:
    assert all(item.offset < max(len(text), 1) for item in references(text))


@pytest.mark.parametrize(
    "piece", ['"""\\', "'\\", 'f"{', "getattr(", "from a import (", "a.", "\n", "(", "a=", '"', "0."]
)
def test_time_grows_with_the_source(piece: str) -> None:
    """Quotes that nothing closes would be sought to the end again and again."""
    assert sum(1 for _ in references(piece * (50_000 // len(piece)))) <= 50_000


def test_handlers_of_torchserve(tmp_path: Path) -> None:
    for handler, verdict in (("image_classifier", "clean"), ("mine.handler:handle", "suspicious")):
        manifest = json.dumps({"model": {"modelName": "m", "handler": handler, "serializedFile": "m.pt"}}).encode()
        assert scan_bytes(tmp_path, zipped({"MAR-INF/MANIFEST.json": manifest}), "m.mar").verdict == verdict
    served = zipped({"MAR-INF/MANIFEST.json": b'{"model": {"handler": "h.py"}}', "h.py": b"import os\nos.popen('x')\n"})
    report = scan_bytes(tmp_path, served, "m.mar")
    assert (report.format, report.verdict) == ("torch-archive", "malicious")


# exported programs


@pytest.mark.parametrize(
    "target",
    ["torch.os.system", "torch.hub.load", "_operator.methodcaller", "operator.attrgetter", "torch.ops.acme.x.default", "#aoti:x",
     "torch.ops.aten.from_file.default", "math.os.system", "torch.ops.load_library"],
)  # fmt: skip
def test_targets_that_are_no_operators(target: str, tmp_path: Path) -> None:
    assert scan_bytes(tmp_path, exported(target), "m.pt2").verdict == "suspicious"


@pytest.mark.parametrize(
    "target",
    ["torch.ops.aten.add.Tensor", "_operator.mul", "math.ceil", "torch.sym_max", "torch.ops.higher_order.cond"],
)
def test_ordinary_targets(target: str, tmp_path: Path) -> None:
    assert scan_bytes(tmp_path, exported(target), "m.pt2").verdict == "clean"


@pytest.mark.parametrize(
    "size",
    ["__import__('os')", "Symbol('s0').func", "Add('__import__(1)', 1)", "(lambda: 1)()", "[c for c in s0]", "print(1)", "S0",
     "Add('a' 'b()', 1)", "s0.evalf()", "Symbol(f's{1}')", "Integer(1)\nx", "Symbol('s0", "\u2460"],
)  # fmt: skip
def test_sizes_that_are_no_arithmetic(size: str, tmp_path: Path) -> None:
    assert scan_bytes(tmp_path, exported(size=size), "m.pt2").verdict == "malicious"


def test_structures_that_import_modules(tmp_path: Path) -> None:
    def spec(context: object) -> str:
        return json.dumps(
            [1, {"type": "x", "context": json.dumps(context).replace("o", "\\u006f"), "children_spec": []}]
        )

    for context in (
        {"default_factory_module": "os", "default_factory_name": "x"},
        {"__enum__": True, "fqn": "os:A", "name": "B"},
    ):
        assert "torch-odd-target" in rules(scan_bytes(tmp_path, exported(spec=spec(context)), "m.pt2"))
    ordinary = {"default_factory_module": "builtins", "default_factory_name": "list", "dict_context": ["a"]}
    assert scan_bytes(tmp_path, exported(spec=spec(ordinary)), "m.pt2").verdict == "clean"


def test_escapes_do_not_hide_a_target(tmp_path: Path) -> None:
    program = b'{"t\\u0061rget": "\\u0074orch.os.system"}'
    data = zipped({"m/models/model.json": program, "m/archive_format": b"pt2"})
    assert "torch-odd-target" in rules(scan_bytes(tmp_path, data, "m.pt2"))


# programs


@pytest.mark.parametrize("name", ["m.pkl", "m.safetensors", "m.onnx", "m.gguf", "m.pt"])
def test_programs_under_a_models_name(name: str, tmp_path: Path) -> None:
    mach = struct.pack("<IIIIII", 0xFEEDFACF, 0x01000007, 3, 2, 16, 1000) + bytes(40)
    for data in (ELF, portable(), mach, b"MZqFpD='\n" + bytes(60), b"#!/bin/sh\nexit\n", b"\xa7\r\r\n" + bytes(40)):
        report = scan_bytes(tmp_path, data, name)
        assert (report.verdict, "embedded-executable" in rules(report)) == ("suspicious", True)


def test_programs_inside(tmp_path: Path) -> None:
    assert "embedded-executable" in rules(
        scan_bytes(tmp_path, zipped({"a/data.pkl": b"\x80\x02}.", "a/x": ELF}), "m.pt")
    )
    engine = b"ftrt" + bytes(3 * 2**20 - 2) + portable() + elf(machine=190)
    report = scan_bytes(tmp_path, engine, "m.engine")
    (finding,) = report.findings
    assert (report.format, finding.rule, finding.locations[0].offset) == (
        "tensorrt",
        "embedded-executable",
        3 * 2**20 + 2,
    )
    assert scan_bytes(tmp_path, b"ftrt" + elf(machine=190), "m.engine").findings == ()


def test_programs_beside_models_are_not_judged(tmp_path: Path) -> None:
    (tmp_path / "lib.so").write_bytes(ELF)
    (tmp_path / "run.py").write_bytes(b"#!/usr/bin/env python\n")
    assert scan_paths([tmp_path]).files == ()


# MessagePack

PARAMETERS = msgpack(
    {"params": {"Dense_0": {"kernel": flax_array(), "bias": flax_array("bfloat16", [12])}}, "step": 300, "x": None}
)


def test_parameters_of_flax_are_clean(tmp_path: Path) -> None:
    report = scan_bytes(tmp_path, PARAMETERS, "flax_model.msgpack")
    assert (report.format, report.verdict, report.findings) == ("flax-msgpack", "clean", ())
    assert scan_bytes(tmp_path, PARAMETERS, "checkpoint").format == "flax-msgpack"


@pytest.mark.parametrize(
    "array",
    [flax_array("object"), flax_array("O"), flax_array("|O"), flax_array("V8"), flax_array(data=bytes(20)), flax_array(shape=[-2, -3]),
     (1, b"\x93"), (1, msgpack([[2], "int8"])), (1, msgpack([[2], "int8", bytes(2)]) + b"x"), (3, msgpack("a"))],
)  # fmt: skip
def test_odd_arrays(array: tuple[int, bytes], tmp_path: Path) -> None:
    assert "msgpack-odd-array" in rules(scan_bytes(tmp_path, msgpack({"a": array}), "m.msgpack"))


def test_pickles_in_and_behind_values(tmp_path: Path) -> None:
    pickled = b"\x80\x02" + SYSTEM + b"."
    assert scan_bytes(tmp_path, msgpack({"nd": True, "data": pickled}), "m.msgpack").verdict == "malicious"
    assert scan_bytes(tmp_path, PARAMETERS + pickled, "m.msgpack").verdict == "malicious"
    assert scan_bytes(tmp_path, PARAMETERS + b"abc", "m.msgpack").verdict == "incomplete"
    assert scan_bytes(tmp_path, msgpack({"a": (42, b"xx")}), "m.msgpack").verdict == "incomplete"


def test_no_cut_file_is_clean(tmp_path: Path) -> None:
    for size in range(1, len(PARAMETERS)):
        assert scan_bytes(tmp_path, PARAMETERS[:size], "m.msgpack").verdict != "clean"


@settings(max_examples=200, deadline=None)
@given(place=st.integers(0, len(PARAMETERS) - 1), value=st.integers(0, 255))
def test_damage_never_crashes(place: int, value: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    damaged = PARAMETERS[:place] + bytes([value]) + PARAMETERS[place + 1 :]
    scan_bytes(tmp_path_factory.getbasetemp(), damaged, "m.msgpack")


def test_announced_lengths_cost_nothing(tmp_path: Path) -> None:
    for bomb in (
        b"\x81\xa1a\xdf\xff\xff\xff\xff",
        b"\x81\xa1a" + b"\x91" * 5000 + b"\x00",
        b"\x81\xa1a\xdd\xff\xff\xff\xff\x00",
    ):
        assert scan_bytes(tmp_path, bomb, "m.msgpack").verdict == "incomplete"
    many = b"\x81\xa1a\xdd" + struct.pack(">I", 10_000) + bytes(10_000)
    report = scan_bytes(tmp_path, many, "m.msgpack", limits=ScanLimits(max_msgpack_items=5000))
    assert (report.verdict, report.incomplete[0].limit) == ("incomplete", "max_msgpack_items")


# MLflow


def test_descriptions_of_mlflow(tmp_path: Path) -> None:
    report = scan_bytes(tmp_path, mlmodel(), "MLmodel")
    assert (report.format, report.verdict, report.findings) == ("mlflow", "clean", ())
    for more in (
        "    code_path: code\n",
        "    model_code_path: agent.py\n",
        '    "c\\u006fde": code\n',
        "    ? code\n    : [a, b]\n",
    ):
        assert "mlflow-shipped-code" in rules(scan_bytes(tmp_path, mlmodel(more=more), "MLmodel"))
    for path in ("/etc/x", "..\\x", "https://example.org/x", "C:\\x", "a/../../x"):
        assert "mlflow-outside-path" in rules(scan_bytes(tmp_path, mlmodel(path=path), "MLmodel"))


@pytest.mark.parametrize(
    "more",
    [
        "    x: &a [1]\n    y: *a\n",
        "    x: !!python/object/apply:os.system [x]\n",
        "    x: [\n",
        "    x: " + "[" * 60 + "\n",
    ],
)
def test_descriptions_that_cannot_be_followed(more: str, tmp_path: Path) -> None:
    assert scan_bytes(tmp_path, mlmodel(more=more), "MLmodel").verdict == "incomplete"


# formats that are only recognised


@pytest.mark.parametrize(
    ("data", "name", "expected"),
    [
        (b"RDX3\nX\n\0\0\0\3", "m.RData", "r-data"),
        (b"X\n\0\0\0\3\0\4\3\2\0\3\5\0", "m.rds", "r-data"),
        (b'<?xml version="1.0"?>\n<PMML version="4.4"/>', "m.xml", "pmml"),
        ('<?xml version="1.0" encoding="UTF-16"?><PMML version="4.4"/>'.encode("utf-16"), "m.xml", "pmml"),
        (b'<?xml version="1.0"?>\n<net name="m" version="11">\n<layers>', "m.xml", "openvino"),
        (b"\x1c\0\0\0ET12" + bytes(30), "m", "executorch"),
        (b"\x12\x01" + bytes(30), "m.params", "mxnet-params"),
        (b'{"nodes": [{"op": "null", "name": "data"}]}', "m-symbol.json", "mxnet-symbol"),
        (b"7767517\n3 3\n", "m.param", "ncnn"),
        (b"RKNN\0\0\0\0", "m.rknn", "rknn"),
        (b"\4\0\0\0\1\0\0\0\3\0\0\0V 1\x0f\0\0\0", "m.t7", "torch7"),
        (b"4\n1\n3\nV 1\n13\nnn.Sequential\n", "m.net", "torch7"),
        (b"B\0C\0N\0\0\0", "m.dnn", "cntk"),
        (b'{"fileFormatVersion": "1.0.0", "itemInfoEntries": {}}', "Manifest.json", "coreml-package"),
        (b"binf" + bytes(100), "m.model", "xgboost-binary"),
        (b"\x08\x01\x12\x10" + bytes(20), "m.mlmodel", "coreml"),
        (bytes(30), "m.pdiparams", "paddle"),
    ],
)  # fmt: skip
def test_recognised_and_unsupported(data: bytes, name: str, expected: str, tmp_path: Path) -> None:
    report = scan_bytes(tmp_path, data, name)
    assert (report.format, report.verdict) == (expected, "unsupported")


def test_packed_data_of_r_is_named(tmp_path: Path) -> None:
    report = scan_bytes(tmp_path, gzip.compress(b"X\n\0\0\0\3\0\4\3\2\0\3\5\0"), "m.rds")
    assert (report.format, report.verdict, report.findings) == ("gzip", "incomplete", ())
    assert "r-data" in report.incomplete[0].reason
