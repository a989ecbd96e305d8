import itertools
import sys

import pytest

from heliotrope.config.schema import HeliotropeConfig
from heliotrope.core.errors import InputError
from heliotrope.engine.files import digest_inputs
from heliotrope.engine.interface import Limits, Project, Task
from heliotrope.engine.registry import find_check

torch = pytest.importorskip("torch", reason="needs torch (extra 'torch')")
np = pytest.importorskip("numpy", reason="needs numpy (extra 'torch')")

pytestmark = pytest.mark.torch
_numbers = itertools.count()

NETWORK = """
import torch
class Net(torch.nn.Module):
    def forward(self, x):
        return torch.nn.functional.one_hot((x.flatten(1)[:, 0] * 4).round().long(), 4).float()
def build():
    return Net()
"""


class Context:
    limits = Limits()

    def __init__(self, workdir):
        self.workdir, self.said = workdir, []

    def progress(self, done, total, text=""):
        self.said.append((done, total))


@pytest.fixture
def measure(tmp_path, monkeypatch):
    """Run the check on a model that reads the label from the first pixel; `wrong` rows are labelled otherwise."""
    monkeypatch.setattr(sys, "path", list(sys.path))

    def run(truth, wrong=(), **model):
        name = f"quality_network_{next(_numbers)}"
        (tmp_path / f"{name}.py").write_text(NETWORK)
        labels = np.asarray(truth)
        images = np.repeat(labels / 4, 4).astype(np.float32).reshape(-1, 1, 2, 2)
        images[list(wrong)] = ((labels[list(wrong)] + 1) % 4 / 4)[:, None, None, None]
        np.savez(tmp_path / "test.npz", images=images, labels=labels)
        entry = {
            "name": "m",
            "loader": f"{name}:build",
            "input": {"shape": [1, 2, 2]},
            "output": "logits",
            "data": {"evaluate": {"path": "test.npz"}},
        }
        config = HeliotropeConfig.model_validate({"version": 1, "project": "p", "models": [entry | model]})
        project = Project("p", tmp_path, (tmp_path,), config, None, "standard")
        check = find_check("quality.performance")
        (planned,) = check.plan(project)
        task = Task(
            check=check.id,
            subject=planned.subject,
            root=str(tmp_path),
            parameters=planned.parameters.document(),
            inputs=digest_inputs(planned.inputs),
            seed=0,
        )
        context = Context(tmp_path)
        result = check.function(task, context)
        assert context.said[-1] == (len(labels), len(labels))
        return result

    yield run
    for added in [name for name in sys.modules if name.startswith("quality_network_")]:
        del sys.modules[added]


def test_accuracy_is_counted_by_class(measure):
    result = measure(np.arange(400) % 4, wrong=range(0, 80, 4), labels=("a", "b", "c", "d"))
    assert result.outcome.state == "passed"
    predicate = result.evidence[0].predicate
    assert (predicate["n"], predicate["correct"], predicate["accuracy"]) == (400, 380, 0.95)
    assert [(entry["name"], entry["n"], entry["correct"]) for entry in predicate["classes"]] == [
        ("a", 100, 80),
        ("b", 100, 100),
        ("c", 100, 100),
        ("d", 100, 100),
    ]
    (measurement,) = result.measurements
    assert (measurement.metric, measurement.value, measurement.n) == ("clean_accuracy", 0.95, 400)
    assert measurement.interval.low < 0.95 < measurement.interval.high
    assert result.findings == ()


@pytest.mark.parametrize(
    ("declared", "state"), [(0.95, "passed"), (0.96, "passed"), (0.99, "failed"), (0.85, "failed")]
)
def test_a_claim_outside_the_interval_fails(measure, declared, state):
    result = measure(np.arange(400) % 4, wrong=range(20), declared={"clean_accuracy": declared})
    assert result.outcome.state == state
    rules = [finding.rule for finding in result.findings]
    assert rules == (["accuracy-not-as-declared"] if state == "failed" else [])
    if state == "failed":
        assert f"{100 * declared:.2f} %" in result.outcome.reason


def test_a_class_that_collapses_is_found(measure):
    result = measure(np.arange(400) % 4, wrong=range(0, 280, 4), labels=("a\x1b[2J", "b", "c", "d"))
    (finding,) = result.findings
    assert (finding.rule, finding.severity) == ("class-accuracy-collapse", "low")
    assert "30 of 100" in finding.message
    assert "\x1b" not in finding.message
    assert result.outcome.state == "passed"


def test_few_samples_of_a_class_say_too_little(measure):
    labels = np.array([0] * 20 + [1] * 100)
    assert measure(labels, wrong=range(20)).findings == ()


def test_labels_beyond_the_outputs_are_an_input_error(measure):
    with pytest.raises(InputError, match="the model has 4 outputs"):
        measure(np.array([0, 1, 7]), wrong=[2])


def regression(answers, predicted, tmp_path, **fields):
    """The check on a table whose only column is the prediction."""
    import pandas as pd
    from tests.opened import Data, Model, columns_of, run_check, subject

    frame = pd.DataFrame({"x": np.asarray(predicted, dtype=float)})
    model = Model(lambda table: table["x"], (), output="values")
    opened = subject(model, Data(frame, np.asarray(answers, dtype=float), columns_of(frame)), **fields)
    return run_check("quality.performance", opened, tmp_path)


def test_a_regression_has_error_and_r2_with_intervals(tmp_path):
    from sklearn.metrics import mean_absolute_error, r2_score

    rng = np.random.default_rng(0)
    answers = rng.normal(1e6, 50.0, 2000)  # far from zero: digits must not be lost
    predicted = answers + rng.normal(0, 10.0, 2000)
    result, predicate, context = regression(answers, predicted, tmp_path)
    assert result.outcome.state == "passed"
    r2, error = result.measurements
    assert (r2.metric, error.metric) == ("r2", "mean_absolute_error")
    assert r2.value == pytest.approx(r2_score(answers, predicted), abs=1e-9)
    assert error.value == pytest.approx(mean_absolute_error(answers, predicted))
    assert (r2.direction, error.direction) == ("higher", "lower")
    assert error.interval.method == "student-t"
    assert r2.interval.low < r2.value < r2.interval.high <= 1
    assert predicate["regression"]["target_deviation"] == pytest.approx(answers.std())
    assert predicate["accuracy"] is None
    assert context.said[-1][:2] == (2000, 2000)


def test_the_intervals_of_a_regression_hold_what_they_promise(tmp_path):
    from heliotrope.subjects.statistics import ErrorMoments

    rng = np.random.default_rng(1)
    true_r2, true_error = 1 - 1 / 5, np.sqrt(2 / np.pi)  # target 2 N + N, known up to the last N
    covered = np.zeros(2)
    for _ in range(400):
        known = 2 * rng.normal(size=300)
        moments = ErrorMoments()
        for part in (slice(0, 100), slice(100, 300)):
            moments.add((known + rng.normal(size=300))[part], known[part])
        r2, error = moments.r2_interval(), moments.mean_absolute_error_interval()
        covered += [r2.low <= true_r2 <= r2.high, error.low <= true_error <= error.high]
    assert covered.min() >= 0.92 * 400


def test_a_regression_whose_target_does_not_vary_has_no_r2(tmp_path):
    result, predicate, _ = regression([3.0] * 20, [4.0] * 20, tmp_path)
    r2, error = result.measurements
    assert r2.value is None
    assert "one value" in r2.undefined_reason
    assert error.value == 1.0
    assert predicate["regression"]["r2"] is None


def test_a_single_sample_has_no_interval(tmp_path):
    result, _, _ = regression([3.0], [4.0], tmp_path)
    assert [item.interval for item in result.measurements] == [None, None]


def test_text_is_classified_like_any_table(tmp_path):
    import pandas as pd
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from tests.opened import Data, Model, columns_of, run_check, subject

    frame = pd.DataFrame({"text": ["a fine film", "a dull film", "fine music", "dull music"] * 20})
    labels = np.array([1, 0, 1, 0] * 20)
    fitted = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(frame["text"], labels)
    model = Model(lambda table: fitted.predict_proba(table["text"]), ("dull", "fine"))
    opened = subject(model, Data(frame, labels, columns_of(frame)), task="text-classification")
    result, predicate, _ = run_check("quality.performance", opened, tmp_path)
    assert result.measurements[0].value == 1.0
    assert [entry["n"] for entry in predicate["classes"]] == [40, 40]
