"""JUnit XML. What did not conclude is an error, what is unknown is a failure: neither can pass for a success."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from heliotrope.core.assessments import Assessment, RunEntry
from heliotrope.core.decisions import RuleResult
from heliotrope.core.findings import Finding
from heliotrope.report._text import location_text, plain
from heliotrope.report._view import SEVERITY_SYMBOLS, View

__all__ = ["junit_schema", "render_junit"]

_MAX_LISTED = 50
"""Findings listed in the body of one failed case."""
_POLICY = "heliotrope policy"
"""No check has this name: ids of checks have no space."""


@dataclass(frozen=True, slots=True)
class _Case:
    name: str
    classname: str
    seconds: float
    result: str | None = None
    """Element: failure, error or skipped; None for a pass."""
    type_: str = ""
    message: str = ""
    body: str = ""


def junit_schema() -> Path:
    """Our XML schema of what we write."""
    return Path(str(files("heliotrope.report") / "schemas" / "junit.xsd"))


def render_junit(assessment: Assessment) -> str:
    """A suite per check with a case per subject, and a suite for the policy with a case per rule and one for the decision."""
    view = View(assessment)
    by_check: dict[str, list[_Case]] = {}
    for run in assessment.runs:
        by_check.setdefault(run.check, []).append(_run_case(view, run))
    decided = [*(_rule_case(rule) for rule in assessment.decision.rules), _decision_case(assessment)]
    suites = [*by_check.items(), (_POLICY, decided)]
    cases = [case for _, held in suites for case in held]
    lines = ['<?xml version="1.0" encoding="UTF-8"?>']
    lines.append(f"<testsuites {_counts(f'heliotrope assess {plain(assessment.project.name)}', cases)}>")
    for name, held in suites:
        lines.extend(_suite(assessment, name, held))
    lines.append("</testsuites>")
    return "\n".join(lines) + "\n"


def _suite(assessment: Assessment, name: str, cases: list[_Case]) -> Iterator[str]:
    stamp = _local_time(assessment.started_at)
    timestamp = f' timestamp="{stamp}"' if stamp else ""
    yield f"  <testsuite {_counts(name, cases)}{timestamp}>"
    if name == _POLICY:
        yield "    <properties>"
        for key, value in _properties(assessment):
            yield f"      <property name={_attribute(key)} value={_attribute(value)}/>"
        yield "    </properties>"
    for case in cases:
        yield from _case(case)
    yield "  </testsuite>"


def _properties(assessment: Assessment) -> Iterator[tuple[str, str]]:
    yield "assessment", assessment.id
    yield "verdict", assessment.decision.verdict
    yield "heliotrope", assessment.tool.version
    yield "policy", assessment.decision.policy.digest
    yield "exit_code", str(assessment.exit_code)
    if assessment.ledger.head:
        yield "ledger_head", assessment.ledger.head


def _counts(name: str, cases: list[_Case]) -> str:
    held = [case.result for case in cases]
    return (
        f'name={_attribute(name)} tests="{len(cases)}" failures="{held.count("failure")}" '
        f'errors="{held.count("error")}" skipped="{held.count("skipped")}" '
        f'time="{sum(case.seconds for case in cases):.3f}"'
    )


def _case(case: _Case) -> Iterator[str]:
    head = f'<testcase name={_attribute(case.name)} classname={_attribute(case.classname)} time="{case.seconds:.3f}"'
    if case.result is None:
        yield f"    {head}/>"
        return
    yield f"    {head}>"
    kind = f" type={_attribute(case.type_)}" if case.type_ else ""
    yield f"      <{case.result} message={_attribute(case.message)}{kind}>{escape(case.body)}</{case.result}>"
    yield "    </testcase>"


def _attribute(text: str) -> str:
    return quoteattr(plain(text) or "(empty)")


def _local_time(moment: str) -> str | None:
    """Without a time zone, as the format's readers expect it; in UTC."""
    try:
        return datetime.fromisoformat(moment).replace(tzinfo=None).isoformat(timespec="seconds")
    except ValueError:
        return None


def _run_case(view: View, run: RunEntry) -> _Case:
    seconds = max(run.cost.wall_seconds, 0.0)
    name, reason = view.subject_name(run.subject), run.reason or run.outcome
    needs = f"needs: {', '.join(plain(need) for need in run.needs)}" if run.needs else ""
    match run.outcome:
        case "passed":
            return _Case(name, run.check, seconds)
        case "failed":
            return _Case(name, run.check, seconds, "failure", "failed", reason, _listed(view, run))
        case "not_applicable":
            return _Case(name, run.check, seconds, "skipped", "", f"not applicable: {reason}")
        case "skipped":
            kind = f"{run.code}: " if run.code else ""
            return _Case(name, run.check, seconds, "skipped", "", f"{kind}{reason}", needs)
        case "inconclusive":
            return _Case(name, run.check, seconds, "error", "inconclusive", reason, needs)
        case "error":
            return _Case(name, run.check, seconds, "error", run.code or "error", reason, needs)


def _listed(view: View, run: RunEntry) -> str:
    found = [finding for finding in view.assessment.findings if finding.fingerprint in run.findings]
    lines = [_finding_line(finding) for finding in found[:_MAX_LISTED]]
    if len(found) > _MAX_LISTED:
        lines.append(f"and {len(found) - _MAX_LISTED} more")
    return "\n".join(lines)


def _finding_line(finding: Finding) -> str:
    place = f" at {location_text(finding.locations[0])}" if finding.locations else ""
    advice = f" Fix: {plain(' '.join(finding.fix.text.split()))}" if finding.fix else ""
    severity = f"{SEVERITY_SYMBOLS[finding.severity]} {finding.severity}"
    return f"{severity} {plain(finding.rule, 100)}: {plain(finding.message)}{place}{advice}"


def _rule_case(rule: RuleResult) -> _Case:
    name = f"{rule.rule}: {rule.title}"
    text = f"wanted {rule.wanted}, got {rule.actual}"
    body = "\n".join(plain(part) for part in (rule.reason, rule.remediation, *rule.needs) if part)
    match rule.state:
        case "pass":
            return _Case(name, rule.subject, 0.0)
        case "fail":
            return _Case(name, rule.subject, 0.0, "failure", "fail", text, body)
        case "unknown":
            return _Case(name, rule.subject, 0.0, "failure", "unknown", text, body)
        case "not_applicable":
            return _Case(name, rule.subject, 0.0, "skipped", "", f"not applicable: {rule.reason or rule.actual}")


def _decision_case(assessment: Assessment) -> _Case:
    """Present even when there is no rule and no run, so that an assessment of nothing is not a green one."""
    decision = assessment.decision
    if decision.verdict == "allow" and assessment.exit_code == 0:
        return _Case("decision", _POLICY, 0.0)
    kind = decision.verdict if decision.verdict != "allow" else f"exit code {assessment.exit_code}"
    return _Case("decision", _POLICY, 0.0, "failure", kind, decision.reason)
