"""Every adapter of a kind of model keeps the contract of `heliotrope.testing.models`."""

import pickle
import sys

import pytest

from heliotrope.config.schema import EndpointConfig, InputConfig, ModelConfig
from heliotrope.subjects.formats import FORMATS
from heliotrope.testing import MODEL_CLAUSES, ModelCase

np = pytest.importorskip("numpy", reason="needs the extra 'data'")
pd = pytest.importorskip("pandas", reason="needs the extra 'data'")


def adapter(name):
    import importlib

    return importlib.import_module(FORMATS[name].adapter).open_model


def case(name, format_, root, **fields):
    model = ModelConfig(name="m", format=format_, **fields.pop("config"))
    return ModelCase(name=name, adapter=adapter(format_), model=model, root=root, **fields)


def torch_case(root, table, monkeypatch):
    torch = pytest.importorskip("torch", reason="needs the extra 'torch'")
    from safetensors.torch import save_file

    (root / "contract_network.py").write_text(
        "import torch\ndef build():\n    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 3))\n"
    )
    generator = torch.Generator().manual_seed(0)
    tensors = {"1.weight": torch.randn(3, 4, generator=generator), "1.bias": torch.zeros(3)}
    save_file(tensors, str(root / "w.safetensors"))
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    images = np.random.default_rng(0).uniform(0, 1, (20, 1, 2, 2)).astype(np.float32)
    answers = images.reshape(20, 4).astype(np.float64) @ tensors["1.weight"].numpy().T
    config = {
        "path": "w.safetensors",
        "loader": "contract_network:build",
        "output": "logits",
        "input": InputConfig(shape=(1, 2, 2)),
    }
    return case("torch", "torch", root, config=config, inputs=images, names=("0", "1", "2"), answers=answers)


def write_onnx(path, nodes, inputs, outputs, tensors=(), **keywords):
    onnx = pytest.importorskip("onnx", reason="needs the package onnx")
    graph = onnx.helper.make_graph(nodes, "g", inputs, outputs, list(tensors))
    opsets = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("ai.onnx.ml", 3)]
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8)
    onnx.save(model, path, **keywords)


def onnx_images_case(root, table, monkeypatch):
    """A fixed batch of two, weights in a file beside the model."""
    pytest.importorskip("onnxruntime", reason="needs the extra 'onnx'")
    onnx = pytest.importorskip("onnx", reason="needs the package onnx")
    weights = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    value = onnx.helper.make_tensor_value_info
    write_onnx(
        root / "m.onnx",
        [
            onnx.helper.make_node("Flatten", ["image"], ["flat"]),
            onnx.helper.make_node("MatMul", ["flat", "w"], ["logits"]),
        ],
        [value("image", onnx.TensorProto.FLOAT, [2, 1, 2, 2])],
        [value("logits", onnx.TensorProto.FLOAT, [2, 3])],
        [onnx.numpy_helper.from_array(weights, "w")],
        save_as_external_data=True,
        location="m.bin",
        size_threshold=0,
    )
    images = np.random.default_rng(1).uniform(0, 1, (21, 1, 2, 2)).astype(np.float32)
    config = {"path": "m.onnx", "output": "logits", "input": InputConfig(shape=(1, 2, 2))}
    answers = images.reshape(21, 4).astype(np.float64) @ weights
    return case("onnx images", "onnx", root, config=config, inputs=images, names=("0", "1", "2"), answers=answers)


def onnx_table_case(root, table, monkeypatch):
    """As converters of scikit-learn write it: one input for each column, text among them, label and a map as outputs."""
    pytest.importorskip("onnxruntime", reason="needs the extra 'onnx'")
    onnx = pytest.importorskip("onnx", reason="needs the package onnx")
    make, proto = onnx.helper.make_node, onnx.TensorProto
    names = ["high", "low", "mid"]
    weights = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
    nodes = [
        make("OneHotEncoder", ["colour"], ["hot3"], domain="ai.onnx.ml", cats_strings=["blue", "green", "red"]),
        make("Reshape", ["hot3", "form"], ["hot"]),
        make("Concat", ["mean size", "age", "hot"], ["x"], axis=1),
        make(
            "LinearClassifier",
            ["x"],
            ["label", "scores"],
            domain="ai.onnx.ml",
            coefficients=weights.ravel().tolist(),
            intercepts=[0.0, 0.0, 0.0],
            classlabels_strings=names,
            post_transform="SOFTMAX",
        ),
        make("ZipMap", ["scores"], ["probability"], domain="ai.onnx.ml", classlabels_strings=names),
    ]
    value = onnx.helper.make_tensor_value_info
    map_type = onnx.helper.make_map_type_proto(proto.STRING, onnx.helper.make_tensor_type_proto(proto.FLOAT, None))
    write_onnx(
        root / "m.onnx",
        nodes,
        [
            value("colour", proto.STRING, [None, 1]),
            value("mean size", proto.FLOAT, [None, 1]),
            value("age", proto.FLOAT, [None, 1]),
        ],
        [
            value("label", proto.STRING, [None]),
            onnx.helper.make_value_info("probability", onnx.helper.make_sequence_type_proto(map_type)),
        ],
        [onnx.numpy_helper.from_array(np.array([-1, 3]), "form")],
    )
    frame = table[0]
    x = np.hstack([frame[["mean size", "age"]], np.eye(3)[frame["colour"].cat.codes]])
    raised = np.exp(x @ weights.T.astype(np.float64))
    config = {"path": "m.onnx", "output": "probabilities", "task": "tabular-classification"}
    answers = raised / raised.sum(axis=1, keepdims=True)
    return case("onnx table", "onnx", root, config=config, inputs=frame, names=tuple(names), answers=answers)


def sklearn_case(root, table, monkeypatch):
    """A pipeline with text in it, as a pickle under a clearance."""
    pytest.importorskip("sklearn", reason="needs the extra 'sklearn'")
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    frame, answers = table[0].assign(colour=table[0]["colour"].astype(object)), table[1]
    pre = make_column_transformer((OneHotEncoder(), ["colour"]), (StandardScaler(), ["mean size", "age"]))
    pipeline = make_pipeline(pre, LogisticRegression()).fit(frame, np.array(["low", "mid", "top"])[answers])
    (root / "m.pkl").write_bytes(pickle.dumps(pipeline))
    names, said = ("low", "mid", "top"), pipeline.predict_proba(frame)
    return case("sklearn", "sklearn", root, config={"path": "m.pkl"}, inputs=table[0], names=names, answers=said)


def sklearn_skops_case(root, table, monkeypatch):
    """Labels alone, by skops."""
    skops = pytest.importorskip("skops.io", reason="needs the extra 'sklearn'")
    from sklearn.ensemble import RandomForestClassifier

    frame, answers = table[0][["mean size", "age"]], np.array(["low", "mid", "top"])[table[1]]
    forest = RandomForestClassifier(5, random_state=0).fit(frame, answers)
    skops.dump(forest, root / "m.skops")
    names = ("low", "mid", "top")
    said = np.eye(3)[[names.index(name) for name in forest.predict(frame)]]
    config = {"path": "m.skops", "output": "labels"}
    return case(
        "sklearn skops", "sklearn", root, config=config, inputs=frame, names=names, answers=said, takes_missing=True
    )


def sklearn_margin_case(root, table, monkeypatch):
    """decision_function of two classes, on arrays, by joblib."""
    pytest.importorskip("sklearn", reason="needs the extra 'sklearn'")
    import joblib
    from sklearn.svm import LinearSVC

    x = np.random.default_rng(0).uniform(0, 1, (30, 4)).astype(np.float32)
    classifier = LinearSVC().fit(x, x[:, 0] > 0.5)
    joblib.dump(classifier, root / "m.joblib")
    said = classifier.decision_function(x)
    answers = np.stack([np.zeros(30), said], axis=1)
    names = ("False", "True")
    return case("sklearn svm", "sklearn", root, config={"path": "m.joblib"}, inputs=x, names=names, answers=answers)


def sklearn_values_case(root, table, monkeypatch):
    pytest.importorskip("sklearn", reason="needs the extra 'sklearn'")
    from sklearn.ensemble import HistGradientBoostingRegressor

    frame = table[0][["mean size", "age"]]
    regressor = HistGradientBoostingRegressor(max_iter=5, min_samples_leaf=3).fit(frame, frame["age"] * 2)
    (root / "m.pkl").write_bytes(pickle.dumps(regressor))
    config = {"path": "m.pkl", "task": "tabular-regression"}
    said = regressor.predict(frame)[:, None]
    return case(
        "sklearn values", "sklearn", root, config=config, inputs=frame, names=(), answers=said, takes_missing=True
    )


def xgboost_case(root, table, monkeypatch):
    xgboost = pytest.importorskip("xgboost", reason="needs the extra 'xgboost'")
    frame, answers = table
    matrix = xgboost.DMatrix(frame, answers, enable_categorical=True)
    booster = xgboost.train({"objective": "multi:softprob", "num_class": 3, "nthread": 1}, matrix, 5)
    booster.save_model(root / "m.ubj")
    said = booster.predict(matrix).astype(np.float64)
    return case(
        "xgboost",
        "xgboost",
        root,
        config={"path": "m.ubj"},
        inputs=frame,
        names=("0", "1", "2"),
        answers=said,
        takes_missing=True,
    )


def xgboost_json_case(root, table, monkeypatch):
    """Two classes, on an array, as the scikit-learn interface writes it."""
    xgboost = pytest.importorskip("xgboost", reason="needs the extra 'xgboost'")
    x = np.random.default_rng(0).uniform(0, 1, (50, 3)).astype(np.float32)
    classifier = xgboost.XGBClassifier(n_estimators=30, early_stopping_rounds=2, n_jobs=1)
    classifier.fit(x[:30], x[:30, 0] > 0.5, eval_set=[(x[30:], x[30:, 0] > 0.3)], verbose=False)
    classifier.save_model(root / "m.json")
    config = {"path": "m.json", "labels": ("no", "yes")}
    said = classifier.predict_proba(x).astype(np.float64)
    names = ("no", "yes")
    return case("xgboost json", "xgboost", root, config=config, inputs=x, names=names, answers=said, takes_missing=True)


def lightgbm_case(root, table, monkeypatch):
    lightgbm = pytest.importorskip("lightgbm", reason="needs the extra 'lightgbm'")
    frame, answers = table
    parameters = {"objective": "multiclass", "num_class": 3, "min_data_in_leaf": 3, "verbosity": -1, "num_threads": 1}
    booster = lightgbm.train(parameters, lightgbm.Dataset(frame, answers), 5)
    booster.save_model(root / "m.lgb")
    said = booster.predict(frame)
    return case(
        "lightgbm",
        "lightgbm",
        root,
        config={"path": "m.lgb"},
        inputs=frame,
        names=("0", "1", "2"),
        answers=said,
        takes_missing=True,
    )


def catboost_case(root, table, monkeypatch):
    catboost = pytest.importorskip("catboost", reason="needs the extra 'catboost'")
    frame = table[0].assign(colour=table[0]["colour"].astype(str), note=np.where(table[1] > 0, "so it is", "not so"))
    classifier = catboost.CatBoostClassifier(
        iterations=5,
        cat_features=["colour"],
        text_features=["note"],
        verbose=0,
        allow_writing_files=False,
        thread_count=1,
        random_seed=0,
    ).fit(frame, np.array(["low", "mid", "top"])[table[1]])
    classifier.save_model(str(root / "m.cbm"))
    inputs = frame.assign(colour=table[0]["colour"])
    said = classifier.predict_proba(frame)
    return case(
        "catboost",
        "catboost",
        root,
        config={"path": "m.cbm"},
        inputs=inputs,
        names=("low", "mid", "top"),
        answers=said,
        takes_missing=True,
    )


def catboost_values_case(root, table, monkeypatch):
    catboost = pytest.importorskip("catboost", reason="needs the extra 'catboost'")
    frame = table[0][["mean size", "age"]]
    regressor = catboost.CatBoostRegressor(iterations=5, verbose=0, allow_writing_files=False, thread_count=1)
    regressor.fit(frame, frame["age"])
    regressor.save_model(str(root / "m.cbm"))
    said = regressor.predict(frame)[:, None]
    return case(
        "catboost values",
        "catboost",
        root,
        config={"path": "m.cbm"},
        inputs=frame,
        names=(),
        answers=said,
        takes_missing=True,
    )


FILES = (
    torch_case,
    onnx_images_case,
    onnx_table_case,
    sklearn_case,
    sklearn_skops_case,
    sklearn_margin_case,
    sklearn_values_case,
    xgboost_case,
    xgboost_json_case,
    lightgbm_case,
    catboost_case,
    catboost_values_case,
)


@pytest.fixture(params=FILES, ids=lambda make: make.__name__.removesuffix("_case"))
def model(request, tmp_path, table, monkeypatch):
    return request.param(tmp_path, table, monkeypatch)


@pytest.mark.parametrize("clause", MODEL_CLAUSES, ids=lambda clause: clause.__name__)
def test_a_file_of_every_format_keeps_the_contract(model, clause):
    clause(model)


ENDPOINTS = {
    "kserve one tensor": {"path": "/v2/models/single/infer", "protocol": "kserve-v2"},
    "kserve columns": {"path": "/v2/models/columns/infer", "protocol": "kserve-v2", "output_name": "scores"},
    "kserve without metadata": {"path": "/v2/models/other/infer", "protocol": "kserve-v2"},
    "mlflow": {"path": "/invocations", "protocol": "mlflow"},
    "json": {"path": "/predict", "protocol": "json", "response": "result.scores"},
}


def endpoint_case(name, server, root, **more):
    base, frame, said = server
    fields = dict(ENDPOINTS[name])
    path = fields.pop("path")
    endpoint = EndpointConfig(url=base + path, rate=100_000, batch=7, **fields)
    config = {"endpoint": endpoint, "output": "probabilities"}
    return case(name, "endpoint", root, config=config, inputs=frame, names=("0", "1", "2"), answers=said, **more)


@pytest.mark.parametrize("clause", MODEL_CLAUSES, ids=lambda clause: clause.__name__)
@pytest.mark.parametrize("name", ENDPOINTS)
def test_an_endpoint_of_every_protocol_keeps_the_contract(name, clause, server, tmp_path):
    pytest.importorskip("urllib3", reason="needs the extra 'endpoint'")
    clause(endpoint_case(name, server, tmp_path))


@pytest.mark.parametrize("name", ["mlflow", "json", "kserve one tensor"])
def test_an_endpoint_takes_arrays_as_well(name, server, tmp_path):
    from dataclasses import replace

    pytest.importorskip("urllib3", reason="needs the extra 'endpoint'")
    table = endpoint_case(name, server, tmp_path)
    arrays = replace(table, inputs=table.inputs.to_numpy(np.float32))
    for clause in MODEL_CLAUSES:
        clause(arrays)
