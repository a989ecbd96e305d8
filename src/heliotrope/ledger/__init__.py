"""The append-only store: a hash-chained ledger of records, and blobs beside it under their digest."""

import contextlib
import re
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from heliotrope.core.errors import LedgerError, UsageError
from heliotrope.core.ids import Clock, IdSource, SystemClock, UlidSource
from heliotrope.core.text import printable
from heliotrope.ledger._postgres_url import is_postgres, parse_postgres
from heliotrope.ledger.interface import Appended, Blobs, Entry, EntryKind, Head, Ledger, LedgerTampered, Verified

if TYPE_CHECKING:
    from heliotrope.ledger._database import Database
    from heliotrope.ledger._import import Imported
    from heliotrope.ledger._sql import SqlLedger

__all__ = [
    "Appended",
    "Blobs",
    "Entry",
    "EntryKind",
    "Head",
    "Ledger",
    "LedgerTampered",
    "Verified",
    "import_ledger",
    "is_postgres",
    "ledger_path",
    "migrate_ledger",
    "open_ledger",
]

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_BUSY_SECONDS = 10.0
_SQLITE = "sqlite:///"


def ledger_path(location: str | Path) -> Path:
    """The file a path or a URL `sqlite:///path` means; UsageError for any other URL."""
    text = str(location)
    match = _SCHEME.match(text) if isinstance(location, str) else None
    if is_postgres(location):
        raise UsageError("a ledger on PostgreSQL is no file", hint="name a file path or sqlite:///path")
    if match is not None and not text.startswith(_SQLITE):
        raise UsageError(
            f"a ledger cannot be at a URL of the kind {printable(match[1].lower())}:",
            hint="use a file path, sqlite:///path or postgresql://user@host/database",
        )
    path = text.removeprefix(_SQLITE) if match is not None else text
    if not path or path == ":memory:" or "\x00" in path:
        raise UsageError("the location of the ledger names no file", hint="use a file path or sqlite:///path")
    return Path(path)


def open_ledger(
    location: str | Path,
    *,
    create: bool = False,
    clock: Clock | None = None,
    ids: IdSource | None = None,
    busy_timeout: float = _BUSY_SECONDS,
    ledger_id: str | None = None,
) -> "SqlLedger":
    """Open the ledger at a path, a `sqlite:///` or a `postgresql://` URL; with `create`, begin one where there is none.

    A new ledger is entered in this user's list of own ledgers, and so is one on a server that is opened to work with, so
    that its head can be remembered. Opening does not ask whose a ledger is: `require_own` does.
    `busy_timeout` is how many seconds to wait for another writer; `ledger_id` is the id of a ledger that is created, which
    is random otherwise. Raises LedgerError, UsageError for the location, MissingExtraError without the driver.
    """
    from heliotrope.ledger import _state
    from heliotrope.ledger._sql import SqlLedger

    database, known_as = _resolve(location, busy_timeout)

    def new_id() -> str:
        created = ledger_id or str(uuid.uuid4())
        _state.register(created, known_as)
        return created

    try:
        found = database.prepare(create=create, new_id=new_id)
        if create and isinstance(known_as, str):
            with contextlib.suppress(LedgerError):  # as with the head, which is then not remembered
                if _state.find(found) is None:
                    _state.register(found, known_as)
    except BaseException:
        database.close()
        raise
    return SqlLedger(database, ledger_id=found, clock=clock or SystemClock(), ids=ids or UlidSource())


def import_ledger(path: Path, location: str | Path) -> "Imported":
    """Read a file that `export` wrote into a new or empty ledger, which then is that ledger: same id, same head.

    It counts as this user's own from then on. LedgerError, and nothing is imported, for a file that does not hold.
    """
    from heliotrope.ledger import _state
    from heliotrope.ledger._import import import_file, read_heading

    ledger_id, _ = read_heading(path)
    with open_ledger(location, create=True, ledger_id=ledger_id):
        pass  # what was there is known to be a ledger now, and there is one
    database, known_as = _resolve(location, _BUSY_SECONDS)
    try:
        database.prepare(create=False, new_id=lambda: ledger_id)
        imported = import_file(database, path)
        _state.register(ledger_id, known_as)
        _state.remember_head(ledger_id, str(imported.verified.head), imported.verified.head.sequence)
    finally:
        database.close()
    return imported


def migrate_ledger(location: str | Path, target: int | None = None) -> tuple[int, int]:
    """Bring a ledger to another schema, today's if none is named; the one it had and the one it has. LedgerError otherwise."""
    from heliotrope.ledger._tables import SCHEMA_VERSION
    from heliotrope.ledger.migrations import migrate

    database, _ = _resolve(location, _BUSY_SECONDS)
    wanted = SCHEMA_VERSION if target is None else target
    try:
        database.prepare(create=False, new_id=lambda: "")
        return migrate(database, wanted), wanted
    finally:
        database.close()


def _resolve(location: str | Path, timeout: float) -> "tuple[Database, Path | str]":
    """The database a location means, and what the list of own ledgers calls it."""
    if is_postgres(location):
        from heliotrope.ledger._postgres import PostgresDatabase

        server = PostgresDatabase(parse_postgres(str(location)), timeout=timeout)
        return server, server.location
    from heliotrope.ledger._sqlite import SqliteDatabase

    path = ledger_path(location).absolute()
    return SqliteDatabase(path, timeout=timeout), path.resolve()
