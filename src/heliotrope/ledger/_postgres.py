"""The PostgreSQL adapter: a ledger in a schema of its own, on a server that others use, too."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from heliotrope.core.errors import LedgerError, MissingExtraError
from heliotrope.core.text import printable
from heliotrope.ledger import _postgres_schema as objects
from heliotrope.ledger._database import known_version, read_version
from heliotrope.ledger._database_blobs import DatabaseBlobs
from heliotrope.ledger._postgres_errors import GRANTS, explain
from heliotrope.ledger._postgres_url import PostgresLocation
from heliotrope.ledger._tables import SCHEMA_VERSION, meta

if TYPE_CHECKING:
    import psycopg

__all__ = ["PostgresDatabase"]

CONNECT_SECONDS = 10
"""To wait for a server that does not answer; `connect_timeout` in the URL says otherwise."""
STATEMENT_SECONDS = 600
"""For one statement. Verification streams: none of its statements reads a whole ledger at once."""
IDLE_SECONDS = 60
"""A writer that stops in the middle of a transaction, as one that was suspended, gives its lock up after this."""
UNACKNOWLEDGED_SECONDS = 30
"""A network that swallows everything counts as a lost connection after this."""
_LOCK_SPACE = 0x48454C49
"""ASCII "HELI": the first half of the advisory lock; the second is made of the schema's name."""


class PostgresDatabase:
    """A `Database` on a server.

    Writers take an advisory lock, not a lock on a table: that would ask for the right to change rows, and a writer needs
    SELECT and INSERT only. Whoever writes past the lock meets the primary key.
    """

    def __init__(self, location: PostgresLocation, *, timeout: float) -> None:
        self.version = SCHEMA_VERSION
        self._location = location
        self._timeout = timeout
        digest = hashlib.sha256(location.schema.encode()).digest()
        self._lock = int.from_bytes(digest[:4], "big", signed=True)
        try:
            import psycopg
        except ImportError:
            raise MissingExtraError("postgres", module="psycopg") from None
        self._driver_error = psycopg.Error
        self._engine = sa.create_engine(
            "postgresql+psycopg://", creator=self._connect, pool_pre_ping=True, use_native_hstore=False
        )
        self._reader = self._engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)

    @property
    def location(self) -> str:
        return str(self._location)

    def prepare(self, *, create: bool, new_id: Callable[[], str]) -> str:
        """Open or, if asked, create; the ledger's id. `new_id` is called when a ledger is really created.

        An earlier format is read and appended to as it is, and never changed unasked: other versions may be using it.
        """
        schema = self._location.schema
        with self.reading() as connection:
            self._require_encoding(connection)
            there = objects.has_ledger(connection, schema)
            if there:
                self._require_usage(connection)
        if there is None and create:
            with self.writing() as connection:
                self._create(connection, new_id)
        elif not there:
            raise LedgerError(
                f"there is no ledger at {printable(self.location)}"
                + ("" if there is None else ": the schema holds something else"),
                hint="`helio assess` begins one in a schema of its own; check database and ?schema= of the URL",
            )
        with self.reading() as connection:
            return self._identify(connection)

    @contextmanager
    def reading(self, *, any_text: bool = False) -> Iterator[sa.Connection]:
        """PostgreSQL holds no text that is not UTF-8: `any_text` has nothing to do."""
        with self._explained(), self._reader.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """Each statement sees what was committed before it: the head is read after the lock was taken."""
        with self._explained(), self._engine.connect() as connection, connection.begin():
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK_SPACE}, {self._lock})").close()
            yield connection

    @contextmanager
    def rebuilding(self) -> Iterator[sa.Connection]:
        """DDL takes the locks it needs, and PostgreSQL rolls it back like everything else."""
        with self.writing() as connection:
            yield connection

    def guards(self, version: int) -> dict[str, str]:
        return objects.guards(self._location.schema, version)

    def drop_guards(self, connection: sa.Connection, version: int) -> None:
        objects.drop_guards(connection, version)

    def storage_problem(self, connection: sa.Connection) -> str | None:
        """The server reads its pages as we do, and fails when their checksums are wrong; it has no check of its own."""
        return None

    def guard_problem(self, connection: sa.Connection) -> str | None:
        self.version = read_version(connection, printable(self.location))
        return objects.missing_object(connection, self._location.schema, self.version)

    def blobs(self, connection: sa.Connection | None = None) -> DatabaseBlobs:
        return DatabaseBlobs(self, connection=connection)

    def reclaim(self) -> None:
        """Only the owner of a table may; for others the server does it in its own time."""
        with self._explained():
            connection = self._connect(autocommit=True)
            try:
                for table in ("contents", "blob_parts")[: self.version]:
                    connection.execute(f"VACUUM {table}".encode())
            finally:
                connection.close()

    def close(self) -> None:
        self._engine.dispose()

    def _connect(self, *, autocommit: bool = False) -> "psycopg.Connection[Any]":
        import psycopg

        parameters: dict[str, Any] = {
            "connect_timeout": CONNECT_SECONDS,
            "application_name": "heliotrope",
            "keepalives_idle": UNACKNOWLEDGED_SECONDS,
            "keepalives_interval": UNACKNOWLEDGED_SECONDS // 3,
            "tcp_user_timeout": UNACKNOWLEDGED_SECONDS * 1000,
            **self._location.parameters,
            "client_encoding": "utf8",
        }
        if self._location.password is not None:
            parameters["password"] = self._location.password
        connection = psycopg.connect(**parameters, autocommit=True)
        try:
            connection.execute(
                f'SET search_path = "{self._location.schema}", pg_temp;'
                f"SET lock_timeout = {max(int(self._timeout * 1000), 1)};"
                f"SET statement_timeout = {STATEMENT_SECONDS * 1000};"
                f"SET idle_in_transaction_session_timeout = {IDLE_SECONDS * 1000};"
                "SET bytea_output = hex;"
                "SET synchronous_commit = on".encode()
            )
            connection.autocommit = autocommit
        except BaseException:
            connection.close()
            raise
        return connection

    def _require_encoding(self, connection: sa.Connection) -> None:
        encoding = connection.exec_driver_sql("SHOW server_encoding").scalar()
        if encoding != "UTF8":
            raise LedgerError(
                f"the ledger {printable(self.location)} is in a database with the encoding {printable(str(encoding))}",
                hint="create a database with createdb --encoding=UTF8 --template=template0",
            )

    def _require_usage(self, connection: sa.Connection) -> None:
        """Without it, names in the schema are not found, which would read as if there were nothing."""
        query = sa.text("SELECT has_schema_privilege(:schema, 'USAGE')")
        if not connection.execute(query, {"schema": self._location.schema}).scalar():
            raise LedgerError(
                f"the ledger {printable(self.location)} refuses this user (no right to use its schema)", hint=GRANTS
            )

    def _create(self, connection: sa.Connection, new_id: Callable[[], str]) -> None:
        """Lay the ledger in this transaction, unless a rival creator was first."""
        schema = self._location.schema
        if objects.has_ledger(connection, schema) is not None:
            return
        there = connection.execute(
            sa.text("SELECT 1 FROM pg_namespace WHERE nspname = :name"), {"name": schema}
        ).first()
        if there is None:
            connection.exec_driver_sql(f'CREATE SCHEMA "{schema}"')
        objects.lay(connection, schema)
        rows = {"ledger_id": new_id(), "schema_version": str(SCHEMA_VERSION)}
        connection.execute(sa.insert(meta), [{"name": name, "value": rows[name]} for name in sorted(rows)])

    def _identify(self, connection: sa.Connection) -> str:
        query = sa.select(meta.c.name, meta.c.value).limit(10)
        facts: dict[object, object] = {row.name: row.value for row in connection.execute(query)}
        version, ledger_id = known_version(facts.get("schema_version"), self.location), facts.get("ledger_id")
        if version is None or not isinstance(ledger_id, str):
            raise LedgerError(
                f"{printable(self.location)} is no ledger of Heliotrope",
                hint="name a schema of its own with ?schema=",
            )
        self.version = version
        objects.refuse_foreign(connection, self._location.schema, version, self.location)
        return ledger_id

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            raise explain(error.orig, self.location) from error
        except self._driver_error as error:
            raise explain(error, self.location) from error
