"""Signs of whether a search worked: it has no gradients to look at, but it can feel whether the model answers to its moves."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from heliotrope.attack.health.indicator import clean_accuracy, sample_size, saturated
from heliotrope.attack.search.searching import SearchResult, SearchTarget, attempt
from heliotrope.attack.search.space import CHOICE
from heliotrope.core.predicates.behaviour import HealthIndicator, HealthState, ThreatModel
from heliotrope.core.text import printable, shorten

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from heliotrope.attack.search.space import Points, Rows

__all__ = ["Searched", "examine_questions", "examine_search"]

MAX_SURVIVORS = 0.1
"""Share of samples that may survive when almost any input is allowed."""

MAX_STUCK = 0.1
"""Share of samples with answers as sure as numbers can say, which no move changed: what a saturated score hides."""

_TOLERANCE = 1e-5
_FEW = 50
_SINGLES = 20
"""Stored inputs that are asked about one by one."""
_LARGE_STEPS = 20
_USED_RANGE = 0.05
_NAMED = 5


@dataclass(frozen=True, slots=True)
class Searched:
    """All that the indicators look at."""

    target: SearchTarget
    threat: ThreatModel
    result: SearchResult
    stored: "Rows"
    """Samples whose broken inputs are kept."""
    read_back: "Points"
    """Those inputs, from the bytes that are kept."""
    output: str
    declared_accuracy: float | None
    seed: int


def examine_search(searched: Searched) -> tuple[HealthIndicator, ...]:
    """Every indicator, in the order in which they should be read."""
    probes: Iterable[Callable[[Searched], HealthIndicator]] = (
        _clean_accuracy,
        _sample,
        _movable,
        _range,
        _perturbations,
        _deterministic,
        _output,
        _signal,
        _large_eps,
        _saturated,
    )
    found = tuple(probe(searched) for probe in probes)
    return found if searched.target.space.constraints is None else (*found, _feasible(searched))


def examine_questions(searched: Searched) -> tuple[HealthIndicator, ...]:
    """Those that hold for any attack that asks, whatever it moves by."""
    return tuple(probe(searched) for probe in (_clean_accuracy, _range, _perturbations, _deterministic))


def _clean_accuracy(searched: Searched) -> HealthIndicator:
    return clean_accuracy(len(searched.target.labels), searched.result.right_at(0), searched.declared_accuracy)


def _sample(searched: Searched) -> HealthIndicator:
    labels = searched.target.labels
    return sample_size(len(labels), len(set(labels.tolist())))


def _movable(searched: Searched) -> HealthIndicator:
    """A column that no one may change is fine; one that could not move by accident, as an integer with a small eps, is not."""
    import numpy as np

    space = searched.target.space
    everything = np.arange(len(searched.target.labels))
    meant = space.numbers | (space.kinds == CHOICE)
    if space.budget == 0:
        meant &= space.kinds != CHOICE
    moved = np.zeros(len(meant), dtype=bool)
    for begin in range(0, len(everything), searched.target.batch):
        part = everything[begin : begin + searched.target.batch]
        moved |= space.movable(part, space.box(part, searched.threat.eps)).any(axis=0)
    still = np.nonzero(meant & ~moved)[0]
    state: HealthState = "failed" if not moved.any() else "warning" if len(still) else "ok"
    names = [space.names[index] if space.names else str(index) for index in still[:_NAMED]]
    actual = f"{int(moved.sum())} of {len(meant)} can move"
    if len(still):
        actual += f"; not: {', '.join(shorten(printable(name), 40) for name in names)}"
        actual += f" and {len(still) - _NAMED} more" if len(still) > _NAMED else ""
    return HealthIndicator(
        id="movable",
        title="The features that may change can change",
        state=state,
        wanted="every number, boolean and category that is not immutable, in at least one sample",
        actual=actual,
        explanation="An eps below one step of an integer, a column without variation or a single valid category leave "
        "nothing to search: the model is then robust because nothing was tried. Text, times and identifiers are not searched.",
        applies="every search",
        test="no feature that can move in any sample fails, one that cannot warns",
        effect=len(still) / len(meant) if len(meant) else None,
        consequence="invalidates",
        next_attack="a larger eps, wider ranges, or threat.changed_categories; texts: evasion.text",
    )


def _range(searched: Searched) -> HealthIndicator:
    import numpy as np

    space = searched.target.space
    centres = space.centres
    finite = np.isfinite(centres) & space.numbers
    outside = finite & ((centres < space.low.astype(centres.dtype)) | (centres > space.high.astype(centres.dtype)))
    share = float(outside.any(axis=1).mean())
    used = 1.0
    if not space.names:
        used = float(np.ptp(centres[finite])) / float(space.high[0] - space.low[0]) if finite.any() else 0.0
    narrow = used < _USED_RANGE
    failed = share > 0 and not space.names
    return HealthIndicator(
        id="input-range",
        title="Inputs fill the declared range",
        state="failed" if failed else "warning" if share > 0 or narrow else "ok",
        wanted="every value within its range" + ("" if space.names else f", using at least {_USED_RANGE:.0%} of it"),
        actual=f"{share:.2%} of samples have a value outside"
        + ("" if space.names else f"; {used:.0%} of the range is used"),
        explanation="A wrong range makes eps mean something else, and a value outside of it stays where it is.",
        applies="every search; of tables it warns alone",
        test=f"any sample with a value outside; images: less than {_USED_RANGE:.0%} of the range used warns",
        effect=share,
        consequence="invalidates",
        next_attack="correct input.range or the ranges of input.columns, then search again",
    )


def _perturbations(searched: Searched) -> HealthIndicator:
    target, which, points = searched.target, searched.stored, searched.read_back
    fine = target.space.feasible(which, points, searched.threat.eps)
    fine &= _misled(target, points, which)
    for position in range(min(len(which), _SINGLES)):
        one = slice(position, position + 1)
        fine[position] &= _misled(target, points[one], which[one])[0]
    wrong = int((~fine).sum())
    return HealthIndicator(
        id="perturbations",
        title="Stored adversarial inputs hold when checked again",
        state="failed" if wrong else "ok" if len(which) else "unknown",
        wanted="norm, range, whole numbers, valid categories and their budget kept, all else untouched, misclassified",
        actual=f"{len(which) - wrong} of {len(which)} hold",
        explanation="The inputs are read back from the bytes that are kept, held against every promise, and classified "
        f"again: all in batches, the first {_SINGLES} also one by one.",
        applies="searches that misled a sample",
        test="any stored input that breaks a promise or no longer misleads fails",
        effect=wrong / len(which) if len(which) else None,
        consequence="invalidates",
        next_attack="look for differences by batch size or state in the model, then search again",
    )


def _feasible(searched: Searched) -> HealthIndicator:
    """Of what is kept, read back: constraints alone, so that a person sees them checked."""
    fine = searched.target.space.permitted(searched.stored, searched.read_back)
    wrong = int((~fine).sum())
    return HealthIndicator(
        id="feasible",
        title="Stored adversarial inputs keep the constraints",
        state="failed" if wrong else "ok" if len(fine) else "unknown",
        wanted="directions, steps, largest changes, one-hot groups, relations and costs kept by every row",
        actual=f"{len(fine) - wrong} of {len(fine)} keep them",
        explanation="Every stored row is read back from the bytes that are kept and held against the constraints file.",
        applies="tables with data.constraints",
        test="any stored row that breaks one fails",
        effect=wrong / len(fine) if len(fine) else None,
        consequence="invalidates",
        next_attack="correct the constraints where they contradict each other, then search again",
    )


def _misled(target: SearchTarget, points: "Points", which: "Rows") -> "NDArray[np.bool_]":
    """Whether another class scores at least as high, up to rounding."""
    lead, wrong = target.ask(points, which)
    return wrong | (lead <= _TOLERANCE)


def _deterministic(searched: Searched) -> HealthIndicator:
    import numpy as np

    target = searched.target
    few = np.arange(min(_FEW, len(target.labels)))
    first, _ = target.ask(target.space.centres[few], few)
    second, _ = target.ask(target.space.centres[few], few)
    difference = float(np.abs(first - second).max())
    same = difference <= _TOLERANCE * max(float(np.abs(first).max()), 1e-12)
    return HealthIndicator(
        id="deterministic",
        title="The model answers twice alike",
        state="ok" if same else "failed",
        wanted="equal scores for equal inputs",
        actual="equal" if difference == 0 else f"scores differ by up to {difference:.3g}",
        explanation="Against a randomised model each step must be judged by several answers; this attack does not.",
        applies="every search",
        test=f"leads of the first {_FEW} samples, asked twice, differ by more than rounding",
        effect=difference,
        consequence="invalidates",
        next_attack="switch the randomness off; of torch models on images evasion.ensemble, which averages over draws",
    )


def _output(searched: Searched) -> HealthIndicator:
    labels = searched.output == "labels"
    return HealthIndicator(
        id="output",
        title="Scores say how near a change comes",
        state="warning" if labels else "ok",
        wanted="logits or probabilities",
        actual="the class alone" if labels else searched.output,
        explanation="With the class alone the search walks blindly inside its bounds; a model that survives may fall to an "
        "attack with many more questions.",
        applies="models that answer with labels",
        test="the declared output is labels",
        effect=1.0 if labels else 0.0,
        consequence="warns",
        next_attack="let the model return probabilities, or more threat.steps",
    )


def _signal(searched: Searched) -> HealthIndicator:
    """Constant leads are how trees are; together with a score at its very end they say that nothing could be felt."""
    import numpy as np

    result = searched.result
    right = result.reach > 0
    sure = result.lead >= 1.0 - 1e-7 if searched.output == "probabilities" else np.zeros(len(right), dtype=bool)
    stuck = int((right & ~result.felt & sure).sum())
    moved = int((right & result.felt).sum())
    state: HealthState = "unknown"
    if result.attacked:
        state = "warning" if stuck > MAX_STUCK * result.attacked else "ok"
    return HealthIndicator(
        id="signal",
        title="The model answers to small changes",
        state=state,
        wanted=f"at most {MAX_STUCK:.0%} of samples with a probability of exactly one that no change moved",
        actual=f"{moved} of {result.attacked} moved; {stuck} stayed at exactly one",
        explanation="A probability that is one to the last digit hides how near the boundary is. Of trees, a score that "
        "does not move is ordinary.",
        applies="models that answer with probabilities",
        test=f"share of right samples above {MAX_STUCK:.0%}",
        effect=stuck / result.attacked if result.attacked else None,
        consequence="warns",
        next_attack="ask for logits, or for unrounded probabilities",
    )


def _large_eps(searched: Searched) -> HealthIndicator:
    """With the whole range allowed, even towards samples of other classes: whatever survives that, the search cannot see."""
    target, result = searched.target, searched.result
    chosen = (result.reach > 0).nonzero()[0][:_FEW]
    radius = _whole_range(searched)
    survivors = chosen
    for start in ("guide", "donor", "random"):
        one = attempt(target, survivors, radius, _LARGE_STEPS, result, seed=searched.seed, restart=1,
                      start=start, best=target.space.centres[survivors])  # fmt: skip
        survivors = survivors[~one.broken]
    state: HealthState = "unknown"
    if len(chosen):
        state = "warning" if len(survivors) > MAX_SURVIVORS * len(chosen) else "ok"
    return HealthIndicator(
        id="large-eps",
        title="Changes without bounds break the model",
        state=state,
        wanted=f"at most {MAX_SURVIVORS:.0%} survive when every value may take its whole range",
        actual=f"{len(survivors)} of {len(chosen)} survive",
        explanation="A model that withstands everything is not robust: either the search fails, or what may change does "
        "not matter to the model.",
        applies="every search",
        test=f"share of {_FEW} right samples above {MAX_SURVIVORS:.0%}",
        effect=len(survivors) / len(chosen) if len(chosen) else None,
        consequence="warns",
        next_attack="more threat.steps and restarts; check that the features that may change are those the model reads",
    )


def _whole_range(searched: Searched) -> float:
    import numpy as np

    space, eps = searched.target.space, searched.threat.eps
    some = space.numbers & (space.scale > 0)
    spans = (space.high - space.low)[some] / space.scale[some]
    spans = spans[np.isfinite(spans)]
    widest = float(spans.max(initial=10 * eps))
    return max(widest * (1.0 if searched.threat.norm == "Linf" else max(int(some.sum()), 1) ** 0.5), eps)


def _saturated(searched: Searched) -> HealthIndicator:
    return saturated(tuple(searched.result.restarts[: searched.threat.restarts]), len(searched.target.labels))
