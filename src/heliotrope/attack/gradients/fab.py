"""Fast adaptive boundary attack: along linearised boundaries, with the input itself as an anchor, towards the smallest change.

It needs no step size and no radius: where climbing inside the ball stops on the wrong side of a ridge, as at L2 on networks
that were trained to be robust, it comes from outside. Source: Croce and Hein: Minimally distorted adversarial examples with a
fast adaptive boundary attack (2020), algorithm 1, targeted as in Croce and Hein: Reliable evaluation of adversarial robustness
(2020), appendix C.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from heliotrope.attack.gradients.batches import in_batches
from heliotrope.attack.gradients.book import Book
from heliotrope.attack.gradients.losses import Objective, ranked_targets
from heliotrope.attack.gradients.model import GradientModel
from heliotrope.attack.gradients.planes import onto_plane
from heliotrope.attack.gradients.starts import random_points
from heliotrope.attack.interface import Attack, Budget, Outcomes, Samples, Tick, part_of
from heliotrope.subjects.balls import ball_around, lengths_of, norms, per_sample, units_of

if TYPE_CHECKING:
    import torch

    from heliotrope.core.predicates.behaviour import ThreatModel

__all__ = ["BoundaryWalk"]

_OVERSHOOT = 1.05
"""How far beyond the plane a step goes. eta of the paper."""

_MOST_ANCHOR = 0.1
"""Largest weight of the step that begins at the input. alpha_max of the paper."""

_BACK = 0.8
"""A misled point too far away comes back to this share of its change. beta of the paper is 0.9, with a second look in each step;
with a single one 0.8 leaves least of 0.7, 0.8, 0.9 and 0.95 on the first 50 images of the MNIST fixture at L2 1.5."""

_TINY = 1e-30


@dataclass(frozen=True, slots=True)
class BoundaryWalk:
    """One walk towards one class."""

    rank: int
    """The place of the target among the other classes by their score at the input, from 1."""
    steps: int
    restart: int = 0
    """0 starts at the input itself, others at a random point of their own."""

    @property
    def name(self) -> str:
        """As in evidence."""
        return f"fab-{self.rank}"

    def __call__(
        self,
        model: GradientModel,
        samples: Samples,
        threat: "ThreatModel",
        *,
        seed: int,
        budget: Budget = Budget(),  # noqa: B008 - frozen
        tick: Tick = lambda _share: None,
    ) -> Outcomes:
        """Attack every sample, in the model's batches; see `Attack`. What leaves lies within the threat's eps."""
        import torch

        steps = budget.steps(self.steps, model.draws)

        def work(part: slice) -> Outcomes:
            chosen = samples.select(torch.arange(part.start, part.stop)).on(model.device)
            ranked = chosen.targets
            if ranked is None:
                ranked = ranked_targets(model.scores(chosen.inputs), chosen.labels, self.rank)
            objective = Objective("gap", chosen.labels, ranked[:, self.rank - 1])
            start = chosen.inputs
            if self.restart:
                ball = ball_around(chosen.inputs, threat, threat.eps)
                start = random_points(chosen, ball, seed=seed, restart=self.restart)
            share = part_of(tick, part.start / len(samples), (part.stop - part.start) / len(samples))
            return _walk(model, chosen.inputs, start, threat, objective, steps=steps, tick=share)

        return Outcomes.joined(in_batches(model, len(samples), work), samples)


def _walk(
    model: GradientModel,
    centres: "torch.Tensor",
    points: "torch.Tensor",
    threat: "ThreatModel",
    objective: Objective,
    *,
    steps: int,
    tick: Tick,
) -> Outcomes:
    book = Book(model, points)
    for step in range(steps):
        allowed = lengths_of(points, centres, threat) <= threat.eps
        climb = model.climb(points, objective)
        wrong = climb.scores.argmax(dim=1) != objective.labels
        keep = book.enter(step, points, climb, objective, allowed=allowed)
        moved = _step(points, centres, climb.gradient, climb.values, threat)
        back = centres + _BACK * (points - centres)
        points = back.where(per_sample(wrong, points), moved).clamp(*threat.box)
        if keep is not None:
            if not len(book.alive):
                return book.closed()
            points, centres, objective = points[keep], centres[keep], objective.select(keep)
        tick((step + 1) / (steps + 1))
    book.last(steps, points, objective.labels, allowed=lengths_of(points, centres, threat) <= threat.eps)
    return book.closed()


def _step(
    points: "torch.Tensor",
    centres: "torch.Tensor",
    normals: "torch.Tensor",
    gaps: "torch.Tensor",
    threat: "ThreatModel",
) -> "torch.Tensor":
    """Beyond the plane from the point, mixed with the step that reaches it from the input, by how far each of them is."""
    low, high = threat.box
    units = units_of(centres, threat)
    normals, gaps = normals.nan_to_num(0.0, 0.0, 0.0), gaps.nan_to_num(0.0, 0.0, 0.0)
    at_input = gaps.double() + (normals.double() * (centres.double() - points.double())).flatten(1).sum(dim=1)
    ours = onto_plane(points, normals, gaps, norm=threat.norm, low=low, high=high, units=units)
    anchor = onto_plane(centres, normals, at_input, norm=threat.norm, low=low, high=high, units=units)
    near, far = norms(ours, threat.norm), norms(anchor, threat.norm)
    share = per_sample((near / (near + far).clamp_min(_TINY)).clamp_max(_MOST_ANCHOR).to(points.dtype), points)
    moved: torch.Tensor = (1 - share) * (points + _OVERSHOOT * ours) + share * (centres + _OVERSHOOT * anchor)
    return moved


_AS_ATTACK: Attack = BoundaryWalk(1, 1)  # the type checker sees that it is one
