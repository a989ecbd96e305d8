"""The port of the append-only store, and the values that cross it."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol, Self

from pydantic import Field

from heliotrope.core.errors import ExitCode, LedgerError, UsageError
from heliotrope.core.events import Event
from heliotrope.core.evidence import Blob
from heliotrope.core.records import Record, Sha256
from heliotrope.core.text import printable, shorten

__all__ = [
    "GENESIS_HASH",
    "MAX_CONTENT_BYTES",
    "MAX_KEYS",
    "MAX_KEY_VALUE",
    "PRUNED_BLOB_KEY",
    "PRUNED_KEY",
    "Appended",
    "Blobs",
    "Entry",
    "EntryKind",
    "ForgedTextError",
    "Head",
    "Ledger",
    "LedgerTampered",
    "Problem",
    "PrunedError",
    "Retention",
    "Verified",
]

EntryKind = Literal["evidence", "finding", "run", "decision", "assessment", "note", "retention"]
Problem = Literal["changed", "deleted", "reordered", "inserted", "truncated", "rewritten"]

GENESIS_HASH: Sha256 = "bcfcae5dc95193298249e91a003230576fd17aff0a62c1bc213f8a04a573773a"
"""SHA-256 of the chain's domain separator: the hash before the first record of every ledger."""

MAX_CONTENT_BYTES = 64 * 2**20
"""Canonical content of one record. A record is read into memory whole; larger things belong in blobs."""
MAX_KEYS = 10_000
"""Look-up keys of one record: enough for evidence about every file of a large project."""
MAX_KEY_VALUE = 512
"""UTF-8 bytes. A longer value is kept as its digest: indexes of PostgreSQL refuse entries beyond 2,704 bytes."""

PRUNED_KEY = "pruned"
"""Key of a retention record: the id of a content that was removed. Being a key, it is part of what is hashed."""
PRUNED_BLOB_KEY = "pruned-blob"
"""Key of a retention record: the digest of a blob that was removed."""

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


class ForgedTextError(LedgerError):
    """A text column holds bytes that are no text; no ledger writes such."""


class PrunedError(LedgerError):
    """A content was removed under retention, and is known to have been there."""

    code = "pruned"


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
    pruned: int = 0
    """Records whose content was removed under a retention record of this ledger; the chain still names it."""


class Retention(Record):
    """The content of a retention record; its keys name what was removed."""

    schema_: Literal["heliotrope.retention/v1"] = Field(default="heliotrope.retention/v1", alias="schema")
    by: str
    """User and machine, as they name themselves."""
    keep_days: float
    older_than: str
    """Removed was what had been recorded before this moment, RFC 3339 in UTC."""
    horizon: int
    """Number of records when it was decided what to remove."""
    contents: int = 0
    blobs: int = 0


class Blobs(Protocol):
    """Content-addressed bytes that belong to a ledger. Everything that goes wrong is a LedgerError."""

    def put(self, data: bytes, media_type: str) -> Blob:
        """Keep bytes."""

    def put_file(self, path: Path, media_type: str) -> Blob:
        """Keep a copy of a regular file."""

    def adopt(self, path: Path, media_type: str) -> Blob:
        """Take over a staged file, which is gone afterwards; the digest is that of what was taken."""

    def get(self, blob: Blob | Sha256) -> bytes:
        """The bytes, held against digest and, given a Blob, size."""

    def has(self, digest: Sha256) -> bool:
        """Whether there is one under that digest; only `get` tells whether it is intact."""

    def remove(self, digest: Sha256) -> bool:
        """Remove one that a retention record of the ledger names; whether it was there."""


class Ledger(Protocol):
    """An append-only store of records with a hash chain over them. Every method may raise LedgerError."""

    @property
    def id(self) -> str:
        """Random, given at creation."""

    @property
    def location(self) -> str:
        """Where it is, for reports; never with a password."""

    @property
    def blobs(self) -> Blobs:
        """What is kept beside it."""

    def append(self, entries: Sequence[Entry]) -> list[Appended]:
        """Append all of them or none. When this returns they are on the disk."""

    def head(self) -> Head: ...

    def events(self, after: int = 0) -> Iterator[Event]:
        """Events with a higher sequence, in order."""

    def content(self, content_id: Sha256) -> bytes:
        """Canonical JSON, held against its id.

        LedgerTampered when it differs, PrunedError when retention removed it, LedgerError when there never was one.
        """

    def find(self, kind: EntryKind | None = None, /, **keys: str) -> Iterator[Event]:
        """Events of a kind that carry all these keys, newest first. Each is held against its own hash."""

    def latest(self, kind: EntryKind, key: str, value: str) -> Event | None:
        """The newest of `find`."""

    def verify(self, head: Head | None = None) -> Verified:
        """Hold every record, key and content against the chain; LedgerTampered names the first that is wrong.

        Without a head, records missing at the end and a chain recomputed from end to end cannot be seen.
        """

    def prune(self, retention: Retention, content_ids: Sequence[Sha256], blobs: Sequence[Sha256] = ()) -> list[Sha256]:
        """Remove contents and say so in a retention record, in one transaction; the ids of what was removed.

        Left alone is what a record after the retention's horizon refers to. `blobs` are named in the record, and then to
        be removed by the caller. At most MAX_KEYS of both.
        """

    def reclaim(self) -> None:
        """Give the space of what was removed back to the machine, and leave no trace of it where that can be helped."""

    def remembered_head(self) -> Head | None:
        """The newest head that this user's own state folder knows for this ledger."""

    def remember(self) -> None:
        """Keep the head there. Done by `close` after appends, as far as the folder can be written."""

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
