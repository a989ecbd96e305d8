"""Telling from the place where a chain breaks what was done to it.

Every event carries its own sequence and the hash before it, under its own hash. An event whose bytes and hash belong
together is a witness of where it was written, whatever its columns say now.
"""

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from heliotrope.core.text import printable, shorten
from heliotrope.ledger._chain import claim
from heliotrope.ledger._tables import events
from heliotrope.ledger.interface import LedgerTampered, Problem

__all__ = ["Diagnosis", "FoundRow", "tampered"]


@dataclass(slots=True)
class FoundRow:
    """An event as it lies in the table; any column may have been forged to any type."""

    sequence: Any
    id: Any
    time: Any
    kind: Any
    content_id: Any
    size: Any
    body: Any
    hash: Any
    stored: Any
    """Length of the content; None when there is none."""
    pruned: Any
    """Whether a retention record takes responsibility for that."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """A break after `count` records that hold."""

    connection: sa.Connection
    count: int
    previous: str
    """Hash of the last record that holds."""
    last_id: str | None

    def of(self, row: FoundRow, following: FoundRow | None) -> LedgerTampered:
        """What happened at place count + 1, where `row` was found and `following` after it."""
        place = self.count + 1
        claimed = claim(row.body, row.hash)
        if row.sequence < place:
            return self._before_all(row, claimed)
        if row.sequence > place:
            return self._gap(row, claimed)
        if claimed is None:
            return self._broken(row, following)
        if claimed[0] != place:
            return self._displaced(row, *claimed)
        return self._disagreeing(row, claimed[1])

    def _before_all(self, row: FoundRow, claimed: tuple[int, str] | None) -> LedgerTampered:
        if claimed is not None:
            query = sa.select(events.c.sequence).where(events.c.sequence == claimed[0])
            if self.connection.execute(query).first() is None:
                return tampered("changed", claimed[0], row.id, f"its sequence number was changed to {row.sequence}")
        return tampered("inserted", row.sequence, row.id, "it lies before the first record")

    def _gap(self, row: FoundRow, claimed: tuple[int, str] | None) -> LedgerTampered:
        place = self.count + 1
        if claimed is not None and claimed[1] == self.previous:
            return tampered("changed", place, row.id, f"its sequence number was changed to {row.sequence}")
        if claimed is not None and self._is_stored(claimed[1]):
            return tampered("reordered", place, None, "it lies at another place")
        return tampered("deleted", place, None, f"the next record is {row.sequence}")

    def _broken(self, row: FoundRow, following: FoundRow | None) -> LedgerTampered:
        place = self.count + 1
        after = claim(following.body, following.hash) if following is not None else None
        if after == (place, self.previous):
            return tampered("inserted", place, row.id, "the record after it follows the one before it")
        return tampered("changed", place, row.id, "its bytes and its hash do not belong together")

    def _displaced(self, row: FoundRow, written_at: int, follows: str) -> LedgerTampered:
        place = self.count + 1
        if written_at > place:
            if self._is_stored(follows):
                return tampered("reordered", place, row.id, f"it was written as record {written_at}")
            return tampered("deleted", place, None, f"what lies there was written as record {written_at}")
        query = sa.select(events.c.id, events.c.hash).where(events.c.sequence == written_at)
        found = self.connection.execute(query).first()
        if found is None or found.hash == row.hash:
            return tampered("inserted", place, row.id, f"it is a copy of record {written_at}")
        return tampered("inserted", written_at, found.id, "the record that was written there lies further on")

    def _disagreeing(self, row: FoundRow, follows: str) -> LedgerTampered:
        place = self.count + 1
        if follows != self.previous and self.count:
            return tampered("changed", self.count, self.last_id, f"record {place} was written after another one")
        if (
            row.stored is None
            and not row.pruned
            and f'"content_id":"{row.content_id}"'.encode("utf-8", "surrogateescape") in row.body
        ):
            return tampered("deleted", place, row.id, "its content is missing")
        return tampered("changed", place, row.id, "its columns or look-up keys are not those of its event")

    def _is_stored(self, digest: str) -> bool:
        query = sa.select(events.c.sequence).where(events.c.hash == digest).limit(1)
        return self.connection.execute(query).first() is not None


def tampered(problem: Problem, sequence: int | None, record_id: object, detail: str) -> LedgerTampered:
    """The error, with the record named as far as it is known."""
    known = record_id if isinstance(record_id, str) else None
    name = f" ({shorten(printable(known), 60)})" if known else ""
    where = f"record {sequence}{name} was {problem}" if sequence is not None else f"something was {problem}"
    return LedgerTampered(f"{where}: {detail}", problem=problem, sequence=sequence, record_id=known)
