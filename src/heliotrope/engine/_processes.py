"""Looking at other processes through /proc; where there is none, memory limits rest on the operating system alone."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

__all__ = ["MemoryWatch", "resident_bytes", "session_processes"]

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_SESSION_FIELD = 3
"""Index of the session id in /proc/PID/stat, counted after the command's closing bracket: state, ppid, pgrp, session."""
_RESIDENT_FIELD = 21


_BETWEEN_LOOKS = 0.05
"""Seconds at least between two looks through /proc, which holds all processes of the machine."""
_SHARE_OF_TIME = 0.05
"""Of one processor, spent on looking at most: a machine with thousands of processes is looked at less often."""

_LONGEST = 0.5
"""Seconds at most between two looks."""


class MemoryWatch:
    """Resident memory of a session, looked up as often as that is cheap."""

    def __init__(self, session: int) -> None:
        self._session = session
        self._next = 0.0
        self._seen = 0

    def bytes(self) -> int:
        """As of the latest look."""
        if time.monotonic() >= self._next:
            began = time.thread_time()
            self._seen = resident_bytes(self._session)
            spent = time.thread_time() - began
            self._next = time.monotonic() + min(max(_BETWEEN_LOOKS, spent / _SHARE_OF_TIME), _LONGEST)
        return self._seen


def resident_bytes(session: int) -> int:
    """Resident memory of all processes of a session: the worker and what it started."""
    return sum(resident for _, resident in session_processes(session))


def session_processes(session: int) -> Iterator[tuple[int, int]]:
    """Process id and resident bytes of each process of a session."""
    try:
        processes = [path for path in Path("/proc").iterdir() if path.name.isdigit()]
    except OSError:
        return
    for process in processes:
        try:
            fields = (process / "stat").read_bytes().rpartition(b")")[2].split()
        except OSError:
            continue  # it ended meanwhile
        if len(fields) > _RESIDENT_FIELD and int(fields[_SESSION_FIELD]) == session:
            yield int(process.name), int(fields[_RESIDENT_FIELD]) * _PAGE_BYTES
