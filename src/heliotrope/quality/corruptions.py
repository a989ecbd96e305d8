"""Quality under plain faults of the inputs: noise, blur, wrong units, swapped columns, typing errors."""

from typing import TYPE_CHECKING

from heliotrope.core.evidence import statement
from heliotrope.core.findings import Finding
from heliotrope.core.measurements import Measurement
from heliotrope.core.outcomes import Passed
from heliotrope.core.predicates.quality import CORRUPTIONS_PREDICATE, CorruptionsPredicate, Faulted, Goodness
from heliotrope.core.runs import CheckResult
from heliotrope.engine.interface import RunContext
from heliotrope.quality._common import Bench, finding, measurement, open_bench, percent
from heliotrope.quality._faults import Fault, image_faults, table_faults
from heliotrope.quality.rules import CORRUPTION_COLLAPSE, FAULT_RAISES
from heliotrope.subjects.checking import model_check
from heliotrope.subjects.interface import Opened

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["corruptions"]

COLLAPSE = 0.2
"""Points of accuracy that a mild fault may cost; of a regression, error in deviations of the target."""


@model_check(
    id="quality.corruptions",
    version="2",
    title="Quality under plain faults of the inputs",
    cost="standard",
    sampled=True,
)
def corruptions(opened: Opened, context: RunContext) -> CheckResult:
    """Put ordinary faults into a sample, mild to severe, and see how much they cost. A model that raises is a finding."""
    import numpy as np

    bench = open_bench(opened, context)
    found: list[Faulted] = []
    marks: list[NDArray[np.float64]] = []
    faults = list(_faults(opened))
    for position, fault in enumerate(faults):
        generator = np.random.default_rng([opened.task.seed, position])
        inputs = fault.apply(bench.batch.inputs, generator)
        one, its_marks = bench.faulted(inputs, fault=fault.name, severity=fault.severity, level=fault.level)
        found.append(one)
        marks += [] if its_marks is None else [its_marks]
        context.progress(position + 1, len(faults), fault.name)
    answered = [one for one in found if one.goodness is not None]
    worst = max(answered, key=lambda one: bench.worsening(_of(one)), default=None)
    predicate = CorruptionsPredicate(
        metric=bench.metric,
        clean=bench.clean,
        faults=tuple(found),
        worst=worst and worst.goodness,
        worst_fault=worst and f"{worst.fault}, {worst.severity}",
        mean=bench.goodness(np.mean(marks, axis=0)) if marks else None,
        data=opened.data.digests,
    )
    return CheckResult(
        outcome=Passed(reason=_reason(bench, predicate)),
        evidence=(statement(opened.model.digests, CORRUPTIONS_PREDICATE, predicate),),
        findings=tuple(_findings(bench, found)),
        measurements=tuple(_measurements(bench, predicate)),
    )


def _faults(opened: Opened) -> list[Fault]:
    if opened.data.kind == "table":
        return list(table_faults(opened.data.columns))
    declared = opened.parameters.model.input
    assert declared is not None  # planned only when input is filled
    assert declared.shape is not None
    return list(image_faults(declared.shape, *declared.range))


def _of(one: Faulted) -> Goodness:
    assert one.goodness is not None
    return one.goodness


def _reason(bench: Bench, predicate: CorruptionsPredicate) -> str:
    if predicate.worst is None or predicate.mean is None:
        return f"no fault could be put into these inputs: {'all raised' if predicate.faults else 'none applies'}"
    name = bench.metric.replace("_", " ")
    values = (predicate.clean, predicate.mean, predicate.worst)
    clean, mean, worst = (percent(one.value) if name == "accuracy" else f"{one.value:.4g}" for one in values)
    return (
        f"{name} {clean} clean, {mean} on average over {len(predicate.faults)} faults, {worst} at worst "
        f"({predicate.worst_fault}), n = {predicate.clean.n}"
    )


def _findings(bench: Bench, found: list[Faulted]) -> list[Finding]:
    task = bench.opened.task
    findings: list[Finding] = []
    for one in found:
        if one.raised is not None and not any(f.message.startswith(f"{one.fault}:") for f in findings):
            message = f"{one.fault}: the model raises instead of answering: {one.raised}"
            findings.append(finding(task, FAULT_RAISES, message, one.fault))
        if one.level == 1 and one.goodness is not None and _collapsed(bench, one.goodness):
            before, after = bench.clean.value, one.goodness.value
            shown = (
                f"{percent(before)} to {percent(after)}"
                if bench.metric == "accuracy"
                else f"{before:.4g} to {after:.4g}"
            )
            message = f"{one.fault} ({one.severity}) takes the {bench.metric.replace('_', ' ')} from {shown}"
            findings.append(finding(task, CORRUPTION_COLLAPSE, message, one.fault))
    return findings


def _collapsed(bench: Bench, goodness: Goodness) -> bool:
    """Whether the loss is large and no accident of the sample: the intervals do not touch."""
    clean, now = bench.clean.interval, goodness.interval
    apart = clean is not None and now is not None and (now.high < clean.low or now.low > clean.high)
    return apart and bench.worsening(goodness) > COLLAPSE


def _measurements(bench: Bench, predicate: CorruptionsPredicate) -> list[Measurement]:
    named = ((f"corruption_{bench.metric}_worst", predicate.worst), (f"corruption_{bench.metric}_mean", predicate.mean))
    return [measurement(bench, name, goodness) for name, goodness in named if goodness is not None]
