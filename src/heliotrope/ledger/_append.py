"""Laying new links of the chain, inside a transaction that no other writer shares."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from heliotrope.core.errors import LedgerError, UsageError
from heliotrope.core.events import event_source
from heliotrope.core.ids import IdSource
from heliotrope.core.records import sha256_hex
from heliotrope.core.text import printable
from heliotrope.ledger._canonical import canonical
from heliotrope.ledger._chain import encode, link, normalise_keys
from heliotrope.ledger._tables import contents, event_keys, events
from heliotrope.ledger.interface import GENESIS_HASH, MAX_CONTENT_BYTES, Entry, Head, LedgerTampered

__all__ = ["PAGE", "Prepared", "append_prepared", "changed", "insert_contents", "insert_events", "read_head"]

PAGE = 500
"""Rows read, or values compared, in one statement."""


class Prepared:
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


def append_prepared(
    connection: sa.Connection, prepared: Sequence[Prepared], *, ledger_id: str, time: str, ids: IdSource
) -> list[dict[str, Any]]:
    """Append after the head; the rows of `events` that were written."""
    rows = _event_rows(prepared, read_head(connection), ledger_id, time, ids)
    insert_contents(connection, {item.content_id: item.body for item in prepared})
    insert_events(connection, [(row, item.keys) for row, item in zip(rows, prepared, strict=True)])
    return rows


def insert_events(connection: sa.Connection, rows: Sequence[tuple[dict[str, Any], Sequence[tuple[str, str]]]]) -> None:
    """Write rows of `events`, each with its look-up keys."""
    connection.execute(sa.insert(events), [row for row, _ in rows])
    key_rows = [
        {"name": name, "value": value, "sequence": row["sequence"]} for row, keys in rows for name, value in keys
    ]
    if key_rows:
        connection.execute(sa.insert(event_keys), key_rows)


def insert_contents(connection: sa.Connection, bodies: dict[str, bytes]) -> int:
    """Write those that are not there yet: equal content is stored once. How many that were."""
    ids = list(bodies)
    known: set[str] = set()
    for start in range(0, len(ids), PAGE):
        query = sa.select(contents.c.content_id).where(contents.c.content_id.in_(ids[start : start + PAGE]))
        known.update(connection.execute(query).scalars())
    new = [{"content_id": item, "body": bodies[item]} for item in ids if item not in known]
    if new:
        connection.execute(sa.insert(contents), new)
    return len(new)


def read_head(connection: sa.Connection) -> Head:
    query = sa.select(events.c.sequence, events.c.hash).order_by(events.c.sequence.desc()).limit(1)
    row = connection.execute(query).first()
    if row is None:
        return Head(0, GENESIS_HASH)
    try:
        return Head.parse(f"{row.sequence}:{row.hash}")
    except UsageError:
        raise changed(row.sequence, "its hash is none") from None


def changed(sequence: int, detail: str) -> LedgerTampered:
    return LedgerTampered(
        f"record {sequence} was changed: {detail}", problem="changed", sequence=sequence, record_id=None
    )


def _event_rows(
    prepared: Sequence[Prepared], head: Head, ledger_id: str, time: str, ids: IdSource
) -> list[dict[str, Any]]:
    """The next links of the chain."""
    source, previous, rows = event_source(ledger_id), head.hash, []
    for sequence, item in enumerate(prepared, start=head.sequence + 1):
        facts: dict[str, Any] = {
            "sequence": sequence,
            "time": time,
            "kind": item.kind,
            "content_id": item.content_id,
            "size": len(item.body),
        }
        record_id = ids.new()
        body = encode(source=source, record_id=record_id, keys=item.keys, previous=previous, **facts)
        previous = link(previous, body)
        rows.append({**facts, "id": record_id, "body": body, "hash": previous})
    return rows
