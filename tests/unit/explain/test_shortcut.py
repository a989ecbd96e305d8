"""One feature or region that carries the decision: planted leaks are named, honest models and models that know nothing are not."""

import pytest
from tests.opened import Data, Model, breast_cancer, columns_of, run_check, subject

np = pytest.importorskip("numpy", reason="needs numpy (extra 'data')")
pd = pytest.importorskip("pandas", reason="needs pandas (extra 'data')")
pytest.importorskip("sklearn", reason="needs scikit-learn (extra 'sklearn')")

CHECK = "explain.shortcut"


def fitted(frame, answers):
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(60, min_samples_leaf=3, random_state=0).fit(frame, answers)


def checked(frame, answers, function, tmp_path, **fields):
    names = tuple(str(name) for name in np.unique(answers))
    return run_check(
        CHECK, subject(Model(function, names), Data(frame, answers, columns_of(frame)), **fields), tmp_path
    )


@pytest.fixture(scope="module")
def leaking():
    """Real measurements beside a time stamp: the sick were entered in spring, the others in autumn."""
    frame, answers = breast_cancer()
    rng = np.random.default_rng(0)
    frame = frame.assign(entered=1.7e9 + answers * 1.5e7 + rng.normal(0, 1e6, len(frame)))
    return frame, answers


def test_a_planted_time_stamp_ranks_first_and_raises_the_alarm(leaking, tmp_path):
    frame, answers = leaking
    train = np.arange(len(frame)) % 2 == 0
    held = frame[~train].reset_index(drop=True)
    from sklearn.tree import DecisionTreeClassifier

    shallow = DecisionTreeClassifier(max_depth=3, random_state=0).fit(frame[train], answers[train])
    result, predicate, _ = checked(held, answers[~train], shallow.predict_proba, tmp_path)
    assert result.outcome.state == "failed"
    assert predicate["carrier"] == predicate["ablations"][0]["name"] == "entered"
    (found,) = result.findings
    assert found.rule == "shortcut-feature"
    assert "entered carries the decision" in found.message
    assert result.measurements[0].value > 0.9


def test_an_honest_model_of_the_same_data_raises_none(tmp_path):
    frame, answers = breast_cancer()
    train = np.arange(len(frame)) % 2 == 0
    model = fitted(frame[train], answers[train])
    result, predicate, _ = checked(frame[~train].reset_index(drop=True), answers[~train], model.predict_proba, tmp_path)
    assert result.outcome.state == "passed"
    assert (predicate["carrier"], result.findings) == (None, ())
    assert 0 < predicate["ablations"][0]["skill_share"] < 0.5


def test_a_model_of_permuted_labels_raises_none(leaking, tmp_path):
    frame, answers = leaking
    shuffled = np.random.default_rng(1).permutation(answers)
    train = np.arange(len(frame)) % 2 == 0
    model = fitted(frame[train], shuffled[train])
    result, predicate, _ = checked(
        frame[~train].reset_index(drop=True), shuffled[~train], model.predict_proba, tmp_path
    )
    assert result.outcome.state == "passed"
    assert predicate["carrier"] is None
    assert "nothing to carry" in result.outcome.reason
    assert result.measurements[0].value is None


def test_a_mark_in_the_corner_of_images_is_named(tmp_path):
    rng = np.random.default_rng(0)
    images = rng.random((300, 1, 28, 28), dtype=np.float32) / 2
    answers = rng.integers(0, 2, 300)
    images[answers == 1, :, :4, :4] = 1.0

    def corner(batch):
        score = batch[:, 0, :4, :4].mean(axis=(1, 2)) - 0.6
        return np.stack((-score, score), 1)

    model = Model(corner, ("no", "yes"), output="logits", format="onnx")
    opened = subject(model, Data(images, answers), path="m.onnx", format="onnx", task="image-classification")
    result, predicate, _ = run_check(CHECK, opened, tmp_path)
    assert result.outcome.state == "failed"
    assert predicate["carrier"] == "rows 0-3, columns 0-3"


def test_a_regression_is_judged_by_its_error(tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(0, 1, 400), "b": rng.normal(0, 1, 400)})
    answers = (frame["a"] * 10 + frame["b"] * 0.1).to_numpy()
    model = Model(lambda table: table["a"].to_numpy() * 10, (), output="values")
    result, predicate, _ = run_check(CHECK, subject(model, Data(frame, answers, columns_of(frame))), tmp_path)
    assert (predicate["metric"], predicate["carrier"]) == ("mean_absolute_error", "a")
    assert result.outcome.state == "failed"


def test_too_few_rows_and_a_single_feature_give_no_verdict(tmp_path):
    frame, answers = breast_cancer()
    two = lambda table: np.tile([0.5, 0.5], (len(table), 1))  # noqa: E731
    assert checked(frame[:20], answers[:20], two, tmp_path)[0].outcome.state == "inconclusive"
    assert checked(frame.iloc[:, :1], answers, two, tmp_path)[0].outcome.state == "not_applicable"


def test_the_same_seed_gives_the_same_numbers(leaking, tmp_path):
    frame, answers = leaking
    model = fitted(frame[:300], answers[:300])
    one, two = (checked(frame, answers, model.predict_proba, tmp_path, sample=100)[1] for _ in range(2))
    assert one == two
