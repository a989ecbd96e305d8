"""Whether one feature of a table, or one region of an image, carries the decision."""

from typing import TYPE_CHECKING

from heliotrope.core.evidence import statement
from heliotrope.core.findings import Finding
from heliotrope.core.measurements import Interval, Measurement
from heliotrope.core.outcomes import Failed, Inconclusive, NotApplicable, Passed
from heliotrope.core.predicates.explanations import SHORTCUT_PREDICATE, Ablation, ShortcutPredicate
from heliotrope.core.runs import CheckResult
from heliotrope.engine.interface import RunContext
from heliotrope.explain._common import Sampled, finding, named, percent, take_sample
from heliotrope.explain.parts import MAX_PARTS, Part, parts_of
from heliotrope.explain.rules import SHORTCUT_FEATURE
from heliotrope.subjects.batching import part_of
from heliotrope.subjects.checking import model_check
from heliotrope.subjects.interface import Opened
from heliotrope.subjects.statistics import mean_interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from heliotrope.subjects.interface import Inputs

    Floats = NDArray[np.float64]

__all__ = ["shortcut"]

CARRIES = 0.5
"""Share of what a model knows that goes with one part; the lower end of the interval must lie above it."""

MAX_SAMPLES = 1000
_REPEATS = 3
_FEWEST_ROWS = 30


@model_check(
    id="explain.shortcut", version="1", title="No single feature carries the decision", cost="standard", sampled=True
)
def shortcut(opened: Opened, context: RunContext) -> CheckResult:
    """Permute each feature, or each of 7 x 7 regions, among the samples. Fails when one costs most of what the model knows.

    What it knows is how much better it is than on inputs whose features are all permuted. A model that knows nothing, as
    one trained on permuted labels, raises no alarm.
    """
    sampled = take_sample(opened, context, at_most=MAX_SAMPLES, passes=_REPEATS * MAX_PARTS)
    parts, skipped = parts_of(opened.data, sampled.batch.inputs)
    if len(parts) < 2:
        return CheckResult(
            outcome=NotApplicable(reason="the model has one feature alone", facts=(f"{len(parts)} feature",))
        )
    if len(sampled.batch) < _FEWEST_ROWS:
        return CheckResult(
            outcome=Inconclusive(reason=f"{len(sampled.batch)} samples are too few: at least {_FEWEST_ROWS}")
        )
    predicate = _measure(sampled, parts, skipped, context)
    findings = _findings(opened, predicate)
    outcome = Failed(reason=findings[0].message) if findings else Passed(reason=_reason(predicate))
    return CheckResult(
        outcome=outcome,
        evidence=(statement(opened.model.digests, SHORTCUT_PREDICATE, predicate),),
        findings=findings,
        measurements=(_measurement(opened, predicate),),
    )


def _measure(sampled: Sampled, parts: tuple[Part, ...], skipped: int, context: RunContext) -> ShortcutPredicate:
    import numpy as np

    seed, n, inputs = sampled.opened.task.seed, len(sampled.batch), sampled.batch.inputs
    clean = sampled.marks(sampled.scores)
    sign = 1.0 if sampled.metric == "accuracy" else -1.0
    nothing = np.mean([_all_permuted(sampled, parts, repeat) for repeat in range(_REPEATS)], axis=0)
    known = sign * (clean - nothing)
    skill, skill_interval = float(known.mean()), _interval(known)
    knows = skill_interval is not None and skill_interval.low > 0
    found = []
    for position, part in enumerate(parts):
        orders = [np.random.default_rng([seed, position, repeat]).permutation(n) for repeat in range(_REPEATS)]
        marks = np.mean([sampled.marks(sampled.ask(part.permuted(inputs, order))) for order in orders], axis=0)
        lost = sign * (clean - marks)
        found.append(
            Ablation(
                name=part.name,
                goodness=sampled.goodness(marks),
                loss=float(lost.mean()),
                loss_interval=_interval(lost),
                skill_share=float(lost.mean()) / skill if knows else None,
            )
        )
        context.progress(position + 1, len(parts), named(part.name))
    ranked = tuple(sorted(found, key=lambda one: -one.loss))
    return ShortcutPredicate(
        metric=sampled.metric,
        n=n,
        clean=sampled.goodness(clean),
        chance=sampled.goodness(nothing),
        skill=skill,
        skill_interval=skill_interval,
        repeats=_REPEATS,
        ablations=ranked,
        carrier=_carrier(ranked, skill, knows=knows),
        threshold=CARRIES,
        skipped=skipped,
        asked=n * (1 + _REPEATS * (1 + len(parts))),
        data=sampled.opened.data.digests,
    )


def _carrier(ranked: tuple[Ablation, ...], skill: float, *, knows: bool) -> str | None:
    """The first, when its loss is most of the skill beyond doubt, and the second costs less than half as much."""
    first, second = ranked[:2]
    if not knows or first.loss_interval is None:
        return None
    alone = second.loss < first.loss / 2
    return first.name if alone and first.loss_interval.low > CARRIES * skill else None


def _all_permuted(sampled: Sampled, parts: tuple[Part, ...], repeat: int) -> "Floats":
    """Marks on inputs each of whose parts comes from another sample."""
    import numpy as np

    inputs: Inputs = part_of(sampled.batch.inputs, slice(None))
    for position, part in enumerate(parts):
        order = np.random.default_rng([sampled.opened.task.seed, 1, position, repeat]).permutation(len(inputs))
        inputs = part.permuted(inputs, order)
    return sampled.marks(sampled.ask(inputs))


def _interval(values: "Floats") -> Interval | None:
    return mean_interval(float(values.mean()), float(values.std(ddof=1)), len(values)) if len(values) > 1 else None


def _findings(opened: Opened, predicate: ShortcutPredicate) -> tuple[Finding, ...]:
    if predicate.carrier is None:
        return ()
    first, second = predicate.ablations[:2]
    span, share = first.loss_interval, first.skill_share or 0.0
    assert span is not None
    assert second.skill_share is not None
    accuracy = predicate.metric == "accuracy"
    values = (
        f"{percent(predicate.clean.value)} to {percent(first.goodness.value)}"
        if accuracy
        else f"{predicate.clean.value:.4g} to {first.goodness.value:.4g}"
    )
    low, high = (100 * span.low, 100 * span.high) if accuracy else (span.low, span.high)
    unit = "points" if accuracy else "of the target"
    message = (
        f"{named(first.name)} carries the decision: permuted, the {predicate.metric.replace('_', ' ')} goes from {values} "
        f"(loss {low:.4g} to {high:.4g} {unit}, 95 % interval, n = {predicate.n}), {share:.0%} of what the model knows; "
        f"the next, {named(second.name)}, takes {max(second.skill_share, 0.0):.0%}"
    )
    return (finding(opened.task, SHORTCUT_FEATURE, message, first.name),)


def _reason(predicate: ShortcutPredicate) -> str:
    first = predicate.ablations[0]
    if first.skill_share is None:
        return f"the model is not better than on inputs whose features are all permuted (n = {predicate.n}): nothing to carry"
    more = f"; {predicate.skipped} more features were not tried" if predicate.skipped else ""
    return f"the dearest of {len(predicate.ablations)}, {named(first.name)}, takes {max(first.skill_share, 0.0):.0%} of what the model knows (n = {predicate.n}){more}"


def _measurement(opened: Opened, predicate: ShortcutPredicate) -> Measurement:
    share = predicate.ablations[0].skill_share
    return Measurement(
        metric="largest_single_share",
        value=share,
        undefined_reason="the model knows nothing that a feature could carry" if share is None else None,
        n=predicate.n,
        direction="lower",
        subject=opened.task.subject.urn,
    )
