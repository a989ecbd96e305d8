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
from heliotrope.ledger.blobs import BLOBS_NAME, BlobStore
from heliotrope.ledger.interface import Appended, Blobs, Entry, EntryKind, Head, Ledger, LedgerTampered, Verified

if TYPE_CHECKING:
    from heliotrope.ledger._database import Database
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
    "is_postgres",
    "ledger_path",
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

    database, blobs, known_as = _resolve(location, busy_timeout)

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
    return SqlLedger(database, ledger_id=found, blobs=blobs, clock=clock or SystemClock(), ids=ids or UlidSource())


def _resolve(location: str | Path, timeout: float) -> "tuple[Database, Blobs, Path | str]":
    """The database a location means, its blobs, and what the list of own ledgers calls it."""
    if is_postgres(location):
        from heliotrope.ledger._database_blobs import DatabaseBlobs
        from heliotrope.ledger._postgres import PostgresDatabase

        server = PostgresDatabase(parse_postgres(str(location)), timeout=timeout)
        return server, DatabaseBlobs(server), server.location
    from heliotrope.ledger._sqlite import SqliteDatabase

    path = ledger_path(location).absolute()
    return SqliteDatabase(path, timeout=timeout), BlobStore(path.parent / BLOBS_NAME), path.resolve()
