"""The append-only store: a hash-chained ledger of records, and blobs beside it under their digest."""

import re
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from heliotrope.core.errors import UsageError
from heliotrope.core.ids import Clock, IdSource, SystemClock, UlidSource
from heliotrope.core.text import printable
from heliotrope.ledger.interface import Appended, Entry, EntryKind, Head, Ledger, LedgerTampered, Verified

if TYPE_CHECKING:
    from heliotrope.ledger._sql import SqlLedger

__all__ = [
    "Appended",
    "Entry",
    "EntryKind",
    "Head",
    "Ledger",
    "LedgerTampered",
    "Verified",
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
    if match is not None and not text.startswith(_SQLITE):
        scheme = match[1].lower()
        if scheme.startswith("postgres"):
            raise UsageError(
                "a ledger on PostgreSQL is not supported by this version",
                hint="use a file, as in .heliotrope/ledger.db or sqlite:///path/to/ledger.db",
            )
        raise UsageError(
            f"a ledger cannot be at a URL of the kind {printable(scheme)}:", hint="use a file path or sqlite:///path"
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
) -> "SqlLedger":
    """Open the ledger at a path or `sqlite:///` URL; with `create`, begin one where there is none.

    A new ledger is entered in this user's list of own ledgers. Opening does not ask whose a ledger is: `require_own` does.
    `busy_timeout` is how many seconds to wait for another writer. Raises LedgerError, or UsageError for the location.
    """
    from heliotrope.ledger import _state
    from heliotrope.ledger._sql import SqlLedger
    from heliotrope.ledger._sqlite import SqliteDatabase

    path = ledger_path(location).absolute()
    database = SqliteDatabase(path, timeout=busy_timeout)

    def new_id() -> str:
        ledger_id = str(uuid.uuid4())
        _state.register(ledger_id, path.resolve())
        return ledger_id

    try:
        ledger_id = database.prepare(create=create, new_id=new_id)
    except BaseException:
        database.close()
        raise
    return SqlLedger(database, ledger_id=ledger_id, path=path, clock=clock or SystemClock(), ids=ids or UlidSource())
