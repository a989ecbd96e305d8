"""Markdown for a pull-request comment: the verdict first, details folded, never longer than a comment may be.

Text from the project is either a code span or escaped, so that it cannot link, mention anybody or break a table.
"""

import re
from collections.abc import Iterable, Iterator

from heliotrope.core.assessments import Assessment, Difference, RunEntry
from heliotrope.core.decisions import RuleResult
from heliotrope.core.findings import Finding
from heliotrope.core.measurements import Measurement
from heliotrope.report._text import (
    amount,
    condition_text,
    interval_text,
    location_text,
    metric_name,
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

__all__ = ["MAX_CHARACTERS", "code", "prose", "render_markdown"]

MAX_CHARACTERS = 60_000
"""Services stop at 65,536."""
_BUDGETS = {
    "differences": 2_500,
    "rules": 12_000,
    "findings": 20_000,
    "runs": 7_000,
    "measurements": 4_000,
    "difference": 3_000,
}
"""Characters for each section. Escaping makes a character at most nine, so head and foot stay below 12,000 whatever is in them."""
_TEXT = 240
_AUTOLINK = re.compile(r"(?i)(https?|ftp|mailto|xmpp)(:)|(www)(\.)")
_CODE_UNSAFE = re.compile(r"[`|<>]")
_GAP = "&#8203;"
"""A zero-width space: it keeps @name, #1 and addresses from becoming mentions, references and links."""
_ESCAPES = {char: f"\\{char}" for char in "\\`*_{}[]()|~!$^=+-"} | {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    "@": f"@{_GAP}",
    "#": f"\\#{_GAP}",
}


def prose(text: str, width: int = _TEXT) -> str:
    """Untrusted text inside a sentence or a table cell."""
    safe = "".join(_ESCAPES.get(char, char) for char in plain(text, width))
    return _AUTOLINK.sub(lambda found: f"{found[1] or found[3]}{_GAP}{found[2] or found[4]}", safe)


def code(text: str, width: int = _TEXT) -> str:
    """Untrusted text as a code span; escaped text where a code span could be broken out of."""
    shown = plain(text, width).strip()
    return f"`{shown}`" if shown and not _CODE_UNSAFE.search(shown) else prose(shown or "(empty)", width)


def render_markdown(assessment: Assessment) -> str:
    """A pull-request comment of at most MAX_CHARACTERS."""
    view = View(assessment)
    parts = [
        _head(view),
        _section("Policy", _rules(view), "rules", "rule"),
        _section("Checks that did not conclude", _not_run(view), "runs", "run"),
        _section("Findings", _findings(view), "findings", "finding"),
        _section("Measurements", _measurements(view), "measurements", "measurement"),
        _section("Since the last run", _difference(assessment.difference), "difference", "change"),
        _foot(assessment),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _section(title: str, lines: Iterator[str], budget: str, noun: str) -> str:
    """Whole entries while the budget lasts, and how many are left out."""
    kept = _fitting(lines, budget, noun)
    return "\n".join([f"### {title}\n", *kept]) if kept else ""


def _fitting(lines: Iterable[str], budget: str, noun: str) -> list[str]:
    kept: list[str] = []
    used, dropped = 0, 0
    for line in lines:
        if used + len(line) >= _BUDGETS[budget]:
            dropped += 1
            continue
        used += len(line) + 1
        kept.append(line)
    if dropped:
        kept.append(f"\n… and {amount(dropped, f'more {noun}')} in the full report.")
    return kept


def _head(view: View) -> str:
    assessment, policy = view.assessment, view.decision.policy
    exit_words = EXIT_CODE_WORDS.get(assessment.exit_code, "unknown")
    lines = [
        f"## {view.verdict_symbol} Heliotrope: {view.verdict_words}",
        "",
        f"**{prose(view.decision.reason, 300)}**",
        "",
        f"Project {code(assessment.project.name, 100)} · suite {code(assessment.suite, 40)} · {prose(when(assessment.finished_at), 40)}",
        f"· exit code {assessment.exit_code} ({exit_words}) · Heliotrope {code(assessment.tool.version, 40)}",
        "",
        f"Policy {code(policy.name, 100)} ({code(policy.source, 100)}), digest {code(policy.digest)}"
        + ("" if policy.differences else ", unchanged from the default"),
    ]
    lines += _fitting((f"- {prose(line, 160)}" for line in policy.differences), "differences", "difference")
    return "\n".join(lines)


def _rules(view: View) -> Iterator[str]:
    if not view.rules:
        yield "No rule of the policy was held against anything."
        return
    yield "| | Rule | Wanted | Actual | State |\n|---|---|---|---|---|"
    for rule in view.rules:
        yield _rule_row(view, rule)


def _rule_row(view: View, rule: RuleResult) -> str:
    about = f"{prose(rule.title)}<br>{code(rule.rule, 100)} on {prose(view.subject_name(rule.subject), 100)}"
    extra = "".join(f"<br>{prose(part)}" for part in (rule.reason, rule.remediation) if part)
    needs = f"<br>needs {', '.join(code(need, 80) for need in rule.needs[:5])}" if rule.needs else ""
    state = f"**{RULE_WORDS[rule.state]}**" if rule.state in ("fail", "unknown") else RULE_WORDS[rule.state]
    return f"| {RULE_SYMBOLS[rule.state]} | {about} | {prose(rule.wanted)} | {prose(rule.actual)} | {state}{extra}{needs} |"


def _not_run(view: View) -> Iterator[str]:
    for run in view.not_run:
        yield _run_line(view, run)


def _run_line(view: View, run: RunEntry) -> str:
    kind = f" ({code(run.code, 40)})" if run.code else ""
    needs = f" · needs {', '.join(code(need, 80) for need in run.needs[:5])}" if run.needs else ""
    return (
        f"- {OUTCOME_SYMBOLS[run.outcome]} **{OUTCOME_WORDS[run.outcome]}**{kind}: {code(run.check, 100)} on "
        f"{prose(view.subject_name(run.subject), 100)}: {prose(run.reason)}{needs}"
    )


def _findings(view: View) -> Iterator[str]:
    """One entry a finding; each is a fold of its own, so that cutting between entries leaves nothing open."""
    if not view.assessment.findings:
        yield "None." if not view.not_run else "None by the checks that concluded."
        return
    counts = ", ".join(f"{SEVERITY_SYMBOLS[level]} {len(found)} {level}" for level, found in view.findings)
    yield f"{counts}\n"
    for _, found in view.findings:
        for finding in found:
            yield _finding(view, finding)


def _finding(view: View, finding: Finding) -> str:
    new = " (new)" if finding.fingerprint in view.new_findings else ""
    # Inside <summary> Markdown is not read, so entities do all the work there.
    title = _html(f"{SEVERITY_SYMBOLS[finding.severity]} {finding.severity}: {plain(finding.message, 160)}{new}")
    times = f" · {amount(finding.count, 'time')}" if finding.count > 1 else ""
    facts = [f"Rule {code(finding.rule, 100)} · confidence {finding.confidence}{times}"]
    facts += [f"At {code(location_text(place))}" for place in finding.locations[:3]]
    if len(finding.locations) > 3:
        facts.append(f"and {amount(len(finding.locations) - 3, 'more place')}")
    if finding.fix:
        kind = "safe fix" if finding.fix.safe else "fix"
        first, *rest = finding.fix.text.splitlines() or [""]
        block = "".join(f"\n      {plain(line, 200)}" for line in rest)  # indented code, which no text can end
        facts.append(f"What to do ({kind}): {prose(first)}{f'{chr(10)}{block}{chr(10)}' if block else ''}")
    if finding.taxonomy:
        facts.append(f"Taxonomy {', '.join(code(item, 40) for item in finding.taxonomy[:10])}")
    facts.append(f"Fingerprint {code(finding.fingerprint, 80)}")
    body = "\n".join(f"- {fact}" for fact in facts)
    return f"<details><summary>{title}</summary>\n\n{body}\n\n</details>\n"


def _html(text: str) -> str:
    """Text between HTML tags, with entities for all that Markdown or the service could take for something else."""
    safe = "".join(
        char if char.isalnum() or char in " ,.:;'" or ord(char) > 126 else f"&#{ord(char)};" for char in text
    )
    for mark in ("&#64;", "&#35;"):
        safe = safe.replace(mark, f"{mark}{_GAP}")
    return _AUTOLINK.sub(lambda found: f"{found[1] or found[3]}{_GAP}{found[2] or found[4]}", safe)


def _measurements(view: View) -> Iterator[str]:
    if not view.assessment.measurements:
        return
    yield "| Metric | Value | n | Subject |\n|---|---|---|---|"
    for item in view.assessment.measurements:
        yield _measurement_row(view, item)


def _measurement_row(view: View, item: Measurement) -> str:
    conditions = f" ({prose(condition_text(item))})" if item.conditions else ""
    value = f"**{prose(value_text(item.value, item.unit))}**"
    if item.value is None:
        value += f": {prose(item.undefined_reason or '')}"
    if item.interval:
        value += f"<br>{prose(interval_text(item.interval, item.unit))}"
    subject = prose(view.subject_name(item.subject), 100)
    return f"| {prose(metric_name(item.metric))}{conditions} | {value} | {item.n:,} | {subject} |"


def _difference(difference: Difference | None) -> Iterator[str]:
    if difference is None:
        return
    before = VERDICT_WORDS.get(difference.verdict_before, difference.verdict_before)
    yield (
        f"Compared with {code(difference.previous, 60)} of {prose(when(difference.previous_finished_at), 40)} ({prose(before, 40)}): "
        f"{amount(len(difference.new_findings), 'new finding')}, {len(difference.fixed_findings):,} fixed."
    )
    for name, (old, new) in difference.measurements.items():
        yield f"- {prose(name, 160)}: {_moved(old)} → {_moved(new)}"


def _moved(value: float | None) -> str:
    return "nothing" if value is None else f"{value:.4g}"


def _foot(assessment: Assessment) -> str:
    parts = [f"Assessment {code(assessment.id, 60)}."]
    if assessment.baseline:
        parts.append(f"Findings of {code(assessment.baseline, 60)} are accepted as known.")
    if assessment.ledger.head:
        head = assessment.ledger.head
        parts.append(f"Ledger head {code(head, 120)}; check it with {code(f'helio ledger verify --head {head}', 120)}.")
    else:
        parts.append("Nothing was recorded in a ledger.")
    return "---\n" + " ".join(parts)
