"""A classifier as attacks along gradients see it: batches of scores and gradients, counted.

Random models: scores and gradients are means over draws (expectation over transformation: Athalye, Engstrom, Ilyas, Kwok:
Synthesizing robust adversarial examples, 2018), and an input counts as misleading when most of 20 further draws say so.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from heliotrope.attack.gradients.batches import out_of_memory
from heliotrope.attack.gradients.losses import Objective
from heliotrope.attack.interface import Cost
from heliotrope.core.errors import InputError
from heliotrope.core.text import printable, shorten

if TYPE_CHECKING:
    import torch

    Logits = Callable[[torch.Tensor], torch.Tensor]

__all__ = ["REDRAWS", "REDRAWS_MISLED", "Climb", "GradientModel"]

REDRAWS = 20
"""Draws that decide about one input of a random model."""

REDRAWS_MISLED = 18
"""Of those, how many must be mistaken; 90 %."""

_CONFIRMED = 2


@dataclass(frozen=True, slots=True)
class Climb:
    """One look at a batch, with the way up."""

    scores: "torch.Tensor"
    values: "torch.Tensor"
    gradient: "torch.Tensor"


class GradientModel:
    """Scores and gradients of a classifier. `cost` counts samples; a draw counts one."""

    def __init__(
        self, logits: "Logits", *, batch: int = 256, draws: int = 1, seed: int = 0, device: str = "cpu"
    ) -> None:
        """`logits`: a batch in the declared range to N x classes. `draws` above 1: the model is random."""
        self._logits = logits
        self.batch = batch
        self.draws = draws
        self.seed = seed
        self.device = device
        self.cost = Cost()
        self.calls = 0
        """Of a random model: which draw is next."""

    @property
    def random(self) -> bool:
        """Whether answers are drawn."""
        return self.draws > 1

    def with_logits(self, change: "Callable[[torch.Tensor], torch.Tensor]") -> None:
        """Put a function behind the scores from now on, as the logarithm behind probabilities."""
        inner = self._logits
        self._logits = lambda inputs: change(inner(inputs))

    def one(self, inputs: "torch.Tensor") -> "torch.Tensor":
        """Scores of a single draw, without gradients."""
        import torch

        with torch.no_grad(), self._drawing():
            return self._forward(inputs.to(self.device)).detach()

    def scores(self, inputs: "torch.Tensor") -> "torch.Tensor":
        """Scores, without gradients; of a random model their mean over the draws."""
        total = self.one(inputs)
        for _ in range(self.draws - 1):
            total = total + self.one(inputs)
        return total / self.draws if self.random else total

    def climb(self, inputs: "torch.Tensor", objective: Objective, *, settle: bool = False) -> Climb:
        """Scores, loss and its gradient. `settle`: this is where a pass starts.

        The gradient is zero where the model passes none on. Where every sample is mistaken already, none is asked for.
        """
        import torch

        scores_sum = values_sum = gradient_sum = None
        for _ in range(self.draws):
            leaf = inputs.detach().requires_grad_(True)
            with torch.enable_grad(), self._drawing():
                scores = self._forward(leaf.clone())  # a copy: a model may change what it is given
            if settle:
                objective.settle(scores)
                settle = False
            seen = scores.detach()
            if not self.random and bool(_wrong(seen, objective.labels).all()):
                return Climb(seen, objective(seen), torch.zeros_like(inputs))
            values, gradient = self._gradient(scores, leaf, objective)
            scores_sum = seen if scores_sum is None else scores_sum + seen
            values_sum = values if values_sum is None else values_sum + values
            gradient_sum = gradient if gradient_sum is None else gradient_sum + gradient
        assert scores_sum is not None
        assert values_sum is not None
        assert gradient_sum is not None
        if not self.random:
            return Climb(scores_sum, values_sum, gradient_sum)
        return Climb(scores_sum / self.draws, values_sum / self.draws, gradient_sum / self.draws)

    def misled(self, inputs: "torch.Tensor", scores: "torch.Tensor", labels: "torch.Tensor") -> "torch.Tensor":
        """Whether the model is mistaken. Of a random model the mean must be, and 18 of 20 further draws, twice.

        Twice, since an attack looks so often that what misleads at 0.6 would pass once by chance.
        """
        import torch

        wrong = _wrong(scores, labels)
        if not self.random or not bool(wrong.any()):
            return wrong
        for _ in range(_CONFIRMED):
            which = wrong.nonzero()[:, 0]
            mistakes = torch.zeros(len(which), dtype=torch.int64, device=scores.device)
            for _ in range(REDRAWS if len(which) else 0):
                mistakes += _wrong(self.one(inputs[which]), labels[which])
            wrong[which] = mistakes >= REDRAWS_MISLED
        return wrong

    def _forward(self, inputs: "torch.Tensor") -> "torch.Tensor":
        import torch

        given = inputs if inputs.requires_grad else inputs.clone()
        scores = self._logits(given)
        self.cost.forward += len(inputs)
        if not isinstance(scores, torch.Tensor):
            kind = printable(type(scores).__name__)
            raise InputError(
                f"the model returns {kind}, expected one tensor of N x classes", hint="return the scores alone"
            )
        if scores.ndim != 2 or len(scores) != len(inputs) or scores.shape[1] < 2 or not scores.is_floating_point():
            raise InputError(
                f"the model returns {scores.dtype} of shape {list(scores.shape)} for {len(inputs)} inputs, expected float "
                f"{len(inputs)} x classes",
                hint="at least two classes, one row for each input",
            )
        return scores.float() if scores.dtype in (torch.float16, torch.bfloat16) else scores

    def _gradient(
        self, scores: "torch.Tensor", leaf: "torch.Tensor", objective: Objective
    ) -> "tuple[torch.Tensor, torch.Tensor]":
        import torch

        self.cost.gradient += len(leaf)
        with torch.enable_grad():
            values = objective(scores)
        if not scores.requires_grad:
            return values.detach(), torch.zeros_like(leaf)
        sound = values.isfinite()
        total = values.sum() if bool(sound.all()) else values[sound].sum()
        try:
            gradient: torch.Tensor | None = torch.autograd.grad(total, leaf, allow_unused=True)[0]
        except RuntimeError as error:
            if out_of_memory(error):
                raise
            reason = shorten(printable(str(error)), 200)
            raise InputError(
                f"the model passes no gradient back: {reason}",
                hint="a gradient attack needs a differentiable model; name the layer under threat.approximate",
            ) from None
        return values.detach(), torch.zeros_like(leaf) if gradient is None else gradient

    @contextlib.contextmanager
    def _drawing(self) -> Iterator[None]:
        """Of a random model: the generator stands where seed and count of draws say, and elsewhere nothing changes."""
        import torch

        if not self.random:
            yield
            return
        devices = [torch.cuda.current_device()] if self.device.startswith("cuda") else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed((self.seed * 1_000_003 + self.calls) % 2**63)
            self.calls += 1
            yield


def _wrong(scores: "torch.Tensor", labels: "torch.Tensor") -> "torch.Tensor":
    return (scores.argmax(dim=1) != labels) & scores.isfinite().all(dim=1)
