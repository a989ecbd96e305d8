"""Each rule has a file that breaks it and a neighbour that does not."""

import base64
import marshal
import pickle
import struct
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from tests.unit.scan.archive_builder import ARCHIVE_CASES
from tests.unit.scan.assembler import (
    SYSTEM,
    call,
    glob,
    hdf5,
    keras_archive,
    keras_layer,
    npy,
    onnx_model,
    onnx_node,
    onnx_tensor,
    ordinary,
    protobuf,
    renamed_operator,
    rules,
    safetensors,
    scan_bytes,
    skops,
    skops_node,
    stack_global,
    tensorflow_graph,
    tensorflow_node,
    tensorflow_text,
    text,
    torch_zip,
    zipped,
)
from tests.unit.scan.framework_files import CASES as FRAMEWORK_CASES
from tests.unit.scan.repository_cases import CASES as REPOSITORY_CASES

from heliotrope.core.taxonomy import TAXONOMY
from heliotrope.scan import RULES, ScanLimits, verdict_of

PLAIN = b"\x80\x02}" + text("a") + b"K\x01s."
TENSOR = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
F32 = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }"
OBJECT = "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"
RAW_NAME = b"archive/extra.bin"


def pickled(body: bytes, protocol: int = 2) -> bytes:
    return bytes([0x80, protocol]) + body + b"."


def joblib_array(order: bytes, data: bytes) -> bytes:
    """A wrapper as joblib wrote it before it padded, and the bytes behind it."""
    dtype = glob("numpy", "dtype") + text("f8") + b"\x89\x88\x87R"
    parts = {
        "subclass": glob("numpy", "ndarray"),
        "shape": b"K\x02\x85",
        "order": order,
        "dtype": dtype,
        "allow_mmap": b"\x88",
    }
    state = b"".join(text(key) + value for key, value in parts.items())
    return glob("joblib.numpy_pickle", "NumpyArrayWrapper") + b")\x81}(" + state + b"ub" + data


def parquet(footer: bytes) -> bytes:
    return b"PAR1" + footer + struct.pack("<I", len(footer)) + b"PAR1"


def renamed_locally(archive: bytes, name: bytes, other: bytes) -> bytes:
    """The same archive, a member's local header carrying another name of the same length."""
    assert len(name) == len(other)
    return archive.replace(name, other, 1)


def without_entry(archive: bytes) -> bytes:
    """The same archive, its last member missing from the directory."""
    entry = archive.rindex(b"PK\x01\x02")
    end = archive.rindex(b"PK\x05\x06")
    record = bytearray(archive[end:])
    size, offset = struct.unpack_from("<2L", record, 12)
    count = struct.unpack_from("<H", record, 10)[0] - 1
    struct.pack_into("<2H2L", record, 8, count, count, size - (end - entry), offset)
    return archive[:entry] + bytes(record)


def duplicated() -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", PLAIN)
        archive.writestr("archive/version", "3\n")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("archive/data.pkl", pickled(SYSTEM))
    return buffer.getvalue()


def flagged(archive: bytes) -> bytes:
    """The first member marked as encrypted, in both places."""
    data = bytearray(archive)
    data[6] |= 1
    data[archive.index(b"PK\x01\x02") + 8] |= 1
    return bytes(data)


def corrupt(archive: bytes) -> bytes:
    return archive.replace(b"some text", b"same text")


def bytecode(source: str) -> str:
    """A lambda as Keras writes it."""
    return base64.b64encode(marshal.dumps(compile(source, "f", "eval"))).decode()


def keras_lambda(source: str) -> bytes:
    function = {"class_name": "__lambda__", "config": {"code": bytecode(source), "defaults": None, "closure": None}}
    return keras_archive(keras_layer("Lambda", function=function))


def keras_function(module: str, name: str) -> bytes:
    function = {"module": module, "class_name": "function", "config": name, "registered_name": name}
    return keras_archive(keras_layer("Lambda", function=function))


def with_link(file) -> None:
    import h5py

    file["w"] = h5py.ExternalLink("../x.h5", "/w")


def with_soft_link(file) -> None:
    import h5py

    file["g/d"] = [1.0]
    file["w"] = h5py.SoftLink("/g/d")


def with_virtual(file) -> None:
    import h5py

    layout = h5py.VirtualLayout((4,), "f8")
    layout[:] = h5py.VirtualSource("../x.h5", "d", (4,))
    file.create_virtual_dataset("v", layout)


def with_reference(file) -> None:
    import h5py

    file.create_group("g")
    file.attrs.create("r", file["g"].ref, dtype=h5py.ref_dtype)


def with_text(value: bytes):
    def fill(file) -> None:
        import numpy as np

        file.attrs["a"] = np.bytes_(value)

    return fill


def with_pieces(file) -> None:
    file.create_dataset("d", data=[[1.0] * 64] * 64, chunks=(8, 8), compression="lzf")


def with_values(file) -> None:
    file["d"] = [1.0, 2.0]


def unknown_filter() -> bytes:
    data = hdf5(with_pieces)
    return data.replace(struct.pack("<H", 32000) + b"\x08\x00", struct.pack("<H", 31999) + b"\x08\x00", 1)


Case = tuple[str, Callable[[], bytes], Callable[[], bytes]]
TWO = {"a": TENSOR, "b": {"dtype": "F32", "shape": [2], "data_offsets": [8, 16]}}
DICT = glob("collections", "OrderedDict")
OPEN = text("x") + call(glob("builtins", "complex"), b"K\x01")


def graph_module(code: str) -> bytes:
    """A traced module as torch.fx pickles it, with no parts."""
    named = b"\x80\x02ctorch.fx.graph_module\nreduce_graph_module\n}"
    return named + b"(" + text("_code") + text(code) + b"u" + text("import torch\n") + b"\x86R."


CASES: dict[str, tuple[str, bytes | Callable[[], bytes], bytes | Callable[[], bytes]]] = {
    "pickle-dangerous-call": ("m.pkl", pickled(SYSTEM), pickled(text("posix.system"))),
    "pickle-dangerous-import": ("m.pkl", pickled(glob("posix", "system")), pickled(glob("datetime", "date"))),
    "pickle-dotted-name": (
        "m.pkl",
        pickled(stack_global("torch.nn", "modules.os.system"), 4),
        pickled(call(stack_global("zoneinfo", "ZoneInfo._unpickle"), text("UTC"), b"K\x01"), 4),
    ),
    "pickle-computed-name": (
        "m.pkl",
        pickled(call(text("posix") + call(glob("_codecs", "encode"), text("a"), text("latin1")) + b"\x93"), 4),
        pickled(stack_global("datetime", "date"), 4),
    ),
    "pickle-computed-call": ("m.pkl", pickled(call(call(DICT))), pickled(call(DICT))),
    "pickle-object-overwrite": ("m.pkl", pickled(DICT + b"}b"), pickled(call(DICT) + b"}b")),
    "pickle-unknown-call": ("m.pkl", pickled(call(glob("acme.models", "Net"))), pickled(call(DICT))),
    "pickle-unknown-state": (
        "m.pkl",
        pickled(call(glob("builtins", "getattr"), DICT, text("__subclasses__"))),
        pickled(call(glob("builtins", "getattr"), glob("builtins", "str"), text("lower"))),
    ),
    "pickle-unknown-import": ("m.pkl", pickled(glob("acme", "thing")), pickled(glob("numpy", "float32"))),
    "pickle-split-frame": (
        "m.pkl",
        b"\x80\x04\x95\x04" + bytes(7) + text("abcdef") + b".",
        pickle.dumps(["abcdef"] * 3, 4),
    ),
    "pickle-extension-code": ("m.pkl", pickled(b"\x82\x07"), PLAIN),
    "pickle-framework-code": (
        "m.pkl",
        pickled(glob("sklearn.svm._classes", "SVC") + b")\x81}b"),
        pickled(glob("datetime", "date")),
    ),
    "pickle-persistent-id": ("m.pkl", pickled(text("7") + b"Q"), PLAIN),
    "pickle-hidden-stream": ("m.pkl", PLAIN + bytes(64) + pickled(SYSTEM), PLAIN + pickled(SYSTEM)),
    "pickle-trailing-data": ("m.pkl", PLAIN + b"\0\0\0", PLAIN + PLAIN),
    "scan-limit": ("m.pkl", pickled(b"N0" * 20), PLAIN),
    "pickle-graph-code": (
        "m.pkl",
        graph_module("def forward(self, x):\n    return x.tofile('a')"),
        graph_module("def forward(self, x):\n    return x.t()"),
    ),
    "joblib-odd-array": (
        "m.joblib",
        pickled(joblib_array(text("A"), bytes(16))),
        pickled(joblib_array(text("C"), bytes(16))),
    ),
    "file-polyglot": ("m.pkl", PLAIN + zipped({"a.txt": b"x"}), PLAIN),
    "file-extension-mismatch": ("m.npy", PLAIN, npy(F32, bytes(8))),
    "zip-disagreement": (
        "m.pt",
        lambda: renamed_locally(torch_zip(PLAIN, **{"extra.bin": b"some text"}), RAW_NAME, b"archive/extra.pkl"),
        torch_zip(PLAIN, **{"extra.bin": b"some text"}),
    ),
    "zip-duplicate-member": ("m.pt", duplicated, torch_zip(PLAIN)),
    "zip-hidden-member": (
        "m.pt",
        lambda: without_entry(torch_zip(PLAIN, **{"x.pkl": pickled(SYSTEM)})),
        torch_zip(PLAIN),
    ),
    "zip-unsafe-name": ("m.pt", torch_zip(PLAIN, **{"../../x.pkl": PLAIN}), torch_zip(PLAIN, **{"..x.pkl": PLAIN})),
    "zip-bad-checksum": (
        "m.zip",
        lambda: corrupt(zipped({"a.pkl": PLAIN, "b.txt": b"some text"})),
        zipped({"a.pkl": PLAIN, "b.txt": b"some text"}),
    ),
    "zip-encrypted": ("m.pt", lambda: flagged(torch_zip(PLAIN)), torch_zip(PLAIN)),
    "zip-prefix": ("m.zip", b"#!/bin/sh\n" + zipped({"a.pkl": PLAIN}), zipped({"a.pkl": PLAIN})),
    "torch-script-code": (
        "m.pt",
        torch_zip(PLAIN, **{"constants.pkl": pickled(b")"), "code/__torch__.py": b"def forward(self): ..."}),
        torch_zip(PLAIN),
    ),
    "npy-object-array": ("m.npy", npy(OBJECT, pickled(b"]")), npy(F32, bytes(8))),
    "npy-invalid-header": ("m.npy", npy("{'descr': __import__('os')}", b""), npy(F32, bytes(8))),
    "npy-trailing-data": ("m.npy", npy(F32, bytes(12)), npy(F32, bytes(8)) + npy(F32, bytes(8))),
    "safetensors-invalid-header": (
        "m.safetensors",
        safetensors({"a": {**TENSOR, "code": "x"}}, bytes(8)),
        safetensors({"a": TENSOR, "__metadata__": {"url": "https://example.org"}}, bytes(8)),
    ),
    "safetensors-duplicate-key": (
        "m.safetensors",
        safetensors('{"a": {"dtype": "U8", "dtype": "I8", "shape": [0], "data_offsets": [0, 0]}}', b""),
        safetensors({"a": TENSOR}, bytes(8)),
    ),
    "safetensors-overlap": (
        "m.safetensors",
        safetensors({"a": TENSOR, "b": {**TENSOR, "data_offsets": [4, 12]}}, bytes(12)),
        safetensors(TWO, bytes(16)),
    ),
    "safetensors-gap": (
        "m.safetensors",
        safetensors({"a": {**TENSOR, "data_offsets": [4, 12]}}, bytes(12)),
        safetensors(TWO, bytes(16)),
    ),
    "safetensors-trailing-data": ("m.safetensors", safetensors({"a": TENSOR}, bytes(9)), safetensors(TWO, bytes(16))),
    "safetensors-out-of-bounds": ("m.safetensors", safetensors({"a": TENSOR}, bytes(7)), safetensors(TWO, bytes(16))),
    "safetensors-size-mismatch": (
        "m.safetensors",
        safetensors({"a": {**TENSOR, "shape": [3]}}, bytes(8)),
        safetensors(TWO, bytes(16)),
    ),
    "skops-dangerous-type": (
        "m.skops",
        skops(skops_node("FunctionNode", "posix.system")),
        skops(skops_node("FunctionNode", "numpy.log1p")),
    ),
    "skops-unknown-type": (
        "m.skops",
        skops(skops_node("ObjectNode", "acme.Net")),
        skops(skops_node("ObjectNode", "sklearn.svm._classes.SVC")),
    ),
    "skops-odd-node": (
        "m.skops",
        skops(skops_node("MethodNode", "sklearn.svm._classes.SVC", {"func": "fit"})),
        skops(skops_node("JsonNode", "builtins.str", "1")),
    ),
    "onnx-external-path": (
        "m.onnx",
        onnx_model(tensors=(onnx_tensor(location="../../etc/passwd"),)),
        onnx_model(tensors=(onnx_tensor(location="weights..bin"),)),
    ),
    "onnx-memory-address": (
        "m.onnx",
        onnx_model(tensors=(onnx_tensor(location="*/_ORT_MEM_ADDR_/*", offset="4096", length="8"),)),
        onnx_model(tensors=(onnx_tensor(location="ORT_MEM"),)),
    ),
    "onnx-external-range": (
        "m.onnx",
        onnx_model(tensors=(onnx_tensor(location="m.onnx", offset="1000", length="8"),)),
        onnx_model(tensors=(onnx_tensor(location="m.onnx", offset="0", length="8"),)),
    ),
    "onnx-custom-operator": ("m.onnx", onnx_model(onnx_node("Trick", "acme")), onnx_model(onnx_node("Relu"))),
    "onnx-python-operator": (
        "m.onnx",
        onnx_model(onnx_node("PyCustomOpDef", "ai.onnx.contrib")),
        onnx_model(onnx_node("Pow")),
    ),
    "arrow-python-type": (
        "t.parquet",
        parquet(b"ARROW:schema " + base64.b64encode(b"xxarrow.py_extension_type" + bytes(9))),
        parquet(b"ARROW:schema " + base64.b64encode(b"xxarrow.extension_type" + bytes(9))),
    ),
    "onnx-script-in-text": (
        "m.onnx",
        onnx_model(more=((14, protobuf((1, "note"), (2, "<script>x()</script>"))),)),
        onnx_model(more=((14, protobuf((1, "note"), (2, "a description of scripts"))),)),
    ),
    **ARCHIVE_CASES,
    "keras-dangerous-reference": (
        "m.keras",
        keras_function("os", "system"),
        keras_function("keras.activations", "relu"),
    ),
    "keras-gadget": ("m.keras", keras_function("keras.utils", "get_file"), keras_function("keras.ops", "mean")),
    "keras-lambda-danger": ("m.keras", keras_lambda("__import__('os').system('x')"), keras_lambda("x * 2")),
    "keras-lambda": ("m.keras", keras_lambda("x * 2"), keras_archive(keras_layer("Dense", units=2))),
    "keras-unlisted-reference": (
        "m.keras",
        keras_archive(keras_layer("CSVLogger", "keras.callbacks", filename="x")),
        keras_archive(keras_layer("Adam", "keras.optimizers")),
    ),
    "keras-custom-object": (
        "m.keras",
        keras_archive(keras_layer("Net", "acme.layers")),
        keras_archive(keras_layer("NewLayer2", "keras.src.layers.core.new_layer")),
    ),
    "keras-package-code": (
        "m.keras",
        keras_archive(keras_layer("BertBackbone", "keras_hub.src.models.bert.bert_backbone")),
        keras_archive(keras_layer("Functional", "keras.src.models.functional")),
    ),
    "keras-external-model": (
        "m.keras",
        keras_archive(keras_layer("TFSMLayer", filepath="/tmp/model")),
        keras_archive(keras_layer("Dense")),
    ),
    "keras-external-file": (
        "m.keras",
        keras_archive(keras_layer("StringLookup", vocabulary="/etc/passwd")),
        keras_archive(keras_layer("StringLookup", vocabulary=["/etc/passwd", "a"])),
    ),
    "keras-pickled-module": (
        "m.keras",
        keras_archive(keras_layer("TorchModuleWrapper", module=base64.b64encode(PLAIN).decode())),
        keras_archive(keras_layer("Dense", module="x")),
    ),
    "keras-duplicate-key": (
        "m.keras",
        keras_archive(b'{"class_name": "Dense", "config": {"name": "a", "name": "b"}}'),
        keras_archive(b'{"class_name": "Dense", "config": {"name": "a", "nam": "b"}}'),
    ),
    "hdf5-external-link": ("m.h5", lambda: hdf5(with_link), lambda: hdf5(with_soft_link)),
    "hdf5-external-storage": (
        "m.h5",
        lambda: hdf5(lambda file: file.create_dataset("d", (9,), "u1", external=[("/etc/passwd", 0, 9)])),
        lambda: hdf5(with_values),
    ),
    "hdf5-virtual-dataset": ("m.h5", lambda: hdf5(with_virtual), lambda: hdf5(with_values)),
    "hdf5-custom-link": (
        "m.h5",
        lambda: hdf5(with_link).replace(b"\x01\x08\x40\x01w", b"\x01\x08\x41\x01w"),
        lambda: hdf5(with_link),
    ),
    "hdf5-plugin-filter": ("m.h5", unknown_filter, lambda: hdf5(with_pieces)),
    "hdf5-size-mismatch": (
        "m.h5",
        lambda: hdf5(lambda file: file.create_dataset("d", (2**40,), "f8", chunks=(1000,))),
        lambda: hdf5(lambda file: file.create_dataset("d", (2**20,), "f8", chunks=(1000,))),
    ),
    "hdf5-pickled-object": (
        "m.h5",
        lambda: hdf5(with_text(pickle.dumps({"a": [1]}, 0))),
        lambda: hdf5(with_text(b"A model that classifies. It is small.")),
    ),
    "hdf5-reference": (
        "m.h5",
        lambda: hdf5(with_reference).replace(b"\x17\0\0\0\x08\0\0\0", b"\x17\2\0\0\x08\0\0\0", 1),
        lambda: hdf5(with_reference),
    ),
    "hdf5-trailing-data": ("m.h5", lambda: hdf5(with_values) + b"more", lambda: hdf5(with_values)),
    "tensorflow-write-operator": (
        "saved_model.pb",
        tensorflow_graph(tensorflow_node("WriteFile")),
        tensorflow_graph(tensorflow_node("PrintV2", output_stream=protobuf((2, "stderr")))),
    ),
    "tensorflow-read-operator": (
        "saved_model.pb",
        tensorflow_graph(f=(tensorflow_node("ReadFile"),)),
        tensorflow_graph(f=(tensorflow_node("ReadVariableOp"),)),
    ),
    "tensorflow-network-operator": (
        "saved_model.pb",
        tensorflow_graph(tensorflow_node("RpcCall")),
        tensorflow_graph(tensorflow_node("PartitionedCall")),
    ),
    "tensorflow-python-operator": (
        "saved_model.pb",
        tensorflow_graph(tensorflow_node("EagerPyFunc")),
        tensorflow_graph(tensorflow_node("PyFuncs"), PyFuncs=()),
    ),
    "tensorflow-fixed-path": (
        "saved_model.pb",
        tensorflow_graph(tensorflow_text("p", "/etc/x"), tensorflow_node("SaveV2", "s", "p")),
        tensorflow_graph(tensorflow_node("Placeholder", "p"), tensorflow_node("SaveV2", "s", "p")),
    ),
    "tensorflow-asset-path": (
        "saved_model.pb",
        tensorflow_graph(tensorflow_node("Relu"), meta=((6, protobuf((2, "../../etc/passwd"))),)),
        tensorflow_graph(tensorflow_node("Relu"), meta=((6, protobuf((2, "vocabulary..txt"))),)),
    ),
    "tensorflow-custom-operator": (
        "saved_model.pb",
        tensorflow_graph(tensorflow_node("AcmeTrick")),
        tensorflow_graph(tensorflow_node("AcmeTrick"), AcmeTrick=()),
    ),
    "tensorflow-extension-operator": (
        "saved_model.pb",
        tensorflow_graph(tensorflow_node("Addons>Trick")),
        tensorflow_graph(tensorflow_node("MatMul")),
    ),
    "tflite-custom-operator": ("m.tflite", renamed_operator("AcmeTrick"), ordinary("flex.tflite")),
    "tflite-out-of-bounds": ("m.tflite", ordinary("dense.tflite")[:-100], ordinary("dense.tflite")),
    **FRAMEWORK_CASES,
}
"""Rule to (file name, what breaks it, what does not)."""
CASES.update(REPOSITORY_CASES)

LIMITS = {"scan-limit": ScanLimits(max_opcodes=30)}


def made(content: bytes | Callable[[], bytes]) -> bytes:
    return content if isinstance(content, bytes) else content()


def test_every_rule_has_its_cases() -> None:
    assert set(CASES) == {rule.id for rule in RULES}


@pytest.mark.parametrize("rule", [rule.id for rule in RULES])
def test_the_rule_is_found_where_it_is_broken(rule: str, tmp_path: Path) -> None:
    name, bad, _ = CASES[rule]
    report = scan_bytes(tmp_path, made(bad), name, limits=LIMITS.get(rule))
    (finding,) = [item for item in report.findings if item.rule == rule]
    assert finding.message
    assert finding.fix is not None
    assert report.verdict != "clean" or verdict_of(finding.severity) == "clean"


@pytest.mark.parametrize("rule", [rule.id for rule in RULES])
def test_its_neighbour_does_not_break_the_rule(rule: str, tmp_path: Path) -> None:
    name, _, good = CASES[rule]
    report = scan_bytes(tmp_path, made(good), name, limits=LIMITS.get(rule))
    assert rule not in rules(report)


def test_ids_are_unique_kebab_case_and_carry_known_taxonomy() -> None:
    ids = [rule.id for rule in RULES]
    assert len(set(ids)) == len(ids)
    for rule in RULES:
        assert rule.id == rule.id.lower().replace("_", "-").replace(" ", "-")
        assert set(rule.taxonomy) <= set(TAXONOMY), rule.id
        assert rule.help.endswith(".")
        assert rule.fix.text.endswith(".")


def test_severity_decides_the_verdict() -> None:
    assert [verdict_of(severity) for severity in ("critical", "high", "medium", "low", "info")] == [
        "malicious",
        "suspicious",
        "suspicious",
        "clean",
        "clean",
    ]
