"""A project's own classes: the assessment follows the decision, and a policy from outside has the only say."""

import json
from pathlib import Path

import pytest

from heliotrope.core.errors import ConfigError
from heliotrope.core.predicates.scan import SCAN_PREDICATE
from heliotrope.lifecycle.assessing import AssessOptions, assess

OWN = b"\x80\x02cmypkg.models\nNet\n)\x81}b."
CONFIG = """\
version: 1
project: p
scan:
  allow:
    - global: {name}
      uses: [new, build]
      reason: our own class, reviewed
      expires: {day}
"""
POLICY = """\
version: 1
name: outer
rules:
  - id: model-files-clean
    title: model files are clean
    applies_to: project
    require: {kind: files, accept: [clean]}
"""


def run(folder: Path, day: str = "2099-01-01", name: str = "mypkg.models.Net", policy: str = ""):
    (folder / "own.pkl").write_bytes(OWN)
    (folder / "heliotrope.yaml").write_text(CONFIG.format(day=day, name=name))
    outside = folder.parent / "policy.yaml"
    outside.write_text(policy)
    return assess(folder, AssessOptions(policy_file=outside if policy else None)).assessment


def files_rule(assessment) -> str:
    (rule,) = [item for item in assessment.decision.rules if item.rule == "model-files-clean"]
    return rule.state


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


def test_what_the_project_allows_passes_and_both_verdicts_are_evidence(project):
    assessment = run(project)
    (scan,) = [item for item in assessment.runs if item.check == "scan.files"]
    assert scan.outcome == "passed"
    assert "allowed by scan.allow" in scan.reason
    assert files_rule(assessment) == "pass"
    (entry,) = [item for item in assessment.evidence if item.predicate_type == SCAN_PREDICATE]
    assert entry.predicate["verdict"] == "suspicious"
    assert entry.predicate["decision"]["verdict"] == "clean"
    (finding,) = [item for item in assessment.findings if item.rule == "pickle-unknown-call"]
    assert finding.severity == "info"
    assert "mypkg.models.Net" in json.dumps(assessment.decision.document())


def test_a_day_that_has_passed_fails(project):
    assert files_rule(run(project)) == "pass"
    assert files_rule(run(project, day="2020-01-01")) == "fail"


def test_a_policy_from_outside_has_the_only_say(project):
    assert files_rule(run(project, policy=POLICY)) == "fail"
    allow = CONFIG.format(day="2099-01-01", name="mypkg.models.Net").partition("scan:\n")[2]
    outer = POLICY.replace("rules:", "\n".join(line[2:] for line in allow.splitlines()) + "\nrules:")
    assert files_rule(run(project, policy=outer)) == "pass"


def test_what_nobody_may_allow_is_an_error_of_the_configuration(project):
    with pytest.raises(ConfigError, match=r"os\.system cannot be allowed"):
        run(project, name="os.system")
