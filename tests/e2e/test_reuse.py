"""Reuse of evidence, baseline, difference to the last run, suites, and who may overrule whom."""

import json
from pathlib import Path

import pytest
from tests.projects import linear_project, write_images

pytest.importorskip("torch", reason="needs the torch extra")
pytestmark = [pytest.mark.torch, pytest.mark.slow]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return linear_project(tmp_path / "tiny")


def reused(said) -> dict[str, bool]:
    return {run["check"]: run["reused_from"] is not None for run in said.json()["runs"]}


def assess(helio, project, *more):
    suite = () if "--suite" in more else ("--suite", "quick")
    return helio("assess", project, "--allow-code", "--format", "json", *suite, *more)


def test_what_has_not_changed_is_not_run_again_and_fresh_runs_it(helio, project):
    first = assess(helio, project)
    assert not any(reused(first).values())
    second = assess(helio, project)
    ran = {run["check"]: run for run in second.json()["runs"]}
    applied = {
        name: taken
        for name, taken in reused(second).items()
        if ran[name]["outcome"] not in ("not_applicable", "skipped")
    }
    assert applied == {
        "scan.files": True,
        "supply.dependencies": True,
        "supply.inventory": True,
        "quality.determinism": True,
        "quality.performance": True,
        "evasion.pgd": True,
    }
    assert second.json()["decision"] == first.json()["decision"]
    assert not any(reused(assess(helio, project, "--fresh")).values())


def test_any_change_of_what_was_examined_ends_reuse(helio, project):
    """One change after the other; each is seen by the attack, which rests on all of them."""
    config = project / "heliotrope.yaml"
    attack = ("--only", "evasion.pgd")

    def change_weights():
        path = project / "weights.safetensors"
        path.write_bytes(path.read_bytes()[:-1] + b"\x01")

    def change_code():
        (project / "elsewhere.py").write_text("# nothing that the loader imports by a statement\n")

    def change_threat():
        config.write_text(config.read_text().replace("eps: 0.05", "eps: 0.06"))

    assess(helio, project, *attack)
    assert reused(assess(helio, project, *attack))["evasion.pgd"]
    for change in (change_weights, lambda: write_images(project / "test.npz", count=60), change_code, change_threat):
        change()
        assert not reused(assess(helio, project, *attack))["evasion.pgd"], change
    assert not reused(assess(helio, project, *attack, "--seed", "5"))["evasion.pgd"]
    assert not reused(assess(helio, project, *attack, "--sample", "30"))["evasion.pgd"]


def test_evidence_older_than_the_limit_is_not_reused(helio, project):
    static = ("--only", "supply.*")
    assess(helio, project, *static)
    assert reused(assess(helio, project, *static))["supply.inventory"]
    text = (project / "heliotrope.yaml").read_text().replace("gates:\n", "gates:\n  maximum_age: 0s\n")
    (project / "heliotrope.yaml").write_text(text)
    assess(helio, project, *static)
    assert not reused(assess(helio, project, *static))["supply.inventory"]


def test_a_baseline_and_the_difference_to_the_last_run(helio, project):
    import pickle

    good = assess(helio, project).json()

    class Bad:
        def __reduce__(self):
            return (eval, ("1+1",))

    (project / "extra.pkl").write_bytes(pickle.dumps(Bad()))
    bad = assess(helio, project)
    assert bad.code == 1
    document = bad.json()
    assert document["difference"]["previous"] == good["id"]
    assert document["difference"]["verdict_before"] == "allow"
    before = {finding["fingerprint"] for finding in good["findings"]}
    now = {finding["fingerprint"] for finding in document["findings"]}
    assert set(document["difference"]["new_findings"]) == now - before
    assert len(now - before) == 1
    known = assess(helio, project, "--baseline", document["id"])
    assert known.code == 0, known.json()["decision"]
    assert known.json()["baseline"] == document["id"]
    (project / "more.pkl").write_bytes(pickle.dumps(Bad()))
    assert assess(helio, project, "--baseline", document["id"]).code == 1
    (project / "more.pkl").unlink()
    (project / "extra.pkl").unlink()
    fixed = assess(helio, project)
    assert fixed.code == 0
    assert fixed.json()["difference"]["fixed_findings"]
    assert assess(helio, project, "--baseline", "01UNKNOWN").code == 2


def test_a_policy_from_outside_is_not_lowered_by_the_project(helio, project, tmp_path):
    policy = tmp_path / "strict.yaml"
    policy.write_text(
        "version: 1\nname: strict\nrules:\n"
        "  - id: robust-accuracy\n    title: Robust\n    applies_to: model\n"
        "    require: {kind: measurement, metric: robust_accuracy, check: evasion.pgd, at_least: 1.01}\n"
        "  - id: clean-accuracy\n    title: Clean\n    applies_to: model\n"
        "    require: {kind: measurement, metric: clean_accuracy, check: quality.performance, at_least: 0.5}\n"
    )
    said = assess(helio, project, "--policy", policy)
    assert said.code == 1
    decision = said.json()["decision"]
    assert "≥ 1.01" in next(rule["wanted"] for rule in decision["rules"] if rule["rule"] == "robust-accuracy")
    assert "rule scan-" not in json.dumps(decision["policy"]["differences"])
    assert any("model-files-clean is left out" in line for line in decision["policy"]["differences"])


def test_the_quick_suite_is_smaller_and_says_so(helio, project):
    said = helio("assess", project, "--allow-code", "--suite", "quick", "--format", "json")
    assert "checks to run, about" in said.err
    evidence = next(item for item in said.json()["evidence"] if item["predicate_type"].endswith("evasion:v1"))
    assert evidence["predicate"]["threat"]["restarts"] == 1
