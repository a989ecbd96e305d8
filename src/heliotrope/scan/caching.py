"""Results of earlier scans, kept in this user's own state folder and believed only with this user's seal.

A result is found by the digest of the bytes, the file's name, the scanner's version, the policy's digest and the limits; it is
what a fresh scan would say. Digests are found by a file's device, inode, size and times, the last of which cannot be set
back. Each entry is sealed with a secret key that only this user can read, so an entry that somebody else planted or
altered is no entry. A store that is damaged is begun anew: it saves time and nothing else.
"""

import contextlib
import hashlib
import hmac
import json
import os
import secrets
import sqlite3
import stat
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from pydantic import ValidationError

from heliotrope.core.errors import HeliotropeError
from heliotrope.core.findings import fingerprint
from heliotrope.core.predicates.scan import FileReport, ScanTool
from heliotrope.core.text import printable
from heliotrope.engine.files import Stamp
from heliotrope.scan.limits import ScanLimits

__all__ = ["Kept", "ResultCache"]

_FOLDER = "scans"
_STORE = "results-v1.db"
_KEY = "seal.key"
_KEY_BYTES = 32
_MAX_ENTRY = 256 * 1024
"""Bytes of one result; a longer one is made anew."""
_MAX_ENTRIES = 50_000
"""Results and digests kept, the newest ones: about 2 KB each."""
_MAX_STORE = 256 * 2**20
"""Bytes of the store. A larger one is begun anew."""
_BUSY_SECONDS = 2.0
_FORGET = "DELETE FROM entries WHERE rowid NOT IN (SELECT rowid FROM entries ORDER BY rowid DESC LIMIT ?)"
_SCHEMA = "CREATE TABLE IF NOT EXISTS entries (name BLOB PRIMARY KEY, body BLOB NOT NULL, seal BLOB NOT NULL) STRICT"


@dataclass(frozen=True, slots=True)
class Kept:
    """A result without its path, which is not part of the bytes."""

    report: FileReport
    places: tuple[str, ...]
    """Of each finding, what its fingerprint is made of beside rule and path."""

    def at(self, path: str) -> FileReport:
        """The report on a file of these bytes at a path."""
        findings = tuple(
            finding.model_copy(
                update={"fingerprint": fingerprint(finding.rule, path, f"{printable(path + chr(10))}{place}")}
            )
            for finding, place in zip(self.report.findings, self.places, strict=True)
        )
        return self.report.model_copy(update={"path": path, "findings": findings})


class ResultCache:
    """Opens on first use, and does nothing where it cannot be opened."""

    def __init__(self, tool: ScanTool, limits: ScanLimits, folder: Path | None = None) -> None:
        self._context = json.dumps(
            [tool.version, tool.policy_digest, [item.document() for item in tool.analysers], asdict(limits)],
            sort_keys=True,
        )
        self._named = folder
        self._opened = False
        self._store: sqlite3.Connection | None = None
        self._key = b""
        self._pending: list[tuple[bytes, bytes, bytes]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def digest(self, stamp: Stamp) -> str | None:
        """The SHA-256 of a file with that stamp."""
        body = self._read(self._name("digest", str(stamp)))
        return body.decode("ascii") if body is not None and len(body) == 64 else None

    def result(self, sha256: str, name: str, *, named: bool) -> Kept | None:
        """What was said of these bytes under that name."""
        body = self._read(self._name("result", sha256, name, named))
        if body is None:
            return None
        try:
            content = json.loads(body)
            kept = Kept(FileReport.model_validate_json(json.dumps(content["report"])), tuple(content["places"]))
        except (ValueError, KeyError, TypeError, ValidationError):
            return None
        return kept if kept.report.sha256 == sha256 and len(kept.places) == len(kept.report.findings) else None

    def keep(self, kept: Kept, name: str, *, named: bool, stamp: Stamp | None) -> None:
        """Keep a result, and the digest as well where its stamp can stand for it."""
        sha256 = kept.report.sha256
        if sha256 is None:
            return
        content = {"report": kept.report.model_copy(update={"path": ""}).document(), "places": kept.places}
        self._write(self._name("result", sha256, name, named), json.dumps(content).encode("ascii"))
        if stamp is not None:
            self._write(self._name("digest", str(stamp)), sha256.encode("ascii"))

    def close(self) -> None:
        """Write what is to be kept; silently nothing where that fails."""
        store, self._store, self._opened = self._store, None, True
        if store is None:
            return
        with contextlib.suppress(sqlite3.Error), store:
            store.executemany("INSERT OR REPLACE INTO entries VALUES (?, ?, ?)", self._pending)
            count = store.execute("SELECT COUNT(*) FROM entries").fetchone()[0]
            if count > _MAX_ENTRIES:
                store.execute(_FORGET, (_MAX_ENTRIES * 3 // 4,))
        self._pending = []
        with contextlib.suppress(sqlite3.Error):
            store.close()

    def _name(self, *parts: object) -> bytes:
        return hashlib.sha256(json.dumps([self._context, *map(str, parts)]).encode("ascii")).digest()

    def _seal(self, name: bytes, body: bytes) -> bytes:
        return hmac.digest(self._key, name + body, "sha256")

    def _read(self, name: bytes) -> bytes | None:
        self._open()
        if self._store is None:
            return None
        try:
            found = self._store.execute("SELECT body, seal FROM entries WHERE name = ?", (name,)).fetchone()
        except sqlite3.Error:
            self._begin_anew()
            return None
        if found is None or not all(isinstance(part, bytes) for part in found):
            return None
        body, seal = found
        return body if hmac.compare_digest(seal, self._seal(name, body)) else None

    def _write(self, name: bytes, body: bytes) -> None:
        self._open()
        if self._store is not None and len(body) <= _MAX_ENTRY:
            self._pending.append((name, body, self._seal(name, body)))

    def _open(self) -> None:
        if self._opened:
            return
        self._opened = True
        with contextlib.suppress(OSError, HeliotropeError):
            folder = self._named or _own_folder()
            _require_private(folder, folder=True)
            self._key = _secret(folder / _KEY)
            path = folder / _STORE
            if path.exists() and (path.lstat().st_size > _MAX_STORE or not _is_private(path.lstat())):
                path.unlink()
            self._store = _connect(path)

    def _begin_anew(self) -> None:
        """The store is damaged: another one takes its place when this one can be removed."""
        store, self._store = self._store, None
        if store is None:
            return
        with contextlib.suppress(OSError, sqlite3.Error, HeliotropeError):
            store.close()
            path = (self._named or _own_folder()) / _STORE
            path.unlink(missing_ok=True)
            self._store = _connect(path)


def _connect(path: Path) -> sqlite3.Connection | None:
    for _ in range(2):
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
        store = sqlite3.connect(path, timeout=_BUSY_SECONDS)
        try:
            store.execute("PRAGMA trusted_schema = OFF")
            store.execute("PRAGMA synchronous = OFF")  # a store that a power cut damages is begun anew
            store.execute(_SCHEMA)
            columns = [row[1] for row in store.execute("PRAGMA table_info(entries)")]
            extra = store.execute("SELECT COUNT(*) FROM sqlite_master WHERE type IN ('trigger', 'view')").fetchone()[0]
            if columns == ["name", "body", "seal"] and not extra:
                return store
        except sqlite3.OperationalError as error:
            if "locked" in str(error):  # somebody else writes; this run goes without
                store.close()
                return None
        except sqlite3.DatabaseError:
            pass
        store.close()
        path.unlink(missing_ok=True)
    return None


def _secret(path: Path) -> bytes:
    """This user's key, made on first use. PermissionError when anybody else could read or have written it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return _new_secret(path)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        key = file.read(_KEY_BYTES + 1) if stat.S_ISREG(status.st_mode) and _is_private(status) else b""
    if len(key) == _KEY_BYTES:
        return key
    path.unlink()
    return _new_secret(path)


def _new_secret(path: Path) -> bytes:
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(_KEY_BYTES))
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)  # whoever came first has the key; nobody replaces it
    finally:
        temporary.unlink(missing_ok=True)
    return path.read_bytes()


def _own_folder() -> Path:
    from heliotrope.ledger.ownership import state_folder

    folder = state_folder() / _FOLDER
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _require_private(path: Path, *, folder: bool) -> None:
    status = path.lstat()
    if not _is_private(status) or stat.S_ISDIR(status.st_mode) != folder:
        raise PermissionError(str(path))


def _is_private(status: os.stat_result) -> bool:
    return status.st_uid == os.geteuid() and not status.st_mode & 0o077
