"""The result of a scan on a terminal."""

from heliotrope.core.findings import Location
from heliotrope.core.predicates.scan import VERDICTS, FileReport, ScanDocument, ScanFinding, ScanVerdict
from heliotrope.report._lines import Lines
from heliotrope.report._terminal import SEVERITY_STYLES
from heliotrope.report._text import amount, location_text, plain, size_text
from heliotrope.report._view import SEVERITY_SYMBOLS

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
    bad = sorted((item for item in document.files if item.verdict != "clean"), key=_order)
    for report in bad[:_MAX_FILES]:
        _file(lines, report)
    _more(lines, len(bad) - _MAX_FILES, "file")
    clean = sorted((item for item in document.files if item.verdict == "clean"), key=lambda item: item.path)
    if clean:
        lines.heading(f"Clean: {amount(len(clean), 'file')}")
    for report in clean[:_MAX_CLEAN]:
        size = f", {size_text(report.size)}" if report.size is not None else ""
        lines.add(f"{plain(report.path, 300)} ({plain(report.format, 40)}{size})", first="  ✓ ", style=_STYLES["clean"])
        _findings(lines, report)
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


def _counted(document: ScanDocument) -> str:
    counts = {verdict: sum(1 for item in document.files if item.verdict == verdict) for verdict in VERDICTS}
    said = ", ".join(f"{amount(count, 'file')} {verdict}" for verdict, count in counts.items() if count)
    return said or "no file was judged"


def _order(report: FileReport) -> tuple[int, str]:
    return VERDICTS.index(report.verdict), report.path


def _file(lines: Lines, report: FileReport) -> None:
    lines.blank()
    size = f", {size_text(report.size)}" if report.size is not None else ", could not be read"
    lines.add(
        f"{plain(report.path, 300)}: {report.verdict} ({plain(report.format, 40)}{size})",
        first=f"{SCAN_SYMBOLS[report.verdict]} ",
        style=_STYLES[report.verdict],
    )
    if report.sha256:
        lines.add(f"sha256 {report.sha256}", indent=2, style="dim")
    _findings(lines, report)
    for item in report.incomplete[:_MAX_FINDINGS]:
        limit = f" (limit {plain(item.limit, 60)})" if item.limit else ""
        place = f", at {location_text(_without_path(item.location))}" if item.location else ""
        lines.add(f"not analysed to the end: {plain(item.reason, 300)}{limit}{place}", first="  ? ", style="yellow")
    _more(lines, len(report.incomplete) - _MAX_FINDINGS, "reason")


def _findings(lines: Lines, report: FileReport) -> None:
    ranked = sorted(report.findings, key=lambda item: list(SEVERITY_SYMBOLS).index(item.severity))
    for finding in ranked[:_MAX_FINDINGS]:
        _finding(lines, finding)
    _more(lines, len(ranked) - _MAX_FINDINGS, "finding")


def _finding(lines: Lines, finding: ScanFinding) -> None:
    times = f" ({amount(finding.count, 'time')})" if finding.count > 1 else ""
    lines.add(
        f"{finding.severity}: {plain(finding.message, 400)}{times}",
        first=f"  {SEVERITY_SYMBOLS[finding.severity]} ",
        style=SEVERITY_STYLES[finding.severity],
    )
    place = location_text(_without_path(finding.locations[0])) if finding.locations else ""
    lines.add(f"{plain(finding.rule, 100)}{f' at {place}' if place else ''}", indent=4, style="dim")
    if finding.fix:
        lines.add(plain(finding.fix.text, 400), first="    to do   ")


def _without_path(place: Location) -> Location:
    """The file is named above; what is left is the place in it."""
    return place.model_copy(update={"path": None})


def _more(lines: Lines, count: int, noun: str) -> None:
    if count > 0:
        lines.add(f"… and {amount(count, f'more {noun}')}; --format json lists all", indent=4, style="dim")
