"""Quality of a model on a table whose values are missing: one feature at a time, and some cells at random."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from heliotrope.config.schema import ModelConfig
from heliotrope.core.evidence import statement
from heliotrope.core.findings import Finding
from heliotrope.core.measurements import Measurement
from heliotrope.core.outcomes import NotApplicable, Passed
from heliotrope.core.predicates.quality import MISSING_VALUES_PREDICATE, Faulted, MissingValuesPredicate
from heliotrope.core.runs import CheckResult
from heliotrope.core.text import counted, printable, shorten
from heliotrope.engine.interface import RunContext
from heliotrope.quality._common import Bench, finding, measurement, open_bench, percent
from heliotrope.quality.rules import MISSING_VALUE_COLLAPSE, MISSING_VALUE_RAISES
from heliotrope.subjects.batching import as_table
from heliotrope.subjects.checking import model_check
from heliotrope.subjects.interface import Column, Opened
from heliotrope.subjects.planning import is_table

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

__all__ = ["missing_values"]

MAX_FEATURES = 200
"""Features that are tried one at a time; each costs a pass over the sample."""

COLLAPSE = 0.2
"""Points of accuracy that one missing feature may cost; of a regression, error in deviations of the target."""

_SHARES = (0.05, 0.2)
_NAMED = 5


def _no_table(model: ModelConfig) -> NotApplicable | None:
    source = model.data.evaluate
    if source is None or is_table(source):
        return None
    return NotApplicable(
        reason="only tables have missing values",
        facts=(f"data.evaluate of {model.name} is {source.path or source.images}, which is no table",),
    )


@model_check(
    id="quality.missing_values",
    version="1",
    title="Quality when values are missing",
    cost="standard",
    sampled=True,
    excludes=_no_table,
)
def missing_values(opened: Opened, context: RunContext) -> CheckResult:
    """Take each feature away, then 5 and 20 % of all cells. A model that raises is a finding."""
    import numpy as np

    bench = open_bench(opened, context)
    frame, columns = as_table(bench.batch.inputs), opened.data.columns
    tried = columns[:MAX_FEATURES]
    everything = np.ones(len(bench.batch), dtype=bool)
    steps = len(tried) + len(_SHARES)
    features: list[Faulted] = []
    for position, column in enumerate(tried):
        holed = _without(frame, {column.name: everything})
        one, _ = bench.faulted(holed, fault=column.name, severity="missing in every row", level=1)
        features.append(one)
        context.progress(position + 1, steps, printable(column.name))
    random = []
    for level, share in enumerate(_SHARES, start=1):
        generator = np.random.default_rng([opened.task.seed, level])
        holes = {column.name: generator.random(len(bench.batch)) < share for column in columns}
        one, _ = bench.faulted(
            _without(frame, holes), fault="random", severity=f"{share:.0%} of all cells", level=level
        )
        random.append(one)
        context.progress(len(tried) + level, steps, "at random")
    predicate = MissingValuesPredicate(
        metric=bench.metric,
        clean=bench.clean,
        features=tuple(sorted(features, key=_loss(bench))),
        random=tuple(random),
        skipped=len(columns) - len(tried),
        data=opened.data.digests,
    )
    return CheckResult(
        outcome=Passed(reason=_reason(bench, predicate)),
        evidence=(statement(opened.model.digests, MISSING_VALUES_PREDICATE, predicate),),
        findings=tuple(_findings(bench, predicate, {column.name: column for column in columns})),
        measurements=tuple(_measurements(bench, predicate)),
    )


def _without(frame: "pd.DataFrame", holes: "dict[str, NDArray[np.bool_]]") -> "pd.DataFrame":
    """The table with cells missing as readers give them: numbers and booleans as NaN, all else as its own kind of missing."""
    frame = frame.copy()
    for name, rows in holes.items():
        values = frame[name]
        if values.dtype.kind in "iub":
            values = values.astype("float64")
        frame[name] = values.mask(rows)
    return frame


def _loss(bench: Bench) -> Callable[[Faulted], float]:
    """What raises first, then what costs most."""
    return lambda one: float("-inf") if one.goodness is None else -bench.worsening(one.goodness)


def _reason(bench: Bench, predicate: MissingValuesPredicate) -> str:
    raised = sum(one.raised is not None for one in predicate.features)
    answered = [one for one in predicate.features if one.goodness is not None]
    parts = (
        [f"{counted(raised, 'feature')} of {len(predicate.features)} must not be missing: the model raises"]
        if raised
        else []
    )
    if answered and answered[0].goodness is not None:
        value = answered[0].goodness.value
        shown = percent(value) if bench.metric == "accuracy" else f"{value:.4g}"
        name = shorten(printable(answered[0].fault), 60)
        parts.append(f"{bench.metric.replace('_', ' ')} {shown} without {name}, the dearest feature")
    if predicate.skipped:
        parts.append(f"{predicate.skipped} more features were not tried")
    return "; ".join(parts)


def _findings(bench: Bench, predicate: MissingValuesPredicate, columns: dict[str, Column]) -> list[Finding]:
    task, findings = bench.opened.task, []
    raised = [one for one in predicate.features if one.raised is not None]
    for expected in (True, False):
        these = [one for one in raised if columns[one.fault].missing == expected]
        if these:
            named = ", ".join(shorten(printable(one.fault), 60) for one in these[:_NAMED])
            more = f" and {len(these) - _NAMED} more" if len(these) > _NAMED else ""
            kind = "which valid inputs may lack" if expected else "which no valid input lacks"
            message = f"the model raises when {named}{more} is missing, {kind}: {these[0].raised}"
            severity = MISSING_VALUE_RAISES.severity if expected else "low"
            findings.append(finding(task, MISSING_VALUE_RAISES, message, f"expected {expected}", severity=severity))
    for one in predicate.features:
        if one.goodness is not None and bench.worsening(one.goodness) > COLLAPSE and _apart(bench, one):
            shown = "accuracy" if bench.metric == "accuracy" else "mean absolute error"
            before, after = bench.clean.value, one.goodness.value
            values = f"{percent(before)} to {percent(after)}" if shown == "accuracy" else f"{before:.4g} to {after:.4g}"
            message = f"without {shorten(printable(one.fault), 60)} the {shown} goes from {values}"
            findings.append(finding(task, MISSING_VALUE_COLLAPSE, message, one.fault))
    return findings


def _apart(bench: Bench, one: Faulted) -> bool:
    clean, now = bench.clean.interval, one.goodness.interval if one.goodness else None
    return clean is not None and now is not None and (now.high < clean.low or now.low > clean.high)


def _measurements(bench: Bench, predicate: MissingValuesPredicate) -> list[Measurement]:
    """Undefined, not absent, when the model raises: nothing may be decided on it."""
    metric = f"missing_values_{bench.metric}"
    found = []
    for one, share in zip(predicate.random, _SHARES, strict=True):
        name = f"{metric}_{round(100 * share)}_percent"
        if one.goodness is not None:
            found.append(measurement(bench, name, one.goodness))
            continue
        found.append(
            Measurement(
                metric=name,
                value=None,
                undefined_reason="the model raises when values are missing",
                n=bench.clean.n,
                direction="higher" if bench.metric == "accuracy" else "lower",
                subject=bench.opened.task.subject.urn,
            )
        )
    return found
