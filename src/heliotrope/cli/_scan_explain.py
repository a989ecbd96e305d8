"""`helio scan --explain`: the decoded program around findings."""

from collections.abc import Iterator
from pathlib import Path

from heliotrope.cli._settings import Settings
from heliotrope.core.text import printable
from heliotrope.scan.explaining import Explained, explain

__all__ = ["explain_file"]

_ARGUMENT = 44
"""Columns of opcode and argument before the effect begins."""


def explain_file(
    path: Path, settings: Settings, *, finding: str | None, offset: int | None, member: str | None
) -> None:
    """Print it. It is a look at a file, no verdict: the exit code is 0."""
    settings.choose_format("table")
    report, places = explain(path, finding=finding, offset=offset, member=member)
    lines = [f"{printable(report.path)}: {report.verdict} ({printable(report.format)})"]
    for place in places:
        lines += ["", *_place(place)]
    settings.emit("\n".join(lines) + "\n")


def _place(place: Explained) -> Iterator[str]:
    found, where = place.finding, place.location
    inside = f" of {printable(where.member)}" if where.member is not None else ""
    at = f"byte {where.offset}{inside}"
    if found is None:
        yield at
    else:
        yield f"{found.severity}: {printable(found.message)}"
        yield f"  {found.rule} at {at}, finding {found.fingerprint[:12]}"
        if found.why:
            yield f"  {found.why}"
    if place.note:
        yield f"  ? {place.note}"
    for line in place.lines:
        item = line.instruction
        head = f"{item.name} {item.argument}".rstrip()
        arrow = "→" if line.here else " "
        yield f"  {arrow} {item.offset:>8}  {head:<{_ARGUMENT}}  {line.effect}"
