"""Whether inputs and outputs are what is declared: ranges, normalisation, scores, and what odd inputs lead to."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from heliotrope.core.errors import InputError
from heliotrope.core.evidence import statement
from heliotrope.core.findings import Finding
from heliotrope.core.outcomes import Passed
from heliotrope.core.predicates.quality import (
    INPUTS_PREDICATE,
    Goodness,
    InputScaling,
    InputsPredicate,
    OddInput,
    SeenRange,
)
from heliotrope.core.runs import CheckResult
from heliotrope.core.text import counted, printable, shorten
from heliotrope.engine.interface import RunContext
from heliotrope.quality._common import Bench, finding, open_bench, percent, said
from heliotrope.quality._scalings import image_scalings, table_scalings
from heliotrope.quality.rules import (
    CONSTANT_CHANNEL,
    INPUT_RANGE_UNUSED,
    NON_FINITE_OUTPUT,
    NORMALISATION_SUSPECT,
    ODD_INPUT_ANSWERED,
    OUT_OF_RANGE_INPUTS,
    OUTPUT_NOT_AS_DECLARED,
)
from heliotrope.subjects.batching import as_array, as_table, part_of
from heliotrope.subjects.checking import model_check
from heliotrope.subjects.interface import Opened

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from heliotrope.subjects.interface import Inputs

__all__ = ["inputs"]

USED_RANGE = 0.05
"""Share of the declared range below which the declaration is doubted."""

MUCH_BETTER = 0.05
"""Points of accuracy by which another scaling must win; of a regression, error in deviations of the target."""

_ODD_ROWS = 4
_HUGE = 1e30
_ROW_SUM_TOLERANCE = 1e-3
_NAMED = 5


@model_check(
    id="quality.inputs", version="1", title="Inputs and outputs are as declared", cost="standard", sampled=True
)
def inputs(opened: Opened, context: RunContext) -> CheckResult:
    """Compare values with the declared range, try other scalings, and send inputs that no one should send."""
    bench = open_bench(opened, context)
    context.progress(1, 3, "trying other scalings")
    scalings = tuple(_scaled(bench, name, changed) for name, changed in _scalings(bench))
    context.progress(2, 3, "sending odd inputs")
    odd = tuple(_sent(bench, name, changed) for name, changed in _odd_inputs(bench))
    context.progress(3, 3, "comparing")
    predicate = InputsPredicate(
        metric=bench.metric,
        clean=bench.clean,
        ranges=tuple(_ranges(bench)),
        scalings=scalings,
        odd_inputs=odd,
        output_declared=opened.parameters.model.output or opened.model.output,
        output_seen=_seen_output(bench),
        data=opened.data.digests,
    )
    findings = tuple(_findings(bench, predicate))
    outside = sum(one.outside for one in predicate.ranges)
    reason = f"{counted(len(predicate.ranges), 'range')} compared, {counted(outside, 'value')} outside; scores are {predicate.output_seen}"
    return CheckResult(
        outcome=Passed(reason=reason),
        evidence=(statement(opened.model.digests, INPUTS_PREDICATE, predicate),),
        findings=findings,
    )


def _ranges(bench: Bench) -> Iterator[SeenRange]:
    declared = bench.opened.parameters.model.input
    if bench.opened.data.kind == "table":
        for column in bench.opened.data.columns:
            if column.type in ("number", "integer"):
                own = declared.columns.get(column.name) if declared else None
                low, high = own.range if own and own.range else (None, None)
                values = as_table(bench.batch.inputs)[column.name].to_numpy("float64")
                yield _seen(column.name, values, low, high)
        return
    assert declared is not None
    images = as_array(bench.batch.inputs)
    if images.ndim != 4:
        yield _seen("all values", images, *declared.range)
        return
    for channel in range(images.shape[1]):
        yield _seen(f"channel {channel}", images[:, channel], *declared.range)


def _seen(
    name: str, values: "NDArray[np.float32] | NDArray[np.float64]", low: float | None, high: float | None
) -> SeenRange:
    import numpy as np

    finite = values[np.isfinite(values)]
    outside = ((finite < np.float32(low)) if low is not None else False) | (
        (finite > np.float32(high)) if high is not None else False
    )
    least, most = (float(finite.min()), float(finite.max())) if finite.size else (None, None)
    return SeenRange(
        name=name,
        declared_low=low,
        declared_high=high,
        low=least,
        high=most,
        outside=int(np.sum(outside)),
        constant=least == most,
    )


def _scalings(bench: Bench) -> "Iterator[tuple[str, Inputs]]":
    model = bench.opened.parameters.model
    if bench.opened.data.kind == "table":
        yield from table_scalings(as_table(bench.batch.inputs), bench.opened.data.columns)
        return
    assert model.input is not None
    yield from image_scalings(as_array(bench.batch.inputs), *model.input.range, model.normalisation)


def _scaled(bench: Bench, name: str, changed: "Inputs") -> InputScaling:
    one, _ = bench.faulted(changed, fault=name, severity="", level=1)
    return InputScaling(name=name, goodness=one.goodness, raised=one.raised)


def _odd_inputs(bench: Bench) -> "Iterator[tuple[str, Inputs]]":
    few = part_of(bench.batch.inputs, slice(0, _ODD_ROWS))
    if bench.opened.data.kind == "table":
        names = [column.name for column in bench.opened.data.columns if column.type in ("number", "integer")]
        yield from _odd_tables(as_table(few), names)
        return
    import numpy as np

    images = as_array(few)
    for name, value in (("NaN", np.nan), ("infinite", np.inf), ("huge", _HUGE)):
        odd = images.copy()
        odd.reshape(len(odd), -1)[:, 0] = value
        yield name, odd
    yield "a value too many", np.concatenate([images, images[..., -1:]], axis=-1)


def _odd_tables(frame: "pd.DataFrame", names: list[str]) -> "Iterator[tuple[str, pd.DataFrame]]":
    for name, value in (("infinite", float("inf")), ("huge", _HUGE)):
        if names:
            yield name, frame.assign(**{names[0]: value})
    if names:
        yield "text for a number", frame.assign(**{names[0]: "a word"})
    yield "a column too few", frame.iloc[:, 1:]


def _sent(bench: Bench, name: str, odd: "Inputs") -> OddInput:
    """What came back. A library that is sent what it cannot take may raise anything, whatever stands around it."""
    import numpy as np

    try:
        scores = bench.opened.model.scores(odd)
    except MemoryError:
        raise
    except InputError as error:
        bench.require_alive(error)
        words = error.message.lower()
        behaviour = "not-finite" if "finite" in words or "nan or" in words else "raised"
        return OddInput(name=name, behaviour=behaviour, detail=said(error))
    except Exception as error:  # noqa: BLE001 - see above
        detail = shorten(printable(f"{type(error).__name__}: {error}"), 200)
        return OddInput(name=name, behaviour="raised", detail=detail)
    if not np.isfinite(scores).all():
        return OddInput(name=name, behaviour="not-finite", detail="NaN or infinite scores, and no error")
    return OddInput(name=name, behaviour="answered", detail="finite scores, and no error")


def _seen_output(bench: Bench) -> str:
    """What the scores look like."""
    import numpy as np

    scores = bench.scores
    if bench.metric != "accuracy":
        return "values"
    if not ((scores >= 0).all() and (np.abs(scores.sum(axis=1) - 1) < _ROW_SUM_TOLERANCE).all()):
        return "logits"
    return "labels" if np.isin(scores, (0.0, 1.0)).all() else "probabilities"


def _findings(bench: Bench, predicate: InputsPredicate) -> Iterator[Finding]:
    yield from _scaling_findings(bench, predicate)
    yield from _range_findings(bench, predicate)
    yield from _odd_findings(bench, predicate)
    task, promised, seen = bench.opened.task, bench.opened.model.output, predicate.output_seen
    if promised == "logits" and seen == "probabilities":
        message = "the scores are declared as logits, but every row is non-negative and sums to one"
        yield finding(task, OUTPUT_NOT_AS_DECLARED, message, "output")
    if promised == "probabilities" and seen == "logits":
        message = "the scores are declared as probabilities, but some are negative or a row does not sum to one"
        yield finding(task, OUTPUT_NOT_AS_DECLARED, message, "output", severity="medium")


def _scaling_findings(bench: Bench, predicate: InputsPredicate) -> Iterator[Finding]:
    """The best of the scalings that are much better, if any; one finding says enough."""
    better = [
        (one.name, one.goodness)
        for one in predicate.scalings
        if one.goodness is not None
        and bench.worsening(one.goodness) < -MUCH_BETTER
        and _apart(predicate.clean, one.goodness)
    ]
    if not better:
        return
    name, goodness = min(better, key=lambda one: bench.worsening(one[1]))
    values = (goodness.value, predicate.clean.value)
    best, now = (percent(value) if bench.metric == "accuracy" else f"{value:.4g}" for value in values)
    message = f"with inputs scaled otherwise ({name}) the {bench.metric.replace('_', ' ')} is {best}, as declared {now}"
    yield finding(bench.opened.task, NORMALISATION_SUSPECT, message, "scaling")


def _apart(one: Goodness, other: Goodness) -> bool:
    if one.interval is None or other.interval is None:
        return False
    return one.interval.high < other.interval.low or other.interval.high < one.interval.low


def _range_findings(bench: Bench, predicate: InputsPredicate) -> Iterator[Finding]:
    task, ranges = bench.opened.task, predicate.ranges
    outside = [one for one in ranges if one.outside]
    if outside:
        named = "; ".join(
            f"{shorten(printable(one.name), 60)}: {one.low:g} to {one.high:g}, declared {_declared(one)}"
            for one in outside[:_NAMED]
        )
        more = f" and {len(outside) - _NAMED} more" if len(outside) > _NAMED else ""
        yield finding(task, OUT_OF_RANGE_INPUTS, f"{named}{more}", "range")
    if bench.opened.data.kind == "table":
        return
    lows = [one.low for one in ranges if one.low is not None]
    highs = [one.high for one in ranges if one.high is not None]
    declared = bench.opened.parameters.model.input
    if lows and highs and declared is not None:
        used = (max(highs) - min(lows)) / (declared.range[1] - declared.range[0])
        if used < USED_RANGE:
            message = f"values reach from {min(lows):g} to {max(highs):g}; declared are {declared.range[0]:g} to {declared.range[1]:g}"
            yield finding(task, INPUT_RANGE_UNUSED, message, "range")
    constant = [one for one in ranges if one.constant]
    if constant and len(bench.batch) > 1:
        named = ", ".join(one.name for one in constant[:_NAMED])
        yield finding(task, CONSTANT_CHANNEL, f"{named}: always {constant[0].low:g}", "channel")


def _declared(one: SeenRange) -> str:
    return f"{one.declared_low:g} to {one.declared_high:g}"


def _odd_findings(bench: Bench, predicate: InputsPredicate) -> Iterator[Finding]:
    """NaN that leads to NaN is how arithmetic works and only low; from finite inputs it is worse."""
    task = bench.opened.task
    blank = [one for one in predicate.odd_inputs if one.behaviour == "not-finite"]
    if blank:
        finite = [one for one in blank if one.name not in ("NaN", "infinite")]
        message = f"scores are NaN or infinite for inputs that are {', '.join(one.name for one in blank)}"
        severity = NON_FINITE_OUTPUT.severity if finite else "low"
        yield finding(task, NON_FINITE_OUTPUT, message, "odd inputs", severity=severity)
    answered = [one.name for one in predicate.odd_inputs if one.behaviour == "answered"]
    if answered:
        yield finding(
            task, ODD_INPUT_ANSWERED, f"answered as if nothing were wrong: {', '.join(answered)}", "odd inputs"
        )
