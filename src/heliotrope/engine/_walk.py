"""Listing a folder that may hold traps: links out, loops, pipes, unreadable and endless folders."""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

from heliotrope.core.errors import InputError
from heliotrope.core.text import printable
from heliotrope.engine._hashing import Stamp

__all__ = [
    "LINK_LEAVES",
    "SKIPPED_FOLDERS",
    "WalkLimits",
    "WalkProblem",
    "WalkSkipped",
    "WalkedFile",
    "in_hub_cache",
    "valid_name",
    "walk",
]

LINK_LEAVES = "link leaves the folder"
"""The reason of a WalkProblem for a link whose target lies outside the root."""

MAX_FILES = 200_000
"""Files and folders in all. An inventory of that many is a JSON document of about 60 MB."""

MAX_DEPTH = 64
"""Folders within folders. Real projects stay below 20; deeper ones are made to exhaust a program."""

MAX_PATH_BYTES = 4000
"""Linux refuses paths of 4096 bytes; below that every file can still be opened by its absolute path."""

_HUB_KINDS = ("models--", "datasets--", "spaces--")
"""What names of repositories begin with in Hugging Face's cache."""

_MAX_CHARACTER_BYTES = 4
"""Of a character in UTF-8: most paths need not be encoded to know that they are short enough."""

_first = itemgetter(0)

SKIPPED_FOLDERS = frozenset(
    {
        ".git",
        ".hg",
        ".svn",
        ".heliotrope",
        ".venv",
        "__pycache__",
        "node_modules",
        ".mypy_cache",
        ".ruff_cache",
        ".pytest_cache",
        ".tox",
        ".ipynb_checkpoints",
    }
)
"""History, caches and installed packages: not what the project is made of. Each one passed over is reported."""


@dataclass(frozen=True, slots=True)
class WalkLimits:
    """Where a walk stops; reaching one is a WalkProblem."""

    max_files: int = MAX_FILES
    max_depth: int = MAX_DEPTH
    max_path_bytes: int = MAX_PATH_BYTES


class WalkedFile(NamedTuple):
    """A regular file below the root. A tuple: trees have ten thousands of them."""

    location: str
    """Opens it, also when its name is not valid UTF-8."""
    relative: str
    """With forward slashes; bytes that are not UTF-8 as \\xNN. Different files never share one."""
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    device: int

    @property
    def path(self) -> Path:
        return Path(self.location)

    @property
    def stamp(self) -> Stamp:
        return self.device, self.inode, self.size, self.mtime_ns, self.ctime_ns


@dataclass(frozen=True, slots=True)
class WalkProblem:
    """Something that could not be taken in, and why."""

    relative: str
    reason: str


@dataclass(frozen=True, slots=True)
class WalkSkipped:
    """Something passed over on purpose; what is in it was not looked at."""

    relative: str
    reason: str


class _Entry(NamedTuple):
    """An entry of a folder that is being walked."""

    path: str
    relative: str
    """Not yet escaped."""
    depth: int
    is_folder: bool


def walk(
    root: Path, *, limits: WalkLimits | None = None, wanted: Callable[[str], bool] | None = None
) -> Iterator[WalkedFile | WalkProblem | WalkSkipped]:
    """Everything below the root, files in the byte order of their relative paths; a file as root gives itself.

    Links to folders are never followed; links to files only when the target lies inside the root. With `wanted`, only files
    whose name it accepts are looked at, which is quicker by half and more. InputError when there is no such root.
    """
    return _Walk(root, limits or WalkLimits(), wanted).run()


class _Walk:
    def __init__(self, root: Path, limits: WalkLimits, wanted: Callable[[str], bool] | None) -> None:
        self._limits = limits
        self._wanted = wanted
        self._seen = 0
        self._name = root.name
        try:
            self._root = os.path.realpath(root, strict=True)
            self._is_folder = stat.S_ISDIR(os.lstat(self._root).st_mode)
        except (OSError, ValueError) as error:
            raise InputError(f"{printable(str(root))}: {_reason(error)}", hint="name a file or a folder") from None

    def run(self) -> Iterator[WalkedFile | WalkProblem | WalkSkipped]:
        if not self._is_folder:
            yield self._look(_Entry(self._root, self._name or self._root, 0, is_folder=False))
            return
        stack = [_Entry(self._root, "", 0, is_folder=True)]
        while stack:
            entry = stack.pop()
            if not entry.is_folder:
                yield self._look(entry)
                continue
            problem = self._obstacle(entry)
            if problem is not None:
                yield problem
                continue
            children = self._children(entry)
            if isinstance(children, WalkProblem):
                yield children
                if self._seen > self._limits.max_files:
                    return
            else:
                stack.extend(reversed(children))

    def _obstacle(self, entry: _Entry) -> WalkProblem | WalkSkipped | None:
        name = entry.relative.rpartition("/")[2]
        shown = valid_name(entry.relative)
        if name in SKIPPED_FOLDERS:
            return WalkSkipped(shown, f"folders named {name} are not looked into")
        if name == "venv" and os.path.lexists(f"{entry.path}/pyvenv.cfg"):
            return WalkSkipped(shown, "virtual environments are not looked into")
        if entry.depth > self._limits.max_depth:
            return WalkProblem(
                shown, f"more than {self._limits.max_depth} folders deep; what is below was not looked at"
            )
        return None

    def _children(self, folder: _Entry) -> list[_Entry] | WalkProblem:
        children: list[tuple[bytes, _Entry]] = []
        prefix, depth = (f"{folder.relative}/" if folder.relative else ""), folder.depth + 1
        try:
            with os.scandir(folder.path) as listing:
                for item in listing:
                    self._seen += 1
                    if self._seen > self._limits.max_files:
                        return WalkProblem(
                            valid_name(folder.relative) or ".",
                            f"more than {self._limits.max_files} files; this folder and all after it were not looked at",
                        )
                    is_folder = item.is_dir(follow_symlinks=False)
                    name = item.name
                    if self._wanted is not None and not is_folder and not self._wanted(name):
                        continue
                    # With its slash a folder sorts where its files belong: "a.txt" < "a/b" < "a0".
                    key = os.fsencode(f"{name}/" if is_folder else name)
                    children.append((key, _Entry(item.path, f"{prefix}{name}", depth, is_folder)))
        except OSError as error:
            return WalkProblem(valid_name(folder.relative) or ".", f"cannot be listed: {_reason(error)}")
        children.sort(key=_first)
        return [entry for _, entry in children]

    def _look(self, entry: _Entry) -> WalkedFile | WalkProblem | WalkSkipped:
        path = entry.path
        shown = valid_name(entry.relative)
        if len(path) * _MAX_CHARACTER_BYTES > self._limits.max_path_bytes < len(os.fsencode(path)):
            return WalkProblem(shown, f"its path is longer than {self._limits.max_path_bytes} bytes")
        try:
            status = os.lstat(path)
            if stat.S_ISLNK(status.st_mode):
                target = os.path.realpath(path, strict=True)
                status = os.lstat(target)
                if not self._inside(target):
                    return WalkProblem(shown, LINK_LEAVES)
                if stat.S_ISDIR(status.st_mode):
                    return WalkSkipped(shown, "links to folders are not followed")
        except OSError as error:
            return WalkProblem(shown, _reason(error))
        if not stat.S_ISREG(status.st_mode):
            return WalkProblem(shown, f"is a {_kind(status.st_mode)}, not a file")
        return WalkedFile(
            path, shown, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_dev
        )

    def _inside(self, target: str) -> bool:
        return os.path.commonpath([self._root, target]) == self._root or in_hub_cache(Path(self._root), Path(target))


def in_hub_cache(folder: Path, target: Path) -> bool:
    """Whether a link out of a snapshot of Hugging Face's cache leads to where that cache keeps the snapshot's content.

    `models--owner--name/snapshots/revision/file` is a link to `models--owner--name/blobs/digest`; both paths are resolved.
    """
    if target.parent.name != "blobs":
        return False
    repository = target.parent.parent
    return repository.name.startswith(_HUB_KINDS) and (repository / "snapshots") in (folder, *folder.parents)


def valid_name(relative: str) -> str:
    """Valid UTF-8, and different for different names: a name that could be mistaken for an escape is escaped, too."""
    if "\\x" not in relative and relative.isascii():
        return relative
    raw = os.fsencode(relative)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.replace(b"\\", b"\\x5c").decode("utf-8", "backslashreplace")
    return text.replace("\\", "\\x5c") if "\\x" in text else text


def _reason(error: OSError | ValueError) -> str:
    if not isinstance(error, OSError):
        return str(error)
    known = {
        errno.ENOENT: "no such file or folder, or a link to nothing",
        errno.EACCES: "permission denied",
        errno.EPERM: "permission denied",
        errno.ELOOP: "link that leads in a circle",
        errno.ENAMETOOLONG: "the path is too long",
        errno.ENOTDIR: "a part of the path is not a folder",
    }
    return known.get(error.errno or 0, error.strerror or type(error).__name__)


def _kind(mode: int) -> str:
    kinds = ((stat.S_ISFIFO, "pipe"), (stat.S_ISSOCK, "socket"), (stat.S_ISCHR, "device"), (stat.S_ISBLK, "device"))
    return next((name for test, name in kinds if test(mode)), "special file")
