"""A decision that moved to other features is told from one that did not, between versions and between windows of data."""

from dataclasses import replace

import pytest
from tests.opened import Data, Model, breast_cancer, columns_of, run_check, subject

np = pytest.importorskip("numpy", reason="needs numpy (extra 'data')")
pytest.importorskip("sklearn", reason="needs scikit-learn (extra 'sklearn')")
from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from hypothesis.extra import numpy as arrays  # noqa: E402

CHECK = "explain.drift"


@pytest.fixture(scope="module")
def cancer():
    return breast_cancer()


def by(column, frame):
    """A model that looks at one column alone."""
    low, high = frame[column].min(), frame[column].max()

    def scores(table):
        share = ((table[column] - low) / (high - low)).to_numpy()
        return np.stack((share, 1 - share), 1)

    return Model(scores, ("malignant", "benign"))


def with_previous(made, previous):
    """As opened when heliotrope.yaml names a model `old` as the previous version."""
    parameters = made.parameters
    old = parameters.model.model_copy(update={"name": "old"})
    model = parameters.model.model_copy(update={"previous": "old"})
    return replace(made, previous=previous, parameters=parameters.model_copy(update={"model": model, "previous": old}))


def opened(cancer, model, *, previous=None, reference=None):
    frame, answers = cancer
    made = subject(model, Data(frame, answers, columns_of(frame)))
    return replace(made if previous is None else with_previous(made, previous), reference=reference)


def test_a_version_that_looks_at_another_feature_is_told(cancer, tmp_path):
    frame, _ = cancer
    both = opened(cancer, by("worst radius", frame), previous=by("mean texture", frame))
    result, predicate, _ = run_check(CHECK, both, tmp_path)
    assert result.outcome.state == "failed"
    (found,) = result.findings
    assert (found.rule, found.severity) == ("attribution-drift", "low")
    (compared,) = predicate["comparisons"]
    assert {one["name"] for one in compared["features"] if one["drifted"]} == {"worst radius", "mean texture"}
    assert "the version old" in found.message
    assert 0 < compared["agreement"]["interval"]["low"] < compared["agreement"]["value"] < 1
    assert abs(result.measurements[0].value) > 0.9


def test_the_same_model_with_scores_of_another_scale_has_not_drifted(cancer, tmp_path):
    frame, _ = cancer
    now = by("worst radius", frame)
    hotter = Model(lambda table: 10 * now.function(table), now.names)
    result, predicate, _ = run_check(CHECK, opened(cancer, now, previous=hotter), tmp_path)
    assert (result.outcome.state, result.findings) == ("passed", ())
    assert predicate["comparisons"][0]["features"][0]["delta"] == pytest.approx(0, abs=1e-12)


def window(frame, answers):
    return Data(frame.reset_index(drop=True), answers, columns_of(frame), digests={"data": "e" * 64})


def test_halves_of_the_same_data_do_not_differ_and_a_moved_feature_does(cancer, tmp_path):
    from sklearn.linear_model import LogisticRegression

    frame, answers = cancer
    frame = frame.iloc[:, :6]
    fitted = LogisticRegression(max_iter=5000).fit(frame, answers)
    model = Model(lambda table: fitted.decision_function(table)[:, None] * [-1.0, 1.0], ("m", "b"), output="logits")
    half = np.random.default_rng(0).permutation(len(frame)) % 2 == 0
    then = window(frame[half], answers[half])
    rest = (frame[~half].reset_index(drop=True), answers[~half])
    result, predicate, _ = run_check(CHECK, opened(rest, model, reference=then), tmp_path)
    assert result.outcome.state == "passed"
    assert predicate["comparisons"][0]["kind"] == "window"
    moved = rest[0].assign(**{"mean texture": rest[0]["mean texture"] * 30})  # another unit
    result, predicate, _ = run_check(CHECK, opened((moved, rest[1]), model, reference=then), tmp_path)
    assert result.outcome.state == "failed"
    grown = {one["name"]: one["delta"] for one in predicate["comparisons"][0]["features"] if one["drifted"]}
    assert grown["mean texture"] > 0.5


def test_networks_on_images_are_compared_by_region_with_both_maps(tmp_path):
    pytest.importorskip("torch", reason="needs torch (extra 'torch')")
    pytest.importorskip("captum", reason="needs captum (extra 'explain')")
    from tests.unit.explain.networks import digits, opened_network, trained

    train, (images, answers) = digits()
    masked = train[0].copy()
    masked[:, :, :4] = 0  # the new version was never shown the upper half
    one = opened_network(trained(*train), images, answers)
    both = with_previous(opened_network(trained(masked, train[1]), images, answers), one.model)
    result, predicate, context = run_check(CHECK, both, tmp_path)
    (compared,) = predicate["comparisons"]
    assert (result.outcome.state, predicate["method"]) == ("failed", "integrated-gradients")
    assert len(compared["maps"]) == 10
    assert {context.blobs[blob.sha256][:4] for blob in result.blobs} == {b"\x89PNG"}
    assert run_check(CHECK, with_previous(one, one.model), tmp_path)[0].outcome.state == "passed"


def test_without_anything_earlier_it_has_no_object_and_says_what_to_set(cancer):
    from heliotrope.subjects.checking import model_checks

    check = next(one for one in model_checks() if one.id == CHECK)
    outcome = check.excludes(opened(cancer, by("worst radius", cancer[0])).parameters.model)
    assert outcome.state == "not_applicable"
    assert "data.reference" in outcome.reason


def test_what_cannot_be_compared_gives_no_verdict(cancer, tmp_path):
    frame, answers = cancer
    now = by("worst radius", frame)
    few = (frame[:30], answers[:30])
    assert run_check(CHECK, opened(few, now, previous=now), tmp_path)[0].outcome.state == "inconclusive"
    other = Model(now.function, ("ill", "well"))
    result, _, _ = run_check(CHECK, opened(cancer, now, previous=other), tmp_path)
    assert "other classes" in result.outcome.reason
    narrow = window(frame.iloc[:, :5], answers)
    result, _, _ = run_check(CHECK, opened(cancer, now, reference=narrow), tmp_path)
    assert "other columns" in result.outcome.reason


NUMBERS = arrays.arrays(np.float64, st.integers(2, 30), elements=st.integers(-5, 5).map(float))


@given(NUMBERS, NUMBERS)
def test_delta_is_what_counting_all_pairs_says(now, then):
    from heliotrope.explain._effects import effect_of

    found = effect_of(now, then)
    pairs = np.sign(now[:, None] - then[None])
    assert found.delta == pytest.approx(pairs.mean(), abs=1e-12)
    assert found.interval.low <= found.delta + 1e-12
    assert found.delta <= found.interval.high + 1e-12
    assert 0 <= found.p_value <= 1
    assert effect_of(then, now).delta == pytest.approx(-found.delta, abs=1e-12)
