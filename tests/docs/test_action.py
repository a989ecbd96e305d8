"""action.yml, its steps run by bash with the variables that a runner sets."""

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from tests.docs.pages import ROOT
from tests.docs.setups import SETUPS

ACTION = yaml.safe_load((ROOT / "action.yml").read_text("utf-8"))
STEPS = {step["name"]: step for step in ACTION["runs"]["steps"]}
HELIO = str(Path(sys.executable).with_name("helio"))
_EXPRESSION = re.compile(r"\$\{\{\s*(.+?)\s*\}\}")


@dataclass(frozen=True)
class Step:
    """What a step left behind."""

    code: int
    log: str
    outputs: dict[str, str]
    summary: str


def resolve(text: str, given: dict[str, str]) -> str:
    """Expressions as a runner would put in: only inputs and the action's own folder may occur."""

    def value(match: re.Match[str]) -> str:
        name = match[1]
        if name == "github.action_path":
            return str(ROOT)
        room, _, key = name.partition(".")
        assert room == "inputs", name
        return str(given.get(key, ACTION["inputs"][key]["default"]))

    return _EXPRESSION.sub(value, text)


@pytest.fixture
def run_step(tmp_path):
    def run(name: str, cwd: Path, environment: dict[str, str] | None = None, **given: str) -> Step:
        step = STEPS[name]
        given = {key.replace("_", "-"): value for key, value in given.items()}
        runner = tmp_path / "runner"
        runner.mkdir(exist_ok=True)
        files = {name: runner / name for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
        for path in files.values():
            path.write_text("")
        assert step["shell"] == "bash"
        finished = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
            cwd=cwd,
            env={
                **{key: os.environ[key] for key in os.environ if key.startswith(("HELIOTROPE_", "PATH", "HOME"))},
                "OMP_NUM_THREADS": "1",
                "RUNNER_TEMP": str(runner),
                **{key: str(path) for key, path in files.items()},
                **{key: resolve(text, given) for key, text in step.get("env", {}).items()},
                **(environment or {}),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=500,
            check=False,
        )
        outputs = dict(line.split("=", 1) for line in files["GITHUB_OUTPUT"].read_text().splitlines())
        return Step(finished.returncode, finished.stdout, outputs, files["GITHUB_STEP_SUMMARY"].read_text())

    return run


@pytest.fixture
def downloads(tmp_path):
    folder = tmp_path / "checkout"
    folder.mkdir()
    SETUPS["downloads"](folder)
    return folder


def test_a_malicious_file_fails_the_step_and_leaves_reports_and_a_summary(run_step, downloads):
    step = run_step("Assess", downloads, path="downloads", helio=HELIO)
    assert step.code == 1, step.log
    assert step.outputs["exit-code"] == "1"
    assert step.outputs["verdict"] == "deny"
    assert "model.pkl" in step.summary
    assert json.loads(Path(step.outputs["sarif"]).read_text())["version"] == "2.1.0"
    assert json.loads(Path(step.outputs["json"]).read_text())["schema"] == "heliotrope.assessment/v1"
    for name in ("html", "junit", "bom"):
        assert Path(step.outputs[name]).is_file()
    assert set(step.outputs) == set(ACTION["outputs"])


def test_a_clean_file_passes(run_step, downloads):
    step = run_step("Assess", downloads, path="downloads/weights.pkl", helio=HELIO)
    assert (step.code, step.outputs["verdict"]) == (0, "allow"), step.log


@pytest.mark.parametrize(("inconclusive", "code"), [("fail", 3), ("warn", 0)])
def test_missing_evidence_fails_or_warns_as_was_asked_for(run_step, downloads, inconclusive, code):
    (downloads / "empty.pt").write_bytes(b"")
    step = run_step("Assess", downloads, path="empty.pt", inconclusive=inconclusive, helio=HELIO)
    assert step.code == code, step.log
    assert step.outputs["exit-code"] == "3"
    assert step.outputs["verdict"] == "needs-review"
    assert ("::warning::" in step.log) == (inconclusive == "warn")


def test_a_wrong_configuration_fails_whatever_is_wanted_and_says_so(run_step, downloads):
    (downloads / "heliotrope.yaml").write_text("version: 1\nprojekt: p\n")
    step = run_step("Assess", downloads, inconclusive="warn", helio=HELIO)
    assert step.code == 2
    assert "verdict" not in step.outputs
    assert "exit code 2" in step.summary
    assert "projekt" in step.log


def test_reports_of_an_earlier_step_are_not_taken_for_this_one(run_step, downloads):
    assert run_step("Assess", downloads, path="downloads/weights.pkl", helio=HELIO).code == 0
    (downloads / "heliotrope.yaml").write_text("nonsense: [")
    step = run_step("Assess", downloads, helio=HELIO)
    assert step.code == 2
    assert "verdict" not in step.outputs


@pytest.mark.parametrize("given", [{"allow_code": "yes"}, {"inconclusive": "ignore"}])
def test_a_value_that_means_nothing_is_refused(run_step, downloads, given):
    step = run_step("Assess", downloads, helio=HELIO, **given)
    assert (step.code, step.outputs) == (2, {})


def test_inputs_are_handed_over_one_by_one(run_step, downloads, tmp_path):
    """Nothing that an input holds is read as more than one argument, or run."""
    told = tmp_path / "told"
    fake = tmp_path / "helio"
    fake.write_text(f"#!/bin/sh\nprintf '%s\\n' \"$@\" > {told}\nexit 4\n")
    fake.chmod(0o755)
    odd = "a b; touch owned $(touch owned) --fresh"
    step = run_step(
        "Assess", downloads, path=odd, suite="quick", policy=odd, baseline="last", ledger=odd, fail_on="low",
        report_dir=str(tmp_path / "r"), allow_code="true", helio=str(fake),
    )  # fmt: skip
    assert step.code == 4
    assert told.read_text().splitlines() == [
        "assess", "--quiet", "--no-color", "--report-dir", str(tmp_path / "r"), "--suite", "quick", "--policy", odd,
        "--baseline", "last", "--ledger", odd, "--fail-on", "low", "--allow-code", "--", odd,
    ]  # fmt: skip
    assert not (downloads / "owned").exists()


def test_no_expression_stands_in_a_script():
    for step in STEPS.values():
        assert "${{" not in step["run"], step["name"]


def test_every_input_and_output_is_described_and_used():
    used = json.dumps(ACTION["runs"])
    for name, described in ACTION["inputs"].items():
        assert described["description"], name
        assert isinstance(described["default"], str), name
        assert f"inputs.{name}" in used, name
    for name, described in ACTION["outputs"].items():
        assert described["description"], name
        assert described["value"] == f"${{{{ steps.assess.outputs.{name} }}}}"


@pytest.mark.nightly
@pytest.mark.timeout(600)
def test_the_action_installs_itself(run_step, downloads):
    """Needs a package index."""
    constraint = {"PIP_CONSTRAINT": str(ROOT / "constraints.txt")}
    pip = {key: value for key, value in os.environ.items() if key.startswith("PIP_")}
    assert run_step("Install Heliotrope", downloads, {**pip, **constraint}).code == 0
    assert run_step("Assess", downloads, path="downloads").code == 1
