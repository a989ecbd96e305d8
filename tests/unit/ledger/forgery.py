"""What somebody does who can write the database and knows how a ledger is made."""

import re
import sqlite3
from contextlib import closing, contextmanager

from heliotrope.core.events import event_source
from heliotrope.core.records import sha256_hex
from heliotrope.ledger import Entry, is_postgres, open_ledger
from heliotrope.ledger._chain import encode, link
from heliotrope.ledger._postgres_url import parse_postgres
from heliotrope.ledger.interface import GENESIS_HASH


def entry(number, kind="note"):
    return Entry(
        kind,
        {"number": number, "text": f"record {number}"},
        (("subject", f"urn:{number % 3}"), ("digest", sha256_hex(str(number).encode()))),
    )


def fill(path, count=10):
    """A ledger of `count` records; its head."""
    with open_ledger(path, create=True) as ledger:
        ledger.append([entry(number) for number in range(1, count + 1)])
        return ledger.head()


class ServerConnection:
    """A connection to a ledger on PostgreSQL that takes the statements the tests write for SQLite."""

    def __init__(self, url, *, guarded=False):
        import psycopg

        location = parse_postgres(url)
        self._connection = psycopg.connect(**location.parameters, password=location.password, autocommit=True)
        self._connection.execute(f'SET search_path = "{location.schema}"'.encode())
        if not guarded:  # neither triggers nor foreign keys
            self._connection.execute("SET session_replication_role = replica")

    def execute(self, statement, values=()):
        text = re.sub(r"CAST\((replace\(.*\)) AS BLOB\)", r"convert_to(\1, 'UTF8')", statement)
        text = re.sub(r"CAST\(body AS TEXT\)", "convert_from(body, 'UTF8')", text)
        text = re.sub(r"x'([0-9a-f]*)'", r"'\\x\1'::bytea", text)
        if text.startswith("INSERT OR IGNORE"):
            text = text.replace("INSERT OR IGNORE", "INSERT") + " ON CONFLICT DO NOTHING"
        text = text.replace("%", "%%").replace("?", "%s")
        return self._connection.execute(text.encode(), values or None if "%" not in text else values)

    def close(self):
        self._connection.close()


def connected(place):
    """A connection as anybody has it, guards and all."""
    if is_postgres(place):
        return ServerConnection(place, guarded=True)
    return sqlite3.connect(place, isolation_level=None)


@contextmanager
def forging(place):
    """A connection without triggers and foreign keys; the triggers are there again afterwards."""
    if is_postgres(place):
        with closing(ServerConnection(place)) as connection:
            yield connection
        return
    with closing(sqlite3.connect(place, isolation_level=None)) as connection:
        triggers = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in triggers:
            connection.execute(f"DROP TRIGGER {name}")
        yield connection
        for _, definition in triggers:
            connection.execute(definition)


def rows(place, statement):
    """What a query of anybody's finds."""
    with closing(connected(place)) as connection:
        return connection.execute(statement).fetchall()


def renumber(connection, start, by):
    """Shift the place of every record from `start` on, keys included."""
    for table in ("events", "event_keys"):
        connection.execute(f"UPDATE {table} SET sequence = -sequence - ? WHERE sequence >= ?", (by, start))
        connection.execute(f"UPDATE {table} SET sequence = -sequence WHERE sequence < 0")


def insert(connection, sequence, previous, text='{"forged":true}', *, digest=None):
    """Add a record at a free place; its hash is right unless given."""
    content = text.encode()
    ledger_id = connection.execute("SELECT value FROM meta WHERE name = 'ledger_id'").fetchone()[0]
    fields = {
        "record_id": f"FORGED{sequence:020d}",
        "time": "2026-01-01T00:00:00.000Z",
        "kind": "evidence",
        "content_id": sha256_hex(content),
        "size": len(content),
    }
    body = encode(source=event_source(ledger_id), sequence=sequence, keys=[], previous=previous, **fields)
    connection.execute("INSERT OR IGNORE INTO contents VALUES (?, ?)", (fields["content_id"], content))
    connection.execute(
        "INSERT INTO events (sequence, id, time, kind, content_id, size, body, hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (sequence, *fields.values(), body, digest or link(previous, body)),
    )


def hash_at(connection, sequence):
    row = connection.execute("SELECT hash FROM events WHERE sequence = ?", (sequence,)).fetchone()
    return row[0] if row else GENESIS_HASH


def delete(connection, sequence):
    """Remove a record with all that belongs to it."""
    connection.execute("DELETE FROM event_keys WHERE sequence = ?", (sequence,))
    connection.execute("DELETE FROM events WHERE sequence = ?", (sequence,))
    connection.execute("DELETE FROM contents WHERE content_id NOT IN (SELECT content_id FROM events)")


def recompute(connection):
    """Write every event anew from its columns and keys: a chain that holds from end to end."""
    ledger_id = connection.execute("SELECT value FROM meta WHERE name = 'ledger_id'").fetchone()[0]
    previous = GENESIS_HASH
    found = connection.execute(
        "SELECT sequence, id, time, kind, content_id, size FROM events ORDER BY sequence"
    ).fetchall()
    for sequence, record_id, time, kind, content_id, size in found:
        keys = connection.execute("SELECT name, value FROM event_keys WHERE sequence = ?", (sequence,)).fetchall()
        body = encode(
            source=event_source(ledger_id),
            sequence=sequence,
            record_id=record_id,
            time=time,
            kind=kind,
            content_id=content_id,
            size=size,
            keys=sorted(keys),
            previous=previous,
        )
        previous = link(previous, body)
        connection.execute("UPDATE events SET body = ?, hash = ? WHERE sequence = ?", (body, previous, sequence))
