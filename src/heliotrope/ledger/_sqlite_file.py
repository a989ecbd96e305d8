"""The file under a SQLite ledger: opening it without surprises, and saying plainly what is wrong with it."""

import os
import sqlite3
import stat
from pathlib import Path
from urllib.parse import quote

from heliotrope.core.errors import LedgerError
from heliotrope.core.text import printable
from heliotrope.ledger.interface import ForgedTextError

__all__ = [
    "APPLICATION_ID",
    "SIDECARS",
    "check_file",
    "connect",
    "create_file",
    "explain",
    "identity",
    "not_a_ledger",
    "publish",
    "remove",
]

APPLICATION_ID = 0x48454C49
"""ASCII "HELI" in the file header, where SQLite and file(1) expect an application to name itself."""
SIDECARS = ("-wal", "-shm", "-journal")
"""SQLite replays these into the database when it opens it: they are part of the ledger."""

_MAX_IDENTITY_STEPS = 1_000_000
"""Steps of SQLite's virtual machine for reading the id out of a file nobody vouches for yet: a forged schema can loop."""


def check_file(path: Path) -> bool:
    """Whether there is a regular file; LedgerError for anything else that is there, and for a missing folder."""
    shown = printable(str(path))
    try:
        facts = path.lstat()
    except FileNotFoundError:
        if path.parent.is_dir():
            return False
        raise LedgerError(
            f"the folder of the ledger {shown} does not exist", hint="make the folder, or name another place"
        ) from None
    except OSError as error:
        raise LedgerError(
            f"the ledger {shown} cannot be reached: {error.strerror}", hint="check the path and its permissions"
        ) from None
    mode = facts.st_mode
    if stat.S_ISREG(mode):
        if facts.st_size == 1:  # SQLite takes a file of one byte for an empty one, and would write over it
            raise explain(sqlite3.DatabaseError("file is not a database"), path, 0.0, code=sqlite3.SQLITE_NOTADB)
        return True
    what = "a symbolic link" if stat.S_ISLNK(mode) else "a folder" if stat.S_ISDIR(mode) else "no regular file"
    hint = "name the file it points to" if stat.S_ISLNK(mode) else "name a file, as in .heliotrope/ledger.db"
    raise LedgerError(f"the ledger {shown} is {what}", hint=hint)


def create_file(path: Path, *, named: Path | None = None) -> None:
    """An empty file that only this user can read, durable in its folder. Another process may have been first.

    Errors speak of the ledger at `named`, when the file is a draft of it.
    """
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
        _sync_folder(path.parent)
    except FileExistsError:
        check_file(path)
    except OSError as error:
        raise LedgerError(
            f"the ledger {printable(str(named or path))} cannot be created: {error.strerror}",
            hint="check permissions and free space of the folder, or name another place with --ledger",
        ) from None


def publish(draft: Path, path: Path) -> bool:
    """Give a finished file its place unless somebody was first; False where the file system knows no second names."""
    try:
        path.hardlink_to(draft)
        _sync_folder(path.parent)
    except FileExistsError:
        pass
    except OSError:
        return False
    return True


def remove(path: Path) -> None:
    """Remove a draft with all that SQLite laid beside it."""
    for suffix in ("", *SIDECARS):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _sync_folder(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def connect(path: Path, timeout: float, *, read_only: bool = False) -> sqlite3.Connection:
    """A connection that never creates a file, runs no function for a forged schema and syncs every commit."""
    mode = "ro" if read_only else "rw"
    connection = sqlite3.connect(
        f"file:{quote(os.fsencode(path))}?mode={mode}",
        uri=True,
        timeout=timeout,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        for pragma in (
            "trusted_schema=OFF",
            "cell_size_check=ON",
            "foreign_keys=ON",
            "synchronous=FULL",
            "fullfsync=ON",
            "secure_delete=ON",  # what retention removes must not be readable in free pages
        ):
            connection.execute(f"PRAGMA {pragma}").close()
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def identity(path: Path, timeout: float = 10.0) -> str:
    """The id of the ledger in that file; LedgerError when it holds none. Safe on a file of unknown origin."""
    try:
        connection = connect(path, timeout, read_only=True)
        try:
            connection.set_progress_handler(lambda: 1, _MAX_IDENTITY_STEPS)
            row = connection.execute("SELECT value FROM meta WHERE name = 'ledger_id'").fetchone()
        finally:
            connection.close()
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise explain(error, path, timeout) from error
    if row is None or not isinstance(row[0], str):
        raise not_a_ledger(path)
    return row[0]


def not_a_ledger(path: Path) -> LedgerError:
    return LedgerError(
        f"{printable(str(path))} is a database, but no ledger of Heliotrope", hint="name another file with --ledger"
    )


def explain(error: BaseException | None, path: Path, timeout: float, *, code: int | None = None) -> LedgerError:
    """What an error of SQLite means for the person who gave the path."""
    shown = printable(str(path))
    code = code or getattr(error, "sqlite_errorcode", None)
    primary = code & 0xFF if isinstance(code, int) else None
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return LedgerError(
            f"the ledger {shown} is locked: another process has been writing to it for more than {timeout:g} s",
            hint="wait for the other command to end, then run this again",
        )
    if primary is None and "Could not decode to UTF-8" in str(error):
        return ForgedTextError(
            f"the ledger {shown} was changed: it holds text that is not UTF-8",
            hint="`helio ledger verify` names the record; restore an intact copy",
        )
    if primary == sqlite3.SQLITE_ERROR and "no such table" in str(error):
        return not_a_ledger(path)
    if isinstance(error, UnicodeDecodeError):  # from a message about a damaged schema
        primary = sqlite3.SQLITE_CORRUPT
    known = _MEANING.get(primary or 0)
    if known is not None:
        return LedgerError(f"the ledger {shown} {known[0]}", hint=known[1])
    return LedgerError(
        f"the ledger {shown} cannot be used: {printable(str(error))}",
        hint="run `helio ledger verify` on it, or name another place with --ledger",
    )


_RESTORE = "restore an intact copy, or move the file away to begin a new ledger"
_MEANING = {
    sqlite3.SQLITE_NOTADB: ("is no database: its first bytes are not SQLite's", _RESTORE),
    sqlite3.SQLITE_CORRUPT: ("is damaged: the database file is cut off or overwritten", _RESTORE),
    sqlite3.SQLITE_READONLY: (
        "is read-only for this user",
        "change its permissions, or name another place with --ledger",
    ),
    sqlite3.SQLITE_PERM: ("is read-only for this user", "change its permissions, or name another place with --ledger"),
    sqlite3.SQLITE_CANTOPEN: (
        "cannot be opened: this user may not read it, or may not write in its folder",
        "change the permissions, or name another place with --ledger",
    ),
    sqlite3.SQLITE_FULL: (
        "cannot be written: the disk is full; what was acknowledged before is safe",
        "free some space, then run this again",
    ),
    sqlite3.SQLITE_IOERR: (
        "cannot be read or written: the disk reports an error, or is full",
        "check the disk and its free space; what was acknowledged before is safe",
    ),
    sqlite3.SQLITE_INTERRUPT: ("answers too slowly to be a ledger: its schema is not ours", _RESTORE),
}
