"""From a variation to evidence: stored inputs that are read back and asked about again, health, outcome, measurements."""

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from heliotrope.attack.health.indicator import clean_accuracy, health_verdict, sample_size
from heliotrope.attack.pictures import MAX_STORED, show_picture
from heliotrope.attack.rules import ATTACK_UNSOUND, EVASION_POSSIBLE
from heliotrope.attack.variation.interface import Broken, Oracle
from heliotrope.core.evidence import Blob, statement
from heliotrope.core.findings import Finding, Rule, fingerprint
from heliotrope.core.measurements import Measurement
from heliotrope.core.outcomes import Inconclusive, NotApplicable, Passed
from heliotrope.core.predicates.behaviour import HealthIndicator
from heliotrope.core.predicates.variations import VARIATION_PREDICATE, VariationPoint, VariationPredicate
from heliotrope.core.runs import CheckResult
from heliotrope.engine.interface import RunContext
from heliotrope.subjects.batching import as_array, rows_at_once
from heliotrope.subjects.interface import Opened
from heliotrope.subjects.sampling import choose_rows
from heliotrope.subjects.sampling import sample_size as wanted_samples
from heliotrope.subjects.statistics import exact_interval

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from heliotrope.attack.variation.interface import Images

__all__ = ["Subject", "Variation", "concluded", "images_of", "not_images", "point"]

_PICTURES = 6
_FEW = 50
_TOLERANCE = 1e-5


@dataclass(frozen=True, slots=True)
class Subject:
    """Images that a variation is tried on."""

    oracle: Oracle
    images: "Images"
    labels: "NDArray[np.int64]"
    rows: "NDArray[np.int64]"


@dataclass(frozen=True, slots=True)
class Variation:
    """What came of it."""

    attack: Literal["geometry", "universal", "patch"]
    metric: str
    said: str
    """As in "turned by up to 30 degrees and moved by up to 10 %"."""
    allowed: dict[str, str | float | int]
    clean: "NDArray[np.bool_]"
    held: "NDArray[np.bool_]"
    points: tuple[VariationPoint, ...]
    broken: Broken
    again: "Callable[[Images, NDArray[np.int64], dict[str, NDArray[Any]]], NDArray[np.bool_]]"
    """Whether stored images, by their samples and numbers, are what the variation allows."""
    health: tuple[HealthIndicator, ...] = ()
    fitted: int = 0
    pattern: "Images | None" = None


def not_images(opened: Opened, *, smallest: int = 4) -> NotApplicable | None:
    """Variations are of images: C x H x W."""
    shape = opened.parameters.model.input.shape if opened.parameters.model.input is not None else None
    if opened.data.kind == "table" or shape is None or len(shape) != 3 or min(shape[1:]) < smallest:
        fact = (
            "the data are a table" if opened.data.kind == "table" else f"one sample has the shape {list(shape or ())}"
        )
        return NotApplicable(
            reason=f"only images of at least {smallest} x {smallest} pixels have a place", facts=(fact,)
        )
    return None


def images_of(opened: Opened, context: RunContext, most: int, each: int) -> tuple[Subject, str]:
    """A seeded choice of samples; of an endpoint no more than its budget permits at `each` questions a sample."""
    model = opened.parameters.model
    assert model.input is not None
    size, note = min(wanted_samples(opened.parameters, len(opened.data)), most), ""
    if model.endpoint is not None:
        affordable = max(1, int(0.6 * model.endpoint.budget * model.endpoint.batch / each))
        if affordable < size:
            size, note = affordable, f" (as many samples as endpoint.budget permits, not {size})"
    batch = opened.data.take(choose_rows(len(opened.data), size, opened.task.seed))
    low, high = model.input.range
    oracle = Oracle(opened.model.scores, rows_at_once(opened, context.limits.memory_bytes), low, high)
    return Subject(oracle, as_array(batch.inputs), batch.answers.astype("int64"), batch.rows), note


def point(name: str, right: int, n: int) -> VariationPoint:
    """Accuracy under one variation."""
    return VariationPoint(name=name, right=right, n=n, interval=exact_interval(right, n))


def concluded(opened: Opened, context: RunContext, subject: Subject, found: Variation, note: str = "") -> CheckResult:
    """Evidence, outcome, finding and measurements."""
    data, indicator = _stored(subject, found)
    n, clean, held = len(subject.labels), int(found.clean.sum()), int(found.held.sum())
    declared = opened.parameters.model.declared.clean_accuracy
    health = (
        clean_accuracy(n, clean, declared),
        sample_size(n, len(set(subject.labels.tolist()))),
        indicator,
        _same_twice(subject),
        *found.health,
    )
    verdict = health_verdict(health)
    shown = found.broken.images[:_PICTURES] if found.pattern is None else found.pattern[None]
    low, high = subject.oracle.low, subject.oracle.high
    pictures = [show_picture(image, low, high, context) for image in shown]
    predicate = VariationPredicate(
        attack=found.attack,
        allowed=found.allowed,
        n=n,
        fitted=found.fitted,
        clean_correct=clean,
        clean_accuracy=clean / n,
        clean_interval=exact_interval(clean, n),
        held=held,
        accuracy=held / n,
        interval=exact_interval(held, n),
        points=found.points,
        health=health,
        health_verdict=verdict,
        asked=subject.oracle.asked,
        samples=context.store(data, "application/x-npz") if data else None,
        pictures=tuple(picture for picture in pictures if picture is not None),
        data=opened.data.digests,
    )
    number = (
        f"accuracy {100 * held / n:.2f} % (95 % interval {100 * predicate.interval.low:.2f} to "
        f"{100 * predicate.interval.high:.2f} %) {found.said}, n = {n}{note}; clean accuracy {100 * clean / n:.2f} %, "
        f"attack {verdict}"
    )
    findings = []
    if clean > held:
        findings.append(
            _finding(opened, EVASION_POSSIBLE, f"{clean - held} of {clean} inputs were misled; {number}", found)
        )
    outcome: Passed | Inconclusive = Passed(reason=number)
    if verdict == "unsound":
        reason = _unsound(health)
        outcome = Inconclusive(reason=f"the attack is unsound: {reason}; {number} must not be relied on")
        findings.insert(0, _finding(opened, ATTACK_UNSOUND, reason, found))
    blobs: dict[str, Blob] = {one.sha256: one for one in (predicate.samples, *predicate.pictures) if one is not None}
    return CheckResult(
        outcome=outcome,
        evidence=(statement(opened.model.digests, VARIATION_PREDICATE, predicate),),
        findings=tuple(findings),
        measurements=(_measurement(opened, predicate, found.metric),),
        blobs=tuple(blobs.values()),
    )


def _unsound(health: tuple[HealthIndicator, ...]) -> str:
    failed = [one for one in health if one.state == "failed"]
    following = [one.next_attack for one in failed if one.next_attack is not None]
    reason = "; ".join(f"{one.title}: no ({one.actual})" for one in failed)
    return reason + (f"; next: {'; '.join(dict.fromkeys(following))}" if following else "")


def _measurement(opened: Opened, predicate: VariationPredicate, metric: str) -> Measurement:
    unsound = predicate.health_verdict == "unsound"
    return Measurement(
        metric=metric,
        value=None if unsound else predicate.accuracy,
        undefined_reason="the attack was unsound: see its health indicators" if unsound else None,
        n=predicate.n,
        interval=None if unsound else predicate.interval,
        direction="higher",
        subject=opened.task.subject.urn,
        conditions=predicate.allowed,
    )


def _finding(opened: Opened, rule: Rule, message: str, found: Variation) -> Finding:
    urn = opened.task.subject.urn
    return Finding(
        rule=rule.id,
        severity=rule.severity,
        confidence="high",
        message=message,
        subject=urn,
        fingerprint=fingerprint(rule.id, urn, f"{found.attack} {sorted(found.allowed.items())}"),
        fix=rule.fix,
        taxonomy=rule.taxonomy,
    )


def _stored(subject: Subject, found: Variation) -> tuple[bytes, HealthIndicator]:
    """The broken inputs as they are kept, read back and held against what is promised of them."""
    import numpy as np

    which = found.broken.which[:MAX_STORED]
    data, wrong = b"", 0
    if len(which):
        buffer = io.BytesIO()
        numbers = {name: values[: len(which)] for name, values in found.broken.numbers.items()}
        np.savez_compressed(
            buffer, allow_pickle=False, index=subject.rows[which], label=subject.labels[which],
            original=subject.images[which], perturbed=found.broken.images[: len(which)], **numbers,
        )  # fmt: skip
        data = buffer.getvalue()
        with np.load(io.BytesIO(data), allow_pickle=False) as stored:
            images = stored["perturbed"]
            read = {name: stored[name] for name in numbers}
        fine = found.again(images, which, read)
        fine &= (images >= subject.oracle.low).all(axis=(1, 2, 3)) & (images <= subject.oracle.high).all(axis=(1, 2, 3))
        fine &= subject.oracle.wrong(images, subject.labels[which])
        wrong = int((~fine).sum())
    indicator = HealthIndicator(
        id="perturbations",
        title="Stored adversarial inputs hold when checked again",
        state="failed" if wrong else "ok" if len(which) else "unknown",
        wanted="made by the variation that is named, within the range, misclassified",
        actual=f"{len(which) - wrong} of {len(which)} hold",
        explanation="The inputs are read back from the bytes that are kept, held against every promise, and classified again.",
        applies="every attack",
        test="any that does not hold fails",
        effect=wrong / len(which) if len(which) else None,
        consequence="invalidates",
        next_attack="evasion.ensemble, if the model answers differently in other batches",
    )
    return data, indicator


def _same_twice(subject: Subject) -> HealthIndicator:
    import numpy as np

    few = subject.images[:_FEW]
    first, second = subject.oracle.answers(few), subject.oracle.answers(few)
    difference = float(np.abs(first - second).max(initial=0.0))
    same = difference <= _TOLERANCE * max(float(np.abs(first).max(initial=0.0)), 1e-12)
    return HealthIndicator(
        id="deterministic",
        title="The model answers twice alike",
        state="ok" if same else "failed",
        wanted="equal scores for equal inputs",
        actual="equal" if difference == 0 else f"scores differ by up to {difference:.3g}",
        explanation="Against a randomised model each answer is a draw, and the worst of many draws is no property of it.",
        applies="every attack that asks",
        test=f"relative difference above {_TOLERANCE:g} fails",
        effect=difference,
        consequence="invalidates",
        next_attack="evasion.ensemble, which averages over draws",
    )
