"""Models and data that do not behave: each a clear outcome of every attack and proof, never a crash and never a wrong number."""

import pytest
from tests.opened import Data, Model, columns_of, subject

from heliotrope.config.schema import HeliotropeConfig
from heliotrope.engine._guard import guarded
from heliotrope.engine.interface import Project
from heliotrope.engine.registry import checks
from heliotrope.subjects.checking import model_checks

torch = pytest.importorskip("torch", reason="needs torch (extra 'torch')")
np = pytest.importorskip("numpy", reason="needs numpy (extra 'torch')")
pd = pytest.importorskip("pandas", reason="needs pandas (extra 'data')")
pytestmark = pytest.mark.torch

S = "s = self.layer(x) * 20; "

NETWORKS = {
    "nan": ("return self.layer(x) * float('nan')", "NaN"),
    "too many dimensions": (S + "return s[:, :, None]", "of shape"),
    "segmentation": (S + "return s[:, :, None, None].expand(-1, -1, 4, 4)", "of shape"),
    "one column": (S + "return s[:, :1]", "of shape"),
    "too few rows": (S + "return s[:-1]", "of shape"),
    "whole numbers": (S + "return s.argmax(1)", "expected float"),
    "tuple": (S + "return s, s", "tuple"),
    "dictionary": (S + "return {'logits': s}", "dict"),
    "none": (S + "return None", "NoneType"),
    "raises": ("raise RuntimeError('out of luck')", "out of luck"),
    "raises on some": ("assert x.amax() < 0.95, 'too bright'; return self.layer(x) * 20", "too bright"),
}


def guarded_run(assess, check, forward, **fields):
    """Outcome as a worker would report it, for what the check raises as well."""
    kept = {}

    def call(_task, _context):
        kept["result"], kept["predicate"], _ = assess(forward, check=check, **fields)
        return kept["result"]

    result = guarded(call, None, None)
    return result, kept.get("predicate")


@pytest.mark.parametrize("check", ["evasion.pgd", "evasion.ensemble"])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_that_does_not_answer_as_agreed_is_inconclusive_with_the_reason(assess, check, name):
    forward, reason = NETWORKS[name]
    labels = np.arange(60) % 3
    result, _ = guarded_run(assess, check, forward, labels=labels)
    assert result.outcome.state == "inconclusive", result.outcome
    assert reason in result.outcome.reason
    assert not result.measurements


@pytest.mark.parametrize("check", ["evasion.pgd", "evasion.ensemble"])
def test_a_network_that_changes_its_input_in_place_gets_the_number_of_one_that_does_not(assess, check):
    _, honest, _ = assess(check=check)
    _, known, _ = assess("y = x * 1.0; x.zero_(); return self.layer(y) * 20", check=check)
    assert known["robust_accuracy"] == honest["robust_accuracy"]
    assert known["clean_accuracy"] == honest["clean_accuracy"]


@pytest.mark.parametrize("check", ["evasion.pgd", "evasion.ensemble"])
def test_half_precision_is_attacked_as_it_is_served(assess, check):
    result, known, _ = assess(init="self.half()", check=check)
    assert known["clean_accuracy"] > 0.9
    assert result.outcome.state == "passed"


def uneven(table):
    score = np.stack([table["a"].to_numpy(float), -table["a"].to_numpy(float)], axis=1)
    return score if len(table) > 1 else -score


def _raising(table):
    if (table["a"] > 1.5).any():
        raise ValueError("a is too large")
    return uneven(table)


FUNCTIONS = {
    "nan": (lambda table: np.full((len(table), 2), np.nan), "not finite"),
    "raises on some": (_raising, "too large"),
}


def table_subject(function, n=60, answers=None, **fields):
    frame = pd.DataFrame({"a": np.random.default_rng(1).normal(size=n), "text": ["a good film"] * n})
    answers = (frame["a"] < 0).astype(int).to_numpy() if answers is None else answers
    model = Model(function, ("x", "y"), output="logits")
    threat = {"eps": 0.2, "steps": 20, "restarts": 1}
    return subject(model, Data(frame, answers, columns_of(frame)), **{"threat": threat, "sample": "all", **fields})


def run_opened(check, opened, tmp_path):
    from tests.opened import Context

    checks()
    found = next(item for item in model_checks() if item.id == check)
    return guarded(lambda _task, context: found.function(opened, context), None, Context(tmp_path))


BY_ASKING = pytest.mark.parametrize("check", ["evasion.search", "evasion.text"])


@BY_ASKING
@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_that_does_not_answer_as_agreed_is_inconclusive_with_the_reason(check, name, tmp_path):
    function, reason = FUNCTIONS[name]
    result = run_opened(check, table_subject(function), tmp_path)
    assert result.outcome.state == "inconclusive", result.outcome
    assert reason in result.outcome.reason


def test_answers_that_differ_by_batch_size_withhold_the_number_of_the_search(tmp_path):
    result = run_opened("evasion.search", table_subject(uneven), tmp_path)
    assert result.outcome.state == "inconclusive", result.outcome
    assert next(one for one in result.measurements if one.metric == "robust_accuracy").value is None


@BY_ASKING
def test_a_handful_of_samples_is_no_number(check, tmp_path):
    always = lambda table: np.stack([table["a"], -table["a"]], axis=1).astype(float)  # noqa: E731
    result = run_opened(check, table_subject(always, n=6), tmp_path)
    assert result.outcome.state == "inconclusive", result.outcome
    assert "enough samples" in result.outcome.reason


@BY_ASKING
def test_one_class_alone_is_doubtful(check, tmp_path):
    always = lambda table: np.tile([1.0, 0.0], (len(table), 1))  # noqa: E731
    result = run_opened(check, table_subject(always, answers=np.zeros(60, int)), tmp_path)
    assert result.outcome.state == "inconclusive" or "doubtful" in result.outcome.reason


@pytest.mark.parametrize("task", ["multi-label-classification", "image-segmentation"])
def test_tasks_with_other_answers_are_not_applicable_to_any_dynamic_check(task, tmp_path):
    entry = {
        "name": "m",
        "loader": "net:build",
        "task": task,
        "input": {"shape": [1, 4, 4]},
        "output": "logits",
        "data": {"evaluate": {"path": "test.npz"}},
        "smoothing": {"sigma": 0.1},
    }
    document = {"version": 1, "project": "p", "models": [entry], "threat": {"eps": 0.1}}
    config = HeliotropeConfig.model_validate(document)
    project = Project("p", tmp_path, (tmp_path,), config, tmp_path / "heliotrope.yaml", "standard")
    named = [one for one in checks() if one.id.split(".")[0] in ("evasion", "certificate", "quality")]
    planned = [(one.id, plan) for one in named for plan in one.plan(project)]
    assert {name for name, _ in planned} >= {"evasion.pgd", "evasion.ensemble", "quality.performance"}
    for name, plan in planned:
        assert plan.outcome is not None, name
        assert plan.outcome.state == "not_applicable", name
