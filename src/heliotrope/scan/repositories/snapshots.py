"""Hugging Face's cache: a snapshot is a folder of links to blobs. Each blob is looked at once, under a snapshot's name for it."""

import re
from collections.abc import Iterable, Iterator
from typing import TypeVar

from heliotrope.engine.files import TreeFile, WalkedFile

__all__ = ["once_each"]

_BLOB = re.compile(r"(?:.*/)?blobs/[0-9a-f]{40,64}")
_SNAPSHOT = re.compile(r"(?:.*/)?snapshots/[^/]+/(.+)")

T = TypeVar("T")


def once_each(listing: Iterable[T]) -> Iterator[T]:
    """The listing of a folder, without blobs that a snapshot names, and without the same name for one in two snapshots."""
    blobs: list[tuple[tuple[int, int], T]] = []
    seen: set[tuple[int, int]] = set()
    named: set[tuple[int, int, str]] = set()
    for item in listing:
        file = item.file if isinstance(item, TreeFile) else item
        if not isinstance(file, WalkedFile):
            yield item
            continue
        identity = (file.device, file.inode)
        if "blobs/" in file.relative and _BLOB.fullmatch(file.relative):
            blobs.append((identity, item))
            continue
        snapshot = _SNAPSHOT.fullmatch(file.relative) if "snapshots/" in file.relative else None
        if snapshot is not None:
            seen.add(identity)
            if (*identity, snapshot[1]) in named:
                continue
            named.add((*identity, snapshot[1]))
        yield item
    for identity, item in blobs:
        if identity not in seen:
            yield item
