"""Telling the person on standard error how an assessment proceeds."""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from heliotrope.cli._settings import Settings, remark
from heliotrope.core.text import printable
from heliotrope.engine.runner import Recorded
from heliotrope.lifecycle.assessing import Observer
from heliotrope.lifecycle.planning import PlannedRun

__all__ = ["observer_for"]

_PATIENCE_SECONDS = 2.0
"""What is faster needs no progress bar."""


@contextmanager
def observer_for(settings: Settings) -> Iterator[Observer]:
    """A quiet one, one that writes lines, or one that draws a bar when a person is looking."""
    if settings.quiet:
        yield Observer()
    elif sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True, no_color=settings.no_color), transient=True) as bar:
            yield _BarObserver(bar)
    else:
        yield _LineObserver()


def _say_plan(runs: Sequence[PlannedRun], seconds: float) -> None:
    going = [run for run in runs if run.preset is None and not run.planned.missing]
    remark(f"{len(going)} of {len(runs)} checks to run, about {_duration(seconds)}")


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


class _LineObserver(Observer):
    """For logs: one line for a check that took a while, none for quick ones."""

    def __init__(self) -> None:
        self._began = 0.0
        self._told = 0.0
        self._name = ""

    def planned(self, runs: Sequence[PlannedRun], seconds: float) -> None:
        _say_plan(runs, seconds)

    def started(self, run: PlannedRun, position: int, total: int) -> None:
        self._began = self._told = time.monotonic()
        self._name = f"[{position}/{total}] {run.descriptor.id} {printable(run.planned.subject.name)}"

    def progress(self, done: float, total: float, text: str) -> None:
        now = time.monotonic()
        if total <= 0 or now - self._told < 10 * _PATIENCE_SECONDS:
            return
        self._told = now
        share = min(done / total, 1.0)
        left = f", about {_duration((now - self._began) * (1 - share) / share)} left" if share > 0 else ""
        remark(f"{self._name}: {share:.0%}{left}")

    def finished(self, recorded: Recorded) -> None:
        took = time.monotonic() - self._began
        if took > _PATIENCE_SECONDS and self._name:
            remark(f"{self._name}: {recorded.run.outcome.state} after {_duration(took)}")
        self._name = ""


class _BarObserver(Observer):
    """For people: a bar with the remaining time for what takes longer than two seconds."""

    def __init__(self, bar: Any) -> None:
        self._bar = bar
        self._task: Any = None
        self._began = 0.0
        self._name = ""

    def planned(self, runs: Sequence[PlannedRun], seconds: float) -> None:
        _say_plan(runs, seconds)

    def started(self, run: PlannedRun, position: int, total: int) -> None:
        self._began = time.monotonic()
        self._name = f"[{position}/{total}] {run.descriptor.title} · {printable(run.planned.subject.name)}".replace(
            "[", "\\["
        )

    def progress(self, done: float, total: float, text: str) -> None:
        if time.monotonic() - self._began < _PATIENCE_SECONDS:
            return
        if self._task is None:
            self._task = self._bar.add_task(self._name, total=None)
        if total > 0:
            self._bar.update(self._task, completed=done, total=total)

    def finished(self, recorded: Recorded) -> None:
        if self._task is not None:
            self._bar.remove_task(self._task)
            self._task = None
