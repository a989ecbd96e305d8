"""Opening and hashing one file whose owner may not wish us well."""

import errno
import hashlib
import os
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from heliotrope.core.errors import InputError
from heliotrope.core.records import sha256_hex
from heliotrope.core.text import printable

__all__ = [
    "MAX_HASHED_BYTES",
    "SETTLED_NS",
    "FileDigest",
    "Progress",
    "Stamp",
    "VerifiedBytes",
    "input_error",
    "open_regular",
    "read_verified",
    "sha256_file",
    "stamp_of",
]

MAX_HASHED_BYTES = 64 * 2**30
"""64 GiB: above the largest single file of a published model; a sparse file can claim far more at no cost to its maker."""

_CHUNK = 2**20
"""1 MiB: large enough that the interpreter costs nothing, small enough to stop soon."""

_BLOCK_BYTES = 512
"""What st_blocks counts, whatever the file system's own blocks."""

_REASONS = {
    errno.ENOENT: "no such file",
    errno.ENOTDIR: "no such file (a part of the path is not a folder)",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.EISDIR: "is a folder, not a file",
    errno.ELOOP: "is a symbolic link that leads in a circle, or one where none is followed",
    errno.ENAMETOOLONG: "the path is too long",
}

SETTLED_NS = 2 * 10**9
"""Two seconds, the coarsest clock of a file system in use (FAT). A file changed twice within one tick has the same times."""

Stamp = tuple[int, int, int, int, int]
"""Device, inode, size, and the times of the last change of content and of state, in ns. The last one cannot be set back."""

Progress = Callable[[int, int], None]
"""Called with bytes done and bytes in all."""


@dataclass(frozen=True, slots=True)
class FileDigest:
    """What a file was, from its first to its last byte."""

    sha256: str
    size: int
    stamp: Stamp
    settled: bool
    """Whether another file could not have the same stamp: it was last changed long enough before it was read."""


@dataclass(frozen=True, slots=True)
class VerifiedBytes:
    """Bytes read once, and the digest of these very bytes."""

    data: bytes
    sha256: str


def stamp_of(status: os.stat_result) -> Stamp:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def open_regular(path: Path, *, follow: bool = True) -> BinaryIO:
    """Open a regular file for reading; InputError for anything else. Without `follow`, a link is an error."""
    return os.fdopen(_open(path, follow=follow), "rb")


def sha256_file(
    path: Path | str,
    *,
    max_bytes: int = MAX_HASHED_BYTES,
    progress: Progress | None = None,
    follow: bool = True,
    inode: int | None = None,
) -> FileDigest:
    """Hash a file in pieces. InputError when it is too large, changes meanwhile, or is not the inode it should be."""
    descriptor = _open(path, follow=follow)
    try:
        began = time.time_ns()
        before = os.fstat(descriptor)
        if inode is not None and before.st_ino != inode:
            raise _changed(path)
        _require_size(path, before.st_size, max_bytes)
        digest = hashlib.sha256()
        done = 0
        read = _reader(path, descriptor, before)
        while chunk := read(done, min(_CHUNK, before.st_size - done + 1)):
            digest.update(chunk)
            done += len(chunk)
            if done > before.st_size:
                raise _changed(path)
            if progress is not None:
                progress(done, before.st_size)
        _require_unchanged(path, before, os.fstat(descriptor), done)
    finally:
        os.close(descriptor)
    return FileDigest(digest.hexdigest(), done, stamp_of(before), settled=began - before.st_ctime_ns >= SETTLED_NS)


def read_verified(path: Path, *, max_bytes: int, follow: bool = True) -> VerifiedBytes:
    """The whole file, read once, and the digest of what was read. Errors as for sha256_file."""
    with open_regular(path, follow=follow) as file:
        before = os.fstat(file.fileno())
        _require_size(path, before.st_size, max_bytes)
        try:
            data = file.read(before.st_size + 1)
        except OSError as error:
            raise input_error(path, error) from None
        _require_unchanged(path, before, os.fstat(file.fileno()), len(data))
    return VerifiedBytes(data, sha256_hex(data))


def _shown(path: Path | str) -> str:
    return printable(str(path))


def input_error(path: Path | str, error: OSError | ValueError) -> InputError:
    if isinstance(error, OSError):
        reason = _REASONS.get(error.errno or 0, error.strerror or type(error).__name__)
    else:
        reason = str(error)
    return InputError(f"{_shown(path)}: {reason}")


def _require_regular(path: Path | str, status: os.stat_result) -> None:
    mode = status.st_mode
    if stat.S_ISREG(mode):
        return
    if stat.S_ISDIR(mode):
        raise OSError(errno.EISDIR, "")
    if stat.S_ISLNK(mode):
        raise OSError(errno.ELOOP, "")
    raise InputError(f"{_shown(path)}: is a pipe, socket or device, not a file")


def _require_size(path: Path | str, size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise InputError(f"{_shown(path)}: {size} bytes, more than the limit of {max_bytes} bytes")


def _open(path: Path | str, *, follow: bool) -> int:
    """A descriptor of a regular file; nothing else is opened, as far as can be told before."""
    try:
        _require_regular(path, os.stat(path, follow_symlinks=follow))  # noqa: PTH116 - ten thousand times in a second
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY | (0 if follow else os.O_NOFOLLOW)
        descriptor = os.open(path, flags)
        try:
            _require_regular(path, os.fstat(descriptor))  # it may have been replaced by a pipe since
        except BaseException:
            os.close(descriptor)
            raise
    except (OSError, ValueError) as error:
        raise input_error(path, error) from None
    return descriptor


def _reader(path: Path | str, descriptor: int, status: os.stat_result) -> Callable[[int, int], bytes]:
    """Reads on; holes of a sparse file are told, not read, which halves the price and leaves the page cache alone."""
    data = hole = 0

    def read(done: int, amount: int) -> bytes:
        nonlocal data, hole
        try:
            if sparse and done >= hole:
                data, hole = _next_data(descriptor, done, status.st_size)
            if sparse and done < data:
                return bytes(min(data - done, amount))
            return os.pread(descriptor, amount, done)
        except OSError as error:
            raise input_error(path, error) from None

    sparse = status.st_blocks * _BLOCK_BYTES < status.st_size - _CHUNK
    return read


def _next_data(descriptor: int, offset: int, size: int) -> tuple[int, int]:
    """Where data begins at or after an offset, and where the hole after it does; the end for both when there is none."""
    if offset >= size:
        return size, size + 1
    try:
        data = os.lseek(descriptor, offset, os.SEEK_DATA)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        return size, size
    return data, os.lseek(descriptor, data, os.SEEK_HOLE)


def _require_unchanged(path: Path | str, before: os.stat_result, after: os.stat_result, done: int) -> None:
    if stamp_of(before) != stamp_of(after) or done != before.st_size:
        raise _changed(path)


def _changed(path: Path | str) -> InputError:
    return InputError(f"{_shown(path)}: changed while it was read", hint="run again when nothing writes to it")
