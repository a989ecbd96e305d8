"""What this user's own state folder knows of ledgers: which ones were made here, and how far they had come."""

import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, ValidationError

from heliotrope.core.errors import LedgerError
from heliotrope.core.records import Record
from heliotrope.core.text import printable

__all__ = ["Known", "find", "register", "remember_head", "state_folder"]

_MAX_BYTES = 64 * 2**20
"""Some 200,000 ledgers."""
_HINT = "set HELIOTROPE_STATE_HOME to a folder that only you can write"


class Known(Record):
    """A ledger that was created by this user, or one on a server that this user works with."""

    path: str
    """Its file, or its URL without a password."""
    head: Annotated[str, StringConstraints(pattern=r"^[0-9]{1,16}:[0-9a-f]{64}$")] | None = None


class _Registry(Record):
    schema_: Literal["heliotrope.ledgers/v1"] = Field(default="heliotrope.ledgers/v1", alias="schema")
    ledgers: dict[str, Known] = {}


def state_folder() -> Path:
    """$HELIOTROPE_STATE_HOME, else $XDG_STATE_HOME/heliotrope, else ~/.local/state/heliotrope."""
    own = os.environ.get("HELIOTROPE_STATE_HOME")
    if own:
        return Path(own).absolute()
    shared = os.environ.get("XDG_STATE_HOME", "")
    if os.path.isabs(shared):  # noqa: PTH117 - the specification ignores a relative one; an empty Path is relative too
        return Path(shared) / "heliotrope"
    try:
        return Path.home() / ".local" / "state" / "heliotrope"
    except RuntimeError:
        raise LedgerError("this user has no home folder to keep the list of own ledgers in", hint=_HINT) from None


def find(ledger_id: str) -> Known | None:
    """What is known of a ledger; None for one that was not created by this user."""
    with _reported():
        return _read().ledgers.get(ledger_id)


def register(ledger_id: str, place: Path | str) -> None:
    """Take a ledger as one's own, or note that it has moved. `place` is a file, or the URL of a ledger on a server."""
    with _changing() as registry:
        known = registry.ledgers.get(ledger_id)
        head = known.head if known is not None else None
        registry.ledgers[ledger_id] = Known(path=os.fsencode(place).decode("utf-8", "backslashreplace"), head=head)


def remember_head(ledger_id: str, head: str, sequence: int) -> None:
    """Keep a head, for own ledgers only; never an older one."""
    if find(ledger_id) is None:
        return
    with _changing() as registry:
        known = registry.ledgers.get(ledger_id)
        if known is not None and (known.head is None or int(known.head.partition(":")[0]) <= sequence):
            registry.ledgers[ledger_id] = Known(path=known.path, head=head)


@contextmanager
def _changing() -> Iterator[_Registry]:
    """The registry, under a lock; written back whole by rename."""
    with _reported():
        folder = state_folder()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(folder / "ledgers.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            registry = _read()
            yield registry
            _write(folder, registry)
        finally:
            os.close(lock)


def _read() -> _Registry:
    path = state_folder() / "ledgers.json"
    try:
        with path.open("rb") as file:
            return _Registry.model_validate_json(file.read(_MAX_BYTES))
    except FileNotFoundError:
        return _Registry()
    except ValidationError:
        raise LedgerError(
            f"the list of own ledgers {printable(str(path))} is damaged",
            hint="restore it, or remove it; ledgers it knew must then be named with --ledger",
        ) from None


def _write(folder: Path, registry: _Registry) -> None:
    temporary = folder / f"ledgers.{secrets.token_hex(8)}.tmp"
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(json.dumps(registry.document(), indent=1, sort_keys=True).encode())
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(folder / "ledgers.json")
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _reported() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = printable(str(error.filename or state_folder()))
        raise LedgerError(
            f"the list of own ledgers cannot be read or written: {where}: {error.strerror}", hint=_HINT
        ) from None
