"""What a person reads on a terminal: the verdict, then what stands in the way and what to do about it."""

from heliotrope.core.assessments import Assessment, Difference, RunEntry
from heliotrope.core.decisions import RuleResult
from heliotrope.core.findings import Finding
from heliotrope.core.measurements import Measurement
from heliotrope.report._lines import Lines
from heliotrope.report._severities import SEVERITY_STYLES
from heliotrope.report._text import (
    amount,
    condition_text,
    interval_text,
    location_text,
    metric_name,
    number,
    plain,
    value_text,
    when,
)
from heliotrope.report._view import (
    EXIT_CODE_WORDS,
    OUTCOME_SYMBOLS,
    OUTCOME_WORDS,
    RULE_SYMBOLS,
    RULE_WORDS,
    SEVERITY_SYMBOLS,
    VERDICT_WORDS,
    View,
)

__all__ = ["render_terminal"]

_VERDICT_STYLES = {"allow": "bold green", "deny": "bold red", "needs-review": "bold yellow"}
_RULE_STYLES = {"pass": "green", "fail": "red", "unknown": "yellow", "not_applicable": "dim"}
_MAX_FINDINGS = 10
_MAX_RULES = 40
_MAX_RUNS = 40
_MAX_MEASUREMENTS = 40
_TEXT = 400


def render_terminal(assessment: Assessment, *, width: int = 80, color: bool = False) -> str:
    """An assessment in lines of at most `width` columns (40 at least); with ANSI colours when asked."""
    view = View(assessment)
    lines = Lines(width, color)
    decision = view.decision
    lines.add(
        f"{view.verdict_words.upper()}: {plain(decision.reason)}",
        first=f"{view.verdict_symbol} ",
        style=_VERDICT_STYLES[decision.verdict],
    )
    lines.add(
        f"{plain(assessment.project.name, 100)} ({plain(assessment.project.path, 200)}), suite {plain(assessment.suite, 40)}, "
        f"exit code {assessment.exit_code}: {EXIT_CODE_WORDS.get(assessment.exit_code, 'unknown')}",
        indent=2,
        style="dim",
    )
    _rules(lines, view)
    _findings(lines, view)
    _not_run(lines, view)
    _measurements(lines, view)
    _difference(lines, assessment.difference)
    _foot(lines, assessment)
    return lines.text()


def _rules(lines: Lines, view: View) -> None:
    stopping = view.standing_in_the_way
    if stopping:
        lines.heading(f"In the way: {amount(len(stopping), 'rule')}")
    for rule in stopping[:_MAX_RULES]:
        _stopping_rule(lines, view, rule)
    _more(lines, len(stopping) - _MAX_RULES, "rule")
    good = view.rules_in("pass", "not_applicable")
    if good:
        lines.heading(f"Satisfied: {amount(len(good), 'rule')}")
    for rule in good[:_MAX_RULES]:
        lines.add(
            f"{plain(rule.rule, 100)}: {plain(rule.actual, 160)}",
            first=f"  {RULE_SYMBOLS[rule.state]} ",
            style=_RULE_STYLES[rule.state],
        )
    _more(lines, len(good) - _MAX_RULES, "rule")
    if not view.rules:
        lines.heading("No rule of the policy was held against anything.")


def _stopping_rule(lines: Lines, view: View, rule: RuleResult) -> None:
    lines.add(
        f"{plain(rule.rule, 100)} ({RULE_WORDS[rule.state]}): {plain(rule.title, _TEXT)}",
        first=f"  {RULE_SYMBOLS[rule.state]} ",
        style=_RULE_STYLES[rule.state],
    )
    facts = [
        ("on", view.subject_name(rule.subject)),
        ("wanted", rule.wanted),
        ("actual", rule.actual),
        ("why", rule.reason),
        ("needs", ", ".join(rule.needs)),
        ("to do", rule.remediation),
    ]
    for name, text in facts:
        if text:
            lines.add(plain(text, _TEXT), first=f"    {name:<7} ")


def _findings(lines: Lines, view: View) -> None:
    found = [finding for _, group in view.findings for finding in group]
    if not found:
        return
    counts = ", ".join(f"{len(group)} {level}" for level, group in view.findings)
    lines.heading(f"Findings: {counts}")
    for finding in found[:_MAX_FINDINGS]:
        _finding(lines, finding, new=finding.fingerprint in view.new_findings)
    _more(lines, len(found) - _MAX_FINDINGS, "finding")


def _finding(lines: Lines, finding: Finding, *, new: bool) -> None:
    mark = " (new)" if new else ""
    times = f" ({amount(finding.count, 'time')})" if finding.count > 1 else ""
    lines.add(
        f"{finding.severity}{mark}: {plain(finding.message, _TEXT)}{times}",
        first=f"  {SEVERITY_SYMBOLS[finding.severity]} ",
        style=SEVERITY_STYLES[finding.severity],
    )
    place = f" at {location_text(finding.locations[0])}" if finding.locations else ""
    lines.add(f"{plain(finding.rule, 100)}{place}", indent=4, style="dim")
    if finding.fix:
        lines.advice(finding.fix.text)


def _not_run(lines: Lines, view: View) -> None:
    if not view.not_run:
        return
    lines.heading(f"Did not conclude: {amount(len(view.not_run), 'check')}")
    for run in view.not_run[:_MAX_RUNS]:
        _open_run(lines, view, run)
    _more(lines, len(view.not_run) - _MAX_RUNS, "check")


def _open_run(lines: Lines, view: View, run: RunEntry) -> None:
    kind = f" ({plain(run.code, 40)})" if run.code else ""
    subject = plain(view.subject_name(run.subject), 100)
    lines.add(
        f"{plain(run.check, 100)} on {subject}: {OUTCOME_WORDS[run.outcome]}{kind}: {plain(run.reason, _TEXT)}",
        first=f"  {OUTCOME_SYMBOLS[run.outcome]} ",
        style="red" if run.outcome == "error" else "yellow",
    )
    if run.needs:
        lines.add(", ".join(plain(need, 100) for need in run.needs), first="    needs   ")


def _measurements(lines: Lines, view: View) -> None:
    measured = view.assessment.measurements
    if not measured:
        return
    lines.heading("Measured")
    for item in measured[:_MAX_MEASUREMENTS]:
        _measurement(lines, view, item)
    _more(lines, len(measured) - _MAX_MEASUREMENTS, "measurement")


def _measurement(lines: Lines, view: View, item: Measurement) -> None:
    facts = [f"n = {item.n:,}"]
    if item.interval:
        facts.insert(0, interval_text(item.interval, item.unit))
    floor = view.floor(item.metric, item.subject)
    if floor is not None:
        facts.append(f"floor {value_text(floor, item.unit)}")
    if item.conditions:
        facts.append(condition_text(item))
    facts.append(plain(view.subject_name(item.subject), 100))
    value = value_text(item.value, item.unit)
    if item.value is None:
        value += f" ({plain(item.undefined_reason or '', 200)})"
    lines.add(f"{metric_name(item.metric)} {value}", first="    ", style="bold")
    lines.add("; ".join(facts), indent=6)


def _difference(lines: Lines, difference: Difference | None) -> None:
    if difference is None:
        return
    lines.heading(f"Since {plain(difference.previous, 60)} of {when(difference.previous_finished_at)}")
    before = plain(VERDICT_WORDS.get(difference.verdict_before, difference.verdict_before), 40)
    lines.add(
        f"it was {before}; {amount(len(difference.new_findings), 'new finding')}, "
        f"{len(difference.fixed_findings):,} fixed",
        indent=4,
    )
    for name, (old, new) in list(difference.measurements.items())[:_MAX_MEASUREMENTS]:
        lines.add(f"{plain(name, 160)}: {_moved(old)} → {_moved(new)}", indent=4)


def _moved(value: float | None) -> str:
    return "nothing" if value is None else number(value)


def _foot(lines: Lines, assessment: Assessment) -> None:
    policy = assessment.decision.policy
    lines.blank()
    lines.add(f"policy {plain(policy.name, 100)} ({plain(policy.source, 200)}) {policy.digest}", style="dim")
    for line in policy.differences[:10]:
        lines.add(plain(line, 200), first="    ", style="dim")
    if assessment.ledger.head is None:
        lines.add("nothing was recorded in a ledger", style="dim")
        return
    lines.add(
        f"ledger head, to keep for: helio ledger verify --ledger {plain(assessment.ledger.location, 200)} --head …"
    )
    lines.add(plain(assessment.ledger.head, 200), indent=2)


def _more(lines: Lines, count: int, noun: str) -> None:
    if count > 0:
        lines.add(f"… and {amount(count, f'more {noun}')} in the full report", indent=4, style="dim")
