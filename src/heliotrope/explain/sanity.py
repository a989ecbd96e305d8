"""Whether attributions depend on what the model has learned: they must change when its parameters are random."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from heliotrope.core.evidence import Blob, statement
from heliotrope.core.findings import Finding
from heliotrope.core.measurements import Measurement
from heliotrope.core.outcomes import Failed, Inconclusive, NotApplicable, Outcome, Passed
from heliotrope.core.predicates.explanations import SANITY_PREDICATE, Randomised, SanityExample, SanityPredicate
from heliotrope.core.runs import CheckResult
from heliotrope.engine.interface import RunContext
from heliotrope.explain._common import Sampled, finding, heat_map, picture, take_sample
from heliotrope.explain._service import Attributed, attribute
from heliotrope.explain.randomised import Layers, layers_of, randomised_copy
from heliotrope.explain.rules import INSENSITIVE_ATTRIBUTIONS
from heliotrope.subjects.batching import as_array
from heliotrope.subjects.checking import model_check
from heliotrope.subjects.interface import Opened
from heliotrope.subjects.statistics import mean_interval
from heliotrope.subjects.torch_model import TorchModel

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["THRESHOLD", "sanity", "similarities"]

THRESHOLD = 0.5**0.5
"""Rank correlation above which more than half of the variance of ranks is shared with a model that has learned nothing.

The paper has no number: methods that pass fall to about 0, those that do not stay near 1. Not 0, since integrated gradients
contain the factor (input - baseline): two independent normal gradients on uniform inputs share 1 / (1 + pi^2 / 8) = 0.45.
"""

MAX_SAMPLES = 100
_FEWEST = 30
_FEWEST_PARTS = 10
"""A rank correlation of fewer says little about one sample."""
_DRAWS = 3
"""Of all parameters; every one of them has to say the same."""
_STAGES = 6
_STEPS = (32,)
"""Of integrated gradients, for the model and its copies alike: ranks settle long before sums do."""
_EXAMPLES = 4


@model_check(
    id="explain.sanity", version="1", title="Attributions depend on what was learned", cost="deep", sampled=True,
    estimate=120.0,
)  # fmt: skip
def sanity(opened: Opened, context: RunContext) -> CheckResult:
    """Compare the attributions of a network with those of copies whose parameters are random, top layer first, then all.

    Fails when absolute attributions keep most of their order though all parameters are random, in each of three draws.
    Source: Adebayo et al.: Sanity checks for saliency maps (2018).
    """
    model = opened.model
    if not isinstance(model, TorchModel):
        fact = f"format is {model.format}"
        return CheckResult(
            outcome=NotApplicable(reason="only parameters of torch networks are made random", facts=(fact,))
        )
    sampled = take_sample(opened, context, at_most=MAX_SAMPLES)
    layers = layers_of(model, _probe(sampled))
    own = attribute(sampled, sampled.predicted, steps=_STEPS)
    refused = _refused(layers, own, len(sampled.batch))
    if refused is not None:
        return CheckResult(outcome=refused)
    predicate = _measure(sampled, layers, own, context)
    return _result(opened, predicate)


def _refused(layers: Layers, own: Attributed, n: int) -> Outcome | None:
    parts = own.whole.values[0].size if n else 0
    if not layers.names:
        return NotApplicable(reason="the network has no parameters", facts=("0 modules own parameters",))
    if n < _FEWEST:
        return Inconclusive(reason=f"{n} samples are too few: at least {_FEWEST}")
    if parts < _FEWEST_PARTS:
        return NotApplicable(
            reason=f"attributions of fewer than {_FEWEST_PARTS} parts have no order to compare",
            facts=(f"{parts} parts",),
        )
    return None


def _probe(sampled: Sampled) -> "NDArray[np.float32]":
    import numpy as np

    return np.array(sampled.batch.inputs[:4], dtype=np.float32)


def _measure(sampled: Sampled, layers: Layers, own: Attributed, context: RunContext) -> SanityPredicate:
    counts = _stages(len(layers.names))
    total = len(counts) + _DRAWS - 1
    cascade, complete, asked, last = [], [], 0, own
    for done, (count, draw) in enumerate(
        [(count, 0) for count in counts] + [(counts[-1], d) for d in range(1, _DRAWS)]
    ):
        names = layers.top(count)
        random = _attributed(sampled, names, draw)
        asked += random.whole.asked
        entry = _compared(own, random, names, draw)
        if draw == 0:
            cascade.append(entry)
        if count == counts[-1]:
            complete.append(entry)
            last = random if draw == 0 else last
        context.progress(done + 1, total, f"{count} of {len(layers.names)} layers random")
    return SanityPredicate(
        method=own.whole.method,
        baseline=own.whole.baseline,
        n=len(sampled.batch),
        layers=len(layers.names),
        cascade=tuple(cascade),
        complete=tuple(complete),
        threshold=THRESHOLD,
        insensitive=_insensitive(complete),
        examples=_examples(sampled, own, last, context),
        asked=asked + own.whole.asked + len(sampled.batch),
        notes=own.whole.notes,
        data=sampled.opened.data.digests,
    )


def _stages(layers: int) -> list[int]:
    """How many layers are random at each stage: one, then evenly up to all."""
    count = min(layers, _STAGES)
    return sorted({max(1, round(1 + (layers - 1) * step / max(count - 1, 1))) for step in range(count)})


def _attributed(sampled: Sampled, names: tuple[str, ...], draw: int) -> Attributed:
    """Attributions of the same classes by a copy with these layers random."""
    opened = sampled.opened
    random = randomised_copy(opened, names, _probe(sampled), seed=opened.task.seed * _DRAWS + draw)
    return attribute(replace(sampled, opened=replace(opened, model=random)), sampled.predicted, steps=_STEPS)


def _compared(own: Attributed, random: Attributed, names: tuple[str, ...], draw: int) -> Randomised:
    found = similarities(own.whole.values, random.whole.values)
    defined = found[~_nan(found)]
    n = len(defined)
    mean = float(defined.mean()) if n else None
    interval = None if mean is None or n < 2 else mean_interval(mean, float(defined.std(ddof=1)), n)
    return Randomised(
        layers=len(names), last=names[-1] or "the network", draw=draw, similarity=mean, interval=interval, n=n
    )


def _nan(values: "Floats") -> "NDArray[np.bool_]":
    import numpy as np

    return np.isnan(values)


def similarities(one: "Floats", other: "Floats") -> "Floats":
    """Spearman's rank correlation of absolute attributions for each sample; NaN where a map is the same throughout.

    Places to which neither gives anything are left out: where the input is the baseline, no parameters could change that.
    """
    import numpy as np
    from scipy.stats import rankdata

    found = np.full(len(one), np.nan)
    for row, (left, right) in enumerate(zip(one.reshape(len(one), -1), other.reshape(len(other), -1), strict=True)):
        used = (left != 0) | (right != 0)
        ranks = [rankdata(np.abs(values[used])) for values in (left, right)]
        if used.sum() >= _FEWEST_PARTS and all(rank.std() > 0 for rank in ranks):
            found[row] = np.corrcoef(*ranks)[0, 1]
    return found


def _insensitive(complete: Sequence[Randomised]) -> bool | None:
    """True when every draw's interval lies above the threshold, False when every one lies below; None: they do not decide."""
    spans = [one.interval for one in complete if one.n >= _FEWEST]
    if len(spans) < len(complete) or any(span is None for span in spans):
        return None
    known = [span for span in spans if span is not None]
    if all(span.low > THRESHOLD for span in known):
        return True
    return False if all(span.high < THRESHOLD for span in known) else None


def _examples(sampled: Sampled, own: Attributed, random: Attributed, context: RunContext) -> tuple[SanityExample, ...]:
    import numpy as np

    if sampled.opened.data.kind != "images" or own.whole.values.ndim != 4:
        return ()
    declared = sampled.opened.parameters.model.input
    low, high = declared.range if declared is not None else (0.0, 1.0)
    images = as_array(sampled.batch.inputs)
    _, first = np.unique(sampled.predicted, return_index=True)
    return tuple(
        SanityExample(
            index=int(sampled.batch.rows[row]),
            original=picture(images[row], low, high, context),
            attribution=heat_map(np.abs(own.whole.values[row]).sum(axis=0), context),
            randomised=heat_map(np.abs(random.whole.values[row]).sum(axis=0), context),
        )
        for row in first[:_EXAMPLES].tolist()
    )


def _result(opened: Opened, predicate: SanityPredicate) -> CheckResult:
    said = _said(predicate)
    outcome: Outcome = Passed(reason=said)
    findings: tuple[Finding, ...] = ()
    if predicate.insensitive is None:
        outcome = Inconclusive(reason=said)
    elif predicate.insensitive:
        findings = (finding(opened.task, INSENSITIVE_ATTRIBUTIONS, said, predicate.method, confidence="high"),)
        outcome = Failed(reason=said)
    return CheckResult(
        outcome=outcome,
        evidence=(statement(opened.model.digests, SANITY_PREDICATE, predicate),),
        findings=findings,
        measurements=(_measurement(opened, predicate),),
        blobs=_blobs(predicate),
    )


def _said(predicate: SanityPredicate) -> str:
    low = min((one.interval.low for one in predicate.complete if one.interval), default=None)
    high = max((one.interval.high for one in predicate.complete if one.interval), default=None)
    if low is None or high is None or any(one.n < _FEWEST for one in predicate.complete):
        fewest = min(one.n for one in predicate.complete)
        return (
            f"{predicate.method} gives {fewest} of {predicate.n} samples a map that can be compared: at least {_FEWEST}"
        )
    span = f"rank correlation {low:.2f} to {high:.2f} (95 %, {len(predicate.complete)} draws, n = {predicate.n})"
    ends = {
        True: f"stay much the same when all {predicate.layers} layers are random: they show the input and not the model",
        False: f"change when all {predicate.layers} layers are random",
        None: f"may or may not change when all {predicate.layers} layers are random",
    }
    return f"attributions by {predicate.method} {ends[predicate.insensitive]}; {span}, limit {predicate.threshold:.2f}"


def _measurement(opened: Opened, predicate: SanityPredicate) -> Measurement:
    first = max(predicate.complete, key=lambda one: -2.0 if one.similarity is None else one.similarity)
    return Measurement(
        metric="similarity_to_random",
        value=first.similarity,
        undefined_reason="no map can be compared" if first.similarity is None else None,
        interval=first.interval,
        n=first.n,
        direction="lower",
        unit="rank correlation",
        subject=opened.task.subject.urn,
    )


def _blobs(predicate: SanityPredicate) -> tuple[Blob, ...]:
    found = [blob for one in predicate.examples for blob in (one.original, one.attribution, one.randomised)]
    return tuple({blob.sha256: blob for blob in found if blob is not None}.values())
