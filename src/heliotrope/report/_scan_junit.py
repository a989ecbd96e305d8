"""JUnit XML of a scan: a case for each file. What decides is the decision where there is one; the raw verdict stands beside it."""

from collections.abc import Iterator
from xml.sax.saxutils import escape, quoteattr

from heliotrope.core.predicates.scan import FileReport, ScanDocument, ScanPredicate, ScanVerdict
from heliotrope.report._severities import SEVERITY_SYMBOLS
from heliotrope.report._text import location_text, plain

__all__ = ["render_scan_junit"]

_MAX_LISTED = 50
"""Findings listed in the body of one case."""
_RESULTS: dict[ScanVerdict, str] = {
    "malicious": "failure",
    "suspicious": "failure",
    "incomplete": "error",
    "unsupported": "error",
}


def render_scan_junit(document: ScanDocument) -> str:
    """One suite; a suspicious or malicious file is a failure, one that was not fully inspected an error."""
    predicate = ScanPredicate(
        tool=document.tool,
        verdict=document.verdict,
        files=document.files,
        summary=document.summary,
        decision=document.decision,
    )
    decided = [report.verdict for report in predicate.decided_files]
    results = [_RESULTS.get(verdict) for verdict in decided]
    counts = (
        f'tests="{len(results)}" failures="{results.count("failure")}" errors="{results.count("error")}" '
        'skipped="0" time="0.000"'
    )
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<testsuites name="heliotrope scan" {counts}>',
        f'  <testsuite name="heliotrope scan" {counts}>',
        "    <properties>",
        *(f"      <property name={_attribute(key)} value={_attribute(value)}/>" for key, value in _facts(document)),
        "    </properties>",
        *(line for pair in zip(document.files, decided, strict=True) for line in _case(*pair)),
        "  </testsuite>",
        "</testsuites>",
    ]
    return "\n".join(lines) + "\n"


def _facts(document: ScanDocument) -> Iterator[tuple[str, str]]:
    yield "verdict", document.verdict
    if document.decision is not None:
        yield "decision", document.decision.verdict
        yield "decided_on", document.decision.decided_on.isoformat()
    yield "heliotrope", document.tool.version
    yield "policy", document.tool.policy_digest


def _case(report: FileReport, decided: ScanVerdict) -> Iterator[str]:
    result = _RESULTS.get(decided)
    head = f'    <testcase name={_attribute(report.path)} classname="heliotrope.scan" time="0.000"'
    if result is None:
        yield f"{head}/>"
        return
    raw = "" if decided == report.verdict else f" (raw verdict: {report.verdict})"
    yield f"{head}>"
    yield f"      <{result} message={_attribute(decided + raw)} type={_attribute(decided)}>{escape(_body(report))}</{result}>"
    yield "    </testcase>"


def _body(report: FileReport) -> str:
    lines = [f"sha256 {report.sha256}"] if report.sha256 else []
    for finding in report.findings[:_MAX_LISTED]:
        place = f" at {location_text(finding.locations[0])}" if finding.locations else ""
        lines.append(
            f"{SEVERITY_SYMBOLS[finding.severity]} {finding.severity}: {plain(finding.message)} ({plain(finding.rule)}{place})"
        )
    lines += [f"not analysed to the end: {plain(item.reason)}" for item in report.incomplete]
    return "\n".join(lines)


def _attribute(text: str) -> str:
    return quoteattr(plain(text) or "(empty)")
