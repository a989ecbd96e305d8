"""Digests of files kept from one run to the next, in this user's own state folder.

A digest is believed for a file with the same device, inode, size and times, none of which but the times can be chosen by
whoever writes the file, and the time of the last change of state cannot be set at all. What a repository brings is never
read. A store that is missing, damaged or not this user's own is an empty one: a store saves time and nothing else.
"""

import contextlib
import hashlib
import os
import secrets
import stat
import struct
import time
from collections.abc import Mapping
from pathlib import Path

from heliotrope.core.errors import LedgerError
from heliotrope.engine._hashing import Stamp
from heliotrope.ledger.ownership import state_folder

__all__ = ["MAX_STORES", "DigestStore"]

MAX_STORES = 64
"""Trees whose digests are kept, the ones used last: 0.7 MB each for ten thousand files."""

_MAX_BYTES = 32 * 2**20
"""Above the digests of 200,000 files, where a walk ends."""
_HEAD = b"heliotrope digests v1\n"
_ENTRY = struct.Struct("<QQqqq32s")
_DIGEST_BYTES = 32
_STALE_SECONDS = 3600.0
"""A temporary file this old was left by a run that died."""


class DigestStore:
    """The digests of the files below one folder."""

    def __init__(self, root: Path) -> None:
        self._root = os.path.realpath(root)

    def load(self) -> dict[Stamp, bytes]:
        """Stamp to SHA-256, of files that had not just been changed when they were read."""
        try:
            data = self._read()
        except (OSError, LedgerError):
            return {}
        start = len(_HEAD) + _DIGEST_BYTES
        body = data[start:]
        if data[:start] != _HEAD + hashlib.sha256(body).digest() or len(body) % _ENTRY.size:
            return {}
        return {
            (device, inode, size, mtime, ctime): digest
            for device, inode, size, mtime, ctime, digest in _ENTRY.iter_unpack(body)
        }

    def save(self, digests: Mapping[Stamp, bytes]) -> None:
        """Replace what is kept, whole or not at all; silently nothing where it cannot be written."""
        with contextlib.suppress(OSError, LedgerError, struct.error):
            body = b"".join(_ENTRY.pack(*stamp, digest) for stamp, digest in digests.items())
            folder = _own_folder()
            _write(folder, self._name(), _HEAD + hashlib.sha256(body).digest() + body)
            _sweep(folder)

    def _name(self) -> str:
        return hashlib.sha256(os.fsencode(self._root)).hexdigest()[:32]

    def _read(self) -> bytes:
        path = _own_folder() / self._name()
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or not _is_private(status) or status.st_size > _MAX_BYTES:
                return b""
            os.utime(descriptor)  # used just now: kept longest
            return file.read(_MAX_BYTES)


def _own_folder() -> Path:
    """The folder of all stores; PermissionError when anybody else could write to it."""
    folder = state_folder() / "digests"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not _is_private(folder.lstat()) or folder.is_symlink():
        raise PermissionError(str(folder))
    return folder


def _is_private(status: os.stat_result) -> bool:
    return status.st_uid == os.geteuid() and not status.st_mode & 0o077


def _write(folder: Path, name: str, data: bytes) -> None:
    temporary = folder / f"{name}.{secrets.token_hex(8)}.tmp"
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        temporary.replace(folder / name)
    finally:
        temporary.unlink(missing_ok=True)


def _sweep(folder: Path) -> None:
    """Drop the stores that were not used for longest, and what runs that died have left."""
    kept = []
    for path in folder.iterdir():
        changed = path.lstat().st_mtime
        if path.suffix != ".tmp":
            kept.append((changed, path))
        elif changed < time.time() - _STALE_SECONDS:
            path.unlink(missing_ok=True)
    for _, path in sorted(kept)[:-MAX_STORES]:
        path.unlink(missing_ok=True)
