"""What an answer costs and what the model weighs: latency, CPU time, bytes, parameters. Measured, never judged here."""

import resource
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from heliotrope.core.evidence import statement
from heliotrope.core.measurements import Measurement
from heliotrope.core.outcomes import Passed
from heliotrope.core.predicates.quality import COST_PREDICATE, CostPredicate, Latency
from heliotrope.core.runs import CheckResult
from heliotrope.engine.interface import RunContext
from heliotrope.subjects.batching import part_of, rows_at_once
from heliotrope.subjects.checking import model_check
from heliotrope.subjects.interface import Opened
from heliotrope.subjects.sampling import choose_rows
from heliotrope.subjects.torch_model import TorchModel

if TYPE_CHECKING:
    from heliotrope.subjects.interface import Inputs

__all__ = ["cost"]

_BATCH = 256
_WARM = 3
"""Calls before the clock counts: libraries set up threads, caches and memory on the first ones."""
_REPETITIONS = 100
_SECONDS = 2.0
"""For each batch size; slow models are asked less often."""
_FEWEST = 5
_ENDPOINT_REPETITIONS = 20


@model_check(id="quality.cost", version="1", title="Latency and size", cost="standard")
def cost(opened: Opened, context: RunContext) -> CheckResult:
    """Time single rows and batches on a warm model. There is no floor unless a policy sets one."""
    endpoint = opened.parameters.model.endpoint
    batch = min(_BATCH, len(opened.data), rows_at_once(opened, context.limits.memory_bytes))
    inputs = opened.data.take(choose_rows(len(opened.data), batch, opened.task.seed)).inputs
    latencies = []
    for size in dict.fromkeys((1, batch)):
        latencies.append(_time(opened, part_of(inputs, slice(0, size)), size))
        context.progress(len(latencies), 2, f"timing batches of {size}")
    predicate = CostPredicate(
        latencies=tuple(latencies),
        size_bytes=None if endpoint is not None else _size(opened),
        parameters=_parameters(opened),
        data=opened.data.digests,
    )
    single, many = latencies[0], latencies[-1]
    reason = f"one row takes {1000 * single.median_seconds:.3g} ms, in batches of {many.batch} {1000 * many.median_seconds:.3g} ms"
    return CheckResult(
        outcome=Passed(reason=f"{reason} (median, warm)"),
        evidence=(statement(opened.model.digests, COST_PREDICATE, predicate),),
        measurements=tuple(_measurements(opened, predicate)),
    )


@dataclass(frozen=True, slots=True)
class _Clock:
    wall: float
    cpu: float

    @classmethod
    def now(cls) -> "_Clock":
        used = resource.getrusage(resource.RUSAGE_SELF)
        return cls(time.perf_counter(), used.ru_utime + used.ru_stime)


def _time(opened: Opened, inputs: "Inputs", size: int) -> Latency:
    """Ask until there are enough repetitions or the time is up, the first calls not counted."""
    import numpy as np

    model, endpoint = opened.model, opened.parameters.model.endpoint is not None
    for _ in range(1 if endpoint else _WARM):
        model.scores(inputs)
    most = _ENDPOINT_REPETITIONS if endpoint else _REPETITIONS
    began = _Clock.now()
    walls: list[float] = []
    while len(walls) < most:
        before = time.perf_counter()
        model.scores(inputs)
        after = time.perf_counter()
        walls.append(after - before)
        if len(walls) >= _FEWEST and after - began.wall > _SECONDS:
            break
    used = _Clock.now().cpu - began.cpu
    return Latency(
        batch=size,
        repetitions=len(walls),
        median_seconds=float(np.median(walls)) / size,
        p95_seconds=float(np.quantile(walls, 0.95)) / size,
        cpu_seconds=None if endpoint else used / (len(walls) * size),
    )


def _size(opened: Opened) -> int | None:
    path = opened.parameters.model.path
    if path is None:
        return None
    whole = Path(opened.task.root) / path
    files = [whole] if whole.is_file() else [file for file in whole.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)


def _parameters(opened: Opened) -> int | None:
    model = opened.model
    return sum(value.numel() for value in model.module.parameters()) if isinstance(model, TorchModel) else None


def _measurements(opened: Opened, predicate: CostPredicate) -> list[Measurement]:
    subject, found = opened.task.subject.urn, []
    for latency, kind in zip(predicate.latencies, ("single", "batch"), strict=False):
        conditions: dict[str, str | float | int] = {"batch": latency.batch}
        for name, seconds in (("median", latency.median_seconds), ("p95", latency.p95_seconds)):
            found.append(
                Measurement(
                    metric=f"latency_{kind}_{name}",
                    value=1000 * seconds,
                    n=latency.repetitions,
                    direction="lower",
                    unit="ms",
                    subject=subject,
                    conditions=conditions,
                )
            )
    if predicate.size_bytes is not None:
        found.append(
            Measurement(
                metric="model_size",
                value=predicate.size_bytes / 2**10,
                n=1,
                direction="lower",
                unit="KiB",
                subject=subject,
            )
        )
    return found
