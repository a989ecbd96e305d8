"""Results as HTML fragments for notebooks: what matters first, the whole page behind a fold, every text escaped."""

from collections.abc import Sequence

from markupsafe import Markup

from heliotrope.core.assessments import Assessment
from heliotrope.core.measurements import Measurement
from heliotrope.core.predicates.behaviour import EvasionPredicate
from heliotrope.core.predicates.scan import ScanDocument, ScanVerdict
from heliotrope.report._html import template
from heliotrope.report._text import amount, interval_text, metric_name, number, plain, value_text
from heliotrope.report._view import OUTCOME_WORDS, VERDICT_SYMBOLS, VERDICT_WORDS, View

__all__ = ["assessment_html", "attack_html", "explain_html", "scan_html"]

_MAX_LISTED = 20
_TONES = {"allow": "ok", "deny": "bad", "needs-review": "warn"}
_HEALTH_TONES = {"sound": "ok", "doubtful": "warn", "unsound": "bad"}
_SCAN_TONES: dict[ScanVerdict, str] = {
    "clean": "ok",
    "incomplete": "warn",
    "unsupported": "warn",
    "suspicious": "bad",
    "malicious": "bad",
}


def assessment_html(assessment: Assessment, page: str) -> str:
    """Verdict, numbers and what stands in the way; `page` is the report, shown in a frame of its own."""
    view = View(assessment)
    verdict = assessment.decision.verdict
    points = [
        f"{rule.rule}: wanted {rule.wanted}, got {rule.actual}" + (f" ({rule.reason})" if rule.reason else "")
        for rule in view.standing_in_the_way
    ]
    return template("notebook.html.j2").render(
        tone=_TONES[verdict],
        symbol=VERDICT_SYMBOLS[verdict],
        word=VERDICT_WORDS[verdict],
        lead=assessment.decision.reason,
        numbers=[_row(measurement) for measurement in assessment.measurements[:_MAX_LISTED]],
        points=_cut(points),
        page=Markup("{}").format(page),  # escaped once, here: it is the value of an attribute
    )


def attack_html(evidence: EvasionPredicate | None, reason: str) -> str:
    """Accuracy clean and under attack, and whether the attack itself worked."""
    verdict = evidence.health_verdict if evidence is not None else "unsound"
    doubts = [] if evidence is None else [item for item in evidence.health if item.state in ("warning", "failed")]
    return template("notebook.html.j2").render(
        tone=_HEALTH_TONES[verdict],
        symbol={"sound": "✓", "doubtful": "?", "unsound": "✗"}[verdict],
        word=f"{verdict} attack" if evidence is not None else "not carried out",
        lead=reason,
        numbers=[] if evidence is None else _accuracies(evidence),
        points=_cut([f"{item.title}: wanted {item.wanted}, got {item.actual}" for item in doubts]),
        page=None,
    )


def explain_html(assessment: Assessment, page: str) -> str:
    """What was found and what was asked; `page` holds the pictures, shown in a frame of its own."""
    failed = [run for run in assessment.runs if run.outcome == "failed"]
    open_ = [run for run in assessment.runs if run.outcome in ("inconclusive", "error", "skipped")]
    count = f"{len(failed)} of {amount(len(assessment.runs), 'check')}"
    return template("notebook.html.j2").render(
        tone="bad" if failed else "warn" if open_ else "ok",
        symbol="✗" if failed else "?" if open_ else "✓",
        word="look at this" if failed else "not all is known" if open_ else "nothing stands out",
        lead=f"{count} found something, {amount(len(open_), 'check')} did not conclude",
        numbers=[_row(measurement) for measurement in assessment.measurements[:_MAX_LISTED]],
        points=_cut(
            [f"{run.check}: {OUTCOME_WORDS[run.outcome]}: {plain(run.reason, 400)}" for run in assessment.runs]
        ),
        page=Markup("{}").format(page),  # escaped once, here: it is the value of an attribute
    )


def scan_html(document: ScanDocument) -> str:
    """The verdict, and the findings of the files that are not clean."""
    verdict = document.decided
    worst = [report for report in document.files if report.verdict != "clean"]
    points = [
        f"{plain(report.path, 200)} is {report.verdict}"
        + "".join(f"; {finding.message}" for finding in report.findings[:3])
        + "".join(f"; {gap.reason}" for gap in report.incomplete[:1])
        for report in worst
    ]
    return template("notebook.html.j2").render(
        tone=_SCAN_TONES[verdict] if document.files else "warn",
        symbol="✓" if verdict == "clean" and document.files else "✗",
        word=verdict if document.files else "nothing judged",
        lead=f"{amount(document.summary.files_judged, 'file')} judged, nothing was executed"
        + (f"; raw verdict {document.verdict}" if document.decision is not None else ""),
        numbers=[],
        points=_cut(points),
        page=None,
    )


def _row(measurement: Measurement) -> tuple[str, str, str, str]:
    interval = interval_text(measurement.interval, measurement.unit) if measurement.interval else ""
    value = value_text(measurement.value, measurement.unit) if measurement.value is not None else "undefined"
    return metric_name(measurement.metric), value, interval, number(measurement.n)


def _accuracies(evidence: EvasionPredicate) -> list[tuple[str, str, str, str]]:
    threat = evidence.threat
    bounds = f"{number(threat.eps)} words" if threat.kind == "text" else f"{threat.norm}, eps {number(threat.eps)}"
    under = f"accuracy under attack ({bounds})"
    return [
        (
            "clean accuracy",
            value_text(evidence.clean_accuracy, "1"),
            interval_text(evidence.clean_interval),
            number(evidence.n),
        ),
        (under, value_text(evidence.robust_accuracy, "1"), interval_text(evidence.robust_interval), number(evidence.n)),
    ]


def _cut(points: Sequence[str]) -> list[str]:
    more = len(points) - _MAX_LISTED
    return [*points[:_MAX_LISTED], *([f"and {more} more"] if more > 0 else [])]
