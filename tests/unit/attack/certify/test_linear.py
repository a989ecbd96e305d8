"""Linear classifiers have a closed form, and attack and certificate both meet it."""

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs scikit-learn (extra 'sklearn')")
from sklearn.datasets import load_digits, load_iris
from sklearn.linear_model import LogisticRegression, RidgeClassifier, SGDClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, PolynomialFeatures, StandardScaler
from sklearn.svm import SVC, LinearSVC

from heliotrope.attack.certify import Budget, NotModelled, certify
from heliotrope.attack.certify.interface import Region
from heliotrope.attack.certify.linear import LinearCertifier, least_change

pytestmark = pytest.mark.filterwarnings("ignore:.*converge.*", "ignore:Maximum number of iteration")


def closed_form(weight, bias, inputs, labels, order):
    """The smallest norm that moves a sample to the nearest other class: lead over the dual norm of the difference."""
    scores = inputs @ weight.T + bias
    own = scores[np.arange(len(labels)), labels]
    radii = []
    for other in range(len(weight)):
        size = np.linalg.norm(weight[labels] - weight[other], ord=order, axis=1)
        radii.append(np.where(labels == other, np.inf, (own - scores[:, other]) / np.maximum(size, 1e-300)))
    return np.min(radii, axis=0)


@pytest.mark.parametrize(("norm", "dual"), [("Linf", 1), ("L2", 2)])
@pytest.mark.parametrize("make", [LogisticRegression, RidgeClassifier, LinearSVC, SGDClassifier])
def test_radius_and_robust_accuracy_are_those_of_the_closed_form(make, norm, dual):
    inputs, labels = load_digits(return_X_y=True)
    inputs = inputs[:300] / 16
    labels = labels[:300]
    model = make(max_iter=200, tol=1e-2) if make is not RidgeClassifier else make()
    model.fit(inputs, labels)
    right = model.predict(inputs) == labels
    expected = np.where(right, closed_form(model.coef_, model.intercept_, inputs, labels, dual), 0.0)
    eps = float(np.median(expected[right])) * 1.001  # on no sample's boundary
    found = certify(model, inputs, labels, norm=norm, eps=eps, low=-1e6, high=1e6)
    assert np.abs(found.radius - expected).max() <= 1e-4
    assert found.count("undecided") == 0
    assert found.count("certified") == int((expected > eps).sum())


def test_two_classes_and_the_range_of_valid_inputs():
    inputs, labels = load_iris(return_X_y=True)
    inputs, labels = MinMaxScaler().fit_transform(inputs[:100]), labels[:100]
    model = LogisticRegression().fit(inputs, labels)
    free = certify(model, inputs, labels, eps=0.3, low=-1e6, high=1e6)
    kept = certify(model, inputs, labels, eps=0.3)
    assert kept.count("certified") >= free.count("certified")
    assert bool((kept.radius >= free.radius - 1e-9).all())
    for row, example in kept.examples.items():
        assert model.predict(example[None])[0] != labels[row]
        assert example.min() >= 0
        assert example.max() <= 1
        assert np.abs(example - inputs[row]).max() <= 0.3 * (1 + 1e-9)


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_a_ball_cut_by_the_range_is_searched_to_its_end(norm):
    """No random point of ball and range has a smaller value than the change that is said to be the least."""
    source = np.random.default_rng(0)
    slope, inputs = source.normal(size=12), source.random((5, 12))
    scale = source.random(12) + 0.5
    region = Region(norm, 0.4, 0.0, 1.0, scale)
    change = least_change(slope, inputs, region, 0.4)
    low, high = region.box(inputs)
    assert bool(region.contains(inputs, inputs + change).all())
    for _ in range(300):
        step = source.normal(size=inputs.shape) * scale
        if norm == "L2":
            step *= 0.4 / np.sqrt(np.square(step / scale).sum(axis=1, keepdims=True))
        other = np.clip(inputs + step, low, high) - inputs
        assert bool(((other * slope).sum(axis=1) >= (change * slope).sum(axis=1) - 1e-9).all())


@pytest.mark.parametrize("scaler", [StandardScaler, MinMaxScaler])
def test_scaling_in_a_pipeline_is_counted_in(scaler):
    inputs, labels = load_iris(return_X_y=True)
    model = make_pipeline(scaler(), LogisticRegression()).fit(inputs, labels)
    step = model[0]
    scale = step.scale_ if scaler is StandardScaler else 1 / step.scale_
    weight = model[1].coef_ / scale
    shift = step.mean_ if scaler is StandardScaler else step.data_min_
    right = model.predict(inputs) == labels
    expected = closed_form(weight, model[1].intercept_, inputs - shift, labels, 1)
    inputs, labels, right, expected = inputs[::4], labels[::4], right[::4], expected[::4]
    found = certify(model, inputs, labels, eps=0.2, low=-1e6, high=1e6, budget=Budget(radii=16))
    assert np.abs(found.radius[right] - expected[right]).max() <= 1e-4
    for row, verdict in enumerate(found.verdicts):
        assert verdict == ("certified" if right[row] and expected[row] > 0.2 else "broken")


def test_leads_within_rounding_are_undecided():
    """A sample on the boundary itself."""
    weight, bias = np.array([[1.0, 0.0], [0.0, 1.0]]), np.zeros(2)
    certifier = LinearCertifier(weight, bias, lambda rows: rows @ weight.T + bias)
    found = certifier.certify(np.array([[0.5, 0.5 - 1e-16]]), np.array([0]), Region("Linf", 1e-18, -9, 9), Budget())
    assert found.verdicts == ["undecided"]


@pytest.mark.parametrize(
    ("model", "fact"),
    [
        (SVC(kernel="rbf"), "SVC"),
        (make_pipeline(PolynomialFeatures(), LogisticRegression(max_iter=2000)), "PolynomialFeatures"),
        (SGDClassifier(loss="modified_huber"), "do not follow"),
    ],
)
def test_models_that_are_not_linear_are_not_taken_for_such(model, fact):
    inputs, labels = load_iris(return_X_y=True)
    model.fit(inputs, labels)
    with pytest.raises(NotModelled, match=fact):
        certify(model, inputs, labels, eps=0.1)
