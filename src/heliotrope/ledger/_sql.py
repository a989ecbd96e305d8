"""The ledger on SQL."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import sqlalchemy as sa
from pydantic import ValidationError

from heliotrope.core.errors import LedgerError, UsageError
from heliotrope.core.events import Event, event_source
from heliotrope.core.ids import Clock, IdSource, timestamp
from heliotrope.core.records import Sha256, sha256_hex
from heliotrope.core.text import printable, shorten
from heliotrope.ledger import _state
from heliotrope.ledger._canonical import canonical
from heliotrope.ledger._chain import claim, encode, indexed, link, normalise_keys
from heliotrope.ledger._sqlite import SqliteDatabase
from heliotrope.ledger._sqlite_file import ForgedTextError
from heliotrope.ledger._tables import contents, event_keys, events
from heliotrope.ledger._verify import verify_records
from heliotrope.ledger.interface import (
    GENESIS_HASH,
    MAX_CONTENT_BYTES,
    Appended,
    Entry,
    EntryKind,
    Head,
    LedgerTampered,
    Verified,
)

__all__ = ["SqlLedger"]

_DIGEST = re.compile(r"[0-9a-f]{64}")
_PAGE = 500
"""Rows read, or values compared, in one statement."""


class SqlLedger:
    """A `Ledger` in a database. Safe to share between threads; several processes may append to one file."""

    def __init__(self, database: SqliteDatabase, *, ledger_id: str, path: Path, clock: Clock, ids: IdSource) -> None:
        self._database = database
        self._path = path
        self._id = ledger_id
        self._clock = clock
        self._ids = ids
        self._wrote = False

    @property
    def id(self) -> str:
        return self._id

    @property
    def location(self) -> str:
        return str(self._path)

    def append(self, entries: Sequence[Entry]) -> list[Appended]:
        prepared = [_Prepared(entry) for entry in entries]
        if not prepared:
            return []
        with self._database.writing() as connection:
            rows = self._event_rows(prepared, _head(connection))
            _insert_contents(connection, {item.content_id: item.body for item in prepared})
            connection.execute(sa.insert(events), rows)
            key_rows = [
                {"name": name, "value": value, "sequence": row["sequence"]}
                for row, item in zip(rows, prepared, strict=True)
                for name, value in item.keys
            ]
            if key_rows:
                connection.execute(sa.insert(event_keys), key_rows)
        self._wrote = True
        return [Appended(row["sequence"], row["id"], row["time"], row["content_id"]) for row in rows]

    def head(self) -> Head:
        with self._database.reading() as connection:
            return _head(connection)

    def events(self, after: int = 0) -> Iterator[Event]:
        query = sa.select(events.c.sequence, events.c.body, events.c.hash).order_by(events.c.sequence).limit(_PAGE)
        while rows := self._rows(query.where(events.c.sequence > after)):
            yield from map(_event, rows)
            after = rows[-1].sequence

    def content(self, content_id: Sha256) -> bytes:
        body: object = None
        if _DIGEST.fullmatch(content_id):
            with self._database.reading() as connection:
                query = sa.select(contents.c.body).where(contents.c.content_id == content_id)
                body = connection.execute(query).scalar_one_or_none()
        shown = shorten(printable(content_id), 64)
        if body is None:
            raise LedgerError(
                f"the ledger {printable(self.location)} holds no content {shown}",
                hint="check the id, or name the ledger it was recorded in with --ledger",
            )
        if not isinstance(body, bytes) or sha256_hex(body) != content_id:
            raise LedgerTampered(
                f"the content {shown} was changed: it does not have the digest it was recorded under",
                problem="changed",
                sequence=None,
                record_id=None,
            )
        return body

    def find(self, kind: EntryKind | None = None, /, **keys: str) -> Iterator[Event]:
        query = sa.select(events.c.sequence, events.c.body, events.c.hash)
        wanted = {indexed(name, value) for name, value in keys.items()}
        for name, value in sorted(wanted):
            index = event_keys.alias()
            query = query.join(
                index, (index.c.sequence == events.c.sequence) & (index.c.name == name) & (index.c.value == value)
            )
        if kind is not None:
            query = query.where(events.c.kind == kind)
        query = query.order_by(events.c.sequence.desc()).limit(_PAGE)
        page = query
        while rows := self._rows(page):
            for row in rows:
                event = _event(row)
                if not wanted.issubset(event.keys) or (kind is not None and event.kind != kind):
                    raise _changed(row.sequence, "the index leads to it by a kind or key it does not have")
                yield event
            page = query.where(events.c.sequence < rows[-1].sequence)

    def latest(self, kind: EntryKind, key: str, value: str) -> Event | None:
        return next(self.find(kind, **{key: value}), None)

    def verify(self, head: Head | None = None) -> Verified:
        try:
            return self._verify(head, any_text=False)
        except ForgedTextError:
            return self._verify(head, any_text=True)

    def remembered_head(self) -> Head | None:
        known = _state.find(self._id)
        return Head.parse(known.head) if known is not None and known.head is not None else None

    def remember(self) -> None:
        """Keep the head, unless this ledger no longer holds what is remembered: then that stays, to tell the tale."""
        known = self.remembered_head()
        with self._database.reading() as connection:
            head = _head(connection)
            if known is not None and _hash_at(connection, known.sequence) != known.hash:
                return
        _state.remember_head(self._id, str(head), head.sequence)

    def close(self) -> None:
        try:
            if self._wrote:
                self.remember()
        except LedgerError:
            pass  # a second line of defence: the work is done and stays done when the state folder cannot be written
        finally:
            self._wrote = False
            self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _event_rows(self, prepared: Sequence["_Prepared"], head: Head) -> list[dict[str, Any]]:
        """The next links of the chain."""
        source, time, previous, rows = event_source(self._id), timestamp(self._clock.now()), head.hash, []
        for sequence, item in enumerate(prepared, start=head.sequence + 1):
            facts: dict[str, Any] = {
                "sequence": sequence,
                "time": time,
                "kind": item.kind,
                "content_id": item.content_id,
                "size": len(item.body),
            }
            record_id = self._ids.new()
            body = encode(source=source, record_id=record_id, keys=item.keys, previous=previous, **facts)
            previous = link(previous, body)
            rows.append({**facts, "id": record_id, "body": body, "hash": previous})
        return rows

    def _verify(self, head: Head | None, *, any_text: bool) -> Verified:
        with self._database.reading(any_text=any_text) as connection:
            verified = verify_records(connection, self._id, head)
            damage = self._database.storage_problem(connection)
            if damage is not None:
                raise LedgerError(
                    f"the database {printable(self.location)} is damaged: {shorten(printable(damage), 200)}",
                    hint="its records are intact, its indexes are not: restore a copy",
                )
            removed = self._database.guard_problem(connection)
            if removed is not None:
                raise LedgerTampered(
                    f"the ledger's own guard was changed: {removed}", problem="changed", sequence=None, record_id=None
                )
        return verified

    def _rows(self, query: sa.Select[*tuple[Any, ...]]) -> Sequence[Any]:
        with self._database.reading() as connection:
            return connection.execute(query).all()


class _Prepared:
    """An entry as bytes, before the write lock is taken."""

    __slots__ = ("body", "content_id", "keys", "kind")

    def __init__(self, entry: Entry) -> None:
        self.kind = entry.kind
        self.keys = normalise_keys(entry)
        try:
            self.body = canonical(entry.content)
        except (ValueError, RecursionError) as error:
            raise LedgerError(
                f"a record of kind {entry.kind!r} cannot be written as canonical JSON: {printable(str(error))}",
                hint="text must be valid UTF-8, numbers finite, integers below 2^53 and keys text",
            ) from error
        if len(self.body) > MAX_CONTENT_BYTES:
            raise LedgerError(
                f"a record of kind {entry.kind!r} has {len(self.body)} bytes; at most {MAX_CONTENT_BYTES} are possible",
                hint="keep large parts as blobs and record their digests",
            )
        self.content_id = sha256_hex(self.body)


def _head(connection: sa.Connection) -> Head:
    query = sa.select(events.c.sequence, events.c.hash).order_by(events.c.sequence.desc()).limit(1)
    row = connection.execute(query).first()
    if row is None:
        return Head(0, GENESIS_HASH)
    try:
        return Head.parse(f"{row.sequence}:{row.hash}")
    except UsageError:
        raise _changed(row.sequence, "its hash is none") from None


def _hash_at(connection: sa.Connection, sequence: int) -> object:
    if sequence == 0:
        return GENESIS_HASH
    return connection.execute(sa.select(events.c.hash).where(events.c.sequence == sequence)).scalar_one_or_none()


def _insert_contents(connection: sa.Connection, bodies: dict[str, bytes]) -> None:
    """Equal content is stored once."""
    ids = list(bodies)
    known: set[str] = set()
    for start in range(0, len(ids), _PAGE):
        query = sa.select(contents.c.content_id).where(contents.c.content_id.in_(ids[start : start + _PAGE]))
        known.update(connection.execute(query).scalars())
    new = [{"content_id": item, "body": bodies[item]} for item in ids if item not in known]
    if new:
        connection.execute(sa.insert(contents), new)


def _event(row: Any) -> Event:
    claimed = claim(row.body, row.hash)
    if claimed is None or claimed[0] != row.sequence:
        raise _changed(row.sequence, "its bytes, its hash and its place do not belong together")
    try:
        return Event.model_validate_json(row.body)
    except ValidationError:
        raise _changed(row.sequence, "its bytes are no event") from None


def _changed(sequence: int, detail: str) -> LedgerTampered:
    return LedgerTampered(
        f"record {sequence} was changed: {detail}", problem="changed", sequence=sequence, record_id=None
    )
