"""Hints at triggers: whether a small fixed region drives one predicted class, by attribution and by what the model does."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from heliotrope.core.evidence import Blob, statement
from heliotrope.core.findings import Finding, Severity
from heliotrope.core.measurements import Measurement
from heliotrope.core.outcomes import Failed, Inconclusive, NotApplicable, Outcome, Passed
from heliotrope.core.predicates.explanations import TRIGGERS_PREDICATE, TriggerCandidate, TriggersPredicate
from heliotrope.core.predicates.quality import Goodness
from heliotrope.core.runs import CheckResult
from heliotrope.engine.interface import RunContext
from heliotrope.explain._common import Sampled, finding, named, percent, picture, take_sample
from heliotrope.explain._permuting import corrected, excess_by_class
from heliotrope.explain._service import Attributed, attribute
from heliotrope.explain.regions import Region, regions_of, shares
from heliotrope.explain.rules import TRIGGER_REGION
from heliotrope.subjects.batching import as_array
from heliotrope.subjects.checking import model_check
from heliotrope.subjects.interface import Opened
from heliotrope.subjects.statistics import exact_interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Images = NDArray[np.float32]
    Labels = NDArray[np.int64]

__all__ = ["DRIVES", "triggers"]

DRIVES = 0.5
"""Share of the samples of other classes that has to change to the class: most of them."""

MAX_SAMPLES = 400
_SCREENED_ROWS = 50
"""Of the samples to choose on: how many each content is tried on."""
_FEWEST_ROWS = 100
_FEWEST_OTHERS = 20
_FEWEST_OF_CLASS = 10
_MAX_CLASSES = 20
_DONORS = 5
_RIVALS = 12
"""Other regions, drawn at random, that get the best content of their own."""
_ALPHA = 0.05
_STEPS = (32,)
_PASSES = 700
"""Over an endpoint's sample, at most: occlusion, plain values in every region, and donors for twenty classes."""


@dataclass(frozen=True, slots=True)
class _Stamp:
    """A region with a content, as it was chosen; `share` is how many it changed where it was chosen."""

    label: int
    region: Region
    content: "Images | float"
    source: str
    share: float
    excess: float | None = None
    p_value: float | None = None


@dataclass(frozen=True, slots=True)
class _Pair:
    """A candidate, and the strongest of other regions that do not overlap it."""

    best: _Stamp
    rival: _Stamp
    regions: int
    """From how many the rival was chosen."""


@dataclass(frozen=True, slots=True)
class _Screen:
    """The samples on which everything is chosen; those it is tried on are others."""

    sampled: Sampled
    images: "Images"
    predicted: "Labels"
    numbers: "Labels"
    """Where the images stand in the data."""
    rows: "Labels"
    """Of the images: those that contents are tried on."""
    regions: tuple[Region, ...]
    shares: "Floats"

    def changed(self, region: Region, content: "Images | float") -> "Floats":
        """Share of samples of other classes that change to each class."""
        import numpy as np

        after = self.sampled.ask(region.filled(self.images[self.rows], content)).argmax(axis=1)
        before = self.predicted[self.rows]
        classes = self.sampled.opened.model.classes
        others = np.array([(before != label).sum() for label in range(classes)])
        turned = np.array([((after == label) & (before != label)).sum() for label in range(classes)])
        share: Floats = np.divide(turned, others, out=np.zeros(classes), where=others > 0)
        return share


@model_check(
    id="explain.triggers", version="1", title="No small fixed region drives a class", cost="deep", sampled=True,
    estimate=150.0,
)  # fmt: skip
def triggers(opened: Opened, context: RunContext) -> CheckResult:
    """Look for a small region whose content turns samples of other classes into one class, and no other region does.

    Regions are chosen on one half of the samples: where attributions of a class differ from those of the others (permutation
    test over all regions and classes), with contents of its samples, and everywhere with the lowest and the highest value. On
    the other half the content has to change most samples. A hint of low confidence, no proof.
    """
    shape = as_array(opened.data.take(_first()).inputs).shape if opened.data.kind == "images" else ()
    if opened.model.output == "values" or len(shape) != 4 or min(shape[-2:]) < 4:
        fact = f"the inputs are a {opened.data.kind}" if len(shape) != 4 else f"the inputs are {list(shape[1:])}"
        reason = "a fixed region is looked for in images of at least 4 x 4 pixels that are classified"
        return CheckResult(outcome=NotApplicable(reason=reason, facts=(fact,)))
    sampled = take_sample(opened, context, at_most=MAX_SAMPLES, passes=_PASSES)
    if len(sampled.batch) < _FEWEST_ROWS:
        reason = f"{len(sampled.batch)} samples are too few: at least {_FEWEST_ROWS}, half to choose on, half to try"
        return CheckResult(outcome=Inconclusive(reason=reason))
    predicate = _measure(sampled, context)
    findings = tuple(_finding(opened, one) for one in predicate.candidates if one.hint)
    outcome: Outcome = Failed(reason=findings[0].message) if findings else Passed(reason=_reason(predicate))
    if not predicate.candidates:
        outcome = Inconclusive(reason="no class leaves enough samples of others to try anything on")
    return CheckResult(
        outcome=outcome,
        evidence=(statement(opened.model.digests, TRIGGERS_PREDICATE, predicate),),
        findings=findings,
        measurements=_measurements(opened, predicate),
        blobs=_blobs(predicate),
    )


def _first() -> "Labels":
    import numpy as np

    return np.zeros(1, dtype=np.int64)


def _measure(sampled: Sampled, context: RunContext) -> TriggersPredicate:
    import numpy as np

    images, predicted, n = as_array(sampled.batch.inputs), sampled.predicted, len(sampled.batch)
    order = np.random.default_rng([sampled.opened.task.seed, 7]).permutation(n)
    chosen, tried = np.sort(order[: n // 2]), np.sort(order[n // 2 :])
    regions = regions_of(images.shape)
    found = attribute(
        sampled, predicted[chosen], inputs=images[chosen], steps=_STEPS,
        tick=lambda done, total: context.progress(done, 3 * total, "attributing"),
    )  # fmt: skip
    screen = _Screen(
        sampled, images[chosen], predicted[chosen], sampled.batch.rows[chosen],
        np.arange(min(_SCREENED_ROWS, len(chosen))), regions, shares(_maps(found, images.shape), regions),
    )  # fmt: skip
    counter = [n + found.whole.asked]
    pairs = [*_by_value(screen, counter, context), *_by_attribution(screen, counter, context)]
    others = {label: int((predicted[tried] != label).sum()) for label in range(sampled.opened.model.classes)}
    pairs = [pair for pair in pairs if others[pair.best.label] >= _FEWEST_OTHERS]
    confidence = 1 - _ALPHA / max(len(pairs), 1)
    candidates = [
        _tried(sampled, images[tried], predicted[tried], pair, confidence=confidence, context=context) for pair in pairs
    ]
    counter[0] += 2 * sum(one.changed.n for one in candidates)
    names = sampled.opened.model.names
    few = np.bincount(screen.predicted, minlength=len(names)) < _FEWEST_OF_CLASS
    return TriggersPredicate(
        method=found.whole.method,
        n=n,
        screened=len(chosen),
        regions=len(regions),
        threshold=DRIVES,
        candidates=tuple(sorted(candidates, key=lambda one: (not one.hint, -one.changed.value, one.label))),
        skipped=tuple(names[label] for label in np.flatnonzero(few)),
        asked=counter[0],
        notes=found.whole.notes,
        data=sampled.opened.data.digests,
    )


def _maps(found: Attributed, shape: tuple[int, ...]) -> "Floats":
    """N x height x width of absolute attributions; of tiles each spread over its pixels."""
    import numpy as np

    if found.whole.values.ndim == 4:
        summed: Floats = np.abs(found.whole.values).sum(axis=1)
        return summed
    maps = np.zeros((len(found.by_part), *shape[2:]))
    for place, part in enumerate(found.parts):
        rows, columns = part.box[1:]
        size = (rows.stop - rows.start) * (columns.stop - columns.start)
        maps[:, rows, columns] = np.abs(found.by_part[:, place, None, None]) / size
    return maps


def _by_value(screen: _Screen, counter: list[int], context: RunContext) -> Iterator[_Pair]:
    """For each class the region that changes most when it holds the lowest or the highest value, and its best rival."""
    import numpy as np

    declared = screen.sampled.opened.parameters.model.input
    values = declared.range if declared is not None else (0.0, 1.0)
    total = len(screen.regions)
    turned = np.zeros((total, len(values), screen.sampled.opened.model.classes))
    for place, region in enumerate(screen.regions):
        turned[place] = [screen.changed(region, value) for value in values]
        context.progress(total + place, 3 * total, "plain values")
    counter[0] += total * len(values) * len(screen.rows)
    strongest = np.argsort(-turned.max(axis=(0, 1)), kind="stable")[:_MAX_CLASSES]

    def stamp(label: int, among: list[int]) -> _Stamp:
        place, which = max(
            ((place, which) for place in among for which in range(len(values))),
            key=lambda one: turned[one[0], one[1], label],
        )
        source = f"{('lowest', 'highest')[which]} value, {values[which]:g}"
        return _Stamp(label, screen.regions[place], values[which], source, float(turned[place, which, label]))

    for label in sorted(strongest.tolist()):
        best = stamp(label, list(range(total)))
        apart = [place for place, one in enumerate(screen.regions) if not one.overlaps(best.region)]
        yield _Pair(best, stamp(label, apart), len(apart))


def _by_attribution(screen: _Screen, counter: list[int], context: RunContext) -> Iterator[_Pair]:
    """For each class whose attributions differ from the others', the region where they do so most, and its best rival."""
    import numpy as np

    counts = np.bincount(screen.predicted, minlength=screen.sampled.opened.model.classes)
    labels = [label for label in np.argsort(-counts, kind="stable")[:_MAX_CLASSES].tolist()
              if _FEWEST_OF_CLASS <= counts[label] < len(screen.predicted)]  # fmt: skip
    seed = screen.sampled.opened.task.seed
    excess, p_values = excess_by_class(screen.shares, screen.predicted, labels, seed)
    for position, (label, p_value) in enumerate(zip(labels, corrected(p_values), strict=True)):
        context.progress(2 * len(labels) + position, 3 * len(labels), "contents of samples")
        if p_value >= _ALPHA:
            continue
        place = int(excess[position].argmax())
        region = screen.regions[place]
        apart = [one for one, other in enumerate(screen.regions) if not other.overlaps(region)]
        drawn = np.random.default_rng([seed, 8, label]).permutation(apart)[:_RIVALS].tolist()
        best = _with_donor(screen, label, place)
        rivals = [_with_donor(screen, label, other) for other in drawn]
        counter[0] += (1 + len(drawn)) * min(_DONORS, counts[label]) * len(screen.rows)
        made = _Stamp(label, region, best.content, best.source, best.share, float(excess[position, place]), p_value)
        yield _Pair(made, max(rivals, key=lambda one: one.share), len(drawn))


def _with_donor(screen: _Screen, label: int, place: int) -> _Stamp:
    """The content that changes most, of the five samples of the class with the largest share of attribution in the region."""
    import numpy as np

    region = screen.regions[place]
    mine = np.flatnonzero(screen.predicted == label)
    donors = mine[np.argsort(-screen.shares[mine, place], kind="stable")][:_DONORS]
    found = []
    for donor in donors.tolist():
        content = screen.images[donor : donor + 1][region.box][0]
        share = float(screen.changed(region, content)[label])
        found.append(_Stamp(label, region, content, f"sample {screen.numbers[donor]}", share))
    return max(found, key=lambda one: one.share)


def _tried(
    sampled: Sampled, images: "Images", predicted: "Labels", pair: _Pair, *, confidence: float, context: RunContext
) -> TriggerCandidate:  # fmt: skip
    """What a candidate and its rival do to samples that neither was chosen on."""
    one = pair.best
    others = images[predicted != one.label]
    changed, elsewhere = (_share(sampled, others, stamp, confidence) for stamp in (one, pair.rival))
    assert changed.interval is not None
    assert elsewhere.interval is not None
    declared = sampled.opened.parameters.model.input
    low, high = declared.range if declared is not None else (0.0, 1.0)
    shown = one.region.filled(others[:1], one.content)
    return TriggerCandidate(
        label=one.label,
        name=sampled.opened.model.names[one.label],
        region=one.region.name,
        content=one.source,
        excess=one.excess,
        p_value=one.p_value,
        changed=changed,
        elsewhere=elsewhere,
        regions=pair.regions,
        hint=changed.interval.low > max(DRIVES, elsewhere.interval.high),
        patch=picture(shown[one.region.box][0], low, high, context),
        original=picture(others[0], low, high, context),
        example=picture(shown[0], low, high, context),
    )


def _share(sampled: Sampled, others: "Images", stamp: _Stamp, confidence: float) -> Goodness:
    n = len(others)
    turned = int((sampled.ask(stamp.region.filled(others, stamp.content)).argmax(axis=1) == stamp.label).sum())
    return Goodness(n=n, value=turned / n, interval=exact_interval(turned, n, confidence))


def _finding(opened: Opened, one: TriggerCandidate) -> Finding:
    span = one.changed.interval
    assert span is not None
    message = (
        f"{one.region} with the content of {one.content} turns {percent(one.changed.value)} of the samples of other classes "
        f"into {named(one.name)} ({percent(span.low)} to {percent(span.high)}, n = {one.changed.n}); the strongest of "
        f"{one.regions} other regions turns {percent(one.elsewhere.value)}: a hint at a trigger, no proof"
    )
    plain = one.p_value is None
    if plain:
        message += (
            ". No sample shows this content: a network may be this weak where images are never lit, without any plan"
        )
    severity: Severity = "low" if plain else "medium"
    location = f"{one.label} {one.region}"
    return finding(opened.task, TRIGGER_REGION, message, location, severity=severity, confidence="low")


def _reason(predicate: TriggersPredicate) -> str:
    if not predicate.candidates:
        return "nothing was tried"
    first = predicate.candidates[0]
    return (
        f"of {len(predicate.candidates)} contents of small regions the strongest ({first.region}, {first.content}) turns "
        f"{percent(first.changed.value)} of n = {first.changed.n} samples into {named(first.name)}; the strongest elsewhere "
        f"{percent(first.elsewhere.value)}. Contents that no sample shows, other than one plain value, were not tried"
    )


def _measurements(opened: Opened, predicate: TriggersPredicate) -> tuple[Measurement, ...]:
    if not predicate.candidates:
        return ()
    worst = max(predicate.candidates, key=lambda one: one.changed.value)
    return (
        Measurement(
            metric="largest_region_effect",
            value=worst.changed.value,
            n=worst.changed.n,
            interval=worst.changed.interval,
            direction="lower",
            subject=opened.task.subject.urn,
        ),
    )


def _blobs(predicate: TriggersPredicate) -> tuple[Blob, ...]:
    found = [blob for one in predicate.candidates for blob in (one.patch, one.original, one.example)]
    return tuple({blob.sha256: blob for blob in found if blob is not None}.values())
