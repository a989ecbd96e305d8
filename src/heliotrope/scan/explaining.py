"""The decoded program around a finding, in pickles at any depth of containers. Nothing is loaded.

The file is inspected twice: once for its findings, and once more to come by the bytes that a place counts in, whatever
archive, compression or array they lie in.
"""

import os
import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from heliotrope.core.errors import UsageError
from heliotrope.core.findings import Location
from heliotrope.core.predicates.scan import FileReport, ScanFinding
from heliotrope.core.text import printable
from heliotrope.engine.files import open_regular
from heliotrope.scan._service import scan_paths
from heliotrope.scan.beside import Folder
from heliotrope.scan.collector import Collector
from heliotrope.scan.dispatch import analyse, analyse_nested
from heliotrope.scan.interface import Context, LimitReachedError, Recognised, Source, UnreadableError
from heliotrope.scan.limits import Budget, ScanLimits
from heliotrope.scan.pickles.listing import Instruction, instruction_at, instructions
from heliotrope.scan.sources import FileSource

__all__ = ["Explained", "Line", "explain"]

_BEFORE, _AFTER = 12, 4
"""Instructions shown around a place."""
_MAX_FINDINGS = 10
_MAX_STEPS = 2_000_000
"""Instructions decoded to get to a place, a few seconds of work."""
_MAX_STARTS = 64
_LOOK_BACK = 64 * 2**20
"""Bytes in front of a place that are searched for the beginning of its pickle."""
_CHUNK = 2**20
_HEADER = re.compile(rb"\x80[\x00-\x05]")


@dataclass(frozen=True, slots=True)
class Line:
    """An instruction, and what it does here where that can be told."""

    instruction: Instruction
    effect: str
    here: bool
    """Whether it is the place of the finding."""


@dataclass(frozen=True, slots=True)
class Explained:
    """One place of a file."""

    finding: ScanFinding | None
    location: Location
    lines: tuple[Line, ...]
    note: str = ""
    """What could not be shown, and why."""


def explain(
    path: Path, *, finding: str | None = None, offset: int | None = None, member: str | None = None
) -> tuple[FileReport, tuple[Explained, ...]]:
    """The report on a file, and the program at its findings: at one by (the beginning of) its fingerprint, or at an offset.

    UsageError when there is no such finding.
    """
    if path.is_dir():
        raise UsageError(f"{printable(str(path))} is a folder", hint="name one file in it")
    (report,) = scan_paths([path]).files
    places = _places(report, finding, offset, member)
    wanted: dict[str | None, list[tuple[ScanFinding | None, Location]]] = {}
    for found, place in places:
        wanted.setdefault(place.member, []).append((found, place))
    shown = _Shown(wanted)
    if report.sha256 is not None and wanted:
        _inspect_again(path, shown)
    explained = []
    for found, place in places:
        lines, note = shown.listed.get((place.member, place.offset), ((), "these bytes could not be reached"))
        explained.append(Explained(found, place, lines, note))
    return report, tuple(explained)


def _places(
    report: FileReport, finding: str | None, offset: int | None, member: str | None
) -> list[tuple[ScanFinding | None, Location]]:
    if offset is not None or member is not None:
        return [(None, Location(member=None if member is None else printable(member), offset=offset or 0))]
    chosen: Sequence[ScanFinding] = report.findings
    if finding is not None:
        chosen = [item for item in report.findings if item.fingerprint.startswith(finding)]
        if not chosen:
            known = ", ".join(item.fingerprint[:8] for item in report.findings[:5])
            raise UsageError(
                f"no finding of this file begins with {printable(finding)!r}",
                hint=f"its findings begin with {known}" if known else "it has no findings; name a place with --offset",
            )
    placed = [
        (item, next(place for place in item.locations if place.offset is not None))
        for item in chosen
        if any(place.offset is not None for place in item.locations)
    ]
    return [*placed[:_MAX_FINDINGS]] or [(None, Location(offset=0))]


class _Shown:
    """Takes the listings when the analysis comes by the bytes that they are made of."""

    def __init__(self, wanted: dict[str | None, list[tuple[ScanFinding | None, Location]]]) -> None:
        self._wanted = wanted
        self.listed: dict[tuple[str | None, int | None], tuple[tuple[Line, ...], str]] = {}

    def nested(self, source: Source, name: str, context: Context) -> Recognised | None:
        self.take(source, context)
        return analyse_nested(source, name, context)

    def take(self, source: Source, context: Context) -> None:
        member = None if context.member is None else printable(context.member)
        for _, place in self._wanted.get(member, ()):
            if (member, place.offset) in self.listed:
                continue
            try:
                self.listed[member, place.offset] = _listing(source, (place.offset or 0) - context.base)
            except (UnreadableError, LimitReachedError) as error:
                self.listed[member, place.offset] = ((), f"the bytes cannot be read: {printable(str(error))}")


def _inspect_again(path: Path, shown: _Shown) -> None:
    limits = ScanLimits()
    with open_regular(path) as file:
        source = FileSource(file.fileno(), os.fstat(file.fileno()).st_size)
        context = Context(
            Collector(str(path), limits), limits, Budget.of(limits), shown.nested, beside=Folder(path.parent)
        )
        shown.take(source, context)
        analyse(source, path.name, context)


def _listing(source: Source, offset: int) -> tuple[tuple[Line, ...], str]:
    if not 0 <= offset < source.size:
        return (), f"there are {source.size} bytes"
    for start in _starts(source, offset):
        before = _up_to(source, start, offset)
        if before is not None:
            return _lines(source, before, offset), ""
    if instruction_at(source, offset) is None:
        return (), "there is no pickle opcode at this place"
    return _lines(source, [], offset), "the instructions before it cannot be told: data lies between"


def _starts(source: Source, offset: int) -> list[int]:
    """Where the pickle that holds an offset may begin, the nearest header first."""
    low = max(offset - _LOOK_BACK, 0)
    headers: deque[int] = deque(maxlen=_MAX_STARTS)
    at = low
    while at <= offset:
        data = source.read(at, min(_CHUNK + 1, offset + 2 - at))
        headers.extend(at + match.start() for match in _HEADER.finditer(data) if at + match.start() <= offset)
        at += _CHUNK
    return [*dict.fromkeys(reversed(headers)), *([] if 0 in headers else [0])]


def _up_to(source: Source, start: int, offset: int) -> list[Instruction] | None:
    """The last instructions from a start up to an offset; None when none begins there."""
    kept: deque[Instruction] = deque(maxlen=_BEFORE)
    for item in instructions(source, start, _MAX_STEPS):
        if item.offset == offset:
            return list(kept)
        if item.offset > offset:
            return None
        kept.append(item)
    return None


def _lines(source: Source, before: list[Instruction], offset: int) -> tuple[Line, ...]:
    listed = [*before, *instructions(source, offset, _AFTER + 1)]
    texts: list[str] = []
    lines = []
    for item in listed:
        effect = item.effect
        if item.name == "STACK_GLOBAL" and len(texts) >= 2:
            effect = f"imports {printable(texts[-2])[:80]}.{printable(texts[-1])[:80]} and pushes what it stands for"
        if item.text is not None:
            texts.append(item.text)
        elif item.name not in ("MEMOIZE", "BINPUT", "LONG_BINPUT", "PUT", "FRAME"):
            texts = []
        lines.append(Line(item, effect, item.offset == offset))
    return tuple(lines)
