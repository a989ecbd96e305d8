"""The port of the append-only store, and the values that cross it."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Protocol, Self

from heliotrope.core.errors import ExitCode, LedgerError, UsageError
from heliotrope.core.events import Event
from heliotrope.core.records import Record, Sha256
from heliotrope.core.text import printable, shorten

__all__ = [
    "GENESIS_HASH",
    "MAX_CONTENT_BYTES",
    "MAX_KEYS",
    "MAX_KEY_VALUE",
    "Appended",
    "Entry",
    "EntryKind",
    "Head",
    "Ledger",
    "LedgerTampered",
    "Problem",
    "Verified",
]

EntryKind = Literal["evidence", "finding", "run", "decision", "assessment", "note"]
Problem = Literal["changed", "deleted", "reordered", "inserted", "truncated", "rewritten"]

GENESIS_HASH: Sha256 = "bcfcae5dc95193298249e91a003230576fd17aff0a62c1bc213f8a04a573773a"
"""SHA-256 of the chain's domain separator: the hash before the first record of every ledger."""

MAX_CONTENT_BYTES = 64 * 2**20
"""Canonical content of one record. A record is read into memory whole; larger things belong in blobs."""
MAX_KEYS = 10_000
"""Look-up keys of one record: enough for evidence about every file of a large project."""
MAX_KEY_VALUE = 512
"""UTF-8 bytes. A longer value is kept as its digest: indexes of PostgreSQL refuse entries beyond 2,704 bytes."""

_HEAD = re.compile(r"(0|[1-9][0-9]{0,15}):([0-9a-f]{64})")


class LedgerTampered(LedgerError):  # noqa: N818 - it says what happened to the ledger, not that something failed here
    """The ledger is not what was written: somebody changed, removed, moved or added records."""

    code = "ledger-tampered"
    exit_code = ExitCode.NO

    def __init__(self, message: str, *, problem: Problem, sequence: int | None, record_id: str | None) -> None:
        super().__init__(
            message,
            hint="nothing in this ledger counts as evidence: keep the file for the inquiry and restore an intact copy",
        )
        self.problem: Problem = problem
        self.sequence = sequence
        """Place of the first affected record; None for something that belongs to no record."""
        self.record_id = record_id
        """Its id, where it is still known."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Something to append. `keys` are (name, value) pairs it can be found by, as in ("subject", urn)."""

    kind: EntryKind
    content: Record | dict[str, Any]
    keys: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Appended:
    """The acknowledgement of one entry: it is on the disk."""

    sequence: int
    id: str
    time: str
    content_id: Sha256


@dataclass(frozen=True, slots=True)
class Head:
    """The state of a whole ledger in one line: number of records and hash of the last event."""

    sequence: int
    hash: Sha256

    def __str__(self) -> str:
        return f"{self.sequence}:{self.hash}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `<number of records>:<sha256>`; raises UsageError."""
        match = _HEAD.fullmatch(text.strip())
        if match is None:
            raise UsageError(
                f"{shorten(printable(text), 80)!r} is not the head of a ledger",
                hint="a head reads <number of records>:<64 hexadecimal digits>, as printed at the end of every report",
            )
        return cls(int(match[1]), match[2])


@dataclass(frozen=True, slots=True)
class Verified:
    """What an intact ledger holds."""

    records: int
    head: Head


class Ledger(Protocol):
    """An append-only store of records with a hash chain over them. Every method may raise LedgerError."""

    @property
    def id(self) -> str:
        """Random, given at creation."""

    @property
    def location(self) -> str:
        """Where it is, for reports."""

    def append(self, entries: Sequence[Entry]) -> list[Appended]:
        """Append all of them or none. When this returns they are on the disk."""

    def head(self) -> Head: ...

    def events(self, after: int = 0) -> Iterator[Event]:
        """Events with a higher sequence, in order."""

    def content(self, content_id: Sha256) -> bytes:
        """Canonical JSON, held against its id; LedgerTampered when it differs, LedgerError when there is none."""

    def find(self, kind: EntryKind | None = None, /, **keys: str) -> Iterator[Event]:
        """Events of a kind that carry all these keys, newest first. Each is held against its own hash."""

    def latest(self, kind: EntryKind, key: str, value: str) -> Event | None:
        """The newest of `find`."""

    def verify(self, head: Head | None = None) -> Verified:
        """Hold every record, key and content against the chain; LedgerTampered names the first that is wrong.

        Without a head, records missing at the end and a chain recomputed from end to end cannot be seen.
        """

    def remembered_head(self) -> Head | None:
        """The newest head that this user's own state folder knows for this ledger."""

    def remember(self) -> None:
        """Keep the head there. Done by `close` after appends, as far as the folder can be written."""

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
