"""Scanning files and folders: what the command line, the lifecycle and the check call."""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

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

__all__ = ["Target", "list_folder", "listed_folder", "predicate_of", "scan_paths", "scan_targets", "scan_tool"]

Progress = Callable[[float, float, str], None]
"""Called with bytes done, bytes in all, and the file that comes next."""

_SMALL = 2**20
"""Files up to this size are read once, whole."""

_CHUNK = 2**20


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
) -> ScanDocument:
    """Inspect files, and folders with all that is in them. Nothing in them is loaded, imported or executed.

    `analysers` are those of other packages that take part (see `enable`); none does unless it is named. A path that is missing or cannot be read is a file of the result with the verdict incomplete, never an exception.
    """
    found: list[Target | WalkProblem] = []
    for path in paths:
        if _is_folder(path):
            found.extend(list_folder(path, "" if str(path) == "." else f"{_text(path.as_posix()).rstrip('/')}/"))
        else:
            found.append(Target(path, _text(str(path)), named=True, size=_size(path)))
    return scan_targets(found, limits=limits, progress=progress, analysers=analysers)


def scan_targets(
    found: Sequence[Target | WalkProblem],
    *,
    limits: ScanLimits | None = None,
    progress: Progress | None = None,
    analysers: Enabled = NONE,
) -> ScanDocument:
    """Inspect listed files, in the order given."""
    limits = limits or ScanLimits()
    total = float(sum(item.size for item in found if isinstance(item, Target)))
    done = 0.0
    reports: list[FileReport] = []
    folders = Folders()
    for item in found:
        if progress is not None:
            shown = item.shown if isinstance(item, Target) else item.relative
            progress(done, total, printable(shown))
        if isinstance(item, WalkProblem):
            reports.append(_unread(item.relative, item.reason))
            continue
        report = _scan_file(item, limits, analysers, folders)
        done += item.size
        if report is not None:
            reports.append(report)
    if progress is not None:
        progress(total, total, "")
    return _document(reports, scan_tool(analysers), seen=len(found))


def predicate_of(document: ScanDocument) -> ScanPredicate:
    """The document as evidence."""
    return ScanPredicate(tool=document.tool, verdict=document.verdict, files=document.files, summary=document.summary)


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


def _scan_file(target: Target, limits: ScanLimits, analysers: Enabled, folders: Folders) -> FileReport | None:
    """The report on one file; None when it lies in a folder and is no model."""
    try:
        with open_regular(target.path) as file:
            return _scan_open(target, file.fileno(), limits, analysers, folders)
    except InputError as error:
        return _unread(target.shown, _without_path(error.message, target.path))
    except OSError as error:
        return _unread(target.shown, f"cannot be read: {error.strerror}")


def _scan_open(
    target: Target, descriptor: int, limits: ScanLimits, analysers: Enabled, folders: Folders
) -> FileReport | None:
    before = stamp_of(os.fstat(descriptor))
    size = before[2]
    if target.inode is not None and before[1] != target.inode:
        return _unread(target.shown, "was replaced while the folder was listed")
    if size > limits.max_hashed_bytes:
        return _unread(target.shown, f"{size} bytes, more than the limit of {limits.max_hashed_bytes} bytes")
    source: Source = FileSource(descriptor, size)
    if size <= _SMALL:
        source = BytesSource(source.read(0, size))
    notes = Collector(target.shown, limits)
    third_party = guard(analysers, target.shown, limits, size)
    nested = partial(analyse_nested, third_party=third_party)
    context = Context(
        notes, limits, Budget.of(limits, size), nested, beside=folders.of(target.path), named=target.named
    )
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
        return None
    digest = target.known[1] if target.known is not None and target.known[0] == before else _sha256(source)
    if stamp_of(os.fstat(descriptor)) != before or source.size != size:
        notes.incomplete("changed while it was read; run again when nothing writes to it")
    return FileReport(
        path=target.shown,
        sha256=digest,
        size=size,
        format=recognised.format,
        verdict=worst_verdict(tuple(item.verdict(supported=recognised.supported) for item in everything)),
        findings=worst_first(finding for item in everything for finding in item.findings()),
        incomplete=tuple(reason for item in everything for reason in item.incompletes()),
    )


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


def _sha256(source: Source) -> str:
    digest = hashlib.sha256()
    offset = 0
    while chunk := source.read(offset, _CHUNK):
        digest.update(chunk)
        offset += len(chunk)
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
