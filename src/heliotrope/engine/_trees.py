"""Hashing a folder: every file with its digest, and one digest over all of it."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import rfc8785

from heliotrope.core.errors import InputError
from heliotrope.core.records import sha256_hex
from heliotrope.core.text import printable
from heliotrope.engine._hashing import FileDigest, Progress, Stamp, sha256_file
from heliotrope.engine._walk import WalkedFile, WalkLimits, WalkProblem, WalkSkipped, walk

__all__ = ["MAX_TREE_BYTES", "Found", "TreeDigest", "TreeFile", "digest_tree", "tree_digest"]

MAX_TREE_BYTES = 2**40
"""1 TiB, a quarter of an hour of hashing. Sparse files claim sizes that their maker need not have."""

_dumps = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
"""For lists of text and whole numbers this writes what RFC 8785 asks for; the order of names is all it leaves open."""

Known = Callable[[Stamp], FileDigest | None]
"""The digest of this version of a file, if somebody knows it."""


class TreeFile(NamedTuple):
    """A walked file with its digest."""

    file: WalkedFile
    sha256: str
    settled: bool = False
    """Whether a file with this stamp must have this digest; if not, it was changed too short a time before it was read."""


Found = WalkedFile | WalkProblem | WalkSkipped


@dataclass(frozen=True, slots=True)
class TreeDigest:
    """A folder as it was read. The digest covers the files, and the problems when there are any."""

    entries: tuple[TreeFile | WalkProblem | WalkSkipped, ...]
    """In the order of the walk."""
    digest: str
    walked: tuple[Found, ...] = ()
    """What the walk before the hashing saw: an equal walk later means that nothing was touched in between."""

    @property
    def settled(self) -> bool:
        """Whether an equal walk means equal bytes."""
        return all(
            not isinstance(found, WalkedFile) or (isinstance(entry, TreeFile) and entry.settled)
            for found, entry in zip(self.walked, self.entries, strict=True)
        )

    @property
    def files(self) -> tuple[TreeFile, ...]:
        return tuple(entry for entry in self.entries if isinstance(entry, TreeFile))

    @property
    def problems(self) -> tuple[WalkProblem, ...]:
        return tuple(entry for entry in self.entries if isinstance(entry, WalkProblem))

    @property
    def skipped(self) -> tuple[WalkSkipped, ...]:
        return tuple(entry for entry in self.entries if isinstance(entry, WalkSkipped))


def digest_tree(
    root: Path,
    *,
    limits: WalkLimits | None = None,
    progress: Progress | None = None,
    known: Known | None = None,
    earlier: TreeDigest | None = None,
) -> TreeDigest:
    """Walk and hash a folder or a single file. What cannot be taken in is listed among the problems, never left out.

    `progress` hears of the bytes of all files together. Files that are `known` are not read; when the walk finds all as it
    was in a settled listing from `earlier`, that one holds.
    """
    walked = tuple(walk(root, limits=limits))
    if earlier is not None and earlier.settled and earlier.walked == walked:
        return earlier
    total = sum(found.size for found in walked if isinstance(found, WalkedFile))
    hashing = _Hashing(min(total, MAX_TREE_BYTES), progress, known)
    entries = tuple(hashing.take(found) if isinstance(found, WalkedFile) else found for found in walked)
    digest = tree_digest(
        (entry.file.relative, entry.file.size, entry.sha256) for entry in entries if isinstance(entry, TreeFile)
    )
    problems = sorted((entry.relative, entry.reason) for entry in entries if isinstance(entry, WalkProblem))
    if problems:
        digest = sha256_hex(rfc8785.dumps({"files": digest, "problems": [list(pair) for pair in problems]}))
    return TreeDigest(entries, digest, walked)


class _Hashing:
    """One file after the other, up to a number of bytes."""

    def __init__(self, total: int, progress: Progress | None, known: Known | None) -> None:
        self._total = total
        self._progress = progress
        self._known = known
        self._done = 0

    def take(self, file: WalkedFile) -> TreeFile | WalkProblem:
        known = self._known(file.stamp) if self._known is not None else None
        if known is not None:
            self._done += file.size
            return TreeFile(file, known.sha256, known.settled)
        if self._done + file.size > MAX_TREE_BYTES:
            return WalkProblem(
                file.relative, f"not read: the files before it and this one claim more than {MAX_TREE_BYTES} bytes"
            )
        told = self._told if self._progress is not None else None
        try:
            hashed = sha256_file(file.location, progress=told, inode=file.inode)
        except InputError as error:
            return WalkProblem(file.relative, error.message.removeprefix(f"{printable(file.location)}: "))
        finally:
            self._done += file.size
        return TreeFile(file, hashed.sha256, hashed.settled and hashed.stamp == file.stamp)

    def _told(self, done: int, _size: int) -> None:
        assert self._progress is not None
        self._progress(self._done + done, self._total)


def tree_digest(files: Iterable[tuple[str, int, str]]) -> str:
    """SHA-256 over the canonical JSON of the sorted list of (relative path, size, sha256)."""
    return sha256_hex(_dumps(sorted(files)).encode())
