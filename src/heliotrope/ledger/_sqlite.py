"""The SQLite adapter: all SQL that only SQLite understands."""

import secrets
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import QueuePool

from heliotrope.core.errors import LedgerError
from heliotrope.core.text import printable
from heliotrope.ledger._sqlite_file import (
    APPLICATION_ID,
    check_file,
    connect,
    create_file,
    explain,
    not_a_ledger,
    publish,
    remove,
)
from heliotrope.ledger._tables import SCHEMA_VERSION, meta, metadata

__all__ = ["SqliteDatabase"]

_BEGIN = "heliotrope_begin"
_TRIGGERS = {
    f"{table.name}_refuse_{verb}": (
        f"CREATE TRIGGER {table.name}_refuse_{verb} BEFORE {verb.upper()} ON {table.name} "
        f"BEGIN SELECT RAISE(ABORT, 'a ledger is append-only'); END"
    )
    for table in metadata.sorted_tables
    for verb in ("update", "delete")
}
"""A barrier against accidents. Whoever means harm drops them; the hash chain is what tells."""
_OBJECTS = (
    {("table", table.name) for table in metadata.sorted_tables}
    | {("index", str(index.name)) for table in metadata.sorted_tables for index in table.indexes}
    | {("trigger", name) for name in _TRIGGERS}
)


class SqliteDatabase:
    """A ledger's database file. Its methods raise LedgerError for whatever is wrong with it."""

    def __init__(self, path: Path, *, timeout: float, draft: Path | None = None) -> None:
        """`draft` is where the file lies until it is published at `path`, which is what errors speak of."""
        self.path = path
        self._timeout = timeout
        self._engine = sa.create_engine(
            "sqlite://",
            creator=lambda: connect(draft or path, timeout),
            poolclass=QueuePool,
            pool_reset_on_return="rollback",
        )
        sa.event.listen(self._engine, "begin", _begin)

    def prepare(self, *, create: bool, new_id: Callable[[], str]) -> str:
        """Open or, if asked, create; the ledger's id. `new_id` is called when a ledger is really created."""
        if not check_file(self.path):
            if not create:
                raise LedgerError(
                    f"there is no ledger at {printable(str(self.path))}",
                    hint="`helio assess` begins one inside a project; check the path",
                )
            self._begin(new_id)
        elif create:
            self._create(new_id)
        with self.reading() as connection:
            ledger_id = self._identify(connection)
        self._log_ahead()
        return ledger_id

    @contextmanager
    def reading(self, *, any_text: bool = False) -> Iterator[sa.Connection]:
        """A transaction that sees one state of the ledger throughout.

        With `any_text`, forged text that is not UTF-8 comes as surrogates, which no comparison takes for the original,
        instead of ending the query; slower.
        """
        with self._explained(), self._engine.connect() as connection:
            raw = _raw(connection)
            raw.text_factory = partial(str, encoding="utf-8", errors="surrogateescape") if any_text else str
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A transaction that holds the only write lock from its start, and is on the disk when this ends."""
        with (
            self._explained(),
            self._engine.connect().execution_options(**{_BEGIN: "BEGIN IMMEDIATE"}) as connection,
            connection.begin(),
        ):
            yield connection

    def storage_problem(self, connection: sa.Connection) -> str | None:
        """What SQLite itself finds wrong: indexes that disagree with tables, damaged pages."""
        found = connection.exec_driver_sql("PRAGMA integrity_check(1)").scalar()
        return None if found == "ok" else str(found)

    def guard_problem(self, connection: sa.Connection) -> str | None:
        """A table, index or trigger that somebody removed."""
        missing = sorted(_OBJECTS - {(kind, name) for kind, name, _ in self._objects(connection)})
        return f"the {missing[0][0]} {missing[0][1]} was removed" if missing else None

    def close(self) -> None:
        """Give up all connections. The last one folds the write-ahead log into the file."""
        self._engine.dispose()

    def _begin(self, new_id: Callable[[], str]) -> None:
        """Lay a new ledger beside its place and put it there whole: a creator that is killed leaves no half of one."""
        draft = self.path.with_name(f".ledger-{secrets.token_hex(8)}.new")
        create_file(draft, named=self.path)
        database = SqliteDatabase(self.path, timeout=self._timeout, draft=draft)
        try:
            database._create(new_id)
            database._log_ahead()
            database.close()
            if not publish(draft, self.path):
                create_file(self.path)
                self._create(new_id)
        finally:
            database.close()
            remove(draft)

    def _create(self, new_id: Callable[[], str]) -> None:
        """Lay the tables in one transaction, unless there is something already. A killed or rival creator does no harm."""
        with self.reading() as connection:
            if self._objects(connection):
                return
        with self.writing() as connection:
            if self._objects(connection):
                return
            connection.exec_driver_sql(f"PRAGMA application_id={APPLICATION_ID}")
            metadata.create_all(connection, checkfirst=False)
            for statement in _TRIGGERS.values():
                connection.exec_driver_sql(statement)
            rows = {"ledger_id": new_id(), "schema_version": str(SCHEMA_VERSION)}
            connection.execute(sa.insert(meta), [{"name": name, "value": rows[name]} for name in sorted(rows)])

    def _log_ahead(self) -> None:
        """Switch to the write-ahead log; the file keeps this."""
        with self._explained(), self._engine.connect() as connection:
            raw = _raw(connection)
            if raw.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
                raw.execute("PRAGMA journal_mode=WAL").close()

    def _identify(self, connection: sa.Connection) -> str:
        self._refuse_foreign_objects(connection)
        facts: dict[object, object] = {
            row.name: row.value for row in connection.execute(sa.select(meta.c.name, meta.c.value).limit(10))
        }
        version, ledger_id = facts.get("schema_version"), facts.get("ledger_id")
        shown = printable(str(self.path))
        if (
            not isinstance(version, str)
            or not version.isascii()
            or not version.isdigit()
            or not isinstance(ledger_id, str)
        ):
            raise not_a_ledger(self.path)
        if version != str(SCHEMA_VERSION):
            raise LedgerError(
                f"the ledger {shown} has format {printable(version[:20])}; this version of Heliotrope reads {SCHEMA_VERSION}",
                hint="it was written by a newer version: upgrade with pip install --upgrade heliotrope",
            )
        return ledger_id

    def _refuse_foreign_objects(self, connection: sa.Connection) -> None:
        """A view, trigger or virtual table of somebody else's could run for ever or write while we read."""
        found = self._objects(connection)
        if not any((kind, name) == ("table", meta.name) for kind, name, _ in found):
            raise not_a_ledger(self.path)
        for kind, name, definition in found:
            ours = (kind, name) in _OBJECTS and (kind != "trigger" or definition == _TRIGGERS[str(name)])
            virtual = kind == "table" and not str(definition).upper().startswith("CREATE TABLE")
            automatic = kind == "index" and definition is None
            if virtual or not (ours or automatic):
                raise LedgerError(
                    f"the ledger {printable(str(self.path))} holds a {printable(str(kind))} that is not ours: "
                    f"{printable(str(name))[:80]!r}",
                    hint="restore an intact copy; Heliotrope does not open a database that others have built on",
                )

    def _objects(self, connection: sa.Connection) -> list[tuple[object, object, object]]:
        rows = connection.exec_driver_sql("SELECT type, name, sql FROM sqlite_master LIMIT 200")
        return [(row[0], row[1], row[2]) for row in rows]

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            raise explain(error.orig, self.path, self._timeout) from error
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise explain(error, self.path, self._timeout) from error


def _raw(connection: sa.Connection) -> sqlite3.Connection:
    raw = connection.connection.driver_connection
    assert isinstance(raw, sqlite3.Connection)
    return raw


def _begin(connection: sa.Connection) -> None:
    connection.exec_driver_sql(str(connection.get_execution_options().get(_BEGIN, "BEGIN")))
