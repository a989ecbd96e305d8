"""Which features or pixels move the score of the predicted class, and whether the attributions add up."""

from typing import TYPE_CHECKING

from heliotrope.core.evidence import Blob, statement
from heliotrope.core.outcomes import Passed
from heliotrope.core.predicates.explanations import (
    ATTRIBUTIONS_PREDICATE,
    AttributedExample,
    AttributionsPredicate,
    ClassAttribution,
    Completeness,
    FeatureAttribution,
)
from heliotrope.core.runs import CheckResult
from heliotrope.engine.interface import RunContext
from heliotrope.explain._common import Sampled, heat_map, named, percent, picture, take_sample
from heliotrope.explain._service import Attributed, attribute
from heliotrope.explain.interface import TOLERANCE, Attribution
from heliotrope.subjects.batching import as_array
from heliotrope.subjects.checking import model_check
from heliotrope.subjects.interface import Opened
from heliotrope.subjects.statistics import mean_interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["attributions"]

MAX_SAMPLES = 200
MAX_CLASSES = 20
"""Classes with a map of their own: those with most samples."""

_EXAMPLES = 8
_PASSES = 400
"""Over an endpoint's sample: draws times parts, at most."""


@model_check(id="explain.attributions", version="1", title="What the decision rests on", cost="standard", sampled=True)
def attributions(opened: Opened, context: RunContext) -> CheckResult:
    """Attribute the score of the predicted class on up to 200 samples. Never fails: attributions can be manipulated.

    Completeness errors are told, with how many samples stay below 5 %.
    """
    sampled = take_sample(opened, context, at_most=MAX_SAMPLES, passes=_PASSES)
    found = attribute(sampled, sampled.predicted, tick=lambda done, total: context.progress(done, total, "attributing"))
    whole = found.whole
    pictured = opened.data.kind == "images" and whole.values.ndim == 4
    predicate = AttributionsPredicate(
        method=whole.method,
        baseline=whole.baseline,
        score=whole.score,
        n=len(sampled.batch),
        completeness=_completeness(whole),
        features=_features(found),
        classes=_classes(sampled, whole, context) if pictured else (),
        examples=_examples(sampled, whole, context) if pictured else (),
        asked=whole.asked + len(sampled.batch),
        notes=(*whole.notes, *((f"{found.skipped} more features were not looked at",) if found.skipped else ())),
        data=opened.data.digests,
    )
    return CheckResult(
        outcome=Passed(reason=_reason(predicate)),
        evidence=(statement(opened.model.digests, ATTRIBUTIONS_PREDICATE, predicate),),
        blobs=_blobs(predicate),
    )


def _completeness(whole: Attribution) -> Completeness | None:
    import numpy as np

    if whole.error is None or not len(whole.error):
        return None
    return Completeness(
        tolerance=TOLERANCE,
        median_error=float(np.median(whole.error)),
        worst_error=float(whole.error.max()),
        reached=int((whole.error < TOLERANCE).sum()),
        n=len(whole.error),
        steps=whole.steps,
    )


def _features(found: Attributed) -> tuple[FeatureAttribution, ...]:
    import numpy as np

    sizes = np.abs(found.by_part)
    made = []
    for position, part in enumerate(found.parts):
        column = sizes[:, position]
        mean, deviation = float(column.mean()), float(column.std(ddof=1)) if len(column) > 1 else 0.0
        interval = mean_interval(mean, deviation, len(column))
        made.append(FeatureAttribution(name=part.name, importance=mean, interval=interval, unit=part.unit))
    return tuple(sorted(made, key=lambda one: -one.importance))


def _classes(sampled: Sampled, whole: Attribution, context: RunContext) -> tuple[ClassAttribution, ...]:
    import numpy as np

    maps = np.abs(whole.values).sum(axis=1)
    predicted, names = sampled.predicted, sampled.opened.model.names
    counts = np.bincount(predicted, minlength=len(names))
    kept = sorted(np.argsort(-counts, kind="stable")[:MAX_CLASSES].tolist())
    made = []
    for label in kept:
        mine = maps[predicted == label]
        mean = mine.mean(axis=0) if len(mine) else None
        made.append(
            ClassAttribution(
                label=label,
                name=names[label],
                n=len(mine),
                map=None if mean is None else heat_map(mean, context),
                densest_decile=None if mean is None else _densest(mean),
            )
        )
    return tuple(made)


def _densest(values: "NDArray[np.float64]") -> float | None:
    import numpy as np

    ordered = np.sort(values.reshape(-1))[::-1]
    total = float(ordered.sum())
    return float(ordered[: max(1, len(ordered) // 10)].sum() / total) if total > 0 else None


def _examples(sampled: Sampled, whole: Attribution, context: RunContext) -> tuple[AttributedExample, ...]:
    """The most confident sample of each class, in the order of the classes, and mistakes first."""
    import numpy as np

    opened, images = sampled.opened, as_array(sampled.batch.inputs)
    declared = opened.parameters.model.input
    low, high = declared.range if declared is not None else (0.0, 1.0)
    predicted, answers = sampled.predicted, sampled.batch.answers.astype(np.int64)
    margin = np.sort(sampled.scores, axis=1)[:, -1] - np.sort(sampled.scores, axis=1)[:, -2]
    order = np.lexsort((-margin, predicted == answers))
    chosen: dict[tuple[bool, int], int] = {}
    for position in order.tolist():
        chosen.setdefault((bool(predicted[position] == answers[position]), int(predicted[position])), position)
    names = opened.model.names
    return tuple(
        AttributedExample(
            index=int(sampled.batch.rows[position]),
            label_name=names[answers[position]],
            prediction_name=names[predicted[position]],
            original=picture(images[position], low, high, context),
            attribution=heat_map(np.abs(whole.values[position]).sum(axis=0), context),
        )
        for position in list(chosen.values())[:_EXAMPLES]
    )


def _reason(predicate: AttributionsPredicate) -> str:
    first = ", ".join(f"{named(one.name)} {one.importance:.3g}" for one in predicate.features[:3])
    said = f"{predicate.method} on {predicate.n} samples, mean absolute {predicate.score}: {first}"
    done = predicate.completeness
    if done is not None:
        said += f"; completeness error {percent(done.median_error)} in the median, {percent(done.worst_error)} at worst"
        if done.reached < done.n:
            said += f" ({done.n - done.reached} of {done.n} samples stay above {percent(done.tolerance)})"
    return "; ".join([said, *predicate.notes])


def _blobs(predicate: AttributionsPredicate) -> tuple[Blob, ...]:
    found = [one.map for one in predicate.classes]
    found += [blob for one in predicate.examples for blob in (one.original, one.attribution)]
    return tuple({blob.sha256: blob for blob in found if blob is not None}.values())
