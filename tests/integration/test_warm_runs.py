"""A run that takes its turn in a kept worker finds, byte for byte, what a run in a worker of its own finds."""

from pathlib import Path

import pytest

from heliotrope.core.records import content_id
from heliotrope.engine.files import digest_inputs
from heliotrope.engine.interface import Limits, Task
from heliotrope.engine.registry import find_check
from heliotrope.engine.warm_worker import WarmWorkers
from heliotrope.engine.workdirs import working_folder
from heliotrope.engine.worker_executor import run_in_worker
from heliotrope.lifecycle.target import resolve_target

CONFIG = """
version: 1
project: turns
seed: 0
sample: all
models:
  - name: classifier
    path: {path}
    format: {format}
    task: tabular-classification
{more}
    data:
      evaluate: {{path: test.csv, target: kind}}
"""


@pytest.fixture
def project(tmp_path):
    """A folder with a table of two classes and a model of the format, fitted on it."""
    pd, np = pytest.importorskip("pandas"), pytest.importorskip("numpy")
    values = np.random.default_rng(0).normal(size=(60, 3)).astype("float32")
    target = (values[:, 0] + 0.3 * values[:, 1] > 0).astype(int)
    table = pd.DataFrame(values, columns=list("abc"))
    table.assign(kind=target).to_csv(tmp_path / "test.csv", index=False)

    def made(kind: str) -> Path:
        path, more = {"sklearn": _sklearn, "xgboost": _xgboost, "onnx": _onnx}[kind](tmp_path, table, target)
        (tmp_path / "heliotrope.yaml").write_text(CONFIG.format(path=path, format=kind, more=more))
        return tmp_path

    return made


def _sklearn(folder, table, target):
    skops, linear = pytest.importorskip("skops.io"), pytest.importorskip("sklearn.linear_model")
    skops.dump(linear.LogisticRegression().fit(table, target), folder / "model.skops")
    return "model.skops", ""


def _xgboost(folder, table, target):
    xgboost = pytest.importorskip("xgboost")
    data = xgboost.DMatrix(table, target)
    xgboost.train({"objective": "binary:logistic", "nthread": 1}, data, 5).save_model(folder / "model.ubj")
    return "model.ubj", ""


def _onnx(folder, table, target):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    np = pytest.importorskip("numpy")
    weights = np.array([[-1, 1], [-0.3, 0.3], [0, 0]], dtype="float32")
    helper, number = onnx.helper, onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", number, ["n", 3])],
        [helper.make_tensor_value_info("y", number, ["n", 2])],
        [onnx.numpy_helper.from_array(weights, "w")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(made, folder / "model.onnx")
    return "model.onnx", "    output: logits"


@pytest.mark.parametrize("kind", ["sklearn", "xgboost", "onnx"])
def test_the_evidence_is_that_of_a_worker_of_its_own(project, kind):
    root = project(kind)
    with WarmWorkers() as workers:
        warm = [
            _run(root, check, workers)
            for check in ("quality.corruptions", "quality.determinism", "quality.performance")
        ]
        assert len(workers._kept) == 1, "they did not share"
    for check, execution in zip(("quality.determinism", "quality.performance"), warm[1:], strict=True):
        assert execution.cost.cpu_seconds < warm[0].cost.cpu_seconds
        assert execution.environment == warm[0].environment
        cold = _run(root, check, None).result
        assert cold.outcome.state == "passed", cold.outcome
        assert cold.evidence
        assert [content_id(one) for one in execution.result.evidence] == [content_id(one) for one in cold.evidence]
        assert execution.result == cold


def _run(root, check, workers):
    descriptor = find_check(check)
    project = resolve_target(root).project
    (planned,) = descriptor.plan(project)
    assert not planned.missing
    task = Task(
        check=check,
        subject=planned.subject,
        root=str(project.root),
        parameters=planned.parameters.document(),
        inputs=digest_inputs(planned.inputs),
        seed=0,
    )
    with working_folder() as workdir:
        keywords = {"workdir": workdir, "limits": Limits(), "progress": lambda *_: None}
        if workers is None:
            return run_in_worker(descriptor, task, **keywords)
        return workers.run(descriptor, task, **keywords, modules=planned.modules)
