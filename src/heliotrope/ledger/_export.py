"""Writing a whole ledger into one file, from one state of it, in constant memory."""

import contextlib
import glob
import os
import secrets
import time
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import sqlalchemy as sa

from heliotrope.core.errors import LedgerError
from heliotrope.core.text import printable
from heliotrope.ledger._append import PAGE
from heliotrope.ledger._tables import contents, events
from heliotrope.ledger._transfer import FrameWriter, Heading
from heliotrope.ledger._verify import stream
from heliotrope.ledger.blobs import blobs_of_run
from heliotrope.ledger.interface import Blobs, Verified

__all__ = ["Exported", "new_file", "write_export"]

_STALE_SECONDS = 24 * 3600.0
_CONTENTS_AT_ONCE = 16
"""A row may hold a content of 64 MiB."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What a file holds."""

    verified: Verified
    digest: str
    """Of all but its last line, where it stands, too."""
    blobs: int
    missing_blobs: int
    """Blobs that records name and that are not there any more; the file is whole without them."""


def write_export(
    file: BinaryIO, connection: sa.Connection, ledger_id: str, verified: Verified, blobs: Blobs | None
) -> Exported:
    """Write what `verified` speaks of; blobs that runs name, if they are given."""
    heading = Heading(id=ledger_id, head=str(verified.head), blobs=blobs is not None)
    writer = FrameWriter(file, heading)
    with closing(_rows(connection)) as rows:
        for sequence, digest, body, content_id, content in rows:
            if content is not None:
                writer.content(content_id, bytes(content))
            writer.event(sequence, digest, bytes(body))
    written = missing = 0
    if blobs is not None:
        for name in _blob_names(connection):
            if not blobs.has(name):
                missing += 1
                continue
            writer.blob(name, blobs.get(name))
            written += 1
    return Exported(verified, writer.finish(), written, missing)


def new_file(path: Path) -> "_NewFile":
    """A file that appears at its place when it is whole, and not at all otherwise."""
    return _NewFile(path)


def _rows(connection: sa.Connection) -> Generator[Any, None, None]:
    """Every event; with the first one that names a content, the content."""
    earlier = events.alias()
    first = ~(
        sa.select(earlier.c.sequence)
        .where(earlier.c.content_id == events.c.content_id, earlier.c.sequence < events.c.sequence)
        .exists()
    )
    query = (
        sa.select(events.c.sequence, events.c.hash, events.c.body, events.c.content_id, contents.c.body)
        .select_from(events.outerjoin(contents, (contents.c.content_id == events.c.content_id) & first))
        .order_by(events.c.sequence)
    )
    return stream(connection, query, _CONTENTS_AT_ONCE)


def _blob_names(connection: sa.Connection) -> list[str]:
    """In the order of their names; 64 bytes for each are held."""
    query = (
        sa.select(contents.c.body)
        .where(contents.c.content_id.in_(sa.select(events.c.content_id).where(events.c.kind == "run")))
        .order_by(contents.c.content_id)
    )
    names: set[str] = set()
    with closing(stream(connection, query, PAGE)) as rows:
        for row in rows:
            names.update(blobs_of_run(bytes(row.body)))
    return sorted(names)


class _NewFile:
    """Context manager: the open file. Leaving it without an error gives the file its place, on the disk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")

    def __enter__(self) -> BinaryIO:
        try:
            self._sweep()
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
            self._file = os.fdopen(os.open(self._draft, flags, 0o600), "wb", 2**20)
        except OSError as error:
            raise self._failed(error) from None
        return self._file

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        try:
            if error is None:
                self._file.flush()
                os.fsync(self._file.fileno())
                self._file.close()
                self._draft.replace(self._path)
            elif isinstance(error, OSError):
                raise self._failed(error) from error
        except OSError as failure:
            raise self._failed(failure) from None
        finally:
            self._abandon()

    def _sweep(self) -> None:
        """Remove what an export to this place that was killed has left, a day after."""
        oldest = time.time() - _STALE_SECONDS
        with contextlib.suppress(FileNotFoundError):  # another export swept it
            for draft in self._path.parent.glob(f".{glob.escape(self._path.name)}.*.part"):
                if draft.lstat().st_mtime < oldest:
                    draft.unlink()

    def _abandon(self) -> None:
        with contextlib.suppress(OSError):  # what could not be flushed belongs to a draft that goes away
            self._file.close()
        self._draft.unlink(missing_ok=True)

    def _failed(self, error: OSError) -> LedgerError:
        return LedgerError(
            f"{printable(str(self._path))} cannot be written: {error.strerror}",
            hint="name a file in a folder that exists, is writable and has room",
        )
