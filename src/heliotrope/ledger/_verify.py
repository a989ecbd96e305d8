"""Holding a whole ledger against its chain, in constant memory, and naming the first record that is wrong."""

from collections.abc import Generator
from contextlib import closing
from typing import Any

import sqlalchemy as sa

from heliotrope.core.events import event_source
from heliotrope.core.records import sha256_hex
from heliotrope.core.text import printable, shorten
from heliotrope.ledger._chain import encode, link
from heliotrope.ledger._diagnosis import Diagnosis, FoundRow, tampered
from heliotrope.ledger._tables import contents, event_keys, events
from heliotrope.ledger.interface import GENESIS_HASH, PRUNED_KEY, Head, LedgerTampered, Verified

__all__ = ["stream", "verify_records", "was_pruned"]

_ROWS_AT_ONCE = 1000
_CONTENTS_AT_ONCE = 32
"""Contents may be large; this many are held at a time."""


def verify_records(connection: sa.Connection, ledger_id: str, head: Head | None) -> Verified:
    """What an intact ledger holds; LedgerTampered for the first record that is not what was written."""
    walked = _Chain(connection, event_source(ledger_id))
    problem = walked.walk(head)
    # A content can be wrong before the place where the chain breaks: the first of the two is named.
    before = problem.sequence if problem is not None else None
    content_problem = _first_wrong_content(connection, before)
    if content_problem is not None:
        raise content_problem
    if problem is not None:
        raise problem
    _refuse_strays(connection, walked)
    return Verified(walked.count, Head(walked.count, walked.previous), walked.pruned)


class _Keys:
    """The key rows of one event after the other."""

    def __init__(self, connection: sa.Connection) -> None:
        query = sa.select(event_keys.c.sequence, event_keys.c.name, event_keys.c.value)
        self._rows = stream(connection, query.order_by(event_keys.c.sequence), _ROWS_AT_ONCE)
        self._next = next(self._rows, None)
        self.stray: tuple[Any, ...] | None = None
        """A key row that belongs to no event."""

    def take(self, sequence: int) -> list[tuple[str, str]]:
        self._skip(sequence)
        taken = []
        while self._next is not None and self._next[0] == sequence:
            taken.append((self._next[1], self._next[2]))
            self._next = next(self._rows, None)
        taken.sort()
        return taken

    def finish(self) -> None:
        self._skip(None)

    def close(self) -> None:
        self._rows.close()

    def _skip(self, sequence: int | None) -> None:
        while self._next is not None and (
            sequence is None or not isinstance(self._next[0], int) or self._next[0] < sequence
        ):
            self.stray = self.stray or tuple(self._next)
            self._next = next(self._rows, None)


class _Chain:
    """The walk along the chain. After it, `count` and `previous` are the head."""

    def __init__(self, connection: sa.Connection, source: str) -> None:
        self._connection = connection
        self._source = source
        self.count = 0
        self.pruned = 0
        self.previous = GENESIS_HASH
        self._last_id: str | None = None
        self.stray_key: tuple[Any, ...] | None = None

    def walk(self, head: Head | None) -> LedgerTampered | None:
        """The first break, or a head that does not fit; None when all is well."""
        if head is not None and head.sequence == 0 and head.hash != GENESIS_HASH:
            return tampered("rewritten", 0, None, "the head given is not that of an empty ledger")
        with closing(_event_rows(self._connection)) as rows, closing(_Keys(self._connection)) as keys:
            problem = self._walk(rows, keys, head)
            if problem is not None:
                return problem
            keys.finish()
            self.stray_key = keys.stray
        if head is not None and head.sequence > self.count:
            return tampered(
                "truncated", self.count + 1, None, f"the head counts {head.sequence} records, the ledger ends before"
            )
        return None

    def _walk(self, rows: Generator[Any, None, None], keys: _Keys, head: Head | None) -> LedgerTampered | None:
        for raw in rows:
            if not self._holds(raw, keys):
                following = next(rows, None)
                return Diagnosis(self._connection, self.count, self.previous, self._last_id).of(
                    FoundRow(*raw), FoundRow(*following) if following is not None else None
                )
            if head is not None and self.count == head.sequence and self.previous != head.hash:
                return tampered(
                    "rewritten",
                    self.count,
                    self._last_id,
                    "its hash is not that of the head: this record or one before it was replaced, and the chain recomputed",
                )
        return None

    def _holds(self, row: Any, keys: _Keys) -> bool:
        """Rebuild the event from columns, keys and the hash before; it must be what is stored, byte for byte."""
        sequence, record_id, time, kind, content_id, size, body, digest, stored, pruned = row
        try:
            expected = encode(
                source=self._source,
                sequence=self.count + 1,
                record_id=record_id,
                time=time,
                kind=kind,
                content_id=content_id,
                size=size,
                keys=keys.take(sequence),
                previous=self.previous,
            )
        except (TypeError, ValueError):  # types or characters that no ledger writes
            return False
        if sequence != self.count + 1 or body != expected:
            return False
        gone = stored is None and bool(pruned)
        if stored != size and not gone:
            return False
        actual = link(self.previous, expected)
        if digest != actual:
            return False
        self.count += 1
        self.pruned += gone
        self.previous, self._last_id = actual, record_id
        return True


def was_pruned(content_id: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
    """Whether a retention record of the chain says that this content was removed."""
    record, key = events.alias(), event_keys.alias()
    query = sa.select(key.c.sequence).join(record, record.c.sequence == key.c.sequence)
    query = query.where(key.c.name == PRUNED_KEY, key.c.value == content_id, record.c.kind == "retention")
    return query.exists()


def _event_rows(connection: sa.Connection) -> Generator[Any, None, None]:
    query = (
        sa.select(
            events.c.sequence,
            events.c.id,
            events.c.time,
            events.c.kind,
            events.c.content_id,
            events.c.size,
            events.c.body,
            events.c.hash,
            sa.func.length(contents.c.body),
            sa.case((contents.c.content_id.is_(None), was_pruned(events.c.content_id)), else_=sa.false()),
        )
        .select_from(events.outerjoin(contents, events.c.content_id == contents.c.content_id))
        .order_by(events.c.sequence)
    )
    return stream(connection, query, _ROWS_AT_ONCE)


def _first_wrong_content(connection: sa.Connection, before: int | None) -> LedgerTampered | None:
    """The earliest record (before the given one) whose content does not have the bytes of its id."""
    first: tuple[int, str] | None = None
    query = sa.select(contents.c.content_id, contents.c.body)
    with closing(stream(connection, query, _CONTENTS_AT_ONCE)) as rows:
        for content_id, body in rows:
            if isinstance(body, bytes) and sha256_hex(body) == content_id:
                continue
            if not isinstance(content_id, str) or not content_id.isascii():
                continue  # no event can name it: one misses its content, or this belongs to none
            user = connection.execute(
                sa.select(events.c.sequence, events.c.id)
                .where(events.c.content_id == content_id)
                .order_by(events.c.sequence)
                .limit(1)
            ).first()
            if user is not None and (first is None or user.sequence < first[0]):
                first = (user.sequence, user.id)
    if first is None or (before is not None and first[0] >= before):
        return None
    return tampered("changed", first[0], first[1], "its content does not have the digest it was recorded under")


def _refuse_strays(connection: sa.Connection, walked: _Chain) -> None:
    if walked.stray_key is not None:
        sequence, name, value = walked.stray_key
        shown = shorten(printable(f"{name}={value}"), 80)
        raise tampered(
            "inserted",
            sequence if isinstance(sequence, int) else None,
            None,
            f"there is a look-up key {shown} without one",
        )
    used = sa.select(events.c.sequence).where(events.c.content_id == contents.c.content_id)
    stray = connection.execute(sa.select(contents.c.content_id).where(~used.exists()).limit(1)).first()
    if stray is not None:
        shown = shorten(printable(str(stray.content_id)), 80)
        raise tampered("inserted", None, None, f"the content {shown} belongs to no record")


def stream(connection: sa.Connection, query: sa.Select[*tuple[Any, ...]], at_once: int) -> Generator[Any, None, None]:
    """The rows of a query, never more than `at_once` in memory. To be closed: a server keeps a cursor for it."""
    with connection.execute(query, execution_options={"yield_per": at_once}) as result:
        for rows in result.partitions(at_once):
            yield from rows
