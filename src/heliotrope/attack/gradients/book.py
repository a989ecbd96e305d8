"""What becomes of the samples of one batch while they are attacked: those that break leave it at once."""

import math
from dataclasses import fields
from typing import TYPE_CHECKING

from heliotrope.attack.gradients.losses import Objective
from heliotrope.attack.gradients.model import Climb, GradientModel
from heliotrope.attack.interface import Outcomes

if TYPE_CHECKING:
    import torch

__all__ = ["Book", "useless"]


class Book:
    """The outcomes of a batch, filled step by step."""

    def __init__(self, model: GradientModel, start: "torch.Tensor") -> None:
        import torch

        n = len(start)
        self._model = model
        self.alive = torch.arange(n, device=start.device)
        zeros = torch.zeros(n, dtype=torch.int64, device=start.device)
        floats = torch.full((n,), math.nan, device=start.device)
        self.outcomes = Outcomes(
            broken=zeros.bool(),
            adversarial=start.detach().clone(),
            steps=zeros,
            forwards=zeros.clone(),
            gradients=zeros.clone(),
            first=floats,
            best=floats.clone(),
            useless=zeros.bool(),
            rescaled=zeros.bool(),
            strange=zeros.bool(),
        )

    def enter(
        self,
        step: int,
        inputs: "torch.Tensor",
        climb: Climb,
        objective: Objective,
        *,
        allowed: "torch.Tensor | None" = None,
    ) -> "torch.Tensor | None":
        """Note a look at all living samples after `step` steps; what to keep of them, None when nothing changes.

        An empty mask means that all have left. `allowed`: which inputs the threat permits, where not all of them are.
        """
        outcomes, alive = self.outcomes, self.alive
        values = climb.values.float()
        if step == 0:
            outcomes.first[alive] = values
            outcomes.useless[alive] = useless(climb.gradient)
            if objective.scale is not None:
                outcomes.rescaled[alive] = objective.scale != 1
        outcomes.best[alive] = outcomes.best[alive].fmax(values)
        self._strange(climb.scores)
        wrong = self._misled(inputs, climb.scores, objective.labels, allowed)
        if not bool(wrong.any()):
            return None
        self._leave(wrong, inputs, step)
        keep = ~wrong
        self.alive = alive[keep]
        return keep

    def last(
        self, step: int, inputs: "torch.Tensor", labels: "torch.Tensor", *, allowed: "torch.Tensor | None" = None
    ) -> None:
        """The last look, for which no gradient is needed."""
        scores = self._model.scores(inputs)
        self._strange(scores)
        wrong = self._misled(inputs, scores, labels, allowed)
        if bool(wrong.any()):
            self._leave(wrong, inputs, step)
        rest = self.alive[~wrong]
        self.outcomes.steps[rest] = step
        self.outcomes.forwards[rest] = (step + 1) * self._model.draws
        self.outcomes.gradients[rest] = step * self._model.draws
        self.alive = rest

    def closed(self) -> Outcomes:
        """The outcomes, on the CPU."""
        return Outcomes(**{one.name: getattr(self.outcomes, one.name).cpu() for one in fields(Outcomes)})

    def _misled(
        self, inputs: "torch.Tensor", scores: "torch.Tensor", labels: "torch.Tensor", allowed: "torch.Tensor | None"
    ) -> "torch.Tensor":
        """Only what is allowed is looked at more closely: of a random model that costs draws."""
        import torch

        if allowed is None:
            return self._model.misled(inputs, scores, labels)
        wrong = torch.zeros_like(allowed)
        wrong[allowed] = self._model.misled(inputs[allowed], scores[allowed], labels[allowed])
        return wrong

    def _leave(self, wrong: "torch.Tensor", inputs: "torch.Tensor", step: int) -> None:
        which, outcomes = self.alive[wrong], self.outcomes
        outcomes.broken[which] = True
        outcomes.adversarial[which] = inputs.detach()[wrong]
        outcomes.steps[which] = step
        outcomes.forwards[which] = (step + 1) * self._model.draws
        outcomes.gradients[which] = step * self._model.draws

    def _strange(self, scores: "torch.Tensor") -> None:
        finite = scores.isfinite().all(dim=1)
        if not bool(finite.all()):
            self.outcomes.strange[self.alive[~finite]] = True


def useless(gradient: "torch.Tensor") -> "torch.Tensor":
    """Samples whose gradient is zero throughout or not finite."""
    flat = gradient.flatten(1)
    return (flat == 0).all(dim=1) | ~flat.isfinite().all(dim=1)
