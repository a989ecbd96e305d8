"""Trees of four libraries: read as they answer, decided exactly, ties and float32 thresholds included."""

import itertools

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs scikit-learn (extra 'sklearn')")
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.ensemble import (
    AdaBoostClassifier,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.tree import DecisionTreeClassifier

from heliotrope.attack.certify import Budget, NotModelled, certify
from heliotrope.attack.certify._service import certifier_of
from heliotrope.attack.certify.boxes import TreeBoxes
from heliotrope.attack.certify.interface import Region
from heliotrope.attack.certify.trees.ensemble import Branch, Ensemble, Leaf

pytestmark = pytest.mark.filterwarnings("ignore")  # of libraries about each other


def xgb(**settings):
    xgboost = pytest.importorskip("xgboost", reason="needs xgboost (extra 'xgboost')")
    return xgboost.XGBClassifier(n_estimators=8, max_depth=3, **settings)


def lgb(**settings):
    lightgbm = pytest.importorskip("lightgbm", reason="needs lightgbm (extra 'lightgbm')")
    return lightgbm.LGBMClassifier(n_estimators=8, num_leaves=6, verbose=-1, **settings)


def cat(**settings):
    catboost = pytest.importorskip("catboost", reason="needs catboost (extra 'catboost')")
    return catboost.CatBoostClassifier(iterations=8, depth=3, verbose=0, allow_writing_files=False, **settings)


MAKERS = {
    "forest": lambda: RandomForestClassifier(6, max_depth=4, random_state=0),
    "extra": lambda: ExtraTreesClassifier(5, max_depth=5, random_state=0),
    "tree": lambda: DecisionTreeClassifier(random_state=0),
    "boosting": lambda: GradientBoostingClassifier(n_estimators=6, random_state=0),
    "histograms": lambda: HistGradientBoostingClassifier(max_iter=6, max_leaf_nodes=6),
    "xgboost": xgb,
    "dart": lambda: xgb(booster="dart", rate_drop=0.3),
    "lightgbm": lgb,
    "lightgbm-forest": lambda: lgb(boosting_type="rf", bagging_freq=1, bagging_fraction=0.7),
    "catboost": cat,
    "catboost-depthwise": lambda: cat(grow_policy="Depthwise"),
}


def small(two_classes):
    """Three columns of iris, rounded so that values meet thresholds."""
    inputs, labels = load_iris(return_X_y=True)
    inputs, labels = (inputs[50:], labels[50:] - 1) if two_classes else (inputs, labels)
    return np.round(inputs[:, 1:], 1), labels


def thresholds(ensemble, feature):
    found, stack = set(), list(ensemble.trees)
    while stack:
        node = stack.pop()
        if isinstance(node, Branch):
            found |= {node.below, node.above} if node.feature == feature else set()
            stack += [node.left, node.right]
    return found


def brute_force(model, ensemble, sample, label, eps):
    """Every combination of sides of every threshold in the box: the model itself is asked about one point of each."""
    choices = []
    for feature, value in enumerate(sample):
        inside = [one for one in thresholds(ensemble, feature) if value - eps <= one <= value + eps]
        choices.append(sorted({value, value - eps, value + eps, *inside}))
    points = np.array(list(itertools.product(*choices)))
    return bool((model.predict_proba(points).argmax(axis=1) != label).any())


@pytest.mark.parametrize("two_classes", [True, False])
@pytest.mark.parametrize("name", MAKERS)
def test_the_search_agrees_with_asking_everywhere(name, two_classes):
    inputs, labels = small(two_classes)
    model = MAKERS[name]().fit(inputs, labels)
    predicted = model.predict_proba(inputs).argmax(axis=1)
    rows = np.arange(0, len(inputs), 9)
    eps = 0.15
    found = certify(model, inputs[rows], predicted[rows], eps=eps, low=-1e3, high=1e3, budget=Budget(nodes=5000))
    assert found.count("undecided") == 0
    ensemble = certifier_of(model, inputs[0])._decider.ensemble
    for place, row in enumerate(rows.tolist()):
        expected = brute_force(model, ensemble, inputs[row], predicted[row], eps)
        assert (found.verdicts[place] == "broken") is expected, row
        if expected:
            example = found.examples[place]
            assert model.predict_proba(example[None]).argmax() != predicted[row]
            assert np.abs(example - inputs[row]).max() <= eps * (1 + 1e-9)


@pytest.mark.parametrize("name", ["forest", "xgboost", "lightgbm", "catboost", "histograms"])
def test_missing_values_go_where_the_library_sends_them(name):
    inputs, labels = load_breast_cancer(return_X_y=True)
    inputs = inputs[:, :8].copy()
    inputs[np.random.default_rng(0).random(inputs.shape) < 0.1] = np.nan
    model = MAKERS[name]().fit(inputs, labels)
    decider = certifier_of(model, inputs[0])._decider
    assert np.abs(decider.scores(inputs) - model.predict_proba(inputs)).max() <= 1e-6
    found = certify(model, inputs[:40], labels[:40], eps=0.1, low=-1e5, high=1e5, scale=np.nanstd(inputs, axis=0),
                    budget=Budget(nodes=2000))  # fmt: skip
    for row, example in found.examples.items():
        assert bool((np.isnan(example) == np.isnan(inputs[row])).all())
        assert model.predict_proba(example[None]).argmax() != labels[row]


@pytest.mark.parametrize("name", ["forest", "xgboost", "lightgbm", "catboost"])
def test_a_search_just_within_each_radius_finds_nothing_and_just_beyond_it_is_broken(name):
    inputs, labels = load_breast_cancer(return_X_y=True)
    scale = inputs[:, :6].std(axis=0)
    inputs = inputs[:, :6] / scale
    model = MAKERS[name]().fit(inputs, labels)
    budget = Budget(nodes=3000, radii=24)
    found = certify(model, inputs[:14], labels[:14], eps=0.1, low=-1e5, high=1e5, budget=budget)
    right = np.nonzero(found.right & (found.radius > 0))[0]
    assert len(right) > 8
    source = np.random.default_rng(0)
    for row in right.tolist():
        radius = found.radius[row] * (1 - 1e-6)
        change = source.uniform(-1, 1, (400, 6))
        change[:200] = np.sign(change[:200])
        assert bool((model.predict(inputs[row] + radius * change) == labels[row]).all())
    beyond = [certify(model, inputs[[row]], labels[[row]], eps=float(found.radius[row]) * 1.01 + 1e-5, low=-1e5, high=1e5,
                      budget=Budget(nodes=3000)).verdicts[0] for row in right[:5].tolist()]  # fmt: skip
    assert beyond.count("broken") >= 4  # beyond 102 scales nothing is searched


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_a_euclidean_ball_holds_less_than_its_box(norm):
    inputs, labels = load_iris(return_X_y=True)
    model = MAKERS["forest"]().fit(inputs, labels)
    predicted = model.predict_proba(inputs).argmax(axis=1)
    found = certify(model, inputs, predicted, norm=norm, eps=0.3, low=-99, high=99, budget=Budget(nodes=5000))
    box = certify(model, inputs, predicted, eps=0.3, low=-99, high=99, budget=Budget(nodes=5000))
    assert found.count("certified") >= box.count("certified")
    assert found.count("undecided") == 0
    for row, example in found.examples.items():
        assert np.linalg.norm(example - inputs[row], 2 if norm == "L2" else np.inf) <= 0.3 * (1 + 1e-6)


def test_a_budget_of_one_part_decides_only_what_needs_no_search():
    inputs, labels = load_breast_cancer(return_X_y=True)
    model = RandomForestClassifier(30, max_depth=6, random_state=0).fit(inputs, labels)
    scale = inputs.std(axis=0)
    one = certify(model, inputs[:30], labels[:30], eps=0.3, low=-1e6, high=1e6, scale=scale, budget=Budget(nodes=1))
    more = certify(model, inputs[:30], labels[:30], eps=0.3, low=-1e6, high=1e6, scale=scale, budget=Budget(nodes=500))
    assert one.count("undecided") > more.count("undecided")
    for before, after in zip(one.verdicts, more.verdicts, strict=True):
        assert before in (after, "undecided")
    assert bool((more.margin >= one.margin - 1e-12)[[v == "undecided" for v in more.verdicts]].all())


def test_thresholds_are_compared_in_float32():
    """0.1 is no float32: a double just above the threshold still rounds onto it."""
    model = DecisionTreeClassifier(random_state=0).fit(np.array([[0.0], [0.2]]), [0, 1])
    edge = np.float64(model.tree_.threshold[0])
    just = np.nextafter(edge, 1)  # rounds to the same float32
    assert model.predict([[just]])[0] == 0
    found = certify(
        model, np.array([[edge]]), np.array([0]), eps=float(just - edge), low=-9, high=9, budget=Budget(nodes=9)
    )
    assert found.verdicts == ["certified"]


def test_what_is_no_sum_of_trees_is_refused():
    inputs, labels = load_iris(return_X_y=True)
    model = AdaBoostClassifier(n_estimators=3).fit(inputs, labels)
    with pytest.raises(NotModelled, match="AdaBoost"):
        certify(model, inputs, labels, eps=0.1)
    with pytest.raises(NotModelled, match="no trees"):
        certify(xgb(booster="gblinear").fit(inputs, labels), inputs, labels, eps=0.1)
    with pytest.raises(NotModelled, match="linear functions"):
        certify(lgb(linear_tree=True).fit(inputs, labels), inputs, labels, eps=0.1)


def test_trees_that_are_read_wrongly_are_caught(monkeypatch):
    inputs, labels = load_iris(return_X_y=True)
    model = MAKERS["forest"]().fit(inputs, labels)
    wrong = Ensemble((Leaf(np.array([0.2, 0.3, 0.5])),), np.zeros(3), 4, single=True)
    certifier = certifier_of(model, inputs[0])
    monkeypatch.setattr(certifier, "_decider", TreeBoxes(wrong))

    with pytest.raises(NotModelled, match="answers otherwise"):
        certifier.certify(inputs, labels, Region("Linf", 0.1), Budget())


def test_the_bound_never_exceeds_what_the_search_without_gradients_finds():
    """A greedy attack on XGBoost, breast cancer: found change >= certified radius, sample by sample."""
    inputs, labels = load_breast_cancer(return_X_y=True)
    scale = inputs.std(axis=0)
    inputs = inputs / scale
    model = xgb().fit(inputs, labels)
    rows = np.arange(0, 200, 10)
    found = certify(model, inputs[rows], labels[rows], eps=0.2, low=-99, high=99, budget=Budget(nodes=3000, radii=16))
    source = np.random.default_rng(0)
    for place, row in enumerate(rows.tolist()):
        if not found.right[place]:
            continue
        for reach in (0.05, 0.1, 0.2, 0.4, 0.8):
            moved = inputs[row] + reach * np.sign(source.normal(size=(150, 30)))
            if bool((model.predict(moved) != labels[row]).any()):
                assert reach >= found.radius[place]
                break
