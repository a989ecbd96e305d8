"""Ranges, normalisation, kinds of scores, and inputs that no one should send."""

import pytest
from tests.opened import Data, Model, breast_cancer, columns_of, run_check, subject

np = pytest.importorskip("numpy", reason="needs numpy (extra 'data')")
pd = pytest.importorskip("pandas", reason="needs pandas (extra 'data')")
pytest.importorskip("sklearn", reason="needs scikit-learn (extra 'sklearn')")

CHECK = "quality.inputs"
DIGITS = tuple("0123456789")


@pytest.fixture
def looked_at(digits, tmp_path):
    """Run the check on digits; `wrap` changes the model, `change` the images."""

    def run(wrap=lambda function: function, change=lambda images: images, **fields):
        images, labels, function = digits
        declared = {"shape": [1, 8, 8], **fields.pop("input", {})}
        model = Model(wrap(function), DIGITS, output=fields.pop("output", "logits"), format="onnx")
        opened = subject(model, Data(change(images), labels), input=declared, sample=500, **fields)
        return run_check(CHECK, opened, tmp_path)[:2]

    return run


def rules(result):
    return {finding.rule: finding for finding in result.findings}


def test_a_model_that_is_fed_as_declared_has_no_doubts(looked_at):
    result, predicate = looked_at()
    assert result.outcome.state == "passed"
    assert set(rules(result)) <= {"non-finite-output", "odd-input-answered"}
    (channel,) = predicate["ranges"]
    assert (channel["low"], channel["high"], channel["outside"], channel["constant"]) == (0.0, 1.0, 0, False)
    assert predicate["output_seen"] == "logits"
    assert {one["name"] for one in predicate["scalings"]} >= {"0 to 255", "-1 to 1", "inverted"}


def test_a_model_trained_on_0_to_255_is_found(looked_at):
    """It gets 0 to 1 and takes everything for dark."""
    result, _ = looked_at(lambda function: lambda batch: function(batch / 255) * [1 if batch.max() > 2 else -1])
    finding = rules(result)["normalisation-suspect"]
    assert finding.severity == "medium"
    assert "0 to 255" in finding.message


def test_the_wrong_declared_normalisation_is_found(looked_at):
    """The model normalises by itself, and Heliotrope is told to do it once more."""
    result, _ = looked_at(
        lambda function: lambda batch: function((batch - 2.0) / 0.05), normalisation={"mean": [2.0], "std": [0.05]}
    )
    assert "without the declared normalisation" in rules(result)["normalisation-suspect"].message


def test_data_in_a_corner_of_the_range_are_found(looked_at):
    result, _ = looked_at(input={"range": [0.0, 255.0]})
    assert rules(result)["input-range-unused"].severity == "low"


def test_data_beyond_the_range_are_found(looked_at):
    result, predicate = looked_at(change=lambda images: images * 2)
    assert "declared 0 to 1" in rules(result)["out-of-range-inputs"].message
    assert predicate["ranges"][0]["outside"] > 100


def test_a_channel_without_information_is_found(tmp_path):
    rng = np.random.default_rng(0)
    images = rng.random((60, 3, 4, 4), dtype=np.float32)
    images[:, 2] = 0.5
    model = Model(lambda x: np.stack([x[:, 0].mean((1, 2)), x[:, 1].mean((1, 2))], axis=1), ("a", "b"), output="logits")
    opened = subject(model, Data(images, np.zeros(60, np.int64)), input={"shape": [3, 4, 4]})
    result, predicate, _ = run_check(CHECK, opened, tmp_path)
    assert "channel 2: always 0.5" in rules(result)["constant-channel"].message
    assert "channels reversed" in {one["name"] for one in predicate["scalings"]}


def test_probabilities_declared_as_logits_and_the_other_way_round(looked_at):
    from scipy.special import softmax

    result, predicate = looked_at(lambda function: lambda batch: softmax(function(batch), axis=1))
    assert predicate["output_seen"] == "probabilities"
    assert rules(result)["output-not-as-declared"].severity == "low"
    result, _ = looked_at(output="probabilities")
    assert rules(result)["output-not-as-declared"].severity == "medium"


def test_scores_that_are_not_finite_are_worse_for_finite_inputs(looked_at):
    result, predicate = looked_at()
    behaviours = {one["name"]: one["behaviour"] for one in predicate["odd_inputs"]}
    assert behaviours == {
        "NaN": "not-finite",
        "infinite": "not-finite",
        "huge": "answered",
        "a value too many": "raised",
    }
    assert rules(result)["non-finite-output"].severity == "low"
    assert "huge" in rules(result)["odd-input-answered"].message
    result, _ = looked_at(lambda function: lambda batch: function(np.where(batch > 1e20, np.inf, batch)))
    assert rules(result)["non-finite-output"].severity == "medium"


def test_a_table_that_should_have_been_scaled_is_found(tmp_path):
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    frame, answers = breast_cancer()
    scaled = StandardScaler().fit_transform(frame)
    fitted = LogisticRegression().fit(scaled, answers)
    model = Model(lambda table: fitted.predict_proba(table.to_numpy(float)), ("malignant", "benign"))
    result, predicate, _ = run_check(CHECK, subject(model, Data(frame, answers, columns_of(frame))), tmp_path)
    assert "mean 0 and deviation 1" in rules(result)["normalisation-suspect"].message
    assert predicate["output_seen"] == "probabilities"


def test_a_table_beyond_its_declared_range_is_found(loans, pipeline, tmp_path):
    frame, answers = loans
    declared = {"columns": {"income": {"range": [0, 3000]}, "years": {"range": [0, 100]}}}
    model = Model(pipeline(strict=False).predict_proba, ("n", "y"))
    result, predicate, _ = run_check(
        CHECK, subject(model, Data(frame, answers, columns_of(frame)), input=declared), tmp_path
    )
    assert rules(result)["out-of-range-inputs"].message.startswith("income: ")
    assert "years" not in rules(result)["out-of-range-inputs"].message
    behaviours = {one["name"]: one["behaviour"] for one in predicate["odd_inputs"]}
    assert behaviours["text for a number"] == "raised"
    assert behaviours["a column too few"] == "raised"
    assert behaviours["huge"] == "answered"


def test_a_regression_returns_values(tmp_path):
    frame = pd.DataFrame({"x": np.arange(50.0)})
    model = Model(lambda table: table["x"], (), output="values")
    result, predicate, _ = run_check(CHECK, subject(model, Data(frame, np.arange(50.0), columns_of(frame))), tmp_path)
    assert (predicate["output_declared"], predicate["output_seen"]) == ("values", "values")
    assert set(rules(result)) <= {"odd-input-answered", "non-finite-output"}
