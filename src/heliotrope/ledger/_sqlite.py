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
from heliotrope.ledger._database import known_version, read_version
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
from heliotrope.ledger._tables import SCHEMA_VERSION, meta, metadata, tables
from heliotrope.ledger.blobs import BLOBS_NAME, BlobStore

__all__ = ["SqliteDatabase"]

_BEGIN = "heliotrope_begin"
_TABLES = tables("sqlite")
_OBJECTS = {("table", table.name) for table in _TABLES} | {
    ("index", str(index.name)) for table in _TABLES for index in table.indexes
}
_REFUSE = "BEGIN SELECT RAISE(ABORT, 'a ledger is append-only'); END"
_UNLESS_PRUNED = (
    "WHEN NOT EXISTS (SELECT 1 FROM event_keys JOIN events ON events.sequence = event_keys.sequence"
    " WHERE event_keys.name = 'pruned' AND event_keys.value = OLD.content_id AND events.kind = 'retention') "
)


class SqliteDatabase:
    """A `Database` in a file."""

    def __init__(self, path: Path, *, timeout: float, draft: Path | None = None) -> None:
        """`draft` is where the file lies until it is published at `path`, which is what errors speak of."""
        self.path = path
        self.version = SCHEMA_VERSION
        self._timeout = timeout
        self._engine = sa.create_engine(
            "sqlite://",
            creator=lambda: connect(draft or path, timeout),
            poolclass=QueuePool,
            pool_reset_on_return="rollback",
        )
        sa.event.listen(self._engine, "begin", _begin)

    @property
    def location(self) -> str:
        return str(self.path)

    def prepare(self, *, create: bool, new_id: Callable[[], str]) -> str:
        """Open or, if asked, create; the ledger's id. `new_id` is called when a ledger is really created.

        A file of an earlier format is brought to today's when it is opened with `create`, that is to work with: one
        user owns it, and the one transaction either happens or does not. Without, it is read as it is.
        """
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
        if create and self.version < SCHEMA_VERSION:
            from heliotrope.ledger.migrations import migrate

            migrate(self, SCHEMA_VERSION)
        self._log_ahead()
        return ledger_id

    @contextmanager
    def reading(self, *, any_text: bool = False) -> Iterator[sa.Connection]:
        with self._explained(), self._engine.connect() as connection:
            raw = _raw(connection)
            raw.text_factory = partial(str, encoding="utf-8", errors="surrogateescape") if any_text else str
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        with (
            self._explained(),
            self._engine.connect().execution_options(**{_BEGIN: "BEGIN IMMEDIATE"}) as connection,
            connection.begin(),
        ):
            yield connection

    @contextmanager
    def rebuilding(self) -> Iterator[sa.Connection]:
        """Without foreign keys: SQLite drops no table that others refer to, and the switch works outside of transactions only."""
        options = {_BEGIN: "BEGIN IMMEDIATE"}
        with self._explained(), self._engine.connect().execution_options(**options) as connection:
            raw = _raw(connection)
            raw.execute("PRAGMA foreign_keys=OFF").close()
            try:
                with connection.begin():
                    yield connection
                    broken = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
                    if broken is not None:
                        raise LedgerError(
                            f"the ledger {printable(self.location)} is damaged: a row of {printable(str(broken[0]))} "
                            "belongs to nothing",
                            hint="`helio ledger verify` names the record; restore an intact copy",
                        )
            finally:
                raw.execute("PRAGMA foreign_keys=ON").close()

    def guards(self, version: int) -> dict[str, str]:
        """A barrier against accidents. Whoever means harm drops them; the hash chain is what tells."""
        made = {}
        for table in _TABLES:
            for verb in ("update", "delete"):
                name = f"{table.name}_refuse_{verb}"
                unless = _UNLESS_PRUNED if version >= 2 and name == "contents_refuse_delete" else ""
                made[name] = f"CREATE TRIGGER {name} BEFORE {verb.upper()} ON {table.name} {unless}{_REFUSE}"
        return made

    def drop_guards(self, connection: sa.Connection, version: int) -> None:
        for name in self.guards(version):
            connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {name}")

    def storage_problem(self, connection: sa.Connection) -> str | None:
        """Indexes that disagree with tables, damaged pages."""
        found = connection.exec_driver_sql("PRAGMA integrity_check(1)").scalar()
        return None if found == "ok" else str(found)

    def guard_problem(self, connection: sa.Connection) -> str | None:
        self.version = read_version(connection, printable(self.location))
        wanted = _OBJECTS | {("trigger", name) for name in self.guards(self.version)}
        missing = sorted(wanted - {(kind, name) for kind, name, _ in self._objects(connection)})
        return f"the {missing[0][0]} {missing[0][1]} was removed" if missing else None

    def blobs(self, connection: sa.Connection | None = None) -> BlobStore:
        return BlobStore(self.path.parent / BLOBS_NAME)

    def reclaim(self) -> None:
        """Lay the file anew, and empty the write-ahead log, which still holds what was removed."""
        with self._explained(), self._engine.connect() as connection:
            raw = _raw(connection)
            raw.execute("VACUUM").close()
            raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").close()

    def close(self) -> None:
        """The last connection to go folds the write-ahead log into the file."""
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
            metadata.create_all(connection, tables=_TABLES, checkfirst=False)
            for statement in self.guards(SCHEMA_VERSION).values():
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
        found = self._objects(connection)
        if not any((kind, name) == ("table", meta.name) and _is_plain(sql) for kind, name, sql in found):
            raise not_a_ledger(self.path)
        facts: dict[object, object] = {
            row.name: row.value for row in connection.execute(sa.select(meta.c.name, meta.c.value).limit(10))
        }
        version, ledger_id = (
            known_version(facts.get("schema_version"), printable(self.location)),
            facts.get("ledger_id"),
        )
        if version is None or not isinstance(ledger_id, str):
            raise not_a_ledger(self.path)
        self.version = version
        self._refuse_foreign_objects(found)
        return ledger_id

    def _refuse_foreign_objects(self, found: list[tuple[object, object, object]]) -> None:
        """A view, trigger or virtual table of somebody else's could run for ever or write while we read."""
        guards = self.guards(self.version)
        for kind, name, definition in found:
            ours = guards.get(str(name)) == definition if kind == "trigger" else (kind, name) in _OBJECTS
            virtual = kind == "table" and not _is_plain(definition)
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


def _is_plain(definition: object) -> bool:
    """Whether a table is one, and no virtual one."""
    return str(definition).upper().startswith("CREATE TABLE")


def _begin(connection: sa.Connection) -> None:
    connection.exec_driver_sql(str(connection.get_execution_options().get(_BEGIN, "BEGIN")))
