import sys

from heliotrope.config.schema import HeliotropeConfig
from heliotrope.engine.interface import Project
from heliotrope.subjects.planning import module_file, plan_models

ALL = ("loader", "input", "output", "data.evaluate", "threat")
FULL = {
    "name": "m",
    "path": "w.safetensors",
    "loader": "network:build",
    "input": {"shape": [1, 4, 4]},
    "output": "logits",
    "data": {"evaluate": {"path": "test.npz"}},
}


def project(root, models, suite="standard", **fields):
    config = HeliotropeConfig.model_validate({"version": 1, "project": "p", "models": models, **fields})
    return Project("p", root, (root,), config, root / "heliotrope.yaml", suite)


def plan(root, models, needs=ALL, **fields):
    return list(plan_models(project(root, models, **fields), needs=needs))


def test_a_full_model_lacks_nothing(tmp_path):
    (tmp_path / "network.py").write_text("")
    (planned,) = plan(tmp_path, [FULL], threat={"eps": 0.1}, sample=7)
    assert planned.missing == ()
    assert planned.subject.urn == "urn:heliotrope:p:model:m"
    assert planned.inputs == {
        name: tmp_path / path
        for name, path in (("weights", "w.safetensors"), ("loader", "network.py"), ("data", "test.npz"))
    }
    parameters = planned.parameters
    assert (parameters.threat.eps, parameters.sample, parameters.suite) == (0.1, 7, "standard")


def test_missing_keys_are_named_with_their_place(tmp_path):
    planned = plan(tmp_path, [FULL, {"name": "bare", "path": "b.safetensors"}])
    assert planned[0].missing == ("models[0].threat",)
    assert planned[1].missing == tuple(f"models[1].{key}" for key in ALL)


def test_a_models_own_threat_wins(tmp_path):
    (planned,) = plan(tmp_path, [{**FULL, "threat": {"eps": 0.3}}], threat={"eps": 0.1})
    assert planned.parameters.threat.eps == 0.3


def test_what_a_check_does_not_use_does_not_change_its_parameters(tmp_path):
    needs = ("loader", "input", "output", "data.evaluate")
    one = plan(tmp_path, [{**FULL, "threat": {"eps": 0.3}}], needs, sample=5)
    other = plan(tmp_path, [FULL], needs, suite="deep")
    assert one[0].parameters == other[0].parameters
    assert one[0].missing == ()


def test_an_earlier_version_and_earlier_data_belong_to_those_who_compare(tmp_path):
    (tmp_path / "network.py").write_text("")
    data = {**FULL["data"], "reference": {"path": "spring.npz"}}
    new = {**FULL, "previous": "old", "data": data}
    old = {**FULL, "name": "old", "path": "o.safetensors"}
    usual = ("loader", "input", "output", "data.evaluate")
    plain, _ = plan(tmp_path, [new, old], usual)
    assert plain.parameters == plan(tmp_path, [FULL], usual)[0].parameters
    assert set(plain.inputs) == {"weights", "loader", "data"}
    both, other = plan(tmp_path, [new, old], (*usual, "reference"))
    assert both.missing == ()
    assert both.parameters.model.previous == both.parameters.previous.name == "old"
    assert both.inputs["previous/weights"] == tmp_path / "o.safetensors"
    assert both.inputs["reference/data"] == tmp_path / "spring.npz"
    assert (other.parameters.previous, other.parameters.model.data.reference) == (None, None)


def test_versions_of_different_formats_are_not_planned(tmp_path):
    models = [{**FULL, "previous": "old"}, {"name": "old", "path": "old.onnx"}]
    (planned,) = plan(tmp_path, models, ("data.evaluate", "reference"))
    assert planned.outcome.state == "inconclusive"
    assert "different formats" in planned.outcome.reason


def test_an_endpoint_s_token_of_either_version_reaches_the_worker(tmp_path):
    def endpoint(name, token, **fields):
        address = {"url": "http://127.0.0.1:1/x", "protocol": "json", "token_env": token}
        return {"name": name, "endpoint": address, **fields}

    models = [endpoint("new", "NEW", previous="old"), endpoint("old", "OLD")]
    config = project(tmp_path, models)
    planned, _ = plan_models(config, needs=("data.evaluate", "reference"), formats=None)
    assert planned.environment == ("NEW", "OLD")
    alone, _ = plan_models(config, needs=("data.evaluate",), formats=None)
    assert alone.environment == ("NEW",)


def test_other_formats_and_unconfigured_projects_are_left_alone(tmp_path):
    assert plan(tmp_path, [{"name": "m", "path": "model.onnx"}]) == []
    assert len(plan(tmp_path, [{"name": "m", "path": "model", "format": "torch"}])) == 1
    bare = Project("p", tmp_path, (tmp_path,), None, None, "standard")
    assert list(plan_models(bare, needs=ALL)) == []


def test_pairs_of_files_are_inputs(tmp_path):
    source = {"data": {"evaluate": {"images": "i.npy", "labels": "l.npy"}}}
    (planned,) = plan(tmp_path, [{**FULL, **source}])
    assert {"images", "labels"} <= set(planned.inputs)


def test_planning_finds_the_loader_and_does_not_run_it(tmp_path):
    (tmp_path / "network.py").write_text("raise SystemExit('imported')\n")
    (planned,) = plan(tmp_path, [FULL])
    assert planned.inputs["loader"] == tmp_path / "network.py"
    assert "network" not in sys.modules


def test_module_files_are_found_without_importing(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.py").write_text("raise SystemExit")
    assert module_file(tmp_path, "a.b") == tmp_path / "a" / "b.py"
    assert module_file(tmp_path, "a.c") is None
