"""Inspecting one file: its bytes read once, by every analyser that takes them, or taken from what is known of them."""

import hashlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from heliotrope.core.errors import InputError
from heliotrope.core.predicates.scan import FileReport, Incomplete, worst_verdict
from heliotrope.core.text import printable
from heliotrope.engine.files import Stamp, open_regular, stamp_of
from heliotrope.scan.beside import Folders
from heliotrope.scan.collector import Collector, worst_first
from heliotrope.scan.dispatch import analyse, analyse_nested
from heliotrope.scan.interface import Context, Recognised, Source
from heliotrope.scan.limits import Budget, ScanLimits
from heliotrope.scan.recognised import MODEL_EXTENSIONS
from heliotrope.scan.registry import NONE, Enabled
from heliotrope.scan.sources import BytesSource, FileSource
from heliotrope.scan.third_party import guard

if TYPE_CHECKING:
    from heliotrope.scan.caching import ResultCache

__all__ = ["Inspected", "Target", "inspect_target", "unread"]

_SMALL = 2**20
"""Files up to this size are read once, whole."""

_CHUNK = 2**20

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
        return Inspected(unread(target.shown, _without_path(error.message, target.path)))
    except OSError as error:
        return Inspected(unread(target.shown, f"cannot be read: {error.strerror}"))


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
        return Inspected(unread(target.shown, "was replaced while the folder was listed"))
    if size > limits.max_hashed_bytes:
        reason = f"{size} bytes, more than the limit of {limits.max_hashed_bytes} bytes"
        return Inspected(unread(target.shown, reason))
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
        recognised = analyse(source, target.path.name, context, third_party)
        if recognised is None:
            recognised = _by_name(source, target, context, extensions)
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


def _by_name(source: Source, target: Target, context: Context, extensions: frozenset[str]) -> Recognised | None:
    """What to make of content that nothing recognises. A reader that passes over what it cannot load may find a pickle."""
    extension = target.path.suffix.lower()
    if extension in extensions:
        from heliotrope.scan.pickles.streams import search_pickles

        search_pickles(source, context, start=0)
        context.notes.incomplete(f"its name ends in {extension}, but its content is not recognised")
        return Recognised("unknown", supported=False)
    return Recognised("unknown", supported=False, model=False) if target.named else None


def unread(shown: str, reason: str) -> FileReport:
    return FileReport(
        path=shown,
        sha256=None,
        size=None,
        format="unknown",
        verdict="incomplete",
        supported=False,
        incomplete=(Incomplete(reason=printable(reason)),),
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


def _without_path(message: str, path: Path) -> str:
    return message.removeprefix(f"{printable(str(path))}: ")
