"""Blobs in the ledger's own database: what several machines share must not lie on the disk of one of them."""

import hashlib
import tempfile
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path
from typing import BinaryIO

import sqlalchemy as sa

from heliotrope.core.errors import LedgerError
from heliotrope.core.evidence import Blob
from heliotrope.core.records import Sha256
from heliotrope.core.text import printable
from heliotrope.ledger._database import Database
from heliotrope.ledger._tables import blob_parts
from heliotrope.ledger._verify import stream
from heliotrope.ledger.blobs import MAX_BLOB_BYTES, chunks_of, require_digest

__all__ = ["DatabaseBlobs"]

_PART = 2**20
"""Bytes in one row: what is sent, and held in memory, at a time."""


class DatabaseBlobs:
    """`Blobs` in rows of a megabyte, written in one transaction."""

    def __init__(
        self, database: Database, *, connection: sa.Connection | None = None, limit: int = MAX_BLOB_BYTES
    ) -> None:
        """With a connection, everything happens within its transaction."""
        self._database = database
        self._connection = connection
        self._limit = limit

    def put(self, data: bytes, media_type: str) -> Blob:
        return self._keep(iter((data,)), media_type)

    def put_file(self, path: Path, media_type: str) -> Blob:
        return self._keep(self._read(path), media_type)

    def adopt(self, path: Path, media_type: str) -> Blob:
        blob = self._keep(self._read(path), media_type)
        path.unlink(missing_ok=True)
        return blob

    def get(self, blob: Blob | Sha256) -> bytes:
        digest = require_digest(blob.sha256 if isinstance(blob, Blob) else blob)
        self._require_place()
        data = bytearray()
        with self._reading() as connection:
            with closing(self._parts(connection, digest)) as parts:
                for part in parts:
                    data += part
                    if len(data) > self._limit:
                        raise self._changed(digest)
            if not data and not self._is_there(connection, digest):
                raise LedgerError(
                    f"the blob {digest} is not in the ledger {printable(self._database.location)}",
                    hint="what rests on it cannot be shown; retention may have removed it",
                )
        if hashlib.sha256(data).hexdigest() != digest or (isinstance(blob, Blob) and len(data) != blob.size):
            raise self._changed(digest)
        return bytes(data)

    def has(self, digest: Sha256) -> bool:
        self._require_place()
        with self._reading() as connection:
            return self._is_there(connection, require_digest(digest))

    def remove(self, digest: Sha256) -> bool:
        self._require_place()
        with self._writing() as connection:
            gone = connection.execute(sa.delete(blob_parts).where(blob_parts.c.sha256 == require_digest(digest)))
            return gone.rowcount > 0

    def _keep(self, chunks: Iterator[bytes], media_type: str) -> Blob:
        """Set it aside first: its name is known only when all of it was read, and a staged file may still change."""
        self._require_place()
        try:
            with tempfile.TemporaryFile() as aside:
                digest, size = hashlib.sha256(), 0
                for chunk in chunks:
                    size += len(chunk)
                    if size > self._limit:
                        raise LedgerError(
                            f"a blob of more than {self._limit} bytes is not kept",
                            hint="keep a digest or a sample instead",
                        )
                    digest.update(chunk)
                    aside.write(chunk)
                aside.seek(0)
                self._store(digest.hexdigest(), aside)
        except OSError as error:
            raise LedgerError(
                f"a blob cannot be set aside in {printable(tempfile.gettempdir())}: {error.strerror}",
                hint="make room there, or name another folder with TMPDIR",
            ) from None
        return Blob(sha256=digest.hexdigest(), size=size, media_type=media_type)

    def _store(self, digest: str, aside: BinaryIO) -> None:
        with self._writing() as connection:
            if self._is_there(connection, digest):
                found = hashlib.sha256()
                for part in self._parts(connection, digest):
                    found.update(part)
                if found.hexdigest() != digest:
                    raise self._changed(digest)
                return
            number = 0
            while (part := aside.read(_PART)) or number == 0:
                row = {"sha256": digest, "part": number, "body": part}
                connection.execute(sa.insert(blob_parts), [row])
                number += 1

    def _reading(self) -> AbstractContextManager[sa.Connection]:
        return self._database.reading() if self._connection is None else nullcontext(self._connection)

    def _writing(self) -> AbstractContextManager[sa.Connection]:
        return self._database.writing() if self._connection is None else nullcontext(self._connection)

    def _parts(self, connection: sa.Connection, digest: str) -> Generator[bytes, None, None]:
        query = sa.select(blob_parts.c.body).where(blob_parts.c.sha256 == digest).order_by(blob_parts.c.part)
        with closing(stream(connection, query, 4)) as rows:
            for row in rows:
                yield bytes(row.body)

    def _is_there(self, connection: sa.Connection, digest: str) -> bool:
        query = sa.select(blob_parts.c.part).where(blob_parts.c.sha256 == digest).limit(1)
        return connection.execute(query).first() is not None

    def _read(self, path: Path) -> Iterator[bytes]:
        try:
            yield from chunks_of(path)
        except OSError as error:
            raise LedgerError(
                f"the file {printable(str(path))} cannot be kept as a blob: {error.strerror}",
                hint="check that it is there and can be read",
            ) from None

    def _require_place(self) -> None:
        if self._database.version < 2:
            raise LedgerError(
                f"the ledger {printable(self._database.location)} has format {self._database.version}, which keeps no blobs",
                hint="`helio ledger migrate` brings it to a format that does",
            )

    def _changed(self, digest: str) -> LedgerError:
        return LedgerError(
            f"the blob {digest} in the ledger {printable(self._database.location)} was changed: "
            "its bytes are not those of its name",
            hint="restore an intact copy; what rests on this blob cannot be trusted",
        )
