"""Scanning files and folders: what the command line, the lifecycle and the check call."""

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import heliotrope
from heliotrope.core.errors import InputError
from heliotrope.core.findings import SEVERITIES
from heliotrope.core.predicates.scan import (
    VERDICTS,
    FileReport,
    Incomplete,
    ScanAnalyser,
    ScanDocument,
    ScanPredicate,
    ScanSummary,
    ScanTool,
    worst_verdict,
)
from heliotrope.core.text import printable
from heliotrope.engine.files import (
    Stamp,
    TreeDigest,
    TreeFile,
    WalkedFile,
    WalkProblem,
    open_regular,
    stamp_of,
    walk,
)
from heliotrope.scan.beside import Folders
from heliotrope.scan.collector import Collector, worst_first
from heliotrope.scan.dispatch import analyse, analyse_nested
from heliotrope.scan.interface import Context, Recognised, Source
from heliotrope.scan.limits import Budget, ScanLimits
from heliotrope.scan.policy import policy_digest
from heliotrope.scan.recognised import MODEL_EXTENSIONS
from heliotrope.scan.registry import NONE, Enabled
from heliotrope.scan.repositories.hub_cache import once_each
from heliotrope.scan.sources import BytesSource, FileSource
from heliotrope.scan.third_party import guard

if TYPE_CHECKING:
    from heliotrope.scan.caching import ResultCache

__all__ = [
    "Inspected",
    "Target",
    "inspect_target",
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

_SMALL = 2**20
"""Files up to this size are read once, whole."""

_CHUNK = 2**20

_SHARED_BYTES = 512 * 2**20
_SHARED_FILES = 2_000
"""Where it is worth asking whether further processes pay."""

_TOLD_BYTES = 64 * 2**20
"""Progress within a file is told this often."""

_SETTLED_NS = 2 * 10**9
"""A file changed twice within one tick of the coarsest clock in use has the same times."""


@dataclass(frozen=True, slots=True)
class Target:
    """A file to look at."""

    path: Path
    shown: str
    """Its name in the result."""
    named: bool
    """Named by the user, so it is judged whatever it is."""
    size: int = 0
    inode: int | None = None
    """What it was when the folder was listed."""
    known: tuple[Stamp, str] | None = None
    """Its digest, as long as it is the version with that stamp."""


@dataclass(frozen=True, slots=True)
class Inspected:
    """The report on one file; None when it lies in a folder and is no model."""

    report: FileReport | None
    places: tuple[str, ...] | None = None
    """Of each finding, what its fingerprint is made of beside rule and path; None when it is not to be kept for later."""
    stamp: Stamp | None = None
    """What stands for these bytes, where anything does."""


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
            reports.append(_unread(item.relative, item.reason))
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


def inspect_target(
    target: Target,
    limits: ScanLimits,
    analysers: Enabled = NONE,
    *,
    folders: Folders | None = None,
    cache: "ResultCache | None" = None,
    tick: Callable[[int], None] | None = None,
) -> Inspected:
    """Inspect one file, or take what the cache knows of its bytes. `tick` is told from time to time how many are read."""
    folders = folders or Folders()
    try:
        with open_regular(target.path) as file:
            if cache is None:
                return _scan_open(target, file.fileno(), limits, analysers, folders, tick)
            return _scan_cached(target, file.fileno(), limits, analysers, folders, cache=cache, tick=tick)
    except InputError as error:
        return Inspected(_unread(target.shown, _without_path(error.message, target.path)))
    except OSError as error:
        return Inspected(_unread(target.shown, f"cannot be read: {error.strerror}"))


def _scan_cached(
    target: Target,
    descriptor: int,
    limits: ScanLimits,
    analysers: Enabled,
    folders: Folders,
    *,
    cache: "ResultCache",
    tick: Callable[[int], None] | None,
) -> Inspected:
    from heliotrope.scan.caching import Kept

    stamp = stamp_of(os.fstat(descriptor))
    replaced = target.inode is not None and stamp[1] != target.inode
    digest = None if replaced or stamp[2] > limits.max_hashed_bytes else cache.digest(stamp)
    kept = cache.result(digest, target.path.name, named=target.named) if digest is not None else None
    if kept is not None:
        return Inspected(kept.at(target.shown))
    inspected = _scan_open(target, descriptor, limits, analysers, folders, tick)
    if inspected.report is not None and inspected.places is not None:
        cache.keep(
            Kept(inspected.report, inspected.places), target.path.name, named=target.named, stamp=inspected.stamp
        )
    return inspected


def _scan_open(  # noqa: PLR0917 - one caller with and one without the cache
    target: Target,
    descriptor: int,
    limits: ScanLimits,
    analysers: Enabled,
    folders: Folders,
    tick: Callable[[int], None] | None,
) -> Inspected:
    began = time.time_ns()
    before = stamp_of(os.fstat(descriptor))
    size = before[2]
    if target.inode is not None and before[1] != target.inode:
        return Inspected(_unread(target.shown, "was replaced while the folder was listed"))
    if size > limits.max_hashed_bytes:
        reason = f"{size} bytes, more than the limit of {limits.max_hashed_bytes} bytes"
        return Inspected(_unread(target.shown, reason))
    source: Source = FileSource(descriptor, size)
    if size <= _SMALL:
        source = BytesSource(source.read(0, size))
    notes = Collector(target.shown, limits)
    third_party = guard(analysers, target.shown, limits, size)
    nested = partial(analyse_nested, third_party=third_party)
    beside = folders.of(target.path)
    beside.asked = False
    context = Context(notes, limits, Budget.of(limits, size), nested, beside=beside, named=target.named)
    extensions = MODEL_EXTENSIONS | analysers.extensions
    if size == 0:
        recognised = _empty(target, notes, extensions)
    else:
        recognised = analyse(source, target.path.name, context, third_party) or _by_name(target, notes, extensions)
    everything = [notes, *(item.notes for item in third_party)]
    noted = any(item.noted for item in everything)
    if recognised is None and noted:
        recognised = Recognised("unknown", supported=False)
    if recognised is None or not (target.named or recognised.model or noted):
        return Inspected(None)
    digest = target.known[1] if target.known is not None and target.known[0] == before else _sha256(source, tick)
    changed = stamp_of(os.fstat(descriptor)) != before or source.size != size
    if changed:
        notes.incomplete("changed while it was read; run again when nothing writes to it")
    report = FileReport(
        path=target.shown,
        sha256=digest,
        size=size,
        format=recognised.format,
        verdict=worst_verdict(tuple(item.verdict(supported=recognised.supported) for item in everything)),
        supported=recognised.supported,
        findings=worst_first(finding for item in everything for finding in item.findings()),
        incomplete=tuple(reason for item in everything for reason in item.incompletes()),
    )
    if changed or third_party or beside.asked:
        return Inspected(report)  # other bytes than the file's own had a part in it
    settled = began - before[4] >= _SETTLED_NS
    places = tuple(notes.places[finding.fingerprint] for finding in report.findings)
    return Inspected(report, places, before if settled else None)


def _empty(target: Target, notes: Collector, extensions: frozenset[str]) -> Recognised | None:
    if not target.named and target.path.suffix.lower() not in extensions:
        return None
    notes.incomplete("the file is empty")
    return Recognised("empty", supported=False)


def _by_name(target: Target, notes: Collector, extensions: frozenset[str]) -> Recognised | None:
    """What to make of content that nothing recognises."""
    extension = target.path.suffix.lower()
    if extension in extensions:
        notes.incomplete(f"its name ends in {extension}, but its content is not recognised")
        return Recognised("unknown", supported=False)
    return Recognised("unknown", supported=False, model=False) if target.named else None


def _unread(shown: str, reason: str) -> FileReport:
    return FileReport(
        path=shown,
        sha256=None,
        size=None,
        format="unknown",
        verdict="incomplete",
        supported=False,
        incomplete=(Incomplete(reason=printable(reason)),),
    )


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


def _sha256(source: Source, tick: Callable[[int], None] | None) -> str:
    digest = hashlib.sha256()
    offset = 0
    while chunk := source.read(offset, _CHUNK):
        digest.update(chunk)
        offset += len(chunk)
        if tick is not None and offset % _TOLD_BYTES == 0:
            tick(offset)
    return digest.hexdigest()


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


def _without_path(message: str, path: Path) -> str:
    return message.removeprefix(f"{printable(str(path))}: ")
