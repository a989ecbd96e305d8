"""What a ledger needs of the database under it."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

import sqlalchemy as sa

from heliotrope.core.errors import LedgerError
from heliotrope.core.text import printable
from heliotrope.ledger._tables import SCHEMA_VERSION, meta
from heliotrope.ledger.interface import Blobs

__all__ = ["OLDEST_SCHEMA", "Database", "known_version", "read_version"]

OLDEST_SCHEMA = 1
"""The oldest format that is read and appended to as it is."""


class Database(Protocol):
    """One ledger's database. Every method raises LedgerError, with a hint, for whatever is wrong with it."""

    version: int
    """The schema it has, once it was prepared."""

    @property
    def location(self) -> str:
        """Where it is, for people; no password is in it."""

    def prepare(self, *, create: bool, new_id: Callable[[], str]) -> str:
        """Open or, if asked, create; the ledger's id. `new_id` is called when a ledger is really created."""

    def reading(self, *, any_text: bool = False) -> AbstractContextManager[sa.Connection]:
        """A transaction that sees one state of the ledger throughout.

        With `any_text`, forged text that is not UTF-8 comes as surrogates, which no comparison takes for the original,
        instead of ending the query; slower.
        """

    def writing(self) -> AbstractContextManager[sa.Connection]:
        """A transaction that no other writer shares, from its start; durable when this ends."""

    def rebuilding(self) -> AbstractContextManager[sa.Connection]:
        """A `writing` transaction in which tables and guards may be laid anew."""

    def guards(self, version: int) -> dict[str, str]:
        """Name to statement: what refuses changes in that schema, in the order of creation."""

    def drop_guards(self, connection: sa.Connection, version: int) -> None:
        """Take them away, inside `rebuilding`."""

    def storage_problem(self, connection: sa.Connection) -> str | None:
        """What the database itself finds wrong with its files."""

    def guard_problem(self, connection: sa.Connection) -> str | None:
        """A table, index or trigger that somebody removed or switched off."""

    def blobs(self, connection: sa.Connection | None = None) -> Blobs:
        """What is kept beside the ledger; with a connection, as part of its transaction where blobs are rows, too."""

    def reclaim(self) -> None:
        """Give back the space of what was removed, and leave no trace of it where that can be helped."""

    def close(self) -> None:
        """Give up all connections."""


def known_version(text: object, shown: str) -> int | None:
    """The schema a `meta` row names; None when it is no version at all; LedgerError for one we cannot read."""
    if not isinstance(text, str) or not text.isascii() or not text.isdigit() or len(text) > 9:
        return None
    version = int(text)
    if not OLDEST_SCHEMA <= version <= SCHEMA_VERSION:
        raise LedgerError(
            f"the ledger {shown} has format {printable(text)}; this version of Heliotrope reads "
            f"{OLDEST_SCHEMA} to {SCHEMA_VERSION}",
            hint="it was written by a newer version: upgrade with pip install --upgrade heliotrope",
        )
    return version


def read_version(connection: sa.Connection, shown: str) -> int:
    """The schema the ledger has now: another process may have brought it to another one since it was opened."""
    text = connection.execute(sa.select(meta.c.value).where(meta.c.name == "schema_version")).scalar_one_or_none()
    version = known_version(text, shown)
    if version is None:
        raise LedgerError(f"{shown} is no ledger of Heliotrope", hint="name another one with --ledger")
    return version
