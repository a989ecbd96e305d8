"""What misled one version of a model is put to the next, and a bar that was reached stays."""

import shutil

import pytest
from tests.projects import linear_project, table_project

pytestmark = [pytest.mark.slow]

ONLY = ("--only", "evasion.*", "--only", "regression.*", "--suite", "quick", "--format", "json")


def case_run(said) -> dict:
    (run,) = [one for one in said.json()["runs"] if one["check"] == "regression.counterexamples"]
    return run


def predicate(said) -> dict:
    run = case_run(said)
    (found,) = [one for one in said.json()["evidence"] if one["id"] in run["evidence"]]
    return found["predicate"]


@pytest.mark.torch
def test_versions_are_held_against_what_misled_others_and_never_fall_back(helio, tmp_path):
    torch = pytest.importorskip("torch", reason="needs the torch extra")
    from safetensors.torch import load_file, save_file

    project = linear_project(tmp_path / "tiny")
    config = project / "heliotrope.yaml"
    config.write_text(config.read_text().replace("eps: 0.05", "eps: 0.2"))
    weights = project / "weights.safetensors"

    def assess():
        return helio("assess", project, "--allow-code", *ONLY)

    first = assess()
    assert case_run(first)["outcome"] == "not_applicable"
    assert "knows no input" in case_run(first)["reason"]
    assert "this very version" in case_run(assess())["reason"]

    shutil.copy(weights, tmp_path / "first")
    state = load_file(weights)
    state["1.bias"][:] = torch.tensor([0.3, 0.0, 0.0])
    save_file(state, weights)
    second = assess()
    assert case_run(second)["outcome"] == "passed"
    found = predicate(second)
    assert 0 < found["survived"] < found["n"]
    assert len(found["held"]) == found["survived"]
    measured = {one["metric"]: one for one in second.json()["measurements"]}
    assert measured["counterexample_accuracy"]["value"] == found["accuracy"]

    shutil.copy(tmp_path / "first", weights)
    back = assess()
    assert case_run(back)["outcome"] == "failed"
    assert len(predicate(back)["regressed"]) == found["survived"]
    assert [one["rule"] for one in back.json()["findings"] if one["rule"] == "counterexample-regressed"]
    assert set(predicate(back)["held"]) >= set(found["held"])


@pytest.mark.torch
def test_a_stored_file_that_was_changed_is_written_anew_and_never_asked_about(helio, tmp_path):
    pytest.importorskip("torch", reason="needs the torch extra")
    from safetensors.torch import load_file, save_file

    project = linear_project(tmp_path / "tiny")
    config = project / "heliotrope.yaml"
    config.write_text(config.read_text().replace("eps: 0.05", "eps: 0.2"))
    weights = project / "weights.safetensors"
    helio("assess", project, "--allow-code", *ONLY)
    state = load_file(weights)
    state["1.bias"][0] = 0.1
    save_file(state, weights)
    before = predicate(helio("assess", project, "--allow-code", *ONLY))
    for file in (project / ".heliotrope" / "cases").iterdir():
        file.write_bytes(b"\x80\x04N.")
    again = helio("assess", project, "--allow-code", "--fresh", *ONLY)
    assert case_run(again)["outcome"] == "passed"
    assert predicate(again)["n"] >= before["n"]


def test_tables_keep_theirs(helio, tmp_path):
    pytest.importorskip("xgboost", reason="needs xgboost")
    pytest.importorskip("pyarrow", reason="needs pyarrow")
    import pandas as pd
    import xgboost

    project = table_project(tmp_path / "loans")
    config = project / "heliotrope.yaml"
    config.write_text(config.read_text() + "threat: {eps: 0.5, steps: 40, restarts: 1}\nsample: 60\n")
    assert case_run(helio("assess", project, *ONLY))["outcome"] == "not_applicable"
    frame = pd.read_parquet(project / "train.parquet")
    inputs = frame.drop(columns="paid").astype({"town": "category"})
    matrix = xgboost.DMatrix(inputs, (frame["paid"] == "yes").astype(int), enable_categorical=True)
    trees = xgboost.train({"objective": "binary:logistic", "max_depth": 2, "nthread": 1}, matrix, num_boost_round=8)
    trees.save_model(project / "model.ubj")
    said = helio("assess", project, *ONLY)
    assert case_run(said)["outcome"] == "passed"
    assert predicate(said)["attacks"] == {"search": predicate(said)["n"]}
    assert predicate(said)["n"] > 5
