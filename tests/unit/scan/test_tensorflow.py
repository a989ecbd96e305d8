"""Graphs of TensorFlow and models of TensorFlow Lite: operators are judged wherever they stand."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.scan.assembler import (
    ordinary,
    protobuf,
    renamed_operator,
    rules,
    scan_bytes,
    tensorflow_graph,
    tensorflow_node,
    tensorflow_text,
    zipped,
)

from heliotrope.scan import ScanLimits, scan_paths

# ordinary models


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("saved_model.pb", "saved-model"),
        ("frozen.pb", "tensorflow-graph"),
        ("model.meta", "tensorflow-meta-graph"),
        ("variables.index", "tensorflow-checkpoint"),
        ("fingerprint.pb", "saved-model-fingerprint"),
        ("dense.tflite", "tflite"),
        ("flex.tflite", "tflite"),
    ],
)
def test_what_tensorflow_writes_is_clean(name: str, kind: str, tmp_path: Path) -> None:
    report = scan_bytes(tmp_path, ordinary(name), name)
    assert (report.format, report.verdict, report.findings) == (kind, "clean", ())
    if kind.endswith(("model", "graph", "tflite")):
        assert scan_bytes(tmp_path, ordinary(name), "x.bin").format == kind


def test_a_folder_as_tensorflow_writes_it(tmp_path: Path) -> None:
    for name in ("saved_model.pb", "fingerprint.pb", "variables.index"):
        (tmp_path / name).write_bytes(ordinary(name))
    document = scan_paths([tmp_path])
    assert (document.verdict, len(document.files)) == ("clean", 2)


# operators


def hidden(operator: str) -> dict[str, bytes]:
    node = tensorflow_node(operator)
    listed = protobuf((1, protobuf((9, protobuf((1, "f"))))))
    return {
        "the graph": tensorflow_graph(node),
        "a function": tensorflow_graph(
            tensorflow_node("PartitionedCall", f=protobuf((10, protobuf((1, "f"))))), f=(node,)
        ),
        "a function nobody calls": tensorflow_graph(tensorflow_node("Relu"), f=(node,)),
        "a branch": tensorflow_graph(tensorflow_node("Case", branches=listed), f=(tensorflow_node("Relu"), node)),
        "a second graph": tensorflow_graph(tensorflow_node("Relu")) + tensorflow_graph(node),
    }


@pytest.mark.parametrize("place", hidden("x"))
@pytest.mark.parametrize(
    ("operator", "verdict"),
    [
        ("WriteFile", "malicious"),
        ("ReadFile", "suspicious"),
        ("PyFunc", "suspicious"),
        ("Acme", "suspicious"),
        ("Relu", "clean"),
    ],
)
def test_an_operator_counts_wherever_it_stands(place: str, operator: str, verdict: str, tmp_path: Path) -> None:
    report = scan_bytes(tmp_path, hidden(operator)[place], "saved_model.pb")
    assert (report.format, report.verdict) == ("saved-model", verdict)
    assert all(finding.global_ == operator for finding in report.findings)


def test_printing_into_a_file(tmp_path: Path) -> None:
    node = tensorflow_node("PrintV2", output_stream=protobuf((2, "file:///tmp/x")))
    assert scan_bytes(tmp_path, tensorflow_graph(f=(node,)), "saved_model.pb").verdict == "malicious"


def called(function: str, *inputs: str) -> bytes:
    return tensorflow_node("StatefulPartitionedCall", "c", *inputs, f=protobuf((10, protobuf((1, function)))))


SAVE = (
    tensorflow_text("part", "_temp/part"),
    tensorflow_node("StringJoin", "join", "x", "part:output:0"),
    tensorflow_node("ShardedFilename", "shard", "join:output:0"),
    tensorflow_node("SaveV2", "save", "shard:filename:0"),
)


@pytest.mark.parametrize(
    ("model", "verdict"),
    [
        (tensorflow_graph(tensorflow_node("Placeholder", "p"), called("traced_save", "p"), traced_save=SAVE), "clean"),
        (tensorflow_graph(tensorflow_text("p", "/home/u/.profile"), called("traced_save", "p"), traced_save=SAVE), "suspicious"),
        (tensorflow_graph(called("g"), traced_save=SAVE, g=(tensorflow_text("p", "../x"), called("traced_save", "p:output:0"))), "suspicious"),
        (tensorflow_graph(f=(tensorflow_text("p", "https://h/x"), tensorflow_node("RestoreV2", "r", "p:output:0"))), "suspicious"),
        (tensorflow_graph(f=(tensorflow_node("StringUpper", "p"), tensorflow_node("SaveV2", "r", "p:output:0"))), "suspicious"),
        (tensorflow_graph(tensorflow_text("p", "model"), tensorflow_node("PlaceholderWithDefault", "q", "p"), tensorflow_node("Save", "r", "q")), "clean"),
        (tensorflow_graph(tensorflow_text("p", "/etc/passwd"), tensorflow_node("InitializeTableFromTextFileV2", "t", "h", "p")), "suspicious"),
        (tensorflow_graph(tensorflow_text("p", "/home/u/words"), tensorflow_node("InitializeTableFromTextFileV2", "t", "h", "p"), meta=((6, protobuf((2, "words"))),)), "clean"),
        (tensorflow_graph(tensorflow_text("p", ""), tensorflow_node("CacheDatasetV2", "t", "h", "p")), "clean"),
        (tensorflow_graph(tensorflow_text("p", "x"), tensorflow_node("CacheDatasetV2", "t", "h", "p")), "suspicious"),
    ],
)  # fmt: skip
def test_who_chooses_a_path(model: bytes, verdict: str, tmp_path: Path) -> None:
    report = scan_bytes(tmp_path, model, "saved_model.pb")
    assert (report.verdict, rules(report)) == (verdict, {"tensorflow-fixed-path"} if verdict == "suspicious" else set())


def test_a_function_of_an_operators_name_is_the_models_own(tmp_path: Path) -> None:
    model = tensorflow_graph(tensorflow_node("Trick"), Trick=(tensorflow_node("Relu"),))
    assert scan_bytes(tmp_path, model, "saved_model.pb").verdict == "clean"


def test_a_function_does_not_hide_an_operator_of_its_name(tmp_path: Path) -> None:
    model = tensorflow_graph(tensorflow_node("WriteFile"), WriteFile=(tensorflow_node("Relu"),))
    assert scan_bytes(tmp_path, model, "saved_model.pb").verdict == "malicious"


@pytest.mark.parametrize("name", ["saved_model.pbtxt", "saved_model.cpb"])
def test_other_forms_of_a_saved_model_are_not_passed_over(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"saved_model_schema_version: 1")
    assert scan_paths([tmp_path]).verdict == "unsupported"


# Keras beside TensorFlow

LAMBDA = json.dumps({"class_name": "Lambda", "config": {"function": {"class_name": "__tuple__", "items": ["eA==", None, None]}, "function_type": "lambda"}})  # fmt: skip


def test_layers_in_metadata(tmp_path: Path) -> None:
    metadata = protobuf((1, protobuf((2, 1), (3, "root.layer"), (4, "_tf_keras_layer"), (5, LAMBDA))))
    report = scan_bytes(tmp_path, metadata, "keras_metadata.pb")
    assert (report.format, report.verdict, rules(report)) == ("keras-metadata", "suspicious", {"keras-lambda"})
    dense = json.dumps({"class_name": "Dense", "config": {"units": 2}, "name": "dense"})
    assert scan_bytes(tmp_path, protobuf((1, protobuf((5, dense)))), "keras_metadata.pb").verdict == "clean"
    assert scan_bytes(tmp_path, metadata[:-1], "keras_metadata.pb").verdict != "clean"


def test_layers_in_the_object_graph(tmp_path: Path) -> None:
    objects = protobuf((1, protobuf((4, protobuf((1, "_tf_keras_layer"), (3, LAMBDA))))))
    report = scan_bytes(tmp_path, tensorflow_graph(tensorflow_node("Relu"), meta=((7, objects),)), "saved_model.pb")
    assert (report.verdict, rules(report)) == ("suspicious", {"keras-lambda"})


# damage and limits


@pytest.mark.parametrize("name", ["saved_model.pb", "dense.tflite", "flex.tflite"])
def test_nothing_is_clean_that_was_cut(name: str, tmp_path: Path) -> None:
    data = ordinary(name)
    for size in range(1, len(data) - 4, max(len(data) // 400, 1)):
        assert scan_bytes(tmp_path, data[:size], name).verdict != "clean", size


@pytest.mark.parametrize("data", [b"", b"\x08\x01", b"\x08\x01\x12\x00", b"hello", b"\xff" * 50])
def test_what_is_no_model_is_never_clean(data: bytes, tmp_path: Path) -> None:
    assert scan_bytes(tmp_path, data, "saved_model.pb").verdict != "clean"


def test_fields_are_limited(tmp_path: Path) -> None:
    report = scan_bytes(
        tmp_path, ordinary("saved_model.pb"), "saved_model.pb", limits=ScanLimits(max_protobuf_fields=50)
    )
    assert (report.verdict, report.incomplete[0].limit) == ("incomplete", "max_protobuf_fields")


# TensorFlow Lite


def test_operators_of_tensorflow_inside(tmp_path: Path) -> None:
    for name, rule in {
        "FlexWriteFile": "tensorflow-write-operator",
        "FlexReadFile": "tensorflow-read-operator",
        "FlexAcme": "tensorflow-custom-operator",
        "Acme": "tflite-custom-operator",
        "x\x1b[31m": "tflite-custom-operator",
    }.items():
        report = scan_bytes(tmp_path, renamed_operator(name), "m.tflite")
        assert (report.format, rules(report)) == ("tflite", {rule})
        assert report.findings[0].message.isprintable()
    assert scan_bytes(tmp_path, renamed_operator("FlexRelu"), "m.tflite").verdict == "clean"


def test_labels_behind_the_model(tmp_path: Path) -> None:
    report = scan_bytes(tmp_path, ordinary("dense.tflite") + zipped({"labels.txt": b"cat\ndog\n"}), "m.tflite")
    assert (report.format, report.verdict, report.findings) == ("tflite", "clean", ())
    evil = ordinary("dense.tflite") + zipped({"x.pkl": b"cposix\nsystem\n(S'true'\ntR."})
    assert scan_bytes(tmp_path, evil, "m.tflite").verdict == "malicious"


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(["saved_model.pb", "dense.tflite", "flex.tflite", "frozen.pb"]),
    st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 255)), max_size=6),
)
def test_changed_files_are_judged(name: str, changes: list[tuple[int, int]]) -> None:
    from heliotrope.scan.collector import Collector
    from heliotrope.scan.dispatch import analyse, analyse_nested
    from heliotrope.scan.interface import Context
    from heliotrope.scan.limits import Budget
    from heliotrope.scan.sources import BytesSource

    changed = bytearray(ordinary(name))
    for at, value in changes:
        changed[at % len(changed)] = value
    limits = ScanLimits()
    notes = Collector(name, limits)
    analyse(BytesSource(bytes(changed)), name, Context(notes, limits, Budget.of(limits), analyse_nested))
    notes.findings()
