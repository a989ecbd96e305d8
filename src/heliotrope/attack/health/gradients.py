"""Signs of whether an attack worked. A robustness number is worth no more than they are."""

import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from heliotrope.attack.gradients.balls import ball_around, norms
from heliotrope.attack.gradients.pgd import descend
from heliotrope.attack.health.indicator import clean_accuracy, saturated
from heliotrope.attack.interface import AttackResult, Target
from heliotrope.core.predicates.behaviour import HealthIndicator, HealthState, ThreatModel

if TYPE_CHECKING:
    import torch

__all__ = ["Examined", "examine"]

MAX_GRADIENTLESS = 0.1
"""Share of samples without a usable gradient above which the attack counts as blind."""

MAX_SURVIVORS = 0.1
"""Share of samples that may survive when almost any input is allowed."""

_NORM_TOLERANCE = 1e-6
_SCORE_TOLERANCE = 1e-5
"""Relative: the same batch gives scores that differ by less, whatever it is put together from."""

_FEW = 50
_LARGE_STEPS = 20
_USED_RANGE = 0.05


@dataclass(frozen=True, slots=True)
class Examined:
    """All that the indicators look at."""

    target: Target
    module: "torch.nn.Module"
    threat: ThreatModel
    result: AttackResult
    stored: bytes
    """The npz of broken samples, as it is kept."""
    output: str
    """As declared: logits or probabilities."""
    declared_accuracy: float | None


def examine(examined: Examined) -> tuple[HealthIndicator, ...]:
    """Every indicator, in the order in which they should be read."""
    probes: Iterable[Callable[[Examined], HealthIndicator]] = (
        _clean_accuracy,
        _gradients,
        _range,
        _perturbations,
        _deterministic,
        _eval_mode,
        _output,
        _large_eps,
        _saturated,
    )
    return tuple(probe(examined) for probe in probes)


def _clean_accuracy(examined: Examined) -> HealthIndicator:
    return clean_accuracy(len(examined.target.labels), examined.result.right_at(0), examined.declared_accuracy)


def _gradients(examined: Examined) -> HealthIndicator:
    attacked, useless = examined.result.attacked, examined.result.gradientless
    state: HealthState = "unknown"
    if attacked:
        state = "failed" if useless >= MAX_GRADIENTLESS * attacked else "warning" if useless else "ok"
    return HealthIndicator(
        id="gradients",
        title="Gradients are there to follow",
        state=state,
        wanted=f"fewer than {MAX_GRADIENTLESS:.0%} of samples without a gradient at the image",
        actual=f"{useless} of {attacked} zero or not finite",
        explanation="Where the gradient vanishes, as with overconfident or quantised models, a gradient attack stands "
        "still and the model only looks robust. Every second pass takes a margin loss, which copes with large logits, "
        "but not with layers that pass no gradient on.",
    )


def _range(examined: Examined) -> HealthIndicator:
    images, threat = examined.target.images, examined.threat
    low, high = float(images.min()), float(images.max())
    lowest, highest = threat.box
    outside = low < _single(lowest) or high > _single(highest)
    used = (high - low) / (highest - lowest)
    return HealthIndicator(
        id="input-range",
        title="Inputs fill the declared range",
        state="failed" if outside else "warning" if used < _USED_RANGE else "ok",
        wanted=f"within {lowest:g} to {highest:g}, using at least {_USED_RANGE:.0%} of it",
        actual=f"{low:g} to {high:g}",
        explanation="A wrong range makes eps mean something else: the attack is then far too weak or far too strong.",
    )


def _perturbations(examined: Examined) -> HealthIndicator:
    import numpy as np
    import torch

    with np.load(io.BytesIO(examined.stored), allow_pickle=False) as stored:
        original, perturbed, labels = (torch.from_numpy(stored[key]) for key in ("original", "perturbed", "label"))
    threat, wrong = examined.threat, 0
    lowest, highest = (_single(bound) for bound in threat.box)
    for begin in range(0, len(labels), examined.target.batch):
        part = slice(begin, begin + examined.target.batch)
        lengths = norms(perturbed[part].double() - original[part].double(), threat.norm)
        box = perturbed[part].flatten(1)
        fine = lengths <= threat.eps * (1 + _NORM_TOLERANCE)
        fine &= (box >= lowest).all(dim=1) & (box <= highest).all(dim=1)
        fine &= _misleads(examined.target, perturbed[part], labels[part])
        wrong += int((~fine).sum())
    return HealthIndicator(
        id="perturbations",
        title="Stored adversarial inputs hold when checked again",
        state="failed" if wrong else "ok" if len(labels) else "unknown",
        wanted=f"{threat.norm} norm at most {threat.eps:g}, within the range, misclassified",
        actual=f"{len(labels) - wrong} of {len(labels)} hold",
        explanation="The inputs are read back from the bytes that are kept, measured in double precision, and "
        "classified again.",
    )


def _misleads(target: Target, inputs: "torch.Tensor", labels: "torch.Tensor") -> "torch.Tensor":
    """Whether another class scores at least as high, up to rounding."""
    import torch

    with torch.no_grad():
        scores = target.logits(inputs)
    own = scores.gather(1, labels[:, None])
    other = scores.scatter(1, labels[:, None], -torch.inf).amax(dim=1, keepdim=True)
    return (other >= own - _SCORE_TOLERANCE * scores.abs().amax(dim=1, keepdim=True))[:, 0]


def _deterministic(examined: Examined) -> HealthIndicator:
    import torch

    few = examined.target.images[:_FEW]
    with torch.no_grad():
        first, second = examined.target.logits(few), examined.target.logits(few)
    difference = float((first - second).abs().max())
    scale = max(float(first.abs().max()), 1e-12)
    same = difference <= _SCORE_TOLERANCE * scale
    return HealthIndicator(
        id="deterministic",
        title="The model answers twice alike",
        state="ok" if same else "failed",
        wanted="equal scores for equal inputs",
        actual="equal" if difference == 0 else f"scores differ by up to {difference:.3g}",
        explanation="Against a randomised model, gradients must be averaged over its randomness; this attack does not.",
    )


def _eval_mode(examined: Examined) -> HealthIndicator:
    training = [name or "model" for name, module in examined.module.named_modules() if module.training]
    return HealthIndicator(
        id="eval-mode",
        title="The model is in eval mode",
        state="failed" if training else "ok",
        wanted="no part in training mode",
        actual=f"{len(training)} parts in training mode" if training else "all in eval mode",
        explanation="Dropout and batch statistics of training mode change the answer from batch to batch.",
    )


def _output(examined: Examined) -> HealthIndicator:
    import torch

    with torch.no_grad():
        scores = examined.target.logits(examined.target.images[:_FEW])
    alike = bool((scores >= 0).all()) and bool(((scores.sum(dim=1) - 1).abs() < 1e-3).all())
    suspicious = examined.output == "logits" and alike
    return HealthIndicator(
        id="output",
        title="Outputs are what was declared",
        state="warning" if suspicious else "ok",
        wanted=examined.output,
        actual="every row is non-negative and sums to one" if suspicious else f"look like {examined.output}",
        explanation="Probabilities taken for logits flatten the loss and weaken the attack. If the model ends in "
        "softmax, set output: probabilities.",
    )


def _large_eps(examined: Examined) -> HealthIndicator:
    """Half the range in every pixel turns any image into grey: whatever survives that, the attack cannot see."""
    target, threat = examined.target, examined.threat
    low, high = threat.box
    radius = max((high - low) / 2, threat.eps)
    if threat.norm == "L2":
        radius = max((high - low) / 2 * target.images[0].numel() ** 0.5, threat.eps)
    chosen = (examined.result.reach > 0).nonzero()[:_FEW, 0]
    survivors = 0
    for begin in range(0, len(chosen), target.batch):
        part = chosen[begin : begin + target.batch]
        centres = target.images[part]
        size = 2.5 * radius / _LARGE_STEPS
        ball = ball_around(centres, threat, radius)
        descent = descend(target, part, ball, centres, steps=_LARGE_STEPS, size=size, cost=examined.result.cost)
        survivors += len(part) - len(descent.broken)
    state: HealthState = "unknown"
    if len(chosen):
        state = "warning" if survivors > MAX_SURVIVORS * len(chosen) else "ok"
    return HealthIndicator(
        id="large-eps",
        title="The attack breaks the model when almost anything is allowed",
        state=state,
        wanted=f"at most {MAX_SURVIVORS:.0%} survive {threat.norm} eps {radius:g} in {_LARGE_STEPS} steps",
        actual=f"{survivors} of {len(chosen)} survive",
        explanation="At this size every image can be turned into plain grey. An attack that still fails is not following "
        "the model.",
    )


def _saturated(examined: Examined) -> HealthIndicator:
    return saturated(tuple(examined.result.restarts), examined.threat, len(examined.target.labels))


def _single(value: float) -> float:
    """A bound as float32 holds it, which is how inputs are kept."""
    import numpy as np

    return float(np.float32(value))
