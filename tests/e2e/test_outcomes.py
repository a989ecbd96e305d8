"""Every outcome type and every exit code of the design, through the command line and in every report format."""

import json
from pathlib import Path

import pytest
from tests.plugins import install_plugin

CHECKS = """
@register("t.passes")
def passes(task, context):
    return CheckResult(outcome=Passed(reason="all good"))

@register("t.fails")
def fails(task, context):
    where = fingerprint("t-rule", task.subject.urn, "here")
    found = Finding(rule="t-rule", severity="high", confidence="high", message="a real problem", subject=task.subject.urn, fingerprint=where)
    return CheckResult(outcome=Failed(reason="found a problem"), findings=(found,))

@register("t.inconclusive")
def inconclusive(task, context):
    raise InputError("data.npz: has no rows", hint="give it some")

@register("t.skipped", extra="torch", modules=("a_module_that_is_not_there",))
def skipped(task, context):
    raise AssertionError("never called")

@register("t.not_applicable")
def not_applicable(task, context):
    return CheckResult(outcome=NotApplicable(reason="no table here", facts=("0 tables among 1 file",)))

@register("t.crashes")
def crashes(task, context):
    os.kill(os.getpid(), 11)

@register("t.hangs")
def hangs(task, context):
    time.sleep(3600)

@register("t.eats")
def eats(task, context):
    kept = []
    while True:
        kept.append(bytearray(os.urandom(1024)) * 2**16)
"""
BROKEN = "raise RuntimeError('cannot be imported here')\n"
CONFIG = "version: 1\nproject: demo\nchecks: {time_limit: 3, memory_limit: 0.4}\n"
EXPECTED = {
    "t.passes": ("passed", None),
    "t.fails": ("failed", None),
    "t.inconclusive": ("inconclusive", None),
    "t.skipped": ("skipped", "missing_extra"),
    "t.not_applicable": ("not_applicable", None),
    "t.crashes": ("error", "crashed"),
    "t.hangs": ("error", "timeout"),
    "t.eats": ("error", "memory"),
    "plugin.t_broken": ("error", "unavailable"),
}


@pytest.fixture
def plugins(tmp_path: Path) -> dict[str, str]:
    """Environment in which the checks above are installed."""
    install_plugin(tmp_path / "plugins", "t_checks", CHECKS)
    install_plugin(tmp_path / "plugins", "t_broken", BROKEN)
    return {"PYTHONPATH": str(tmp_path / "plugins")}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "heliotrope.yaml").write_text(CONFIG)
    return folder


def test_every_outcome_is_reached_and_visible_in_every_format(helio, plugins, project, reports):
    said = helio("assess", project, "--format", "json", env=plugins)
    assert said.code == 1
    document = said.json()
    seen = {run["check"]: (run["outcome"], run["code"]) for run in document["runs"]}
    assert {name: seen.get(name) for name in EXPECTED} == EXPECTED
    texts = reports(project / ".heliotrope")
    formats = {"report.html", "report.json", "report.sarif", "report.junit.xml", "report.md", "bom.cdx.json"}
    assert set(texts) == formats
    table = helio("assess", project, env=plugins).out
    for name in ("t.inconclusive", "t.skipped", "t.crashes", "t.hangs", "t.eats", "plugin.t_broken"):
        for form, text in {**texts, "table": table}.items():
            assert name in text, f"{name} is not visible in {form}"


@pytest.mark.parametrize(
    ("check", "code"),
    [
        ("t.passes", 0), ("t.not_applicable", 0), ("t.fails", 1), ("t.inconclusive", 3), ("t.skipped", 3),
        ("t.crashes", 3), ("t.hangs", 3), ("t.eats", 3),
    ],
)  # fmt: skip
def test_the_exit_code_of_each_outcome(helio, tmp_path, project, check, code):
    env = {"PYTHONPATH": str(install_plugin(tmp_path / "only", "t_checks", CHECKS))}
    (tmp_path / "policy.yaml").write_text(
        "version: 1\nname: one\nrules:\n"
        f"  - {{id: the-check, title: The check, applies_to: project, require: {{kind: check, check: {check}}}}}\n"
        "  - {id: nothing-found, title: Nothing found, applies_to: project, require: {kind: findings}}\n"
    )
    said = helio("assess", project, "--only", check, "--policy", tmp_path / "policy.yaml", "-q", env=env)
    assert said.code == code, said.out
    verdict = said.out.splitlines()[0]
    assert ("ALLOW" in verdict.upper()) == (code == 0)


def test_exit_code_2_is_for_usage_and_configuration(helio, project):
    assert helio("assess", "--no-such-option").code == 2
    assert helio("assess", "nowhere").code == 2
    assert helio("no-such-command").code == 2
    assert helio("assess", project, "--only", "no.such.check").code == 2
    assert helio("assess", project, "--format", "pdf").code == 2
    (project / "heliotrope.yaml").write_text("version: 1\nproject: demo\nmodles: []\n")
    said = helio("assess", project)
    assert said.code == 2
    assert "heliotrope.yaml:3" in said.err
    assert "modles" in said.err
    assert "models" in said.err


def test_exit_code_4_is_our_own_fault_and_shows_no_traceback(helio, tmp_path, project):
    body = """
    def broken_plan(project):
        raise InternalError("a promise was broken")

    from heliotrope.core.errors import InternalError

    register("t.internal", plan=broken_plan)(lambda task, context: None)
    """
    env = {"PYTHONPATH": str(install_plugin(tmp_path / "plugins", "t_internal", body))}
    said = helio("assess", project, env=env)
    assert said.code == 4
    assert "error[internal]" in said.err


def test_a_deselected_check_is_recorded_and_never_allows(helio, project):
    said = helio("assess", project, "--skip", "scan.*", "--format", "json")
    assert said.code == 3
    run = next(run for run in said.json()["runs"] if run["check"] == "scan.files")
    assert (run["outcome"], run["code"]) == ("skipped", "deselected")


def test_two_runs_differ_only_in_ids_and_times(helio, plugins, project):
    def bare(text: str) -> str:
        document = json.loads(text)
        for name in ("id", "started_at", "finished_at", "ledger", "difference"):
            document.pop(name)
        for run in document["runs"]:
            for name in ("id", "cost"):
                run.pop(name)
            if run["code"] == "memory":
                run["reason"] = ""  # says at how much it was stopped
        return json.dumps(document, sort_keys=True)

    first = helio("assess", project, "--fresh", "--format", "json", env=plugins)
    second = helio("assess", project, "--fresh", "--format", "json", env=plugins)
    assert bare(first.out) == bare(second.out)
