"""Equal questions, equal answers: again, in reverse, in small batches, one by one."""

import pytest
from tests.opened import Data, Model, columns_of, run_check, subject

np = pytest.importorskip("numpy", reason="needs numpy (extra 'data')")
pd = pytest.importorskip("pandas", reason="needs pandas (extra 'data')")
pytest.importorskip("sklearn", reason="needs scikit-learn (extra 'sklearn')")

CHECK = "quality.determinism"


@pytest.fixture
def asked(tmp_path):
    def run(function, n=100, output="probabilities", **fields):
        frame = pd.DataFrame({"x": np.linspace(-1, 1, n)})
        names = () if output == "values" else ("a", "b")
        opened = subject(
            Model(function, names, output=output), Data(frame, np.zeros(n, int), columns_of(frame)), **fields
        )
        return run_check(CHECK, opened, tmp_path)[:2]

    return run


def two(yes):
    return np.stack([1 - yes, yes], axis=1)


def test_a_steady_model_is_steady(loans, pipeline, tmp_path):
    frame, answers = loans
    opened = subject(Model(pipeline(strict=False).predict_proba, ("n", "y")), Data(frame, answers, columns_of(frame)))
    result, predicate, _ = run_check(CHECK, opened, tmp_path)
    assert result.findings == ()
    assert [one["name"] for one in predicate["repetitions"]] == ["again", "reversed", "smaller batches", "one by one"]
    assert [one["rows"] for one in predicate["repetitions"]] == [256, 256, 256, 16]
    assert all(one["changed"] == 0 for one in predicate["repetitions"])
    assert (result.measurements[0].metric, result.measurements[0].value) == ("unstable_answers", 0.0)


def test_rounding_of_sums_is_no_difference(asked):
    calls = []

    def rounding(table):
        calls.append(1)
        return two(0.5 + 0.3 * table["x"].to_numpy() + 1e-7 * (len(calls) % 2))

    assert asked(rounding)[0].findings == ()


def test_a_random_model_is_found(asked):
    rng = np.random.default_rng(0)
    result, predicate = asked(lambda table: two(rng.random(len(table))))
    (finding,) = result.findings
    assert (finding.rule, finding.severity) == ("nondeterministic-answers", "medium")
    assert predicate["repetitions"][0]["changed"] > 20
    assert result.measurements[0].value > 0.2
    assert result.outcome.state == "passed"


def test_scaling_over_the_batch_is_found_as_such(asked):
    result, predicate = asked(lambda table: two((table["x"].to_numpy() > table["x"].mean()).astype(float)))
    (finding,) = result.findings
    assert (finding.rule, finding.severity) == ("batch-dependent-answers", "medium")
    assert "smaller batches" in finding.message
    assert predicate["repetitions"][0]["difference"] == 0


def test_a_regression_changes_when_its_answer_moves(asked):
    rng = np.random.default_rng(0)
    result, predicate = asked(lambda table: table["x"] + 0.1 * rng.random(len(table)), output="values")
    assert [finding.rule for finding in result.findings] == ["nondeterministic-answers"]
    assert predicate["repetitions"][0]["changed"] > 90


def test_a_single_row_is_enough(asked):
    result, predicate = asked(lambda table: two(np.full(len(table), 0.25)), n=1)
    assert [one["rows"] for one in predicate["repetitions"]] == [1, 1, 1, 1]
    assert result.findings == ()


def test_an_endpoint_is_asked_with_few_requests(tmp_path):
    frame = pd.DataFrame({"x": np.linspace(-1, 1, 3000)})
    model = Model(lambda table: two(np.full(len(table), 0.25)), ("a", "b"))
    endpoint = {"url": "http://127.0.0.1:1/", "protocol": "json", "batch": 64}
    fields = {"endpoint": endpoint, "path": None, "format": "endpoint"}
    opened = subject(model, Data(frame, np.zeros(3000, int), columns_of(frame)), **fields)
    run_check(CHECK, opened, tmp_path)
    assert model.calls <= 30
