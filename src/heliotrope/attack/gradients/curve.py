"""Accuracy against the size of the perturbation, by short attacks at each radius."""

import math
from typing import TYPE_CHECKING

from heliotrope.attack.gradients.batches import in_batches
from heliotrope.attack.gradients.losses import Objective
from heliotrope.attack.gradients.model import GradientModel
from heliotrope.attack.gradients.pgd import descend
from heliotrope.attack.interface import AttackResult, Outcomes, Samples, Tick
from heliotrope.core.predicates.behaviour import RestartResult, ThreatModel
from heliotrope.subjects.balls import ball_around, lengths_of, shrunk

if TYPE_CHECKING:
    import torch

__all__ = ["curve_radii", "curve_steps", "short_attack", "trace_curve"]

_CURVE_FRACTIONS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
"""Where the curve of accuracy against perturbation is drawn, in units of eps."""

_CURVE_SHARE = 0.1
"""Steps at a radius above eps, as a share of steps x restarts: with two such radii the curve costs some 20 % on top."""


def trace_curve(
    model: GradientModel, samples: Samples, threat: ThreatModel, result: AttackResult, *, tick: Tick
) -> None:
    """Refine `reach` below and above eps with a short attack at each radius of the curve.

    Below: samples that broke at the next larger radius, from their known change brought to the smaller one. Above:
    samples that still stand, from the input. A change found within eps counts at eps, whatever radius it was sought at.
    """
    short, long = curve_steps(threat)
    before = result.right_at(threat.eps)
    radii = curve_radii(threat)
    below = [radius for radius in reversed(radii) if 0 < radius < threat.eps]
    above = [radius for radius in radii if radius > threat.eps]
    outer = threat.eps
    for position, radius in enumerate([*below, *above]):
        warm = radius < threat.eps
        chosen = ((result.reach > radius) & (result.reach <= (outer if warm else math.inf))).nonzero()[:, 0]
        origin = result.adversarial if warm else samples.inputs
        found = short_attack(
            model, samples, threat, chosen, radius=radius, steps=short if warm else long, origin=origin
        )
        which, inputs = chosen[found.broken], found.adversarial[found.broken]
        result.note(which, inputs, lengths_of(inputs, samples.inputs[which], threat))
        outer = radius
        tick((position + 1) / len(radii))
    found_late = before - result.right_at(threat.eps)
    if found_late:
        entry = RestartResult(restart=len(result.restarts), attacked=before, broken=found_late, attack="curve")
        result.restarts.append(entry)


def curve_radii(threat: ThreatModel) -> tuple[float, ...]:
    """The perturbation sizes of the curve, rising; eps itself is one of them."""
    return tuple(
        float(f"{fraction * threat.eps:.12g}") if fraction != 1 else threat.eps for fraction in _CURVE_FRACTIONS
    )


def curve_steps(threat: ThreatModel) -> tuple[int, int]:
    """Steps of the short attacks below eps, which start from a known change, and above, which start from the input."""
    share = int(_CURVE_SHARE * threat.steps * threat.restarts)
    return max(3, min(10, share)), max(5, min(20, share))


def short_attack(
    model: GradientModel,
    samples: Samples,
    threat: ThreatModel,
    chosen: "torch.Tensor",
    *,
    radius: float,
    steps: int,
    origin: "torch.Tensor",
) -> Outcomes:
    """Cross-entropy PGD on some samples at one radius, from points of `origin` brought into the ball."""

    def work(part: slice) -> Outcomes:
        which = chosen[part]
        centres = samples.inputs[which].to(model.device)
        ball = ball_around(centres, threat, radius)
        change = shrunk(origin[which].to(model.device) - centres, threat.norm, radius)
        start = ball.project(centres + change)
        objective = Objective("cross-entropy", samples.labels[which].to(model.device))
        return descend(model, ball, start, objective, steps=steps, size=2.5 * radius / steps)

    return Outcomes.joined(in_batches(model, len(chosen), work), samples)
