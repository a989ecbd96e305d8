"""Running a check: inline, or in a worker process with time and memory limits and an environment without secrets.

Whatever a check does, the executor returns an Execution; one that crashed, hung or ate memory is an error outcome.
"""

import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from heliotrope.core.evidence import Blob
from heliotrope.core.runs import CheckResult, Cost
from heliotrope.engine._guard import RunCancelledError, guarded
from heliotrope.engine._staging import stage
from heliotrope.engine.interface import CheckDescriptor, Limits, Task

__all__ = ["Execution", "ProgressFunction", "RunCancelledError", "guarded", "run_inline"]

ProgressFunction = Callable[[float, float, str], None]
"""Called with (done, total, text); may raise RunCancelledError."""


@dataclass(frozen=True, slots=True)
class Execution:
    """What came of running a check, and what it took."""

    result: CheckResult
    cost: Cost
    environment: dict[str, str] = field(default_factory=dict)
    log_tail: str = ""
    """The end of what the code under test printed."""


@dataclass(frozen=True, slots=True)
class _InlineContext:
    limits: Limits
    workdir: Path
    report: ProgressFunction

    def progress(self, done: float, total: float, text: str = "") -> None:
        self.report(done, total, text)

    def store(self, data: bytes, media_type: str) -> Blob:
        return stage(self.workdir, data, media_type)


def run_inline(
    descriptor: CheckDescriptor, task: Task, *, workdir: Path, limits: Limits, progress: ProgressFunction
) -> Execution:
    """Run in this process: for checks that run no foreign code and bound their own work."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = guarded(descriptor.function, task, _InlineContext(limits, workdir, progress))
    cost = Cost(wall_seconds=time.perf_counter() - wall, cpu_seconds=time.process_time() - cpu)
    facts = {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}".strip(),
        "isolation": "inline",
    }
    return Execution(result, cost, facts)
