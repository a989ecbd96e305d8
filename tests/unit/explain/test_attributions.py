"""Attributions: they add up or say by how much not, and point at what the model uses."""

import sys

import pytest
from tests.opened import Data, Model, breast_cancer, columns_of, run_check, subject

np = pytest.importorskip("numpy", reason="needs numpy (extra 'data')")
pd = pytest.importorskip("pandas", reason="needs pandas (extra 'data')")

CHECK = "explain.attributions"


@pytest.fixture
def network():
    """A network on 8 x 8 images that looks at their upper left quarter alone."""
    torch = pytest.importorskip("torch", reason="needs torch (extra 'torch')")
    from heliotrope.subjects.torch_model import TorchModel

    torch.manual_seed(0)
    mask = torch.zeros(1, 8, 8)
    mask[:, :4, :4] = 1.0
    body = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 3))
    body.requires_grad_(False)
    return TorchModel(body.eval(), lambda batch: body(batch * mask), 3, ("a", "b", "c"), {"m": "a" * 64})


@pytest.fixture
def images(network):
    found = np.random.default_rng(0).random((60, 1, 8, 8), dtype=np.float32)
    return subject(
        network,
        Data(found, network.scores(found).argmax(1)),
        path="m.safetensors",
        format="torch",
        loader="model:load",
        task="image-classification",
        input={"range": [0.0, 1.0], "shape": [1, 8, 8]},
    )


def test_integrated_gradients_add_up_and_find_the_pixels_that_are_used(images, tmp_path):
    pytest.importorskip("captum", reason="needs captum (extra 'explain')")
    result, predicate, context = run_check(CHECK, images, tmp_path)
    assert result.outcome.state == "passed"
    assert predicate["method"] == "integrated-gradients"
    done = predicate["completeness"]
    assert done["reached"] == done["n"] == 60
    assert done["worst_error"] < 0.05
    used = {one["name"] for one in predicate["features"] if one["importance"] > 0}
    assert used
    for name in used:  # as in rows 2-3, columns 0-1
        rows, columns = name.split(", ")
        assert int(rows.split()[1].split("-")[0]) < 4
        assert int(columns.split()[1].split("-")[0]) < 4
    assert sum(one["n"] for one in predicate["classes"]) == 60
    assert {context.blobs[blob.sha256][:4] for blob in result.blobs} == {b"\x89PNG"}


def test_more_steps_are_taken_where_attributions_do_not_add_up(network):
    pytest.importorskip("captum", reason="needs captum (extra 'explain')")
    from heliotrope.explain.methods.gradients import integrated_gradients

    bumpy = lambda batch: network.logits((batch * 40).sin())  # noqa: E731
    inputs = np.random.default_rng(0).random((20, 1, 8, 8), dtype=np.float32)
    targets = np.zeros(20, dtype=np.int64)
    rough = integrated_gradients(bumpy, inputs, targets, steps=(16,))
    fine = integrated_gradients(bumpy, inputs, targets)
    assert (fine.error < 0.05).mean() > (rough.error < 0.05).mean()
    assert np.median(fine.error) < 0.05 < np.median(rough.error)
    assert fine.steps > 16


def test_without_captum_regions_are_occluded_and_that_is_said(images, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    result, predicate, _ = run_check(CHECK, images, tmp_path)
    assert (result.outcome.state, predicate["method"]) == ("passed", "occlusion")
    assert "heliotrope[explain]" in result.outcome.reason


def test_a_networks_own_nan_is_an_error_that_says_so(network):
    pytest.importorskip("captum", reason="needs captum (extra 'explain')")
    from heliotrope.core.errors import InputError
    from heliotrope.explain.methods.gradients import integrated_gradients

    broken = lambda batch: network.logits(batch) / (batch.sum() * 0)  # noqa: E731
    with pytest.raises(InputError, match="NaN"):
        integrated_gradients(broken, np.ones((2, 1, 8, 8), np.float32), np.zeros(2, np.int64), steps=(4,))


@pytest.fixture(scope="module")
def cancer():
    return breast_cancer()


def test_anything_that_answers_is_explained_by_occlusion(cancer, tmp_path):
    frame, answers = cancer
    column = frame["worst radius"]
    low, high = column.min(), column.max()

    def scores(table):
        share = ((table["worst radius"] - low) / (high - low)).to_numpy()
        return np.stack((share, 1 - share), 1)

    opened = subject(Model(scores, ("malignant", "benign")), Data(frame, answers, columns_of(frame)))
    result, predicate, _ = run_check(CHECK, opened, tmp_path)
    assert (predicate["method"], predicate["completeness"]) == ("occlusion", None)
    assert predicate["features"][0]["name"] == "worst radius"
    assert all(one["importance"] == 0 for one in predicate["features"][1:])
    assert "worst radius" in result.outcome.reason


def test_an_image_of_any_format_is_explained_by_its_regions(tmp_path):
    images = np.random.default_rng(0).random((50, 1, 8, 8), dtype=np.float32)

    def scores(batch):
        return np.stack((batch[:, 0, 7, 7], 1 - batch[:, 0, 7, 7]), 1)

    opened = subject(Model(scores, ("a", "b"), format="onnx"), Data(images, scores(images).argmax(1)), path="m.onnx",
                     format="onnx", task="image-classification")  # fmt: skip
    _, predicate, _ = run_check(CHECK, opened, tmp_path)
    assert predicate["features"][0]["name"] == "rows 6-7, columns 6-7"


@pytest.mark.parametrize("kind", ["forest", "xgboost", "lightgbm"])
def test_trees_are_explained_exactly(cancer, kind):
    pytest.importorskip("shap", reason="needs shap (extra 'shap')")
    from types import SimpleNamespace

    from heliotrope.explain.methods.trees import tree_shap

    frame, answers = cancer
    if kind == "forest":
        from sklearn.ensemble import RandomForestClassifier

        model = RandomForestClassifier(20, max_depth=4, random_state=0).fit(frame.to_numpy(), answers)
        inside = SimpleNamespace(kind="sklearn", native=model, matrix=lambda rows: rows.to_numpy())
    elif kind == "xgboost":
        xgboost = pytest.importorskip("xgboost", reason="needs xgboost")
        model = xgboost.XGBClassifier(n_estimators=20, max_depth=3).fit(frame.to_numpy(), answers).get_booster()
        inside = SimpleNamespace(kind="xgboost", native=model, matrix=lambda rows: rows.to_numpy(), rounds=(0, 0))
    else:
        lightgbm = pytest.importorskip("lightgbm", reason="needs lightgbm")
        model = lightgbm.LGBMClassifier(n_estimators=20, verbose=-1).fit(frame.to_numpy(), answers).booster_
        inside = SimpleNamespace(kind="lightgbm", native=model, matrix=lambda rows: rows.to_numpy())
    rows = frame.iloc[:40]
    found = tree_shap(inside, rows, np.ones(40, dtype=np.int64), 2)
    assert found.values.shape == (40, 30)
    assert found.error.max() < 1e-4
    other = tree_shap(inside, rows, np.zeros(40, dtype=np.int64), 2)
    np.testing.assert_allclose(other.values, -found.values, atol=1e-6)
