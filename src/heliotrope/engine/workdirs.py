"""Temporary folders of runs: removed when a run ends, and by the next command when it could not end.

Whoever owns a folder holds a lock on the file in it. The lock goes when the process goes, however that happens.
"""

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from heliotrope.core.errors import SystemRefusedError

__all__ = ["remove_abandoned", "working_folder"]

_PREFIX = "heliotrope-run-"
_LOCK = "lock"
_STALE_SECONDS = 3600.0
"""A folder without a lock file is being made, or was left by a process killed right then."""


@contextmanager
def working_folder() -> Iterator[Path]:
    """A temporary folder of a run's own, removed afterwards. SystemRefusedError where there is no place for one."""
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=_base()))
    lock = -1
    try:
        lock = _lock(folder)
        work = folder / "work"
        work.mkdir(mode=0o700)
        yield work
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if lock >= 0:
            os.close(lock)


def _base() -> str:
    """The folder for temporary files; never the current one, which may be what is examined, unless it was asked for."""
    with suppress(FileNotFoundError):
        base = tempfile.gettempdir()
        named = [os.environ.get(name) for name in ("TMPDIR", "TEMP", "TMP")]
        if base != os.getcwd() or base in map(os.path.abspath, filter(None, named)):  # noqa: PTH109
            return base
    raise SystemRefusedError(
        "no folder takes temporary files", hint="make room in /tmp, or name a folder that has some with TMPDIR"
    )


def remove_abandoned() -> None:
    """Remove the folders of this user's runs whose process is gone."""
    with suppress(OSError), os.scandir(tempfile.gettempdir()) as listing:
        for item in listing:
            if item.name.startswith(_PREFIX) and _is_abandoned(item):
                shutil.rmtree(item.path, ignore_errors=True)


def _lock(folder: Path) -> int:
    """A lock file that is locked from the moment it has its name."""
    descriptor = os.open(folder / "new", os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    (folder / "new").rename(folder / _LOCK)
    return descriptor


def _is_abandoned(item: "os.DirEntry[str]") -> bool:
    try:
        status = item.stat(follow_symlinks=False)
        if not item.is_dir(follow_symlinks=False) or status.st_uid != os.geteuid():
            return False
        try:
            descriptor = os.open(f"{item.path}/{_LOCK}", os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return time.time() - status.st_mtime > _STALE_SECONDS
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        finally:
            os.close(descriptor)
    except OSError:
        return False  # locked by a run that goes on, or gone meanwhile
    return True
