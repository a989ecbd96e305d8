"""Reading a whole ledger from a file into an empty one, all or nothing: same id, same chain, same head."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from pydantic import ValidationError

from heliotrope.core.errors import LedgerError, UsageError
from heliotrope.core.events import Event, event_source
from heliotrope.core.records import sha256_hex
from heliotrope.core.text import printable
from heliotrope.ledger._append import insert_contents, insert_events, read_head
from heliotrope.ledger._chain import encode, link
from heliotrope.ledger._database import Database
from heliotrope.ledger._tables import meta
from heliotrope.ledger._transfer import Frame, FrameReader, Heading
from heliotrope.ledger._verify import verify_records
from heliotrope.ledger.interface import GENESIS_HASH, Blobs, Head, LedgerTampered, Verified

__all__ = ["Imported", "import_file", "read_heading"]

_BATCH_EVENTS = 500
_BATCH_BYTES = 8 * 2**20
"""What is held before it is sent to the database."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import brought."""

    verified: Verified
    blobs: int


def read_heading(path: Path) -> tuple[str, Head]:
    """The id and head that a file announces."""
    reader = FrameReader(path)
    try:
        heading = reader.heading()
    finally:
        reader.close()
    return heading.id, _announced(reader, heading)


def import_file(database: Database, path: Path) -> Imported:
    """Fill an empty ledger in one transaction. LedgerError, which names the place, for a file that does not hold."""
    reader = FrameReader(path)
    try:
        heading = reader.heading()
        head = _announced(reader, heading)
        with database.rebuilding() as connection:
            if read_head(connection).sequence:
                raise LedgerError(
                    f"the ledger {printable(database.location)} holds records already",
                    hint="an import needs an empty place: name another file, or another ?schema=",
                )
            _take_identity(database, connection, heading.id)
            reading = _Reading(reader, heading, connection, database.blobs(connection))
            reading.read()
            verified = _verified(reader, connection, heading, head)
            return Imported(verified, reading.blobs_read)
    finally:
        reader.close()


def _announced(reader: FrameReader, heading: Heading) -> Head:
    if not heading.id or len(heading.id) > 100 or not heading.id.isascii() or not heading.id.isprintable():
        raise reader.wrong(0, "its second line names no ledger")
    try:
        return Head.parse(heading.head)
    except UsageError:
        raise reader.wrong(0, "its second line names no head") from None


def _take_identity(database: Database, connection: sa.Connection, ledger_id: str) -> None:
    """An empty ledger becomes the one that is imported; the guard of `meta` is down for as long as that takes."""
    known = connection.execute(sa.select(meta.c.value).where(meta.c.name == "ledger_id")).scalar_one_or_none()
    if known == ledger_id:
        return
    database.drop_guards(connection, database.version)
    connection.execute(sa.update(meta).where(meta.c.name == "ledger_id").values(value=ledger_id))
    for statement in database.guards(database.version).values():
        connection.exec_driver_sql(statement)


def _verified(reader: FrameReader, connection: sa.Connection, heading: Heading, head: Head) -> Verified:
    try:
        verified = verify_records(connection, heading.id, head)
    except LedgerTampered as error:
        raise reader.wrong(0, f"what it holds does not verify: {error.message}") from error
    if verified.head != head:
        raise reader.wrong(0, f"it holds {verified.records} records, and announces {head.sequence}")
    return verified


@dataclass(slots=True)
class _Reading:
    """The walk along the frames."""

    reader: FrameReader
    heading: Heading
    connection: sa.Connection
    blobs: Blobs
    blobs_read: int = 0
    count: int = 0
    previous: str = GENESIS_HASH
    _contents: dict[str, bytes] = field(default_factory=dict)
    _rows: list[tuple[dict[str, Any], list[tuple[str, str]]]] = field(default_factory=list)
    _bytes: int = 0

    def read(self) -> None:
        waiting: Frame | None = None
        for frame in self.reader.frames():
            if frame.kind == "event":
                self._event(frame, waiting)
                waiting = None
            elif waiting is not None:
                raise self.reader.wrong(waiting.offset, "a content that the next event does not name")
            elif frame.kind == "content":
                self._refuse_after_blobs(frame)
                waiting = frame
            else:
                self._blob(frame)
        if waiting is not None:
            raise self.reader.wrong(waiting.offset, "a content that no event names")
        self._flush()

    def _event(self, frame: Frame, content: Frame | None) -> None:
        self._refuse_after_blobs(frame)
        place = f"record {self.count + 1}"
        try:
            row, keys = _row(frame, self.heading.id, self.previous)
        except (ValidationError, TypeError, ValueError, RecursionError):
            raise self.reader.wrong(frame.offset, f"{place} is not written as a ledger writes it") from None
        if frame.sequence != self.count + 1 or row["sequence"] != self.count + 1:
            raise self.reader.wrong(frame.offset, f"{place} was expected, and is another one")
        if link(self.previous, frame.body) != frame.digest:
            raise self.reader.wrong(frame.offset, f"{place} does not follow the one before it")
        if content is not None:
            if content.digest != row["content_id"] or sha256_hex(content.body) != content.digest:
                raise self.reader.wrong(content.offset, f"the content of {place} does not have the digest of its id")
            if content.digest in self._contents:
                raise self.reader.wrong(content.offset, f"the content of {place} is there twice")
            self._contents[content.digest] = content.body
        self._rows.append((row, keys))
        self.count, self.previous = self.count + 1, frame.digest
        self._bytes += len(frame.body) + (len(content.body) if content is not None else 0)
        if len(self._rows) >= _BATCH_EVENTS or self._bytes >= _BATCH_BYTES:
            self._flush()

    def _blob(self, frame: Frame) -> None:
        if not self.heading.blobs:
            raise self.reader.wrong(frame.offset, "a blob, in a file that announces none")
        if sha256_hex(frame.body) != frame.digest:
            raise self.reader.wrong(frame.offset, "a blob that does not have the digest of its name")
        self.blobs.put(frame.body, "application/octet-stream")
        self.blobs_read += 1

    def _flush(self) -> None:
        if insert_contents(self.connection, self._contents) != len(self._contents):
            raise self.reader.wrong(0, f"a content before record {self.count} is there twice")
        if self._rows:
            insert_events(self.connection, self._rows)
        self._contents, self._rows, self._bytes = {}, [], 0

    def _refuse_after_blobs(self, frame: Frame) -> None:
        if self.blobs_read:
            raise self.reader.wrong(frame.offset, f"a {frame.kind} after the blobs")


def _row(frame: Frame, ledger_id: str, previous: str) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """The columns and keys an event's bytes speak of; ValueError unless these bytes are what they lead to."""
    json.loads(frame.body)  # refuses nesting without end before pydantic meets it
    event = Event.model_validate_json(frame.body)
    data, keys = event.data, list(event.keys)
    facts = {"sequence": data.sequence, "time": event.time, "kind": data.kind, "content_id": data.content_id}
    facts["size"] = data.size
    expected = encode(
        source=event_source(ledger_id),
        record_id=event.id,
        keys=keys,
        previous=previous,
        sequence=data.sequence,
        time=event.time,
        kind=data.kind,
        content_id=data.content_id,
        size=data.size,
    )
    if expected != frame.body or keys != sorted(set(keys)):
        raise ValueError("not canonical")
    return {**facts, "id": event.id, "body": frame.body, "hash": frame.digest}, keys
