"""The worker executor: one process per run, watched from outside."""

import time
from dataclasses import replace
from pathlib import Path

from heliotrope.core.runs import Cost
from heliotrope.engine.executors import Execution, ProgressFunction
from heliotrope.engine.interface import CheckDescriptor, Limits, Task
from heliotrope.engine.worker_process import WorkerProcess

__all__ = ["run_in_worker"]


def run_in_worker(
    descriptor: CheckDescriptor,
    task: Task,
    *,
    workdir: Path,
    limits: Limits,
    progress: ProgressFunction,
    network: bool = False,
    environment: tuple[str, ...] = (),
) -> Execution:
    """Run a check in a process of its own; never raises for what happens in there.

    `environment` names variables that are passed on beside the usual ones.
    """
    started = time.perf_counter()
    worker = WorkerProcess(workdir, network=network, environment=environment)
    try:
        execution = worker.run(descriptor, task, workdir=workdir, limits=limits, progress=progress)
    finally:
        usage = worker.close()
    cost = Cost(  # as the system says, not the process
        wall_seconds=time.perf_counter() - started,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        peak_memory_bytes=usage.ru_maxrss * 1024,
    )
    return replace(execution, cost=cost)
