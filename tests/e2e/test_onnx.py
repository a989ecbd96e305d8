"""An ONNX file of images, end to end: attacked by search, because it passes no gradients."""

import pytest

np = pytest.importorskip("numpy", reason="needs the data extra")
onnx = pytest.importorskip("onnx", reason="needs onnx (extra 'examples')")
pytest.importorskip("onnxruntime", reason="needs the onnx extra")
pytest.importorskip("sklearn", reason="needs the sklearn extra")
pytestmark = pytest.mark.slow

CONFIG = """
version: 1
project: digits
sample: 80
models:
  - name: digits
    path: model.onnx
    task: image-classification
    input: {shape: [1, 8, 8], range: [0.0, 1.0]}
    output: logits
    data:
      evaluate: {path: test.npz}
threat: {eps: 0.1, steps: 20, restarts: 2}
checks: {time_limit: 120}
gates:
  floors: {clean_accuracy: 0.8, robust_accuracy: 0.01}
"""


@pytest.fixture
def project(tmp_path):
    from sklearn.datasets import load_digits
    from sklearn.linear_model import LogisticRegression

    from onnx import TensorProto, helper, numpy_helper

    data = load_digits()
    images = (data.images / 16).astype(np.float32)[:, None]
    fitted = LogisticRegression(max_iter=200).fit(images[:1000].reshape(1000, -1), data.target[:1000])
    graph = helper.make_graph(
        [helper.make_node("Flatten", ["x"], ["flat"]), helper.make_node("Gemm", ["flat", "w", "b"], ["y"])],
        "digits",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 1, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 10])],
        [
            numpy_helper.from_array(fitted.coef_.T.astype(np.float32), "w"),
            numpy_helper.from_array(fitted.intercept_.astype(np.float32), "b"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    folder = tmp_path / "digits"
    folder.mkdir()
    onnx.save(model, folder / "model.onnx")
    np.savez(folder / "test.npz", images=images[1000:], labels=data.target[1000:].astype(np.int64))
    (folder / "heliotrope.yaml").write_text(CONFIG)
    return folder


def test_an_onnx_file_of_images(helio, project, reports):
    document = helio("assess", project, "--format", "json").json()
    runs = {run["check"]: run["outcome"] for run in document["runs"]}
    assert runs["evasion.search"] == runs["quality.corruptions"] == runs["quality.inputs"] == "passed"
    assert runs["quality.missing_values"] == "not_applicable"
    assert "evasion.pgd" not in runs
    evasion = next(item for item in document["evidence"] if item["predicate_type"].endswith("evasion:v1"))["predicate"]
    assert evasion["attack"] == "search"
    assert evasion["broken"] > 3
    assert {entry["id"]: entry["state"] for entry in evasion["health"]}["perturbations"] == "ok"
    assert "data:image/png;base64," in reports(project / ".heliotrope")["report.html"]
