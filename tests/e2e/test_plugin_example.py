"""examples/plugin, installed as a package: its own tests, and what the command line makes of it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PLUGIN = Path(__file__).parents[2] / "examples" / "plugin"
EVIL = "#scorecard 1\nbase: 600\nfeature age 18 100\n  18 100 expr:__import__('os').system('id')\n"
GOOD = "#scorecard 1\nbase: 600\nrange: 580 615\nfeature age 18 100\n  18 40 -20\n  40 100 15\n"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder into which a wheel of the example was built and installed."""
    folder = tmp_path_factory.mktemp("plugin")
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check", "-q"]
    command = [sys.executable, "-m", "pip", "install", *options, "--target", folder / "packages", PLUGIN]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "TMPDIR": str(folder)})
    return folder / "packages"


@pytest.fixture
def with_plugin(helio, installed):
    def run(*arguments, **more):
        return helio(*arguments, env={"PYTHONPATH": str(installed)}, **more)

    return run


def test_its_own_tests_pass(installed, tmp_path):
    finished = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-c",
            PLUGIN / "pyproject.toml",
            PLUGIN / "tests",
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout
    assert "passed" in finished.stdout


def test_plugins_shows_both_and_that_the_analyser_is_off(with_plugin, tmp_path):
    said = with_plugin("plugins", "--format", "json").json()
    (check,) = [item for item in said["checks"] if item["id"] == "scorecard.bins"]
    assert (check["state"], check["package"]) == ("available", "heliotrope-scorecard 1.0.0")
    (analyser,) = [item for item in said["analysers"] if item["id"] == "scorecard.files"]
    assert (analyser["id"], analyser["state"], analyser["available"]) == ("scorecard.files", "off", True)
    assert "--analyser scorecard.files" in analyser["reason"]
    (tmp_path / "heliotrope.yaml").write_text("version: 1\nproject: p\nscan: {analysers: [scorecard.files]}\n")
    named = with_plugin("plugins", "--config", "heliotrope.yaml", "--format", "json").json()
    assert {item["id"]: item["state"] for item in named["analysers"]}["scorecard.files"] == "available"
    assert "off: name it with --analyser" in with_plugin("plugins").out


def test_a_scan_asks_the_analyser_only_when_the_person_names_it(with_plugin, tmp_path):
    (tmp_path / "evil.scard").write_text(EVIL)
    (tmp_path / "heliotrope.yaml").write_text("version: 1\nproject: p\nscan: {analysers: [scorecard.files]}\n")
    unasked = with_plugin("scan", "evil.scard", "--format", "json")
    assert (unasked.code, unasked.json()["verdict"]) == (3, "unsupported")
    assert unasked.json()["tool"]["analysers"] == []
    for naming in (["--analyser", "scorecard.files"], ["--config", "heliotrope.yaml"]):
        asked = with_plugin("scan", "evil.scard", "--format", "json", *naming)
        assert (asked.code, asked.json()["verdict"]) == (1, "malicious")
        assert asked.json()["tool"]["analysers"] == [{"id": "scorecard.files", "version": "1.0.0"}]
        assert asked.json()["tool"]["policy_digest"] != unasked.json()["tool"]["policy_digest"]
    sarif = with_plugin("scan", "evil.scard", "--format", "sarif", "--analyser", "scorecard.files").json()
    (rule,) = sarif["runs"][0]["tool"]["driver"]["rules"]
    assert rule["id"] == "scorecard-expression"
    assert "eval" in rule["fullDescription"]["text"] + rule.get("help", {}).get("text", "")
    assert (
        "with analyser scorecard.files 1.0.0" in with_plugin("scan", "evil.scard", "--analyser", "scorecard.files").out
    )


def test_an_analyser_that_is_named_and_not_installed_is_a_usage_error(helio, tmp_path):
    (tmp_path / "evil.scard").write_text(EVIL)
    said = helio("scan", "evil.scard", "--analyser", "scorecard.files")
    assert (said.code, said.out) == (2, "")
    assert "there is no analyser 'scorecard.files'" in said.err
    (tmp_path / "heliotrope.yaml").write_text("version: 1\nproject: p\nscan: {analysers: [scorecard.files]}\n")
    assert helio("assess").code == 2


def test_an_assessment_uses_the_check_always_and_the_analyser_when_it_is_named(with_plugin, tmp_path):
    (tmp_path / "good.scard").write_text(GOOD)
    configuration = tmp_path / "heliotrope.yaml"
    configuration.write_text("version: 1\nproject: p\n")
    without = with_plugin("assess", "--format", "json").json()
    outcomes = {run["check"]: run["outcome"] for run in without["runs"]}
    assert outcomes["scorecard.bins"] == "passed"
    assert without["exit_code"] == 3
    configuration.write_text("version: 1\nproject: p\nscan: {analysers: [scorecard.files]}\n")
    named = with_plugin("assess", "--format", "json").json()
    assert (named["exit_code"], named["decision"]["verdict"]) == (0, "allow")
    assert "analyser scorecard.files 1.0.0 takes part" in named["decision"]["policy"]["differences"]
    assert named["tool"]["policy_digest"] != without["tool"]["policy_digest"]
    (tmp_path / "good.scard").write_text(EVIL)
    denied = with_plugin("assess", "--format", "json").json()
    assert (denied["exit_code"], denied["decision"]["verdict"]) == (1, "deny")
    assert "scorecard-expression" in {finding["rule"] for finding in denied["findings"]}


def test_a_policy_from_outside_has_the_only_say_in_which_analysers_are_on(with_plugin, tmp_path):
    project = tmp_path / "project"
    project.mkdir()
    (project / "good.scard").write_text(GOOD)
    (project / "heliotrope.yaml").write_text("version: 1\nproject: p\nscan: {analysers: [scorecard.files]}\n")
    rules = "rules:\n  - {id: seen, title: Something was judged, applies_to: project, require: {kind: examined}}\n"
    (tmp_path / "strict.yaml").write_text(f"version: 1\nname: strict\n{rules}")
    (tmp_path / "open.yaml").write_text(f"version: 1\nname: open\nanalysers: [scorecard.files]\n{rules}")
    strict = with_plugin("assess", project, "--policy", "strict.yaml", "--format", "json").json()
    assert strict["decision"]["verdict"] != "allow"
    assert "analyser scorecard.files of the project stays off" in strict["decision"]["policy"]["differences"]
    assert with_plugin("assess", project, "--policy", "open.yaml", "-q").code == 0
