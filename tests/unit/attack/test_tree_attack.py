"""The attack on trees that can be read: nearest rows, held against proofs and against the model itself."""

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs scikit-learn (extra 'sklearn')")
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier

from heliotrope.attack.certify._service import certifier_of
from heliotrope.attack.search.trees import nearest_misled

pytestmark = pytest.mark.filterwarnings("ignore")  # of libraries about each other


def xgb():
    xgboost = pytest.importorskip("xgboost", reason="needs xgboost (extra 'xgboost')")
    return xgboost.XGBClassifier(n_estimators=20, max_depth=3)


def lgb():
    lightgbm = pytest.importorskip("lightgbm", reason="needs lightgbm (extra 'lightgbm')")
    return lightgbm.LGBMClassifier(n_estimators=20, num_leaves=8, verbose=-1)


def cat():
    catboost = pytest.importorskip("catboost", reason="needs catboost (extra 'catboost')")
    return catboost.CatBoostClassifier(iterations=20, depth=3, verbose=0, allow_writing_files=False)


MAKERS = {
    "xgboost": xgb,
    "lightgbm": lgb,
    "catboost": cat,
    "forest": lambda: RandomForestClassifier(10, max_depth=5, random_state=0),
}


def attacked(name, norm="Linf", count=8, **settings):
    inputs, labels = load_breast_cancer(return_X_y=True)
    model = MAKERS[name]().fit(inputs, labels)
    ensemble = certifier_of(model, inputs[0])._decider.ensemble
    scale = inputs.std(axis=0)
    settings = {"scale": scale, "low": np.full(30, -1e6), "high": np.full(30, 1e6), "norm": norm, **settings}
    rows = range(0, 40 * count, 40)
    found = [nearest_misled(ensemble, model.predict_proba, inputs[row], int(labels[row]), **settings) for row in rows]
    return model, inputs[list(rows)], labels[list(rows)], scale, found


@pytest.mark.parametrize("norm", ["Linf", "L2"])
@pytest.mark.parametrize("name", MAKERS)
def test_every_row_misleads_the_model_and_no_proof_is_contradicted(name, norm):
    model, inputs, labels, scale, found = attacked(name, norm)
    for sample, label, one in zip(inputs, labels, found, strict=True):
        assert one.row is not None
        assert model.predict_proba(one.row[None]).argmax() != label
        moved = np.abs(one.row - sample) / scale
        assert one.length == pytest.approx(moved.max() if norm == "Linf" else np.sqrt((moved**2).sum()), rel=1e-9)
        assert one.bound <= one.length
    assert np.median([one.queries + one.traversals for one in found]) < 4900


def test_unscaled_columns_move_as_far_as_they_need():
    inputs, labels = load_breast_cancer(return_X_y=True)
    inputs = inputs * np.where(np.arange(30) % 2, 1e6, 1.0)
    model = xgb().fit(inputs, labels)
    ensemble = certifier_of(model, inputs[0])._decider.ensemble
    one = nearest_misled(
        ensemble, model.predict_proba, inputs[0], int(labels[0]), scale=inputs.std(axis=0), low=np.zeros(30),
        high=inputs.max(axis=0),
    )  # fmt: skip
    assert one.row is not None
    assert (one.row != inputs[0]).any()


def test_columns_held_fast_and_further_constraints_are_kept():
    scale = np.ones(30)
    scale[20:] = 0
    _, inputs, _, _, found = attacked("xgboost", scale=scale, permitted=lambda row: row[0] >= 12)
    for sample, one in zip(inputs, found, strict=True):
        if one.row is not None and one.length > 0:
            assert (one.row[20:] == sample[20:]).all()
            assert one.row[0] >= 12


def test_nothing_is_found_where_nothing_may_move():
    _, _, _, _, found = attacked("xgboost", scale=np.zeros(30), count=2)
    assert all(one.row is None or one.length == 0 for one in found)


@pytest.mark.nightly
def test_smallest_changes_are_no_larger_than_hopskipjumps_at_a_fifth_of_its_questions():
    """100 samples for each library against the committed answers of ART 1.20.1 at its defaults."""
    import importlib.util
    import json
    from pathlib import Path

    path = Path(__file__).parents[3] / "bench" / "trees.py"
    spec = importlib.util.spec_from_file_location("bench_trees", path)
    bench = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bench)
    peers = json.loads(bench.PEER.read_text())
    models, inputs, labels = bench._fitted()
    compared = 0
    for name, model in models.items():
        peer = peers.get(name)
        if peer is None or peer["digest"] != bench._digest(model, inputs):
            continue  # another release of the library grows other trees
        compared += 1
        ensemble = certifier_of(model, inputs[0])._decider.ensemble
        count = len(peer["lengths"])
        found = [
            nearest_misled(
                ensemble, model.predict_proba, row.astype(np.float64), int(label), scale=np.ones(30),
                low=np.full(30, -1e3), high=np.full(30, 1e3),
            )
            for row, label in zip(inputs[:count], labels[:count], strict=True)
        ]  # fmt: skip
        assert np.median([one.length for one in found]) <= np.median(peer["lengths"])
        assert np.mean([one.queries + one.traversals for one in found]) <= np.mean(peer["queries"]) / 5
        # what is proven holds for the other tool as well
        assert all(one.bound <= length * (1 + 1e-6) for one, length in zip(found, peer["lengths"], strict=True))
    assert compared
