"""Opening and hashing files whose owner may not wish us well.

Nothing here opens a pipe, a socket or a device, follows a link out of the named folder, or reads more than it announced.
"""

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import rfc8785

from heliotrope.core.errors import InputError
from heliotrope.core.records import sha256_hex
from heliotrope.core.text import printable
from heliotrope.engine._walk import LINK_LEAVES, WalkedFile, WalkLimits, WalkProblem, WalkSkipped, valid_name, walk

__all__ = [
    "LINK_LEAVES",
    "MAX_HASHED_BYTES",
    "FileDigest",
    "TreeDigest",
    "TreeFile",
    "VerifiedBytes",
    "WalkLimits",
    "WalkProblem",
    "WalkSkipped",
    "WalkedFile",
    "digest_inputs",
    "digest_tree",
    "is_folder",
    "is_present",
    "open_regular",
    "read_verified",
    "sha256_file",
    "stat_inputs",
    "tree_digest",
    "valid_name",
    "walk",
]

MAX_HASHED_BYTES = 64 * 2**30
"""64 GiB: above the largest single file of a published model; a sparse file can claim far more at no cost to its maker."""

_CHUNK = 2**20
"""1 MiB: large enough that the interpreter costs nothing, small enough to stop soon."""

_REASONS = {
    errno.ENOENT: "no such file",
    errno.ENOTDIR: "no such file (a part of the path is not a folder)",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.EISDIR: "is a folder, not a file",
    errno.ELOOP: "is a symbolic link that leads in a circle, or one where none is followed",
    errno.ENAMETOOLONG: "the path is too long",
}

Progress = Callable[[int, int], None]
"""Called with bytes done and bytes in all."""


@dataclass(frozen=True, slots=True)
class FileDigest:
    """What a file was, from its first to its last byte."""

    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class VerifiedBytes:
    """Bytes read once, and the digest of these very bytes."""

    data: bytes
    sha256: str


@dataclass(frozen=True, slots=True)
class TreeFile:
    """A walked file with its digest."""

    file: WalkedFile
    sha256: str


@dataclass(frozen=True, slots=True)
class TreeDigest:
    """A folder as it was read. The digest covers the files, and the problems when there are any."""

    files: tuple[TreeFile, ...]
    problems: tuple[WalkProblem, ...]
    skipped: tuple[WalkSkipped, ...]
    digest: str


def is_present(path: Path) -> bool:
    """Whether anything lies at a path, be it a link to nothing; InputError when that cannot be told."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError) as error:
        raise InputError(_input_error(path, error).message, hint="check the path and its permissions") from None
    return True


def open_regular(path: Path, *, follow: bool = True) -> BinaryIO:
    """Open a regular file for reading; InputError for anything else. Without `follow`, a link is an error."""
    try:
        _require_regular(path, path.stat(follow_symlinks=follow))
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY | (0 if follow else os.O_NOFOLLOW)
        descriptor = os.open(path, flags)
        try:
            _require_regular(path, os.fstat(descriptor))  # it may have been replaced by a pipe since
            return os.fdopen(descriptor, "rb")
        except BaseException:
            os.close(descriptor)
            raise
    except (OSError, ValueError) as error:
        raise _input_error(path, error) from None


def sha256_file(
    path: Path,
    *,
    max_bytes: int = MAX_HASHED_BYTES,
    progress: Progress | None = None,
    follow: bool = True,
    inode: int | None = None,
) -> FileDigest:
    """Hash a file in pieces. InputError when it is too large, changes meanwhile, or is not the inode it should be."""
    with open_regular(path, follow=follow) as file:
        before = os.fstat(file.fileno())
        if inode is not None and before.st_ino != inode:
            raise _changed(path)
        _require_size(path, before.st_size, max_bytes)
        digest = hashlib.sha256()
        done = 0
        while chunk := _read(path, file, min(_CHUNK, before.st_size - done + 1)):
            digest.update(chunk)
            done += len(chunk)
            if done > before.st_size:
                raise _changed(path)
            if progress is not None:
                progress(done, before.st_size)
        _require_unchanged(path, before, os.fstat(file.fileno()), done)
    return FileDigest(digest.hexdigest(), done)


def read_verified(path: Path, *, max_bytes: int, follow: bool = True) -> VerifiedBytes:
    """The whole file, read once, and the digest of what was read. Errors as for sha256_file."""
    with open_regular(path, follow=follow) as file:
        before = os.fstat(file.fileno())
        _require_size(path, before.st_size, max_bytes)
        data = _read(path, file, before.st_size + 1)
        _require_unchanged(path, before, os.fstat(file.fileno()), len(data))
    return VerifiedBytes(data, sha256_hex(data))


def digest_tree(root: Path, *, limits: WalkLimits | None = None, progress: Progress | None = None) -> TreeDigest:
    """Walk and hash a folder or a single file. What cannot be taken in is listed among the problems, never left out.

    `progress` hears of the bytes of all files together.
    """
    files: list[TreeFile] = []
    problems: list[WalkProblem] = []
    skipped: list[WalkSkipped] = []
    listing = list(walk(root, limits=limits))
    total = sum(found.size for found in listing if isinstance(found, WalkedFile))
    before = 0

    def told(done: int, _size: int) -> None:
        if progress is not None:
            progress(before + done, total)

    for found in listing:
        if isinstance(found, WalkedFile):
            try:
                hashed = sha256_file(found.path, progress=told, inode=found.inode)
            except InputError as error:
                problems.append(WalkProblem(found.relative, error.message.removeprefix(f"{_shown(found.path)}: ")))
            else:
                files.append(TreeFile(found, hashed.sha256))
            before += found.size
        elif isinstance(found, WalkProblem):
            problems.append(found)
        else:
            skipped.append(found)
    digest = tree_digest((item.file.relative, item.file.size, item.sha256) for item in files)
    if problems:
        listed = [list(pair) for pair in sorted((problem.relative, problem.reason) for problem in problems)]
        digest = sha256_hex(rfc8785.dumps({"files": digest, "problems": listed}))
    return TreeDigest(tuple(files), tuple(problems), tuple(skipped), digest)


def tree_digest(files: Iterator[tuple[str, int, str]]) -> str:
    """SHA-256 over the canonical JSON of the sorted list of (relative path, size, sha256)."""
    return sha256_hex(rfc8785.dumps([list(item) for item in sorted(files)]))


def digest_inputs(inputs: Mapping[str, Path]) -> dict[str, str]:
    """SHA-256 of each file, tree digest of each folder. InputError names the input that is missing or unreadable."""
    digests = {}
    for name, path in inputs.items():
        try:
            digests[name] = digest_tree(path).digest if is_folder(path) else sha256_file(path).sha256
        except InputError as error:
            raise InputError(f"{printable(name)}: {error.message}", hint=error.hint) from None
    return digests


def stat_inputs(inputs: Mapping[str, Path]) -> dict[str, str]:
    """A cheap token for each input that differs when the file or anything in the folder was touched, or is gone."""
    return {name: _stat_token(path) for name, path in inputs.items()}


def _stat_token(path: Path) -> str:
    try:
        if is_folder(path):
            return sha256_hex("\n".join(repr(found) for found in walk(path)).encode("utf-8", "surrogateescape"))
        status = path.stat()
    except (OSError, ValueError, InputError) as error:
        return f"unreadable: {type(error).__name__}"
    return f"{status.st_dev}:{status.st_ino}:{status.st_size}:{status.st_mtime_ns}:{status.st_ctime_ns}"


def is_folder(path: Path) -> bool:
    """Whether there is a folder; False as well when that cannot be told."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False  # opening it as a file says why


def _shown(path: Path) -> str:
    return printable(str(path))


def _input_error(path: Path, error: OSError | ValueError) -> InputError:
    if isinstance(error, OSError):
        reason = _REASONS.get(error.errno or 0, error.strerror or type(error).__name__)
    else:
        reason = str(error)
    return InputError(f"{_shown(path)}: {reason}")


def _require_regular(path: Path, status: os.stat_result) -> None:
    mode = status.st_mode
    if stat.S_ISREG(mode):
        return
    if stat.S_ISDIR(mode):
        raise OSError(errno.EISDIR, "")
    if stat.S_ISLNK(mode):
        raise OSError(errno.ELOOP, "")
    raise InputError(f"{_shown(path)}: is a pipe, socket or device, not a file")


def _require_size(path: Path, size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise InputError(f"{_shown(path)}: {size} bytes, more than the limit of {max_bytes} bytes")


def _read(path: Path, file: BinaryIO, amount: int) -> bytes:
    try:
        return file.read(amount)
    except OSError as error:
        raise _input_error(path, error) from None


def _require_unchanged(path: Path, before: os.stat_result, after: os.stat_result, done: int) -> None:
    same = (before.st_size, before.st_mtime_ns, before.st_ctime_ns) == (
        after.st_size,
        after.st_mtime_ns,
        after.st_ctime_ns,
    )
    if not same or done != before.st_size:
        raise _changed(path)


def _changed(path: Path) -> InputError:
    return InputError(f"{_shown(path)}: changed while it was read", hint="run again when nothing writes to it")
