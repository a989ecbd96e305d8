"""Killing a process at its N-th step. Used in the processes under test, never in the one that tests.

A step is whatever could leave something half done: a file opened for writing, renamed, linked or removed, a folder made,
data brought to the disk, a message sent, a program started, a statement or a commit of the ledger's database.
"""

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

__all__ = ["install"]

_EVENTS = frozenset({"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.truncate", "subprocess.Popen"})
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


def install(at: int, tell: Callable[[int, str], None], *, group: bool = False) -> None:
    """From now on count steps, `tell` each, and kill this process (or its process group) with SIGKILL at step `at`."""
    count = 0

    def step(name: str) -> None:
        nonlocal count
        count += 1
        tell(count, name)
        if count == at:
            (os.killpg if group else os.kill)(0 if group else os.getpid(), signal.SIGKILL)

    def heard(event: str, arguments: tuple[Any, ...]) -> None:
        if event in _EVENTS:
            step(f"{event} {arguments[0]!r}")
        elif event == "open" and _writes(*arguments[1:3]):
            step(f"open {arguments[0]!r}")

    sys.addaudithook(heard)
    os.fsync, os.write = _before(os.fsync, step), _before(os.write, step)
    if "sqlalchemy" in sys.modules:
        _watch_database(step)


def _writes(mode: str | None, flags: int) -> bool:
    return any(letter in mode for letter in "wax+") if isinstance(mode, str) else bool(flags & _WRITING)


def _before(function: Callable[..., Any], step: Callable[[str], None]) -> Callable[..., Any]:
    def stepping(*arguments: Any) -> Any:
        step(function.__name__)
        return function(*arguments)

    return stepping


def _watch_database(step: Callable[[str], None]) -> None:
    """Of whatever kind: the hooks are SQLAlchemy's."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    event.listen(Engine, "before_cursor_execute", lambda *arguments: step(f"sql {arguments[2].split()[0]}"))
    event.listen(Engine, "commit", lambda connection: step("commit"))
