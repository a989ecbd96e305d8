"""The ledger on SQL."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import sqlalchemy as sa
from pydantic import ValidationError

from heliotrope.core.errors import LedgerError
from heliotrope.core.events import Event
from heliotrope.core.ids import Clock, IdSource, timestamp
from heliotrope.core.records import Sha256, sha256_hex
from heliotrope.core.text import printable, shorten
from heliotrope.ledger import _state
from heliotrope.ledger._append import PAGE, Prepared, append_prepared, changed, read_head
from heliotrope.ledger._chain import claim, indexed
from heliotrope.ledger._database import Database
from heliotrope.ledger._export import Exported, new_file, write_export
from heliotrope.ledger._pruning import prune
from heliotrope.ledger._tables import contents, event_keys, events
from heliotrope.ledger._verify import verify_records, was_pruned
from heliotrope.ledger.interface import (
    GENESIS_HASH,
    Appended,
    Blobs,
    Entry,
    EntryKind,
    ForgedTextError,
    Head,
    LedgerTampered,
    PrunedError,
    Retention,
    Verified,
)

__all__ = ["SqlLedger"]

_DIGEST = re.compile(r"[0-9a-f]{64}")


class SqlLedger:
    """A `Ledger` in a database. Safe to share between threads; several processes may append to one file."""

    def __init__(self, database: Database, *, ledger_id: str, clock: Clock, ids: IdSource) -> None:
        self._database = database
        self._id = ledger_id
        self._clock = clock
        self._ids = ids
        self._wrote = False

    @property
    def id(self) -> str:
        return self._id

    @property
    def location(self) -> str:
        return self._database.location

    @property
    def blobs(self) -> Blobs:
        return self._database.blobs()

    def append(self, entries: Sequence[Entry]) -> list[Appended]:
        prepared = [Prepared(entry) for entry in entries]
        if not prepared:
            return []
        with self._database.writing() as connection:
            time = timestamp(self._clock.now())
            rows = append_prepared(connection, prepared, ledger_id=self._id, time=time, ids=self._ids)
        self._wrote = True
        return [Appended(row["sequence"], row["id"], row["time"], row["content_id"]) for row in rows]

    def prune(self, retention: Retention, content_ids: Sequence[Sha256], blobs: Sequence[Sha256] = ()) -> list[Sha256]:
        time = timestamp(self._clock.now())
        removed = prune(self._database, retention, content_ids, blobs, ledger_id=self._id, time=time, ids=self._ids)
        self._wrote = True
        return removed

    def export(self, path: Path, *, blobs: bool = False) -> Exported:
        """Write all of it, verified, into one file that `import_ledger` reads; with the blobs its runs name if asked.

        LedgerTampered, and no file, for a ledger that does not hold.
        """
        known = self.remembered_head()
        with new_file(path) as file, self._database.reading() as connection:
            verified = verify_records(connection, self._id, known)
            return write_export(file, connection, self._id, verified, self.blobs if blobs else None)

    def reclaim(self) -> None:
        self._database.reclaim()

    def head(self) -> Head:
        with self._database.reading() as connection:
            return read_head(connection)

    def events(self, after: int = 0) -> Iterator[Event]:
        query = sa.select(events.c.sequence, events.c.body, events.c.hash).order_by(events.c.sequence).limit(PAGE)
        while rows := self._rows(query.where(events.c.sequence > after)):
            yield from map(_event, rows)
            after = rows[-1].sequence

    def content(self, content_id: Sha256) -> bytes:
        body, gone = None, False
        if _DIGEST.fullmatch(content_id):
            with self._database.reading() as connection:
                query = sa.select(contents.c.body).where(contents.c.content_id == content_id)
                body = connection.execute(query).scalar_one_or_none()
                gone = body is None and connection.execute(sa.select(was_pruned(sa.literal(content_id)))).scalar_one()
        shown = shorten(printable(content_id), 64)
        if gone:
            raise PrunedError(
                f"the content {shown} was removed from the ledger {printable(self.location)} under retention",
                hint="`helio ledger verify` says when and by whom; an export made before still holds it",
            )
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
        query = query.order_by(events.c.sequence.desc()).limit(PAGE)
        page = query
        while rows := self._rows(page):
            for row in rows:
                event = _event(row)
                if not wanted.issubset(event.keys) or (kind is not None and event.kind != kind):
                    raise changed(row.sequence, "the index leads to it by a kind or key it does not have")
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
            head = read_head(connection)
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


def _hash_at(connection: sa.Connection, sequence: int) -> object:
    if sequence == 0:
        return GENESIS_HASH
    return connection.execute(sa.select(events.c.hash).where(events.c.sequence == sequence)).scalar_one_or_none()


def _event(row: Any) -> Event:
    claimed = claim(row.body, row.hash)
    if claimed is None or claimed[0] != row.sequence:
        raise changed(row.sequence, "its bytes, its hash and its place do not belong together")
    try:
        return Event.model_validate_json(row.body)
    except ValidationError:
        raise changed(row.sequence, "its bytes are no event") from None
