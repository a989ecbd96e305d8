"""One listing of a project for all that ask: walked again for each run, hashed once.

The runner lists the inputs of a run (`Lister.list_inputs`), hands the listing to the process the check runs in
(`Listed.hand_over`), and holds the files against it afterwards (`Listed.changed`). A check takes it with `listed_tree` and
reads no file only to hash it. So the digests in its evidence are those of the bytes that lay there from the listing until the
check was over; where that cannot be told, the outcome says so.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from heliotrope.core.errors import InputError
from heliotrope.core.text import printable
from heliotrope.engine._digest_store import DigestStore
from heliotrope.engine._hashing import FileDigest, Progress, Stamp, sha256_file, stamp_of
from heliotrope.engine._trees import Found, TreeDigest, TreeFile, digest_tree
from heliotrope.engine._walk import WalkedFile, WalkProblem, WalkSkipped, walk
from heliotrope.engine.files import is_folder
from heliotrope.engine.interface import RunContext

__all__ = ["Listed", "Lister", "forget_listings", "listed_tree"]

_NAME = "listing.json"


@dataclass(frozen=True, slots=True)
class Listed:
    """The inputs of a run as they were when they were listed."""

    inputs: dict[str, Path]
    digests: dict[str, str]
    """Of each input by name: SHA-256 of a file, tree digest of a folder."""
    trees: dict[str, TreeDigest]
    """Folders by name."""
    stamps: dict[str, Stamp]
    """Files by name."""

    def hand_over(self, workdir: Path) -> None:
        """Lay the folders down for `listed_tree` in the process that has this folder."""
        if self.trees:
            listings = {str(self.inputs[name]): _packed(tree) for name, tree in self.trees.items()}
            (workdir / _NAME).write_text(json.dumps(listings), "ascii")

    def changed(self) -> list[str]:
        """Names of inputs that were touched since, or are gone."""
        return sorted(name for name in self.inputs if self._is_changed(name))

    def _is_changed(self, name: str) -> bool:
        path = self.inputs[name]
        try:
            if name in self.trees:
                return _walked(path) != self.trees[name].walked
            return stamp_of(path.stat()) != self.stamps[name]
        except (OSError, ValueError, InputError):
            return True


class Lister:
    """Walks and hashes; what is known of a version of a file is not read again."""

    def __init__(self, *, keep: bool = False, trust: bool = True) -> None:
        """With `keep`, digests are kept for later runs; without `trust`, those of earlier runs are not believed."""
        self._keep = keep
        self._trust = trust
        self._known: dict[Stamp, bytes] = {}
        self._trees: dict[Path, TreeDigest] = {}

    def list_inputs(self, inputs: Mapping[str, Path], progress: Progress | None = None) -> Listed:
        """Digests of files and folders. InputError names the input that is missing or unreadable."""
        listed = Listed(dict(inputs), {}, {}, {})
        for name, path in inputs.items():
            try:
                if is_folder(path):
                    listed.trees[name] = self.tree(path, progress)
                    listed.digests[name] = listed.trees[name].digest
                else:
                    found = self._file(path, progress)
                    listed.digests[name], listed.stamps[name] = found.sha256, found.stamp
            except InputError as error:
                raise InputError(f"{printable(name)}: {error.message}", hint=error.hint) from None
        return listed

    def tree(self, root: Path, progress: Progress | None = None) -> TreeDigest:
        """A folder as it is now."""
        earlier = self._trees.get(root)
        store = DigestStore(root) if self._keep and earlier is None else None
        before = store.load() if store is not None and self._trust else {}
        self._known |= before
        tree = digest_tree(root, progress=progress, known=self._find, earlier=earlier)
        if tree is not earlier:
            settled = {
                entry.file.stamp: bytes.fromhex(entry.sha256)
                for entry in tree.entries
                if isinstance(entry, TreeFile) and entry.settled
            }
            self._known |= settled
            if store is not None and settled != before:
                store.save(settled)
        self._trees[root] = tree
        return tree

    def _file(self, path: Path, progress: Progress | None) -> FileDigest:
        try:
            known = self._find(stamp_of(path.stat()))
        except (OSError, ValueError):
            known = None  # hashing it says what is wrong
        found = known or sha256_file(path, progress=progress)
        if found.settled:
            self._known[found.stamp] = bytes.fromhex(found.sha256)
        return found

    def _find(self, stamp: Stamp) -> FileDigest | None:
        digest = self._known.get(stamp)
        return FileDigest(digest.hex(), stamp[2], stamp, settled=True) if digest is not None else None


def listed_tree(context: RunContext, root: Path, progress: Progress | None = None) -> TreeDigest:
    """A folder as it was listed for this run; a folder that is no input of the run, or a file, is listed now."""
    handed = _handed_over(str(context.workdir)).get(str(root))
    return _unpacked(handed) if handed is not None else digest_tree(root, progress=progress)


def forget_listings() -> None:
    """Before another run in the same process: what was handed over for the last one is over."""
    _handed_over.cache_clear()


def _walked(root: Path) -> tuple[Found, ...]:
    return tuple(walk(root))


@lru_cache(maxsize=1)
def _handed_over(workdir: str) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads((Path(workdir) / _NAME).read_text("ascii"))
    except FileNotFoundError:
        return {}
    return content


def _packed(tree: TreeDigest) -> dict[str, Any]:
    """As JSON; names that are no text travel as lone surrogates, which it escapes."""
    entries = [
        [*entry.file, entry.sha256, entry.settled]
        if isinstance(entry, TreeFile)
        else [isinstance(entry, WalkProblem), entry.relative, entry.reason]
        for entry in tree.entries
    ]
    return {"digest": tree.digest, "entries": entries}


def _unpacked(content: dict[str, Any]) -> TreeDigest:
    def entry(packed: list[Any]) -> TreeFile | WalkProblem | WalkSkipped:
        if len(packed) == _NOTE_FIELDS:
            return (WalkProblem if packed[0] else WalkSkipped)(packed[1], packed[2])
        return TreeFile(WalkedFile(*packed[:-2]), packed[-2], packed[-1])

    return TreeDigest(tuple(map(entry, content["entries"])), content["digest"])


_NOTE_FIELDS = 3
