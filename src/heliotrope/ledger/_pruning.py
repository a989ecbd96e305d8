"""Taking contents out of a ledger that keeps its chain: what was there stays named, and who removed it is recorded."""

from collections.abc import Sequence

import sqlalchemy as sa

from heliotrope.core.errors import LedgerError
from heliotrope.core.ids import IdSource
from heliotrope.core.text import printable
from heliotrope.ledger._append import PAGE, Prepared, append_prepared
from heliotrope.ledger._database import Database, read_version
from heliotrope.ledger._tables import contents, events
from heliotrope.ledger.interface import MAX_KEYS, PRUNED_BLOB_KEY, PRUNED_KEY, Entry, Retention

__all__ = ["prune"]


def prune(
    database: Database,
    retention: Retention,
    content_ids: Sequence[str],
    blobs: Sequence[str],
    *,
    ledger_id: str,
    time: str,
    ids: IdSource,
) -> list[str]:
    """Record and remove in one transaction; the ids of the contents that were removed.

    Left alone is what a record after `retention.horizon` refers to: it was written while this was being planned.
    """
    if len(content_ids) + len(blobs) > MAX_KEYS:  # each is a key of the retention record
        raise LedgerError(f"at most {MAX_KEYS} contents are removed at once", hint="remove them in parts")
    with database.writing() as connection:
        version = read_version(connection, printable(database.location))
        if version < 2:
            raise LedgerError(
                f"the ledger {printable(database.location)} has format {version}, which keeps everything",
                hint="`helio ledger migrate` brings it to a format that knows retention",
            )
        removable = _removable(connection, content_ids, retention.horizon)
        if not removable and not blobs:
            return []
        facts = {**retention.document(), "contents": len(removable), "blobs": len(blobs)}
        keys = [(PRUNED_KEY, item) for item in removable] + [(PRUNED_BLOB_KEY, item) for item in blobs]
        entry = Prepared(Entry("retention", facts, tuple(keys)))
        append_prepared(connection, [entry], ledger_id=ledger_id, time=time, ids=ids)
        for start in range(0, len(removable), PAGE):
            page = removable[start : start + PAGE]
            connection.execute(sa.delete(contents).where(contents.c.content_id.in_(page)))
    return removable


def _removable(connection: sa.Connection, content_ids: Sequence[str], horizon: int) -> list[str]:
    later = sa.select(events.c.sequence).where(
        events.c.content_id == contents.c.content_id, (events.c.sequence > horizon) | (events.c.kind == "retention")
    )
    found: set[str] = set()
    for start in range(0, len(content_ids), PAGE):
        page = content_ids[start : start + PAGE]
        query = sa.select(contents.c.content_id).where(contents.c.content_id.in_(page), ~later.exists())
        found.update(connection.execute(query).scalars())
    return sorted(found)
