"""Clock and id source. Both are injected, so that golden files and replays are exact."""

import os
import time
from datetime import UTC, datetime
from typing import Protocol

__all__ = ["Clock", "IdSource", "SystemClock", "UlidSource", "timestamp"]


class Clock(Protocol):
    """Tells the time, in UTC."""

    def now(self) -> datetime: ...


class IdSource(Protocol):
    """Gives record ids."""

    def new(self) -> str: ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)


class UlidSource:
    """Universally unique, lexicographically sortable ids (26 characters, Crockford base 32)."""

    def new(self) -> str:
        from ulid import ULID

        milliseconds = time.time_ns() // 1_000_000
        return str(ULID.from_bytes(milliseconds.to_bytes(6, "big") + os.urandom(10)))


def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC with milliseconds, as in 2026-11-23T08:15:00.000Z."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
