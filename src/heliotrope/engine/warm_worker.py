"""Workers that are kept for several runs: checks of one model that run no code of the project take turns in one process.

Importing what a model needs takes seconds, asking it often takes none. A run in a kept worker is held to all that a run in
a worker of its own is; one that does not return, errs, or leaves something going on ends the process, and the next starts
afresh.
"""

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from heliotrope.core.outcomes import Skipped
from heliotrope.engine._processes import session_processes
from heliotrope.engine.executors import Execution, ProgressFunction
from heliotrope.engine.interface import CheckDescriptor, Limits, Planned, Task
from heliotrope.engine.worker_process import WorkerProcess

__all__ = ["WarmWorkers", "may_share"]

_KEPT_WORKERS = 3
"""At once: one for each model, as checks go through the models by turns. Each holds some hundred MiB."""
_KEPT_SHARE = 4
"""A worker that still holds this part of the memory limit when a run is over is not kept: it counts against the next."""
_HEAVY = "torch"
"""Libraries try it when they find it, which costs seconds; a worker for models that do not name it does not find it."""
_COMPANIONS = {"sklearn": ("skops", "joblib")}
"""Modules that are loaded for those that a format declares."""

_Key = tuple[str, tuple[str, ...]]


def may_share(descriptor: CheckDescriptor, planned: Planned) -> bool:
    """Whether a run without code of the project may take its turn in a kept worker: a check of ours on a model of ours.

    Checks of the project as a whole parse whatever lies there and import little; checks of other packages may leave
    anything behind. Those have workers of their own.
    """
    return descriptor.built_in and planned.subject.kind == "model" and bool(planned.modules)


class WarmWorkers:
    """Kept workers by subject. Use it as a context manager: none outlives it."""

    def __init__(self) -> None:
        self._kept: dict[_Key, WorkerProcess] = {}
        self._needs_all: set[str] = set()
        """Subjects that need more than their format declares, as a pickle may."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End them all; later runs start new ones."""
        try:
            while self._kept:
                self._kept.popitem()[1].close()
        finally:
            for worker in self._kept.values():
                worker.close()

    def run(
        self,
        descriptor: CheckDescriptor,
        task: Task,
        *,
        workdir: Path,
        limits: Limits,
        progress: ProgressFunction,
        modules: Iterable[str],
    ) -> Execution:
        """Run a check in the worker kept for its subject, or in a new one; never raises for what happens in there.

        `modules` are those that the run declares: whose versions are reported, in whatever order checks are run.
        """
        declared = tuple(dict.fromkeys(modules))
        libraries = (*declared, *(name for module in declared for name in _COMPANIONS.get(module, ())))
        run = partial(_run, descriptor, task, workdir=workdir, limits=limits, progress=progress, libraries=libraries)
        subject = task.subject.urn
        hidden = () if _HEAVY in declared or subject in self._needs_all else (_HEAVY,)
        execution = self._in_turn(run, (subject, hidden), workdir, limits)
        outcome = execution.result.outcome
        if hidden and isinstance(outcome, Skipped) and outcome.code == "missing_extra":
            self._needs_all.add(subject)
            execution = self._in_turn(run, (subject, ()), workdir, limits)
        return execution

    def _in_turn(
        self, run: Callable[[WorkerProcess], Execution], key: _Key, workdir: Path, limits: Limits
    ) -> Execution:
        worker = self._take(key) or WorkerProcess(workdir, hidden=key[1])
        keep = False
        try:
            execution = run(worker)
            keep = _is_fit(worker, limits)
        finally:
            if not keep:
                worker.close()
        if keep:
            self._kept[key] = worker
            self._end_oldest()
        return execution

    def _take(self, key: _Key) -> WorkerProcess | None:
        worker = self._kept.pop(key, None)
        if worker is None or worker.ready():
            return worker
        worker.close()
        return None

    def _end_oldest(self) -> None:
        while len(self._kept) > _KEPT_WORKERS:
            self._kept.pop(next(iter(self._kept))).close()


def _run(descriptor: CheckDescriptor, task: Task, worker: WorkerProcess, **how: Any) -> Execution:
    return worker.run(descriptor, task, **how)


def _is_fit(worker: WorkerProcess, limits: Limits) -> bool:
    """Whether nothing of the run goes on and little of it is left."""
    if not worker.ready():
        return False
    processes = dict(session_processes(worker.pid))
    return set(processes) <= {worker.pid} and sum(processes.values()) * _KEPT_SHARE <= limits.memory_bytes
