"""Reading a file exactly once, so that what is hashed is what is used."""

from dataclasses import dataclass
from pathlib import Path

from heliotrope.core.errors import InputError
from heliotrope.core.text import printable
from heliotrope.engine.files import read_verified

__all__ = ["MAX_FILE_BYTES", "ReadFile", "read_file", "show"]

MAX_FILE_BYTES = 2 * 2**30
"""A file is held in memory whole; more would not fit beside what is made of it in a worker's default 8 GiB."""

_LFS_POINTER = b"version https://git-lfs.github.com/spec/"


@dataclass(frozen=True, slots=True)
class ReadFile:
    """The bytes of a file and their digest."""

    path: Path
    data: bytes
    sha256: str


def show(path: Path) -> str:
    """A path that is safe to print."""
    return printable(str(path))


def read_file(path: Path, *, what: str, expected: str | None = None) -> ReadFile:
    """Read a regular file of at most MAX_FILE_BYTES.

    `what` names its part in errors, as in "images". Raises InputError when it is missing, no regular file, empty, too
    large, unreadable, a git-lfs pointer, or not the bytes of the `expected` SHA-256.
    """
    try:
        read = read_verified(path, max_bytes=MAX_FILE_BYTES)
    except InputError as error:
        hint = error.hint or "paths in heliotrope.yaml are relative to that file; check that it is there and readable"
        raise InputError(f"{what}: {error.message}", hint=hint) from None
    if not read.data:
        raise InputError(f"{what}: {show(path)} is empty", hint="export the file again")
    if read.data.startswith(_LFS_POINTER):
        raise InputError(f"{what}: {show(path)} is a git-lfs pointer, not the file itself", hint="run git lfs pull")
    if expected is not None and read.sha256 != expected:
        raise InputError(
            f"{what}: {show(path)} changed while the check was starting", hint="run again when nothing writes to it"
        )
    return ReadFile(path, read.data, read.sha256)
