"""Bytes kept beside the ledger as files named by their SHA-256, and held against it whenever they are read."""

import hashlib
import json
import os
import re
import secrets
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from heliotrope.core.errors import LedgerError
from heliotrope.core.evidence import Blob
from heliotrope.core.records import Sha256
from heliotrope.core.text import printable, shorten

__all__ = ["BLOBS_NAME", "MAX_BLOB_BYTES", "BlobStore", "blobs_of_run", "chunks_of", "require_digest"]

BLOBS_NAME = "blobs"
"""The folder beside a ledger's file."""

MAX_BLOB_BYTES = 2**30
"""A blob is read into memory whole. Staged files come from workers that run code of the project."""

_CHUNK = 2**20
_STALE_SECONDS = 24 * 3600.0
"""A temporary file this old was left by a writer that died."""
_DIGEST = re.compile(r"[0-9a-f]{64}")


class BlobStore:
    """Content-addressed files `sha256/ab/<digest>` under a folder, which is made when first written to.

    A blob appears whole or not at all and is on the disk when a method returns; any number of processes may write.
    Everything that goes wrong is a LedgerError.
    """

    def __init__(self, root: Path, *, limit: int = MAX_BLOB_BYTES) -> None:
        self._root = root
        self._limit = limit
        self._swept = False

    def put(self, data: bytes, media_type: str) -> Blob:
        """Keep bytes."""
        return self._keep(iter((data,)), media_type)

    def put_file(self, path: Path, media_type: str) -> Blob:
        """Keep a copy of a regular file."""
        return self._keep(chunks_of(path), media_type)

    def adopt(self, path: Path, media_type: str) -> Blob:
        """Take over a staged file, which is gone afterwards; the digest is that of what was taken.

        Copied, not renamed: whoever staged it may still have it open and change it after it was hashed.
        """
        blob = self._keep(chunks_of(path), media_type)
        path.unlink(missing_ok=True)
        return blob

    def get(self, blob: Blob | Sha256) -> bytes:
        """The bytes, held against digest and, given a Blob, size."""
        digest = blob.sha256 if isinstance(blob, Blob) else blob
        path = self.path(digest)
        try:
            with path.open("rb") as file:
                data = file.read(self._limit + 1)
        except FileNotFoundError:
            raise LedgerError(
                f"the blob {digest} is missing from {printable(str(self._root))}",
                hint="restore the folder; what rests on this blob cannot be shown",
            ) from None
        except OSError as error:
            raise self._failed(error) from None
        if hashlib.sha256(data).hexdigest() != digest or (isinstance(blob, Blob) and len(data) != blob.size):
            raise LedgerError(
                f"the blob {digest} in {printable(str(self._root))} was changed: its bytes are not those of its name",
                hint="restore the folder from a copy; what rests on this blob cannot be trusted",
            )
        return data

    def has(self, digest: Sha256) -> bool:
        """Whether there is a file under that digest; only `get` tells whether it is intact."""
        return self.path(digest).is_file()

    def remove(self, digest: Sha256) -> bool:
        """Remove the file under that digest; whether it was there."""
        path = self.path(digest)
        try:
            path.unlink()
            _sync_folder(path.parent)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise self._failed(error) from None
        return True

    def path(self, digest: Sha256) -> Path:
        """Where a blob lies, or would."""
        require_digest(digest)
        return self._root / "sha256" / digest[:2] / digest

    def _keep(self, chunks: Iterator[bytes], media_type: str) -> Blob:
        try:
            self._sweep()
            with self._temporary() as (temporary, descriptor):
                digest, size = self._copy(chunks, lambda chunk: _write_all(descriptor, chunk))
                final = self.path(digest)
                if not self._is_intact(final, digest, size):
                    os.fsync(descriptor)
                    _make_folder(final.parent)
                    temporary.replace(final)
                    _sync_folder(final.parent)
        except OSError as error:
            raise self._failed(error) from None
        return Blob(sha256=digest, size=size, media_type=media_type)

    def _copy(self, chunks: Iterator[bytes], write: Callable[[bytes], None]) -> tuple[str, int]:
        digest, size = hashlib.sha256(), 0
        for chunk in chunks:
            size += len(chunk)
            if size > self._limit:
                raise LedgerError(
                    f"a blob of more than {self._limit} bytes is not kept", hint="keep a digest or a sample instead"
                )
            digest.update(chunk)
            write(chunk)
        return digest.hexdigest(), size

    @contextmanager
    def _temporary(self) -> Iterator[tuple[Path, int]]:
        folder = self._root / "tmp"
        _make_folder(folder)
        path = folder / secrets.token_hex(16)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            yield path, descriptor
        finally:
            os.close(descriptor)
            path.unlink(missing_ok=True)

    def _is_intact(self, path: Path, digest: str, size: int) -> bool:
        """Whether the blob is there already. One that was damaged is written anew."""
        try:
            if path.lstat().st_size != size:
                return False
            return self._copy(chunks_of(path), lambda _: None) == (digest, size)
        except (OSError, LedgerError):
            return False

    def _sweep(self) -> None:
        """Remove what writers that died have left, once per store."""
        if self._swept:
            return
        self._swept = True
        folder = self._root / "tmp"
        if not folder.is_dir():
            return
        oldest = time.time() - _STALE_SECONDS
        for path in folder.iterdir():
            try:
                if path.lstat().st_mtime < oldest:
                    path.unlink()
            except FileNotFoundError:
                continue  # another process swept it

    def _failed(self, error: OSError) -> LedgerError:
        where = printable(str(error.filename or self._root))
        return LedgerError(
            f"blobs in {printable(str(self._root))} cannot be read or written: {where}: {error.strerror}",
            hint="check permissions and free space of that folder",
        )


def blobs_of_run(body: bytes) -> Iterator[str]:
    """Digests of the blobs that the content of a run names."""
    try:
        named = json.loads(body).get("blobs", [])
    except (ValueError, AttributeError, RecursionError):
        return
    for item in named if isinstance(named, list) else []:
        digest = item.get("sha256") if isinstance(item, dict) else None
        if isinstance(digest, str):
            yield digest


def require_digest(text: str) -> Sha256:
    """The text, if it can name a blob; LedgerError otherwise."""
    if not _DIGEST.fullmatch(text):
        raise LedgerError(
            f"{shorten(printable(text), 80)!r} is not the digest of a blob", hint="64 lower-case hexadecimal digits"
        )
    return text


def chunks_of(path: Path) -> Iterator[bytes]:
    """The bytes of a regular file; a link, device or pipe put in its place is refused, and never waited for."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise LedgerError(f"{printable(str(path))} is no regular file", hint="only files can be kept as blobs")
        while chunk := os.read(descriptor, _CHUNK):
            yield chunk
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _make_folder(folder: Path) -> None:
    """Make a folder and those above it, each durable in its parent."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)
    _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
