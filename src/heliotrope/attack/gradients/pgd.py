"""Projected gradient descent with restarts, in batches that shrink as samples break.

Sources: Madry, Makelov, Schmidt, Tsipras, Vladu: Towards deep learning models resistant to adversarial attacks (2018);
margin loss: Carlini and Wagner: Towards evaluating the robustness of neural networks (2017).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from heliotrope.attack.gradients.balls import Ball, ball_around, norms, shrunk
from heliotrope.attack.interface import AttackResult, Cost, Target, Tick
from heliotrope.core.errors import InputError
from heliotrope.core.predicates.behaviour import RestartResult, ThreatModel
from heliotrope.core.text import printable, shorten

if TYPE_CHECKING:
    import torch

    Starts = Callable[[torch.Tensor, Ball], torch.Tensor]

__all__ = ["Descent", "Loss", "curve_radii", "curve_steps", "descend", "pgd", "trace_curve"]

Loss = Literal["cross-entropy", "margin"]

_CURVE_FRACTIONS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
"""Where the curve of accuracy against perturbation is drawn, in units of eps."""

_CURVE_SHARE = 0.1
"""Steps at a radius above eps, as a share of steps x restarts: with two such radii the curve costs some 20 % on top."""


@dataclass(frozen=True, slots=True)
class Descent:
    """What happened to one batch."""

    broken: "torch.Tensor"
    """Positions in the batch, in the order in which they broke."""
    found: "torch.Tensor"
    """The misclassified inputs."""
    steps: "torch.Tensor"
    """After how many steps each broke; 0 is the starting point."""
    gradientless: int
    """Samples whose gradient at the starting point was zero or not finite."""


def pgd(target: Target, threat: ThreatModel, *, seed: int, tick: Tick) -> AttackResult:
    """PGD; the first start is the image itself, further ones are random in the ball.

    What is wrong at the image itself is not attacked. Passes take cross-entropy and the margin loss in turn, because
    cross-entropy loses its way when logits are very large, very small or of many classes, and the margin is blind to
    scale. A single restart is therefore followed by one more pass from the image with the margin.
    """
    import torch

    result = AttackResult(
        reach=torch.full((len(target.labels),), math.inf, dtype=torch.float64), adversarial=target.images.clone()
    )
    passes = max(threat.restarts, 2)
    for index in range(passes):
        from_image = index == 0 or index >= threat.restarts
        starts = _images(target) if from_image else _random_starts(target, seed, index)
        loss: Loss = "margin" if index % 2 else "cross-entropy"
        _one_pass(target, threat, result, starts, loss=loss, tick=_part(tick, index / passes, 1 / passes))
    return result


def trace_curve(target: Target, threat: ThreatModel, result: AttackResult, *, tick: Tick) -> None:
    """Refine `reach` below and above eps with a short attack at each radius of the curve.

    Below: samples that broke at the next larger radius, from their known change brought to the smaller one. Above:
    samples that still stand, from the image. A change found within eps counts at eps, whatever radius it was sought at.
    """
    short, long = curve_steps(threat)
    before = result.right_at(threat.eps)
    radii = curve_radii(threat)
    below = [radius for radius in reversed(radii) if 0 < radius < threat.eps]
    above = [radius for radius in radii if radius > threat.eps]
    outer = threat.eps
    for position, radius in enumerate([*below, *above]):
        warm = radius < threat.eps
        chosen = (result.reach > radius) & (result.reach <= (outer if warm else math.inf))
        _seek(target, threat, result, chosen.nonzero()[:, 0], radius=radius, steps=short if warm else long, warm=warm)
        outer = radius
        tick((position + 1) / len(radii))
    found = before - result.right_at(threat.eps)
    if found:
        result.restarts.append(RestartResult(restart=len(result.restarts), attacked=before, broken=found))


def curve_radii(threat: ThreatModel) -> tuple[float, ...]:
    """The perturbation sizes of the curve, rising; eps itself is one of them."""
    return tuple(
        float(f"{fraction * threat.eps:.12g}") if fraction != 1 else threat.eps for fraction in _CURVE_FRACTIONS
    )


def curve_steps(threat: ThreatModel) -> tuple[int, int]:
    """Steps of the short attacks below eps, which start from a known change, and above, which start from the image."""
    share = int(_CURVE_SHARE * threat.steps * threat.restarts)
    return max(3, min(10, share)), max(5, min(20, share))


def descend(
    target: Target,
    chosen: "torch.Tensor",
    ball: Ball,
    start: "torch.Tensor",
    *,
    steps: int,
    size: float,
    cost: Cost,
    loss: Loss = "cross-entropy",
    tick: Tick = lambda _share: None,
) -> Descent:
    """Climb the loss from `start`; a sample leaves the batch as soon as it is misclassified.

    Loss and prediction come from one forward pass.
    """
    import torch

    labels, inputs = target.labels[chosen], start
    alive = torch.arange(len(chosen))
    broken: list[torch.Tensor] = []
    found: list[torch.Tensor] = []
    when: list[torch.Tensor] = []
    gradientless = 0
    for step in range(steps + 1):
        last = step == steps
        inputs = inputs.detach().requires_grad_(not last)
        with torch.set_grad_enabled(not last):
            scores = target.logits(inputs)
        cost.forward += len(inputs)
        wrong = (scores.argmax(dim=1) != labels) & scores.isfinite().all(dim=1)
        if bool(wrong.any()):
            broken.append(alive[wrong])
            found.append(inputs.detach()[wrong])
            when.append(torch.full((int(wrong.sum()),), step))
        if last or bool(wrong.all()):
            break
        gradient = _gradient(scores, labels, inputs, wrong, loss)
        cost.gradient += len(inputs)
        if bool(wrong.any()):
            keep = ~wrong
            alive, labels, ball = alive[keep], labels[keep], ball.select(keep)
            inputs, gradient = inputs.detach()[keep], gradient[keep]
        if step == 0:
            gradientless = _count_useless(gradient)
        inputs = ball.step(inputs.detach(), gradient.nan_to_num(0.0, 0.0, 0.0), size)
        tick((step + 1) / (steps + 1))
    return Descent(_joined(broken, alive[:0]), _joined(found, start[:0]), _joined(when, alive[:0]), gradientless)


def _one_pass(
    target: Target, threat: ThreatModel, result: AttackResult, starts: "Starts", *, loss: Loss, tick: Tick
) -> None:
    """One start for every sample that still stands."""
    standing = result.reach.isinf().nonzero()[:, 0]
    first = not result.restarts
    broken = wrong = 0
    for begin in range(0, len(standing), target.batch):
        chosen = standing[begin : begin + target.batch]
        ball = ball_around(target.images[chosen], threat, threat.eps)
        share = _part(tick, begin / len(standing), len(chosen) / len(standing))
        descent = descend(
            target,
            chosen,
            ball,
            starts(chosen, ball),
            steps=threat.steps,
            size=threat.step_size,
            cost=result.cost,
            loss=loss,
            tick=share,
        )
        by_itself = descent.steps == 0 if first else descent.steps < 0
        _note(target, threat, result, chosen[descent.broken], descent.found)
        wrong += int(by_itself.sum())
        broken += int((~by_itself).sum())
        result.gradientless += descent.gradientless if first else 0
    if first:
        result.attacked = len(standing) - wrong
    result.restarts.append(RestartResult(restart=len(result.restarts), attacked=len(standing) - wrong, broken=broken))


def _seek(
    target: Target,
    threat: ThreatModel,
    result: AttackResult,
    chosen: "torch.Tensor",
    *,
    radius: float,
    steps: int,
    warm: bool,
) -> None:
    """A short attack on some samples at one radius."""
    for begin in range(0, len(chosen), target.batch):
        part = chosen[begin : begin + target.batch]
        centres = target.images[part]
        ball = ball_around(centres, threat, radius)
        change = shrunk(result.adversarial[part] - centres, threat.norm, radius)
        start = ball.project(centres + change) if warm else centres
        size = 2.5 * radius / steps
        descent = descend(target, part, ball, start, steps=steps, size=size, cost=result.cost)
        _note(target, threat, result, part[descent.broken], descent.found)


def _note(
    target: Target, threat: ThreatModel, result: AttackResult, rows: "torch.Tensor", found: "torch.Tensor"
) -> None:
    """Keep what misleads with a smaller change than known before."""
    lengths = norms(found.double() - target.images[rows].double(), threat.norm)
    better = lengths < result.reach[rows]
    result.reach[rows[better]] = lengths[better]
    result.adversarial[rows[better]] = found[better]


def _images(target: Target) -> "Starts":
    return lambda chosen, _ball: target.images[chosen]


def _random_starts(target: Target, seed: int, restart: int) -> "Starts":
    """Starting points that depend on seed, restart and row alone: batches and threads do not change them."""
    import numpy as np
    import torch

    shape = tuple(target.images.shape[1:])

    def starts(chosen: "torch.Tensor", ball: Ball) -> "torch.Tensor":
        noise = np.empty((len(chosen), *shape), dtype=np.float32)
        shares = np.empty(len(chosen), dtype=np.float32)
        for position, sample in enumerate(chosen.tolist()):
            source = np.random.default_rng([seed, restart, target.rows[sample]])
            source.standard_normal(out=noise[position], dtype=np.float32)
            shares[position] = source.random(dtype=np.float32)
        return ball.random(torch.from_numpy(noise), torch.from_numpy(shares))

    return starts


def _gradient(
    scores: "torch.Tensor", labels: "torch.Tensor", inputs: "torch.Tensor", wrong: "torch.Tensor", loss: Loss
) -> "torch.Tensor":
    """The gradient of the summed loss of the samples that are still right; zero where the model passes none on."""
    import torch

    if not scores.requires_grad:
        return torch.zeros_like(inputs)
    keep = ~wrong
    value = _loss(scores[keep], labels[keep], loss).sum()
    try:
        gradient: torch.Tensor | None = torch.autograd.grad(value, inputs, allow_unused=True)[0]
    except RuntimeError as error:
        reason = shorten(printable(str(error)), 200)
        raise InputError(
            f"the model passes no gradient back: {reason}", hint="a gradient attack needs a differentiable model"
        ) from None
    return torch.zeros_like(inputs) if gradient is None else gradient


def _loss(scores: "torch.Tensor", labels: "torch.Tensor", loss: Loss) -> "torch.Tensor":
    import torch

    if loss == "cross-entropy":
        return torch.nn.functional.cross_entropy(scores, labels, reduction="none")
    own = scores.gather(1, labels[:, None])
    return (scores.scatter(1, labels[:, None], -math.inf).amax(dim=1, keepdim=True) - own)[:, 0]


def _part(tick: Tick, begin: float, length: float) -> Tick:
    """Progress of a part of the work, as progress of the whole."""
    return lambda share: tick(begin + share * length)


def _count_useless(gradient: "torch.Tensor") -> int:
    flat = gradient.flatten(1)
    return int(((flat == 0).all(dim=1) | ~flat.isfinite().all(dim=1)).sum())


def _joined(parts: "list[torch.Tensor]", empty: "torch.Tensor") -> "torch.Tensor":
    import torch

    return torch.cat(parts) if parts else empty
