"""Models on tables, end to end: XGBoost on csv, classification and regression, without consent because nothing is run."""

import json

import pytest

pd = pytest.importorskip("pandas", reason="needs the data extra")
xgboost = pytest.importorskip("xgboost", reason="needs the xgboost extra")
pytest.importorskip("sklearn", reason="needs the sklearn extra")
pytestmark = pytest.mark.slow

CONFIG = """
version: 1
project: cancer
sample: 60
models:
  - name: trees
    path: model.ubj
    task: {task}
    data:
      evaluate: {{path: test.csv, target: target}}
threat: {{eps: 0.3, steps: 10, restarts: 2}}
checks: {{time_limit: 120}}
gates:
  floors: {{clean_accuracy: 0.8, robust_accuracy: 0.05, r2: 0.1}}
"""


@pytest.fixture
def project(tmp_path):
    from sklearn.datasets import load_breast_cancer

    def make(task: str):
        folder = tmp_path / task
        folder.mkdir()
        data = load_breast_cancer(as_frame=True)
        frame, target = data.data.iloc[:, :8], data.target
        frame.columns = [name.replace(" ", "_") for name in frame.columns]
        if task == "tabular-regression":
            frame, target = frame.drop(columns="mean_area"), frame["mean_area"]
            model = xgboost.XGBRegressor(n_estimators=20, max_depth=3)
        else:
            model = xgboost.XGBClassifier(n_estimators=20, max_depth=3)
        model.fit(frame[:400], target[:400])
        model.get_booster().save_model(folder / "model.ubj")
        frame[400:].assign(target=target[400:]).to_csv(folder / "test.csv", index=False)
        (folder / "heliotrope.yaml").write_text(CONFIG.format(task=task))
        return folder

    return make


def outcomes(document):
    return {run["check"]: run["outcome"] for run in document["runs"]}


def states(document):
    return {rule["rule"]: rule["state"] for rule in document["decision"]["rules"]}


def test_a_classifier_on_a_table(helio, project, reports):
    folder = project("tabular-classification")
    document = helio("assess", folder, "--format", "json").json()
    runs = outcomes(document)
    for check in ("performance", "corruptions", "missing_values", "inputs", "determinism", "cost"):
        assert runs[f"quality.{check}"] == "passed", check
    assert runs["evasion.search"] == "passed"
    rules = states(document)
    assert rules["clean-accuracy"] == rules["attack-sound"] == rules["robust-accuracy"] == "pass"
    measured = {item["metric"] for item in document["measurements"]}
    assert {
        "clean_accuracy",
        "robust_accuracy",
        "corruption_accuracy_worst",
        "unstable_answers",
        "model_size",
    } <= measured
    assert "Plain faults of the inputs" in reports(folder / ".heliotrope")["report.html"]


def test_two_fresh_runs_differ_only_in_ids_and_times(helio, project):
    """The evidence of quality.cost is made of times; all other evidence is equal to the byte."""
    folder = project("tabular-classification")

    def bare(document):
        timed = {item for run in document["runs"] if run["check"] == "quality.cost" for item in run["evidence"]}
        evidence = sorted(item["id"] for item in document["evidence"] if item["id"] not in timed)
        measured = [item for item in document["measurements"] if item["unit"] != "ms"]
        return json.dumps([evidence, measured, document["findings"]], sort_keys=True)

    first, second = (helio("assess", folder, "--fresh", "--format", "json").json() for _ in range(2))
    assert bare(first) == bare(second)


def test_the_quick_suite_leaves_out_the_longer_checks_and_still_concludes(helio, project):
    folder = project("tabular-classification")
    document = helio("assess", folder, "--suite", "quick", "--skip", "scan.*", "--format", "json").json()
    runs = outcomes(document)
    assert runs["quality.performance"] == runs["quality.determinism"] == runs["evasion.search"] == "passed"
    assert runs["quality.corruptions"] == runs["quality.cost"] == "skipped"
    held = next(rule for rule in document["decision"]["rules"] if rule["rule"] == "checks-concluded")
    assert "quality" not in held["reason"]  # what is deselected stands in the way, what a larger suite has does not


def test_a_regression_is_judged_by_its_own_metric_and_not_attacked(helio, project):
    document = helio("assess", project("tabular-regression"), "--format", "json").json()
    assert outcomes(document)["evasion.search"] == "not_applicable"
    rules = states(document)
    assert rules["attack-sound"] == rules["robust-accuracy"] == "not_applicable"
    held = next(rule for rule in document["decision"]["rules"] if rule["rule"] == "clean-accuracy")
    assert (held["state"], held["metric"]) == ("pass", "r2")
    measured = {item["metric"]: item for item in document["measurements"]}
    assert measured["r2"]["value"] > 0.8
    assert measured["mean_absolute_error"]["unit"] == "target units"
