"""ONNX graphs are read as onnxruntime answers; properties in VNN-LIB are proven, or broken by an input that it was asked about."""

import contextlib
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heliotrope.attack.certify.properties.vnnlib import MAX_CASES, MAX_DEPTH, parse_vnnlib
from heliotrope.core.errors import InputError

torch = pytest.importorskip("torch", reason="needs torch (extra 'torch')")
onnx = pytest.importorskip("onnx", reason="needs onnx (extra 'certify')")
onnxruntime = pytest.importorskip("onnxruntime", reason="needs onnxruntime (extra 'onnx')")

from heliotrope.attack.certify import Budget, NotModelled, certify  # noqa: E402
from heliotrope.attack.certify.nets.from_onnx import from_onnx  # noqa: E402
from heliotrope.attack.certify.properties.deciding import decide_property, meets  # noqa: E402
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

pytestmark = pytest.mark.torch


def graph(nodes, weights, shape, outputs=3, opset=17):
    made = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", *shape])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", outputs])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], ir_version=8).SerializeToString()


def dense(seed=0, scale=1.0, sizes=(4, 12, 12, 3)):
    source = np.random.default_rng(seed)
    nodes, weights, name = [], {}, "x"
    for index, (before, after) in enumerate(itertools.pairwise(sizes)):
        weights[f"w{index}"] = (scale * source.normal(size=(after, before)) / np.sqrt(before)).astype(np.float32)
        weights[f"b{index}"] = source.normal(size=after).astype(np.float32) * np.float32(0.1)
        last = index == len(sizes) - 2
        out = "y" if last else f"h{index}"
        nodes.append(helper.make_node("Gemm", [name, f"w{index}", f"b{index}"], [out], transB=1))
        if not last:
            nodes.append(helper.make_node("Relu", [out], [f"r{index}"]))
            name = f"r{index}"
    return graph(nodes, weights, (sizes[0],), sizes[-1])


def picture(seed=0):
    """What exporters make of a small convolutional network."""
    source = np.random.default_rng(seed)

    def tensor(*shape):
        return source.normal(size=shape).astype(np.float32)

    weights = {
        "mean": np.float32([[[[0.5]]]]), "std": np.float32([[[[0.25]]]]), "w": tensor(4, 1, 3, 3), "b": tensor(4),
        "s": tensor(4), "t": tensor(4), "m": tensor(4), "v": np.abs(tensor(4)) + np.float32(0.5), "u": tensor(4, 4, 3, 3),
        "k": np.array([-1, 64], np.int64), "o": tensor(64, 3), "c": tensor(3), "low": np.float32(0), "high": np.float32(6),
    }  # fmt: skip
    nodes = [
        helper.make_node("Sub", ["x", "mean"], ["a1"]),
        helper.make_node("Div", ["a1", "std"], ["a2"]),
        helper.make_node("Conv", ["a2", "w", "b"], ["a3"], pads=[1, 1, 1, 1]),
        helper.make_node("BatchNormalization", ["a3", "s", "t", "m", "v"], ["a4"]),
        helper.make_node("Clip", ["a4", "low", "high"], ["a5"]),
        helper.make_node("MaxPool", ["a5"], ["a6"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Conv", ["a6", "u"], ["a7"], pads=[0, 0, 2, 2]),
        helper.make_node("Relu", ["a7"], ["a8"]),
        helper.make_node("Add", ["a8", "a6"], ["a9"]),
        helper.make_node("Reshape", ["a9", "k"], ["a10"]),
        helper.make_node("MatMul", ["a10", "o"], ["a11"]),
        helper.make_node("Add", ["a11", "c"], ["y"]),
    ]
    return graph(nodes, weights, (1, 8, 8))


def served_by(data):
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    return lambda rows: session.run(None, {"x": rows.astype(np.float32)})[0].astype(np.float64)


def robust(inputs, label, eps, outputs=3):
    """The usual property: no other class overtakes within a box."""
    lines = [f"(declare-const X_{place} Real)" for place in range(len(inputs))]
    lines += [f"(declare-const Y_{place} Real)" for place in range(outputs)]
    for place, value in enumerate(inputs):
        lines += [f"(assert (<= X_{place} {value + eps:.17g}))", f"(assert (>= X_{place} {value - eps:.17g}))"]
    others = [f"(and (>= Y_{other} Y_{label}))" for other in range(outputs) if other != label]
    return "\n".join([*lines, f"(assert (or {' '.join(others)}))"])


@pytest.mark.parametrize("make", [dense, picture])
def test_a_graph_is_read_as_onnxruntime_answers(make):
    data = make()
    network = from_onnx(data)
    inputs = np.random.default_rng(1).random((20, *network.shape), dtype=np.float32)
    own = network.forward(torch.from_numpy(inputs)).numpy()
    assert np.abs(own - served_by(data)(inputs)).max() <= 1e-4 * np.abs(own).max()


@pytest.mark.parametrize("seed", range(4))
def test_properties_are_decided_and_counterexamples_are_those_of_onnxruntime(seed):
    data = dense(seed, 2.0)
    served, network = served_by(data), from_onnx(data)
    source = np.random.default_rng(seed)
    verdicts = []
    for eps in (0.01, 0.1, 0.3):
        inputs = source.normal(size=4)
        label = int(served(inputs[None])[0].argmax())
        prop = parse_vnnlib(robust(inputs, label, eps))
        found = decide_property(network, prop, served, nodes=400)
        verdicts.append(found.verdict)
        tried = (inputs + source.uniform(-eps, eps, (3000, 4))).astype(np.float32)
        unsafe = meets(prop.cases[0], tried, served(tried)) | meets(prop.cases[1], tried, served(tried))
        if found.verdict == "holds":
            assert not unsafe.any()
        if found.verdict == "violated":
            assert found.example is not None
            assert served(found.example[None])[0].argmax() != label
            assert np.abs(found.example - inputs).max() <= eps + 1e-9
    assert verdicts[0] == "holds"
    assert "undecided" not in verdicts


def test_certify_takes_the_bytes_of_a_graph():
    data = picture()
    inputs = np.random.default_rng(0).random((8, 1, 8, 8), dtype=np.float32)
    labels = served_by(data)(inputs).argmax(axis=1)
    found = certify(data, inputs, labels, eps=0.0005, budget=Budget(steps=5))
    assert found.count("certified") > 0
    assert bool(found.right.all())


def test_a_property_of_another_network_is_refused():
    data = dense()
    with pytest.raises(InputError, match="5 inputs"):
        decide_property(from_onnx(data), parse_vnnlib(robust(np.zeros(5), 0, 0.1)), served_by(data), nodes=1)


@pytest.mark.parametrize(
    ("nodes", "fact"),
    [
        ([helper.make_node("Sin", ["x"], ["y"])], "Sin is not known"),
        ([helper.make_node("Relu", ["x"], ["y"], domain="com.microsoft")], "Relu is not known"),
        ([helper.make_node("Mul", ["x", "x"], ["y"])], "multiplies two functions"),
        ([helper.make_node("Relu", ["z"], ["y"])], "z is no function"),
        ([helper.make_node("Softmax", ["x"], ["a"]), helper.make_node("Neg", ["a"], ["y"])], "within the network"),
        ([helper.make_node("Transpose", ["x"], ["y"], perm=[1, 0])], "order of dimensions"),
        ([helper.make_node("Gemm", ["x", "w"], ["y"])], "w is computed"),
        ([], "contradicts itself|no function"),
    ],
)
def test_operators_that_are_not_known_are_facts(nodes, fact):
    with pytest.raises(NotModelled, match=fact):
        from_onnx(graph(nodes, {}, (3,)))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_damaged_model_is_refused_or_read_but_never_breaks_the_reader(data):
    whole = bytearray(dense())
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(whole[: data.draw(st.integers(0, len(whole)))]) if data.draw(st.booleans()) else bytes(whole)
    with contextlib.suppress(NotModelled):
        from_onnx(cut)


def test_the_grammar_is_read():
    prop = parse_vnnlib(
        """; comment
        (declare-const X_0 Real) (declare-const X_1 Real)
        (declare-const Y_0 Real)
        (declare-const Y_1 Real)
        (assert (and (<= X_0 1.5e-1) (>= X_0 -.5)))
        (assert (or (and (<= X_1 1) (>= X_1 0) (<= Y_0 Y_1)) (and (<= X_1 3) (>= X_1 2) (> (+ Y_0 (* 2 Y_1)) (- 4.0)))))
        """
    )
    assert (prop.inputs, prop.outputs, len(prop.cases)) == (2, 2, 2)
    one, other = prop.cases
    assert (one.low, one.high) == ((-0.5, 0.0), (0.15, 1.0))
    assert (other.low[1], other.high[1]) == (2.0, 3.0)
    assert one.constraints[0].weights == ((0, 1.0), (1, -1.0))
    assert other.constraints[0].weights == ((0, -1.0), (1, -2.0))
    assert (other.constraints[0].limit, other.constraints[0].strict) == (4.0, True)


HEAD = "(declare-const X_0 Real)(declare-const Y_0 Real)(assert (<= X_0 1))(assert (>= X_0 0))"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "not all declared"),
        ("(declare-const X_0 Real", "cut short"),
        (")", "stands outside"),
        ("hello", "stands outside"),
        ('(set-info "x', "quotation"),
        ("(declare-const X_0 Int)", "sort Real"),
        ("(declare-const X_0 Real)(declare-const X_0 Real)", "declared twice"),
        ("(declare-const X_1 Real)(declare-const Y_0 Real)", "X_0"),
        ("(vnnlib-version <2.0>)", "version 2"),
        ("(push 1)", "push"),
        (HEAD + "(assert (<= Y_0 Z_0))", "neither a finite number nor declared"),
        (HEAD + "(assert (<= Y_0 1e999))", "neither a finite number nor declared"),
        (HEAD + "(assert (<= Y_0 nan))", "neither a finite number nor declared"),
        (HEAD + "(assert (<= (* Y_0 Y_0) 1))", "not linear"),
        (HEAD + "(assert (<= X_0 Y_0))", "joins several"),
        (HEAD + "(assert (not (<= Y_0 1)))", "not understood"),
        (HEAD + "(assert ())", "no list"),
        ("(declare-const X_0 Real)(declare-const Y_0 Real)(assert (<= X_0 1))", "no upper|no lower"),
        ("(" * (MAX_DEPTH + 1), "nested"),
        (
            HEAD + "(assert (or " + "(<= Y_0 1)" * 200 + "))" + "(assert (or " + "(<= Y_0 1)" * 200 + "))",
            str(MAX_CASES),
        ),
    ],
)
def test_what_is_no_property_is_an_error_with_its_line(text, what):
    with pytest.raises(InputError, match=what):
        parse_vnnlib(text)


TOKENS = st.sampled_from(
    [
        "(",
        ")",
        "assert",
        "and",
        "or",
        "<=",
        ">=",
        "X_0",
        "Y_0",
        "1",
        "-2.5",
        "declare-const",
        "Real",
        ";",
        "\n",
        '"',
        "|",
        "+",
        "*",
    ]
)


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.text(max_size=200), st.lists(TOKENS, max_size=60).map(" ".join)))
def test_any_text_is_a_property_or_an_input_error(text):
    for head in ("", HEAD):
        with contextlib.suppress(InputError):
            parse_vnnlib(head + text)


def test_every_cut_of_a_property_is_read_or_refused():
    whole = robust(np.zeros(2), 0, 0.1, outputs=2)
    for end in range(len(whole)):
        with contextlib.suppress(InputError):
            parse_vnnlib(whole[:end])
