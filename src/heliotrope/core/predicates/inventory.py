"""Evidence of which files a project is made of."""

from typing import Literal

from heliotrope.core.records import Record
from heliotrope.core.subjects import Artifact

__all__ = ["INVENTORY_PREDICATE", "FileRole", "InventoryFile", "InventoryPredicate", "InventoryProblem"]

INVENTORY_PREDICATE = "urn:heliotrope:predicate:inventory:v1"

FileRole = Literal["model", "data", "code", "configuration", "lock", "notebook", "document", "other"]


class InventoryFile(Record):
    """A file with its digest and what it seems to be for."""

    artifact: Artifact
    role: FileRole


class InventoryProblem(Record):
    """A path that could not be taken in, and why: unreadable, link out of the tree, changed while read, limit."""

    path: str
    reason: str


class InventoryPredicate(Record):
    """Every file below a root, in path order."""

    files: tuple[InventoryFile, ...]
    problems: tuple[InventoryProblem, ...]
    total_files: int
    total_bytes: int
    tree_digest: str
    """SHA-256 over the canonical JSON of the sorted list of (path, size, sha256); with problems, over these as well."""
    skipped: tuple[InventoryProblem, ...] = ()
    """Folders that were passed over by their name, and links to folders: what is in them was not looked at."""
