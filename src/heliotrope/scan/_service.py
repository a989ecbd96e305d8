"""Scanning files and folders: what the command line, the lifecycle and the check call."""

import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import heliotrope
from heliotrope.core.errors import InputError
from heliotrope.core.findings import SEVERITIES
from heliotrope.core.predicates.scan import (
    VERDICTS,
    FileReport,
    ScanAnalyser,
    ScanDocument,
    ScanPredicate,
    ScanSummary,
    ScanTool,
    worst_verdict,
)
from heliotrope.core.text import printable
from heliotrope.engine.files import (
    TreeDigest,
    TreeFile,
    WalkedFile,
    WalkProblem,
    walk,
)
from heliotrope.scan.beside import Folders
from heliotrope.scan.inspecting import Inspected, Target, inspect_target, unread
from heliotrope.scan.limits import ScanLimits
from heliotrope.scan.policy import policy_digest
from heliotrope.scan.registry import NONE, Enabled
from heliotrope.scan.repositories.snapshots import once_each

if TYPE_CHECKING:
    from heliotrope.scan.caching import ResultCache

__all__ = [
    "list_folder",
    "list_paths",
    "listed_folder",
    "predicate_of",
    "scan_paths",
    "scan_targets",
    "scan_tool",
]

Progress = Callable[[float, float, str], None]
"""Called with bytes done, bytes in all, and the file that comes next."""

_SHARED_BYTES = 512 * 2**20
_SHARED_FILES = 2_000
"""Where it is worth asking whether further processes pay."""


def scan_tool(analysers: Enabled = NONE) -> ScanTool:
    """This scanner under its shipped policy, with the third-party analysers that are on."""
    return ScanTool(
        version=heliotrope.__version__,
        policy_digest=policy_digest(analysers.names),
        analysers=tuple(ScanAnalyser(id=name, version=version) for name, version in analysers.names),
    )


def scan_paths(
    paths: Sequence[Path],
    *,
    limits: ScanLimits | None = None,
    progress: Progress | None = None,
    analysers: Enabled = NONE,
    jobs: int | None = 1,
    cache: "ResultCache | None" = None,
) -> ScanDocument:
    """Inspect files, and folders with all that is in them. Nothing in them is loaded, imported or executed.

    `analysers` are those of other packages that take part (see `enable`); none does unless it is named. A path that is missing or cannot be read is a file of the result with the verdict incomplete, never an exception. `jobs` processes share the work, None: as many as pay. The result is the same whatever their number, and with and without `cache`.
    """
    return scan_targets(
        list_paths(paths), limits=limits, progress=progress, analysers=analysers, jobs=jobs, cache=cache
    )


def list_paths(paths: Sequence[Path]) -> list[Target | WalkProblem]:
    """The files that `scan_paths` inspects."""
    found: list[Target | WalkProblem] = []
    for path in paths:
        if _is_folder(path):
            found.extend(list_folder(path, "" if str(path) == "." else f"{_text(path.as_posix()).rstrip('/')}/"))
        else:
            found.append(Target(path, _text(str(path)), named=True, size=_size(path)))
    return found


def scan_targets(
    found: Sequence[Target | WalkProblem],
    *,
    limits: ScanLimits | None = None,
    progress: Progress | None = None,
    analysers: Enabled = NONE,
    jobs: int | None = 1,
    cache: "ResultCache | None" = None,
) -> ScanDocument:
    """Inspect listed files, in the order given; see `scan_paths`."""
    limits = limits or ScanLimits()
    total = float(sum(item.size for item in found if isinstance(item, Target)))
    fresh = {number: item for number, item in enumerate(found) if isinstance(item, Target)}
    outcomes: dict[int, Inspected] = {}
    if (jobs is None and (total > _SHARED_BYTES or len(fresh) > _SHARED_FILES)) or (jobs or 1) > 1:
        from heliotrope.scan.sharing import share_out

        outcomes = share_out(fresh, jobs=jobs, limits=limits, analysers=analysers, cache=cache, progress=progress)
    done = 0.0
    reports: list[FileReport] = []
    folders = Folders()
    for number, item in enumerate(found):
        if isinstance(item, WalkProblem):
            reports.append(unread(item.relative, item.reason))
            continue
        if number not in outcomes and progress is not None:
            progress(done, total, printable(item.shown))
        inspected = outcomes.get(number)
        if inspected is None:
            tick = None if progress is None else partial(_tick, progress, done, total, printable(item.shown))
            inspected = inspect_target(item, limits, analysers, folders=folders, cache=cache, tick=tick)
        done += item.size
        if inspected.report is not None:
            reports.append(inspected.report)
    if progress is not None:
        progress(total, total, "")
    return _document(reports, scan_tool(analysers), seen=len(found))


def _tick(progress: Progress, done: float, total: float, shown: str, read: int) -> None:
    progress(done + read, total, shown)


def predicate_of(document: ScanDocument) -> ScanPredicate:
    """The document as evidence."""
    return ScanPredicate(
        tool=document.tool,
        verdict=document.verdict,
        files=document.files,
        summary=document.summary,
        decision=document.decision,
    )


def listed_folder(tree: TreeDigest, prefix: str = "") -> Iterator[Target | WalkProblem]:
    """As `list_folder`, from a listing that was made before."""
    for entry in once_each(tree.entries):
        if isinstance(entry, TreeFile):
            file = entry.file
            yield Target(
                file.path,
                f"{prefix}{file.relative}",
                named=False,
                size=file.size,
                inode=file.inode,
                known=(file.stamp, entry.sha256) if entry.settled else None,
            )
        elif isinstance(entry, WalkProblem):
            yield WalkProblem(f"{prefix}{entry.relative}", entry.reason)


def list_folder(root: Path, prefix: str = "") -> Iterator[Target | WalkProblem]:
    """The files of a folder; their names in the result are the prefix and the path relative to the folder."""
    try:
        for item in once_each(walk(root)):
            if isinstance(item, WalkedFile):
                yield Target(item.path, f"{prefix}{item.relative}", named=False, size=item.size, inode=item.inode)
            elif isinstance(item, WalkProblem):
                yield WalkProblem(f"{prefix}{item.relative}", item.reason)
    except InputError as error:
        yield WalkProblem(prefix.rstrip("/") or ".", error.message)


def _document(reports: list[FileReport], tool: ScanTool, *, seen: int) -> ScanDocument:
    severities = [finding.severity for report in reports for finding in report.findings]
    verdicts = [report.verdict for report in reports]
    return ScanDocument(
        tool=tool,
        verdict=worst_verdict(tuple(verdicts)),
        files=tuple(reports),
        summary=ScanSummary(
            files_seen=seen,
            files_judged=len(reports),
            not_judged=seen - len(reports),
            bytes_judged=sum(report.size or 0 for report in reports),
            verdicts={verdict: verdicts.count(verdict) for verdict in VERDICTS if verdict in verdicts},
            findings={severity: severities.count(severity) for severity in SEVERITIES if severity in severities},
        ),
    )


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except (OSError, ValueError):
        return 0


def _text(path: str) -> str:
    """Valid UTF-8 also when the name is not."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
