"""The local cache of the Hugging Face hub: which repositories it holds, and each of their files once.

Layout: models--OWNER--NAME/{blobs,refs,snapshots/REVISION}; what lies in a snapshot are links to blobs. Source: the
documentation of huggingface_hub, "Understand caching".
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from heliotrope.core.errors import InputError
from heliotrope.core.text import printable
from heliotrope.engine.files import WalkedFile, WalkProblem, walk
from heliotrope.scan.inspecting import Target

__all__ = ["hub_cache_folder", "list_hub_cache"]

_REPOSITORY = re.compile(r"(models|datasets|spaces)--.+")
_REVISION_SHOWN = 12


def hub_cache_folder() -> Path:
    """Where the cache lies, by the variables that huggingface_hub reads."""
    named = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    if named:
        return Path(named).expanduser()
    home = os.environ.get("HF_HOME")
    if home:
        return Path(home).expanduser() / "hub"
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base).expanduser() if base else Path.home() / ".cache") / "huggingface" / "hub"


def list_hub_cache(folder: Path, repository: str = "") -> list[Target | WalkProblem]:
    """The files of every snapshot in the cache, or of one repository's (owner/name); each blob once, under its first name.

    A link that leads out of its repository is a problem, never followed. InputError when there is no cache, or no such
    repository in it.
    """
    if not folder.is_dir():
        raise InputError(
            f"{printable(str(folder))}: there is no cache", hint="set HF_HOME or HF_HUB_CACHE to the cache to inspect"
        )
    held = sorted(item for item in folder.iterdir() if _REPOSITORY.fullmatch(item.name) and item.is_dir())
    if repository:
        wanted = repository.replace("/", "--")
        chosen = [item for item in held if item.name.partition("--")[2] == wanted]
        if not chosen:
            raise InputError(
                f"{printable(repository)} is not in {printable(str(folder))}",
                hint=f"it holds {len(held)} repositories, as in {_shown(held[0]) if held else 'none'}",
            )
        held = chosen
    return [item for root in held for item in _of_repository(root)]


def _shown(root: Path) -> str:
    kind, _, name = root.name.partition("--")
    shown = printable(os.fsencode(name.replace("--", "/")).decode("utf-8", "backslashreplace"))
    return shown if kind == "models" else f"{kind}/{shown}"


def _of_repository(root: Path) -> Iterator[Target | WalkProblem]:
    """Walking the whole repository lets links point at its blobs and nowhere else."""
    name = _shown(root)
    if root.is_symlink():
        yield WalkProblem(name, "is a link, which is not followed")
        return
    snapshots: list[WalkedFile] = []
    loose: list[WalkedFile] = []
    for item in walk(root):
        if isinstance(item, WalkProblem):
            yield WalkProblem(f"{name}/{item.relative}", item.reason)
        elif isinstance(item, WalkedFile):
            (snapshots if item.relative.startswith("snapshots/") else loose).append(item)
    seen: set[int] = set()
    for item in snapshots:
        _, revision, *inside = item.relative.split("/")
        if item.inode not in seen:
            seen.add(item.inode)
            shown = f"{name}@{revision[:_REVISION_SHOWN]}/{'/'.join(inside)}"
            yield Target(item.path, shown, named=False, size=item.size, inode=item.inode)
    for item in loose:  # a blob that no snapshot names is still there to be loaded by whoever finds it
        if item.inode not in seen and not item.relative.startswith("refs/"):
            seen.add(item.inode)
            yield Target(item.path, f"{name}/{item.relative}", named=False, size=item.size, inode=item.inode)
