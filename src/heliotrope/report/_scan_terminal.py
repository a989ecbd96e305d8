"""The result of a scan on a terminal."""

from heliotrope.core.findings import Location
from heliotrope.core.predicates.scan import (
    VERDICTS,
    FileDecision,
    FileReport,
    ScanDocument,
    ScanFinding,
    ScanVerdict,
)
from heliotrope.report._lines import Lines
from heliotrope.report._severities import SEVERITY_STYLES, SEVERITY_SYMBOLS
from heliotrope.report._text import amount, location_text, plain, size_text

__all__ = ["SCAN_SYMBOLS", "render_scan_terminal"]

SCAN_SYMBOLS: dict[ScanVerdict, str] = {
    "malicious": "✗",
    "suspicious": "✗",
    "incomplete": "?",
    "unsupported": "?",
    "clean": "✓",
}
_STYLES: dict[ScanVerdict, str] = {
    "malicious": "bold red",
    "suspicious": "red",
    "incomplete": "yellow",
    "unsupported": "yellow",
    "clean": "green",
}
_MAX_FILES = 100
_MAX_CLEAN = 20
_MAX_FINDINGS = 10
"""For one file."""
_MAX_EXPLAINED = 8
"""Findings of a scan that say why they matter and what to do; the same rule says it once."""
_SERIOUS = ("critical", "high", "medium")


def render_scan_terminal(document: ScanDocument, *, width: int = 80, color: bool = False) -> str:
    """A scan in lines of at most `width` columns (40 at least): the verdict, then the files, worst first."""
    lines = Lines(width, color)
    summary = document.summary
    verdict = document.verdict if document.files else "nothing judged"
    lines.add(
        f"{verdict.upper()}: {_counted(document)}",
        first=f"{SCAN_SYMBOLS[document.verdict] if document.files else '?'} ",
        style=_STYLES[document.verdict] if document.files else "yellow",
    )
    decisions = {} if document.decision is None else {item.path: item for item in document.decision.files}
    _decision(lines, document)
    bad = sorted((item for item in document.files if item.verdict != "clean"), key=_order)
    said: set[tuple[str, str]] = set()
    for report in bad[:_MAX_FILES]:
        _file(lines, report, decisions.get(report.path), said)
    _more(lines, len(bad) - _MAX_FILES, "file")
    clean = sorted((item for item in document.files if item.verdict == "clean"), key=lambda item: item.path)
    if clean:
        lines.heading(f"Clean: {amount(len(clean), 'file')}")
    for report in clean[:_MAX_CLEAN]:
        size = f", {size_text(report.size)}" if report.size is not None else ""
        lines.add(f"{plain(report.path, 300)} ({plain(report.format, 40)}{size})", first="  ✓ ", style=_STYLES["clean"])
        _findings(lines, report, frozenset(), said)
    _more(lines, len(clean) - _MAX_CLEAN, "file")
    lines.blank()
    lines.add(
        f"{amount(summary.files_seen, 'file')} seen, {summary.files_judged:,} judged ({size_text(summary.bytes_judged)}), "
        f"{summary.not_judged:,} no part of a model",
        style="dim",
    )
    for analyser in document.tool.analysers:
        lines.add(f"with analyser {plain(analyser.id, 100)} {plain(analyser.version, 40)} of a plug-in", style="dim")
    lines.add(f"heliotrope {plain(document.tool.version, 40)}, policy {document.tool.policy_digest}", style="dim")
    return lines.text()


def _decision(lines: Lines, document: ScanDocument) -> None:
    """What the person's allowances make of it."""
    decision = document.decision
    if decision is None:
        return
    lines.add(
        f"decision of {decision.decided_on}: {decision.verdict.upper()} "
        f"(raw verdict {document.verdict}; {amount(sum(len(item.lifted) for item in decision.files), 'finding')} allowed by scan.allow)",
        first=f"{SCAN_SYMBOLS[decision.verdict]} ",
        style=_STYLES[decision.verdict],
    )
    for item in decision.applied:
        lines.add(
            f"allowed {plain(item.global_, 200)} ({', '.join(item.uses)}) up to {item.expires}: {plain(item.reason, 300)}",
            indent=2,
            style="dim",
        )
    for item in decision.expired:
        lines.add(
            f"not applied: the allowance of {plain(item.global_, 200)} expired on {item.expires}",
            indent=2,
            style="yellow",
        )
    for item in decision.unused:
        lines.add(f"not needed: the allowance of {plain(item.global_, 200)}", indent=2, style="dim")


def _counted(document: ScanDocument) -> str:
    counts = {verdict: sum(1 for item in document.files if item.verdict == verdict) for verdict in VERDICTS}
    said = ", ".join(f"{amount(count, 'file')} {verdict}" for verdict, count in counts.items() if count)
    return said or "no file was judged"


def _order(report: FileReport) -> tuple[int, str]:
    return VERDICTS.index(report.verdict), report.path


def _file(lines: Lines, report: FileReport, decision: FileDecision | None, said: set[tuple[str, str]]) -> None:
    lines.blank()
    size = f", {size_text(report.size)}" if report.size is not None else ", could not be read"
    lines.add(
        f"{plain(report.path, 300)}: {report.verdict} ({plain(report.format, 40)}{size})",
        first=f"{SCAN_SYMBOLS[report.verdict]} ",
        style=_STYLES[report.verdict],
    )
    if report.sha256:
        lines.add(f"sha256 {report.sha256}", indent=2, style="dim")
    if decision is not None:
        lines.add(f"decided: {decision.verdict}", indent=2, style=_STYLES[decision.verdict])
    _findings(lines, report, frozenset(decision.lifted if decision is not None else ()), said)
    for item in report.incomplete[:_MAX_FINDINGS]:
        limit = f" (limit {plain(item.limit, 60)})" if item.limit else ""
        place = f", at {location_text(_without_path(item.location))}" if item.location else ""
        lines.add(f"not analysed to the end: {plain(item.reason, 300)}{limit}{place}", first="  ? ", style="yellow")
    _more(lines, len(report.incomplete) - _MAX_FINDINGS, "reason")


def _findings(lines: Lines, report: FileReport, lifted: frozenset[str], said: set[tuple[str, str]]) -> None:
    ranked = sorted(report.findings, key=lambda item: list(SEVERITY_SYMBOLS).index(item.severity))
    for finding in ranked[:_MAX_FINDINGS]:
        _finding(lines, finding, lifted=finding.fingerprint in lifted, said=said)
    _more(lines, len(ranked) - _MAX_FINDINGS, "finding")


def _finding(lines: Lines, finding: ScanFinding, *, lifted: bool, said: set[tuple[str, str]]) -> None:
    """The finding and where it is; for the worst ones why it matters and what to do, each said once."""
    times = f" ({amount(finding.count, 'time')})" if finding.count > 1 else ""
    lines.add(
        f"{finding.severity}: {plain(finding.message, 400)}{times}",
        first=f"  {SEVERITY_SYMBOLS[finding.severity]} ",
        style=SEVERITY_STYLES[finding.severity],
    )
    place = location_text(_without_path(finding.locations[0])) if finding.locations else ""
    known = f", {finding.confidence} confidence" if finding.severity in _SERIOUS else ""
    lines.add(f"{plain(finding.rule, 100)}{f' at {place}' if place else ''}{known}", indent=4, style="dim")
    if lifted:
        lines.add("allowed by scan.allow", indent=4, style="green")
        return
    advice = finding.fix.text if finding.fix else ""
    if (finding.rule, advice) in said or finding.severity not in _SERIOUS or len(said) >= _MAX_EXPLAINED:
        return
    said.add((finding.rule, advice))
    if finding.why:
        lines.add(plain(finding.why, 400), first="    why     ")
    lines.advice(advice)
    if finding.taxonomy:
        lines.add(", ".join(plain(item, 40) for item in finding.taxonomy[:6]), first="    see     ", style="dim")


def _without_path(place: Location) -> Location:
    """The file is named above; what is left is the place in it."""
    return place.model_copy(update={"path": None})


def _more(lines: Lines, count: int, noun: str) -> None:
    if count > 0:
        lines.add(f"… and {amount(count, f'more {noun}')}; --format json lists all", indent=4, style="dim")
