"""Configurations of Keras: code and references are found at any depth, and what Keras itself writes is clean."""

import base64
import json
import marshal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.scan.assembler import SYSTEM, keras_archive, keras_layer, ordinary, rules, scan_bytes, zipped

from heliotrope.scan import ScanLimits

CONFIGURATIONS = json.loads(ordinary("keras.json"))
CODE = base64.b64encode(marshal.dumps(compile("__import__('os').system('true')", "f", "eval"))).decode()
LAMBDA = keras_layer("Lambda", function={"class_name": "__lambda__", "config": {"code": CODE}})
OLD_LAMBDA = {"class_name": "Lambda", "config": {"function": [CODE, None, None], "function_type": "lambda"}}


def model(*layers: object) -> dict[str, object]:
    return keras_layer("Sequential", "keras", name="m", layers=list(layers))


# ordinary models


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_what_keras_writes_is_clean(name: str, tmp_path: Path) -> None:
    configuration = CONFIGURATIONS[name]
    if "class_name" in configuration:
        report = scan_bytes(tmp_path, keras_archive(configuration), "m.keras")
        assert (report.format, report.verdict, report.findings) == ("keras", "clean", ())
    wrapped = scan_bytes(tmp_path, keras_archive(model(configuration)), "m.keras")
    assert (wrapped.format, wrapped.verdict, wrapped.findings) == ("keras", "clean", ())


def test_a_configuration_by_itself(tmp_path: Path) -> None:
    text = json.dumps(CONFIGURATIONS["functional"]).encode()
    assert (scan_bytes(tmp_path, text, "model.json").format, scan_bytes(tmp_path, text, "x").verdict) == (
        "keras-json",
        "clean",
    )
    evil = json.dumps({"a": "x" * 100_000, **model(LAMBDA)}).replace("class_name", "cl\\u0061ss_name")
    assert scan_bytes(tmp_path, evil.encode(), "model.json").verdict == "malicious"
    for other in (b'{"class_name": "a"}', b'{"config": {}}', b'{"a": 1}', b'[{"class_name": "Lambda", "config": {}}]'):
        assert scan_bytes(tmp_path, other, "c.json").format != "keras-json"


@pytest.mark.parametrize(
    "layer",
    [
        {"class_name": "Custom>Adam", "config": {}},
        {**keras_layer("Adam", "keras.optimizers"), "registered_name": "Custom>Adam"},
        keras_layer("Functional", "keras.src.engine.functional"),
        keras_layer("Sequential", "tf_keras.src.engine.sequential"),
        keras_layer("Dense", "tensorflow.python.keras.layers.core"),
        {"class_name": "Policy", "config": {"name": "mixed_float16"}},
        {"class_name": "TensorShape", "items": [None, 3]},
        {"class_name": "TFOpLambda", "config": {"name": "tf.math.add", "function": "math.add"}},
        {"class_name": "TensorFlowOpLayer", "config": {"node_def": '{"name": "Mean", "op": "Mean"}'}},
        {"class_name": "__typespec__", "module": "tensorflow.python.framework.tensor", "spec_name": "TensorSpec"},
        keras_layer("Activation", activation={"module": "builtins", "class_name": "function", "config": "relu6"}),
        keras_layer("Lambda", function={"module": "keras.ops", "class_name": "function", "config": "nan_to_num"}),
        keras_layer("StringLookup", vocabulary=["eval", "os.system", "https://example.org"]),
    ],
)
def test_what_other_releases_write_is_clean(layer: dict[str, object], tmp_path: Path) -> None:
    report = scan_bytes(tmp_path, keras_archive(model(layer)), "m.keras")
    assert (report.format, report.verdict, report.findings) == ("keras", "clean", ())


# what harms


def deep(value: object) -> object:
    for _ in range(8):
        value = keras_layer("TimeDistributed", layer=keras_layer("Bidirectional", layer=model(value)))
    return value


HIDING = {
    "a layer": model(LAMBDA),
    "a layer of the old form": model(OLD_LAMBDA),
    "many models": deep(LAMBDA),
    "a wrapper of one's own": model(keras_layer("Mine", "mine", inner={"x": [[{"y": LAMBDA}]]})),
    "arguments of a call": {**model(), "inbound_nodes": [{"args": [OLD_LAMBDA], "kwargs": {}}]},
    "build_config": {**model(), "build_config": {"input_shape": LAMBDA}},
    "compile_config": {**model(), "compile_config": {"loss": LAMBDA["config"]["function"]}},
    "output_shape": model(keras_layer("Lambda", function="f", output_shape=[CODE, None, None], output_shape_type="lambda")),
    "mask": model(keras_layer("Lambda", mask={"class_name": "__lambda__", "config": {"code": CODE}})),
    "a tuple": model({"class_name": "Lambda", "config": {"function": {"class_name": "__tuple__", "items": [CODE, None, None]}, "function_type": "lambda"}}),
    "a class of another module": model({"module": "os", "class_name": "system", "config": "x"}),
    "a registered name": model({"module": None, "class_name": "function", "config": "eval", "registered_name": "x>eval"} | {"module": "builtins"}),
    "an old function": model({"class_name": "Lambda", "config": {"function": "system", "function_type": "function", "module": "os"}}),
    "an argument's function": model(keras_layer("Activation", activation={"module": "subprocess", "class_name": "function", "config": "call"})),
    "a type": model({"class_name": "__typespec__", "module": "subprocess", "spec_name": "Popen", "spec_config": ["x"]}),
    "a gadget": model(keras_layer("Lambda", function={"module": "keras.utils", "class_name": "function", "config": "get_file"}, arguments={"origin": "x"})),
    "a gadget as a class": model({"module": "keras.config", "class_name": "enable_unsafe_deserialization", "config": {}}),
    "a gadget by another name": model({"module": "keras.src.saving.serialization_lib", "class_name": "function", "config": "enable_unsafe_deserialization"}),
    "a loader": model({"module": "tensorflow.keras.models", "class_name": "function", "config": "load_model"}),
    "an operation": model({"class_name": "TFOpLambda", "config": {"name": "w", "function": "io.write_file"}}),
    "a node": model({"class_name": "TensorFlowOpLayer", "config": {"node_def": '{"name": "w", "op": "WriteFile"}'}}),
    "a pickle of torch": model(keras_layer("TorchModuleWrapper", "keras.layers", module=base64.b64encode(b"\x80\x02" + SYSTEM + b".").decode())),
}  # fmt: skip


@pytest.mark.parametrize("place", HIDING)
def test_what_can_harm_is_found_everywhere(place: str, tmp_path: Path) -> None:
    report = scan_bytes(tmp_path, keras_archive(HIDING[place]), "m.keras")
    assert (report.format, report.verdict) == ("keras", "malicious")
    assert report.findings[0].locations[0].member.startswith("config.json")
    assert scan_bytes(tmp_path, zipped({"config.json": json.dumps(HIDING[place]).encode()}), "m").verdict == "malicious"


SUSPICIOUS = {
    "harmless bytecode": (model(keras_layer("Lambda", function={"class_name": "__lambda__", "config": {"code": "x"}})), "keras-lambda"),
    "a class of one's own": (model(keras_layer("Net", "mine.layers")), "keras-custom-object"),
    "a class without a module": (model({"class_name": "Net", "config": {}}), "keras-custom-object"),
    "a registered class": (model({"module": None, "class_name": "Net", "config": {}, "registered_name": "mine>Net"}), "keras-custom-object"),
    "a registered layer of Keras' name": (model({**keras_layer("Dense"), "registered_name": "mine>Dense"}), "keras-custom-object"),
    "a loss of one's own": ({**model(), "compile_config": {"loss": {"module": "builtins", "class_name": "function", "config": "mine"}}}, "keras-custom-object"),
    "a module of jax": (model(keras_layer("JaxLayer")), "keras-custom-object"),
    "another model": (model(keras_layer("TFSMLayer", filepath="x")), "keras-external-model"),
    "a hub": (model({"class_name": "KerasLayer", "config": {"handle": "https://example.org/m"}}), "keras-external-model"),
    "a vocabulary": (model(keras_layer("TextVectorization", vocabulary="https://example.org/v")), "keras-external-file"),
    "a vocabulary of integers": (model(keras_layer("IntegerLookup", vocabulary="../v")), "keras-external-file"),
    "a callback": (model(keras_layer("ModelCheckpoint", "keras.callbacks", filepath="x")), "keras-unlisted-reference"),
    "a function that reads": (model({"module": "keras.ops", "class_name": "function", "config": "read_file"}), "keras-unlisted-reference"),
    "a function of a package": (model({"module": "keras_hub.utils", "class_name": "function", "config": "f"}), "keras-unlisted-reference"),
}  # fmt: skip


@pytest.mark.parametrize("case", SUSPICIOUS)
def test_what_nobody_vouches_for_is_suspicious(case: str, tmp_path: Path) -> None:
    configuration, rule = SUSPICIOUS[case]
    report = scan_bytes(tmp_path, keras_archive(configuration), "m.keras")
    assert (report.verdict, rule in rules(report)) == ("suspicious", True)


def test_the_class_of_a_user_is_named(tmp_path: Path) -> None:
    (finding,) = scan_bytes(tmp_path, keras_archive(model(keras_layer("Net", "mine.layers"))), "m.keras").findings
    assert finding.global_ == "mine.layers.Net"


# what cannot be read


@pytest.mark.parametrize(
    "text", [b"", b"{", b"\xff\xfe{", b'{"a": 1}}', b"[" * 5000 + b"]" * 5000, b'{"class_name": ' + b"[" * 5000]
)
def test_what_is_no_configuration_is_never_clean(text: bytes, tmp_path: Path) -> None:
    assert scan_bytes(tmp_path, keras_archive(text), "m.keras").verdict in ("incomplete", "unsupported")


def test_other_encodings_are_read_as_json_is(tmp_path: Path) -> None:
    for encoding in ("utf-16", "utf-32-be", "utf-8-sig"):
        report = scan_bytes(tmp_path, keras_archive(json.dumps(model(LAMBDA)).encode(encoding)), "m.keras")
        assert (encoding, report.verdict) == (encoding, "malicious")


def test_both_values_of_a_key_count(tmp_path: Path) -> None:
    text = json.dumps(model(LAMBDA))[:-1] + ', "config": {}}'
    assert rules(scan_bytes(tmp_path, keras_archive(text.encode()), "m.keras")) >= {
        "keras-lambda",
        "keras-duplicate-key",
    }


@pytest.mark.parametrize("limits", [ScanLimits(max_keras_config=100), ScanLimits(max_keras_depth=5)])
def test_limits_leave_the_verdict_open(limits: ScanLimits, tmp_path: Path) -> None:
    report = scan_bytes(tmp_path, keras_archive(CONFIGURATIONS["image"]), "m.keras", limits=limits)
    assert (report.verdict, bool(report.incomplete[0].limit)) == ("incomplete", True)


SAMPLE = keras_archive(CONFIGURATIONS["lookup"])


def test_nothing_is_clean_that_was_cut(tmp_path: Path) -> None:
    for size in range(0, len(SAMPLE), 7):
        assert scan_bytes(tmp_path, SAMPLE[:size], "m.keras").verdict != "clean", size


VALUES = st.recursive(
    st.none() | st.integers() | st.sampled_from(["Lambda", "function", "os", "system", "__lambda__", "keras.layers", "lambda", "\ud800", "a.", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["class_name", "config", "module", "registered_name", "function", "function_type", "code", "vocabulary", "node_def", "items"]),
        inner, max_size=5,
    ),
    max_leaves=15,
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(VALUES)
def test_any_configuration_is_judged(value: object) -> None:
    from heliotrope.scan.collector import Collector
    from heliotrope.scan.dispatch import analyse_nested
    from heliotrope.scan.frameworks.keras_config import check_config
    from heliotrope.scan.interface import Context
    from heliotrope.scan.limits import Budget

    limits = ScanLimits()
    notes = Collector("m.keras", limits)
    check_config(value, Context(notes, limits, Budget.of(limits), analyse_nested))
    notes.findings()
