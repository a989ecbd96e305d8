"""Looking at other processes through /proc; where there is none, memory limits rest on the operating system alone."""

import os
from pathlib import Path

__all__ = ["resident_bytes"]

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_SESSION_FIELD = 3
"""Index of the session id in /proc/PID/stat, counted after the command's closing bracket: state, ppid, pgrp, session."""
_RESIDENT_FIELD = 21


def resident_bytes(session: int) -> int:
    """Resident memory of all processes of a session: the worker and what it started."""
    total = 0
    try:
        processes = [path for path in Path("/proc").iterdir() if path.name.isdigit()]
    except OSError:
        return 0
    for process in processes:
        try:
            fields = (process / "stat").read_bytes().rpartition(b")")[2].split()
        except OSError:
            continue  # it ended meanwhile
        if len(fields) > _RESIDENT_FIELD and int(fields[_SESSION_FIELD]) == session:
            total += int(fields[_RESIDENT_FIELD]) * _PAGE_BYTES
    return total
