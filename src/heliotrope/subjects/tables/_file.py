"""A file that is hashed once, stays open, and is shown to be the same after every pass over it."""

import hashlib
import io
import os
from pathlib import Path
from typing import BinaryIO, Self

from heliotrope.core.errors import InputError
from heliotrope.engine.files import open_regular
from heliotrope.subjects._files import show

__all__ = ["MAX_TABLE_BYTES", "TableFile"]

MAX_TABLE_BYTES = 64 * 2**30
"""A table is streamed, so memory does not bound it; hashing one of this size takes a minute."""

_CHUNK = 2**20
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"


class TableFile:
    """An open file with the SHA-256 of its bytes. All reading goes through the descriptor that was hashed."""

    def __init__(self, path: Path, file: BinaryIO, status: os.stat_result, sha256: str) -> None:
        self.path = path
        self.size = status.st_size
        self.sha256 = sha256
        self._file = file
        self._status = status

    @classmethod
    def open(cls, path: Path, *, what: str, expected: str | None) -> Self:
        """InputError when it is missing, no regular file, empty, too large, unreadable, or not the `expected` bytes."""
        try:
            file = open_regular(path)
        except InputError as error:
            hint = (
                error.hint or "paths in heliotrope.yaml are relative to that file; check that it is there and readable"
            )
            raise InputError(f"{what}: {error.message}", hint=hint) from None
        try:
            return cls._admitted(path, file, what, expected)
        except BaseException:
            file.close()
            raise

    @classmethod
    def _admitted(cls, path: Path, file: BinaryIO, what: str, expected: str | None) -> Self:
        status = os.fstat(file.fileno())
        if status.st_size == 0:
            raise InputError(f"{what}: {show(path)} is empty", hint="export the file again")
        if status.st_size > MAX_TABLE_BYTES:
            raise InputError(
                f"{what}: {show(path)} has {status.st_size} bytes, the limit is {MAX_TABLE_BYTES}",
                hint="evaluate on a part of the data",
            )
        table = cls(path, file, status, _digest(file, path, status.st_size))
        table.require_unchanged()
        if table.read(0, len(_LFS_POINTER)) == _LFS_POINTER:
            raise InputError(f"{what}: {show(path)} is a git-lfs pointer, not the file itself", hint="run git lfs pull")
        if expected is not None and table.sha256 != expected:
            raise _changed(path)
        return table

    def read(self, offset: int, count: int) -> bytes:
        """Bytes from a place, fewer at the end."""
        try:
            return os.pread(self._file.fileno(), count, offset)
        except OSError as error:
            raise InputError(
                f"{show(self.path)} cannot be read: {error.strerror}", hint="check the disk and try again"
            ) from None

    def stream(self) -> "FileView":
        """A view with a position of its own."""
        return FileView(self)

    def require_unchanged(self) -> None:
        """InputError when anything wrote to the file since it was opened."""
        now, then = os.fstat(self._file.fileno()), self._status
        if (now.st_size, now.st_mtime_ns, now.st_ctime_ns) != (then.st_size, then.st_mtime_ns, then.st_ctime_ns):
            raise _changed(self.path)

    def close(self) -> None:
        self._file.close()


class FileView(io.RawIOBase):
    """Reads a TableFile; several views do not disturb each other."""

    def __init__(self, file: TableFile) -> None:
        super().__init__()
        self._source = file
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._source.size}[whence]
        self._position = max(0, start + offset)
        return self._position

    def tell(self) -> int:
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        left = max(0, self._source.size - self._position)
        data = self._source.read(self._position, left if size is None or size < 0 else min(size, left))
        self._position += len(data)
        return data


def _digest(file: BinaryIO, path: Path, size: int) -> str:
    digest, done = hashlib.sha256(), 0
    try:
        while chunk := file.read(min(_CHUNK, size - done + 1)):
            digest.update(chunk)
            done += len(chunk)
    except OSError as error:
        raise InputError(
            f"{show(path)} cannot be read: {error.strerror}", hint="check the disk and try again"
        ) from None
    if done != size:
        raise _changed(path)
    return digest.hexdigest()


def _changed(path: Path) -> InputError:
    return InputError(f"{show(path)} changed while the check was running", hint="run again when nothing writes to it")
