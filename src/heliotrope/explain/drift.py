"""Whether the decision rests on other features than in an earlier version, or on an earlier window of data."""

from dataclasses import replace
from typing import TYPE_CHECKING

from heliotrope.config.schema import ModelConfig
from heliotrope.core.evidence import Blob, statement
from heliotrope.core.findings import Finding
from heliotrope.core.measurements import Measurement
from heliotrope.core.outcomes import Failed, Inconclusive, NotApplicable, Outcome, Passed
from heliotrope.core.predicates.explanations import (
    DRIFT_PREDICATE,
    Comparison,
    DriftedFeature,
    DriftMap,
    DriftPredicate,
)
from heliotrope.core.predicates.quality import Goodness
from heliotrope.core.runs import CheckResult
from heliotrope.engine.interface import RunContext
from heliotrope.explain._common import Sampled, finding, heat_map, named, percent, take_sample
from heliotrope.explain._effects import effect_of
from heliotrope.explain._permuting import corrected
from heliotrope.explain._service import Attributed, attribute
from heliotrope.explain.rules import ATTRIBUTION_DRIFT
from heliotrope.subjects.checking import model_check
from heliotrope.subjects.interface import Opened
from heliotrope.subjects.statistics import exact_interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["EFFECT", "drift"]

EFFECT = 0.33
"""Absolute Cliff's delta from which an effect is called medium. Source: Romano, Kromrey, Coraggio and Skowronek (2006)."""

MAX_SAMPLES = 300
_FEWEST = 50
_LEVEL = 0.05
_STEPS = (64,)
_PASSES = 800
_CLASSES = 10


def _nothing_earlier(model: ModelConfig) -> NotApplicable | None:
    if model.previous is not None or model.data.reference is not None:
        return None
    return NotApplicable(
        reason="there is nothing to compare with: previous names an earlier version, data.reference earlier data",
        facts=("previous is not set", "data.reference is not set"),
    )


@model_check(
    id="explain.drift", version="1", title="The decision rests on what it rested on before", cost="deep", sampled=True,
    needs=("loader", "input", "output", "data.evaluate", "reference"), excludes=_nothing_earlier, estimate=60.0,
)  # fmt: skip
def drift(opened: Opened, context: RunContext) -> CheckResult:
    """Compare attributions with those of an earlier version on the same samples, and with those on earlier data.

    Of each sample the share of the absolute attribution that lies on each feature or region; per feature Mann and Whitney's
    test, corrected for all of them, and Cliff's delta of at least 0.33. Two versions are asked about the class that the
    present one predicts.
    """
    sampled = take_sample(opened, context, at_most=MAX_SAMPLES, passes=_PASSES)
    now = attribute(sampled, sampled.predicted, steps=_STEPS)
    compared, asked, problems = [], now.whole.asked + len(sampled.batch), []
    for kind in ("version", "window"):
        found = (_with_version if kind == "version" else _with_window)(sampled, now, context)
        if isinstance(found, Inconclusive):
            problems.append(found.reason)
        elif found is not None:
            compared.append(found[0])
            asked += found[1]
        context.progress(1 + (kind == "window"), 2, kind)
    if problems:
        return CheckResult(outcome=Inconclusive(reason="; ".join(problems)))
    predicate = DriftPredicate(
        method=now.whole.method,
        baseline=now.whole.baseline,
        comparisons=tuple(compared),
        effect=EFFECT,
        level=_LEVEL,
        skipped=now.skipped,
        asked=asked,
        notes=now.whole.notes,
        data=opened.data.digests,
    )
    findings = tuple(_finding(opened, one) for one in predicate.comparisons if one.features and one.features[0].drifted)
    outcome: Outcome = (
        Failed(reason="; ".join(one.message for one in findings)) if findings else Passed(reason=_reason(predicate))
    )
    return CheckResult(
        outcome=outcome,
        evidence=(statement(opened.model.digests, DRIFT_PREDICATE, predicate),),
        findings=findings,
        measurements=tuple(_measurement(opened, one) for one in predicate.comparisons),
        blobs=_blobs(predicate),
    )


Found = tuple[Comparison, int] | Inconclusive | None


def _with_version(sampled: Sampled, now: Attributed, context: RunContext) -> Found:
    opened = sampled.opened
    config, model = opened.parameters.previous, opened.previous
    if config is None or model is None:
        return None
    if (model.names, model.output) != (opened.model.names, opened.model.output):
        return Inconclusive(
            reason=f"{named(config.name)} has other classes, or answers with other scores", needs=("previous",)
        )
    if len(sampled.batch) < _FEWEST:
        return _too_few(len(sampled.batch))
    parameters = opened.parameters.model_copy(
        update={"model": config.model_copy(update={"input": opened.parameters.model.input})}
    )
    earlier = replace(sampled, opened=replace(opened, model=model, parameters=parameters))
    then = attribute(earlier, sampled.predicted, steps=_STEPS)
    if then.whole.method != now.whole.method:
        return Inconclusive(
            reason=f"the versions are explained by {now.whole.method} and {then.whole.method}: not comparable"
        )
    scores = earlier.ask(sampled.batch.inputs)
    agreement = None
    if sampled.opened.model.output != "values":
        same = int((scores.argmax(axis=1) == sampled.predicted).sum())
        n = len(sampled.batch)
        agreement = Goodness(n=n, value=same / n, interval=exact_interval(same, n))
    made = Comparison(
        kind="version",
        than=config.name,
        n=len(sampled.batch),
        n_then=len(sampled.batch),
        features=_features(now, then),
        agreement=agreement,
        maps=_maps(sampled, now, sampled, then, context),
        digests=model.digests,
    )
    return made, then.whole.asked + len(sampled.batch)


def _with_window(sampled: Sampled, now: Attributed, context: RunContext) -> Found:
    opened = sampled.opened
    if opened.reference is None:
        return None
    if [one.name for one in opened.reference.columns] != [one.name for one in opened.data.columns]:
        return Inconclusive(reason="data.reference has other columns than data.evaluate", needs=("data.reference",))
    window = take_sample(opened, context, at_most=MAX_SAMPLES, passes=_PASSES, data=opened.reference)
    if min(len(window.batch), len(sampled.batch)) < _FEWEST:
        return _too_few(min(len(window.batch), len(sampled.batch)))
    then = attribute(window, window.predicted, steps=_STEPS)
    made = Comparison(
        kind="window",
        than="data.reference",
        n=len(sampled.batch),
        n_then=len(window.batch),
        features=_features(now, then),
        agreement=None,
        maps=_maps(sampled, now, window, then, context),
        digests=opened.reference.digests,
    )
    return made, then.whole.asked + len(window.batch)


def _too_few(n: int) -> Inconclusive:
    return Inconclusive(reason=f"{n} samples are too few: at least {_FEWEST}")


def _shares(found: Attributed) -> "Floats":
    """N x parts: of each sample's absolute attribution, so that scores of another scale are no drift; 0 of nothing."""
    import numpy as np

    sizes = np.abs(found.by_part)
    total = sizes.sum(axis=1, keepdims=True)
    part: Floats = np.divide(sizes, total, out=np.zeros_like(sizes), where=total > 0)
    return part


def _features(now: Attributed, then: Attributed) -> tuple[DriftedFeature, ...]:
    ours, theirs = _shares(now), _shares(then)
    effects = [effect_of(ours[:, place], theirs[:, place]) for place in range(len(now.parts))]
    p_values = corrected([one.p_value for one in effects])
    made = [
        DriftedFeature(
            name=part.name,
            unit=part.unit,
            now=float(ours[:, place].mean()),
            then=float(theirs[:, place].mean()),
            delta=effects[place].delta,
            interval=effects[place].interval,
            p_value=p_values[place],
            drifted=p_values[place] < _LEVEL and abs(effects[place].delta) >= EFFECT,
        )
        for place, part in enumerate(now.parts)
    ]
    return tuple(sorted(made, key=lambda one: (not one.drifted, -abs(one.delta))))


def _maps(
    sampled: Sampled, now: Attributed, other: Sampled, then: Attributed, context: RunContext
) -> tuple[DriftMap, ...]:
    """Of images: both maps of each class, for the classes with most samples."""
    import numpy as np

    if sampled.opened.data.kind != "images" or now.whole.values.ndim != 4:
        return ()
    ours, theirs = (np.abs(one.whole.values).sum(axis=1) for one in (now, then))
    names = sampled.opened.model.names
    counts = np.bincount(sampled.predicted, minlength=len(names))
    made = []
    for label in sorted(np.argsort(-counts, kind="stable")[:_CLASSES].tolist()):
        mine, before = ours[sampled.predicted == label], theirs[other.predicted == label]
        made.append(
            DriftMap(
                label=label,
                name=names[label],
                n=len(mine),
                n_then=len(before),
                now=heat_map(mine.mean(axis=0), context) if len(mine) else None,
                then=heat_map(before.mean(axis=0), context) if len(before) else None,
            )
        )
    return tuple(made)


def _said(one: Comparison) -> str:
    return f"the version {named(one.than)}" if one.kind == "version" else "the data of data.reference"


def _finding(opened: Opened, one: Comparison) -> Finding:
    drifted = [feature for feature in one.features if feature.drifted]
    first = ", ".join(
        f"{named(feature.name)} from {percent(feature.then)} to {percent(feature.now)} (delta {feature.delta:+.2f})"
        for feature in drifted[:3]
    )
    message = (
        f"compared with {_said(one)}, {len(drifted)} of {len(one.features)} parts carry another share of the decision: {first}"
        f" (n = {one.n} and {one.n_then})"
    )
    return finding(opened.task, ATTRIBUTION_DRIFT, message, f"{one.kind} {one.than}")


def _reason(predicate: DriftPredicate) -> str:
    said = []
    for one in predicate.comparisons:
        largest = one.features[0]
        effect = f"the largest effect is {largest.delta:+.2f} of {named(largest.name)}"
        said.append(f"compared with {_said(one)} {effect} (n = {one.n} and {one.n_then}; {EFFECT} counts)")
    return "; ".join(said)


def _measurement(opened: Opened, one: Comparison) -> Measurement:
    largest = max(one.features, key=lambda feature: abs(feature.delta))
    return Measurement(
        metric="largest_attribution_shift",
        value=largest.delta,
        n=min(one.n, one.n_then),
        interval=largest.interval,
        direction="lower",
        unit="Cliff's delta",
        subject=opened.task.subject.urn,
        conditions={"than": one.than},
    )


def _blobs(predicate: DriftPredicate) -> tuple[Blob, ...]:
    found = [blob for one in predicate.comparisons for each in one.maps for blob in (each.now, each.then)]
    return tuple({blob.sha256: blob for blob in found if blob is not None}.values())
