"""Features that are missing: what each costs, and a model that raises when one is."""

import pytest
from tests.opened import Data, Model, columns_of, run_check, subject

from heliotrope.config.schema import HeliotropeConfig
from heliotrope.engine.interface import Project
from heliotrope.engine.registry import find_check

np = pytest.importorskip("numpy", reason="needs numpy (extra 'data')")
pd = pytest.importorskip("pandas", reason="needs pandas (extra 'data')")
pytest.importorskip("sklearn", reason="needs scikit-learn (extra 'sklearn')")

CHECK = "quality.missing_values"


def test_each_feature_is_taken_away_and_the_dearest_comes_first(loans, pipeline, tmp_path):
    frame, answers = loans
    before = frame.copy()
    opened = subject(
        Model(pipeline(strict=False).predict_proba, ("no", "yes")), Data(frame, answers, columns_of(frame))
    )
    result, predicate, _ = run_check(CHECK, opened, tmp_path)
    pd.testing.assert_frame_equal(frame, before)
    assert {one["fault"] for one in predicate["features"]} == set(frame.columns)
    values = [one["goodness"]["value"] for one in predicate["features"]]
    assert values == sorted(values)
    assert values[0] < predicate["clean"]["value"]
    assert [one["severity"] for one in predicate["random"]] == ["5% of all cells", "20% of all cells"]
    assert [item.metric for item in result.measurements] == [
        "missing_values_accuracy_5_percent",
        "missing_values_accuracy_20_percent",
    ]
    assert all(item.interval.low < item.value < item.interval.high for item in result.measurements)
    assert "missing-value-raises" not in {finding.rule for finding in result.findings}


def test_raising_is_worse_for_what_valid_inputs_may_lack(loans, pipeline, tmp_path):
    frame, answers = loans
    whole = frame.notna().all(axis=1)
    frame, answers = frame[whole].reset_index(drop=True), answers[whole]
    columns = columns_of(frame, income={"missing": True})
    opened = subject(Model(pipeline(strict=True).predict_proba, ("no", "yes")), Data(frame, answers, columns))
    result, predicate, _ = run_check(CHECK, opened, tmp_path)
    assert result.outcome.state == "passed"
    raised = [finding for finding in result.findings if finding.rule == "missing-value-raises"]
    assert [finding.severity for finding in raised] == ["medium", "low"]
    assert "income" in raised[0].message
    assert "years" in raised[1].message
    assert "NaN" in raised[0].message
    assert result.measurements[0].value is None
    assert "raises" in result.measurements[0].undefined_reason
    assert predicate["features"][0]["raised"]


def test_a_model_that_rests_on_one_feature_is_found(tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"leak": rng.integers(0, 2, 300), "other": rng.normal(0, 1, 300)})
    answers = frame["leak"].to_numpy()

    def leak(table):
        yes = (table["leak"].to_numpy(float) > 0.5).astype(float)
        return np.stack([1 - yes, yes], axis=1)

    result, _, _ = run_check(CHECK, subject(Model(leak, ("n", "y")), Data(frame, answers, columns_of(frame))), tmp_path)
    (finding,) = result.findings
    assert finding.rule == "missing-value-collapse"
    assert "without leak the accuracy goes from 100.00 %" in finding.message


def test_a_regression_is_measured_by_its_error(tmp_path):
    frame = pd.DataFrame({"x": np.arange(100.0), "y": np.ones(100)})
    model = Model(lambda table: table["x"].fillna(0.0), (), output="values")
    result, predicate, _ = run_check(CHECK, subject(model, Data(frame, np.arange(100.0), columns_of(frame))), tmp_path)
    assert predicate["features"][0]["fault"] == "x"
    assert predicate["features"][0]["goodness"]["value"] == pytest.approx(49.5)
    assert result.measurements[0].metric == "missing_values_mean_absolute_error_5_percent"
    assert [finding.rule for finding in result.findings] == ["missing-value-collapse"]


@pytest.mark.parametrize(
    ("data", "outcome"), [({"path": "test.npz"}, "not_applicable"), ({"path": "test.csv", "target": "y"}, None)]
)
def test_only_tables_have_missing_values(tmp_path, data, outcome):
    entry = {"name": "m", "path": "m.onnx", "task": "tabular-classification", "output": "logits",
             "input": {"shape": [4]}, "data": {"evaluate": data}}  # fmt: skip
    config = HeliotropeConfig.model_validate({"version": 1, "project": "p", "models": [entry]})
    (planned,) = find_check(CHECK).plan(Project("p", tmp_path, (tmp_path,), config, None, "standard"))
    assert planned.missing == ()
    assert (planned.outcome and planned.outcome.state) == outcome
    if outcome:
        assert "test.npz" in planned.outcome.facts[0]
