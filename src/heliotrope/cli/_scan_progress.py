"""Telling the person on standard error how a long scan proceeds: bytes, remaining time and the file at hand."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from heliotrope.cli._settings import Settings, remark
from heliotrope.core.text import shorten

__all__ = ["scan_progress"]

_PATIENCE_SECONDS = 2.0
"""What is faster needs no progress bar."""
_TELL_SECONDS = 20.0
"""Between lines of a log."""
_NAME = 50

Progress = Callable[[float, float, str], None]


@contextmanager
def scan_progress(settings: Settings) -> Iterator[Progress | None]:
    """None where nobody wants to know; a bar where a person is looking, a line now and then elsewhere."""
    if settings.quiet:
        yield None
        return
    teller = _Bar(no_color=settings.no_color) if sys.stderr.isatty() else _Lines()
    try:
        yield teller.progress
    finally:
        teller.close()


class _Lines:
    def __init__(self) -> None:
        self._told = time.monotonic()

    def progress(self, done: float, total: float, name: str) -> None:
        if time.monotonic() - self._told < _TELL_SECONDS or not total:
            return
        self._told = time.monotonic()
        remark(f"{done / total:.0%} of {total / 2**30:.1f} GiB, {shorten(name, _NAME)}")

    def close(self) -> None:
        """Nothing to take away."""


class _Bar(_Lines):
    def __init__(self, *, no_color: bool) -> None:
        super().__init__()
        self._no_color = no_color
        self._began = time.monotonic()
        self._bar: Any = None
        self._task: Any = None

    def progress(self, done: float, total: float, name: str) -> None:
        if self._bar is None:
            if time.monotonic() - self._began < _PATIENCE_SECONDS:
                return
            self._open()
        shown = shorten(name, _NAME).replace("[", "\\[")
        self._bar.update(self._task, completed=done, total=total or None, description=shown)

    def _open(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(binary_units=True),
            TimeRemainingColumn(),
        )
        self._bar = Progress(*columns, console=Console(stderr=True, no_color=self._no_color), transient=True)
        self._bar.start()
        self._task = self._bar.add_task("", total=None)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
