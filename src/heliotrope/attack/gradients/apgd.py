"""Auto-PGD: momentum, and steps that halve for each sample by itself when it stops to improve.

Source: Croce and Hein: Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free attacks
(2020), section 3 and algorithm 1.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from heliotrope.attack.gradients.book import Book
from heliotrope.attack.gradients.losses import Objective
from heliotrope.attack.gradients.model import Climb, GradientModel
from heliotrope.attack.interface import Outcomes, Tick
from heliotrope.subjects.balls import Ball, per_sample

if TYPE_CHECKING:
    import torch

__all__ = ["ascend", "checkpoints"]

_MOMENTUM = 0.75
"""Share of the new step in a move; the rest repeats the last move. alpha of the paper."""

_RISES = 0.75
"""A step size is kept while this share of its steps raised the loss. rho of the paper."""


_ROUNDING = 1e-9
"""22 % of 100 are 22, whatever binary fractions say."""


@dataclass(slots=True)
class _State:
    """What is known of each living sample."""

    inputs: "torch.Tensor"
    before: "torch.Tensor"
    value: "torch.Tensor"
    gradient: "torch.Tensor"
    top: "torch.Tensor"
    """The input with the largest loss so far."""
    top_value: "torch.Tensor"
    top_gradient: "torch.Tensor"
    size: "torch.Tensor"
    rises: "torch.Tensor"
    """Steps since the last checkpoint that raised the loss."""
    checked: "torch.Tensor"
    """The largest loss at the last checkpoint."""
    halved: "torch.Tensor"
    """Whether the step was halved there."""

    @classmethod
    def at(cls, inputs: "torch.Tensor", climb: Climb, size: float) -> Self:
        import torch

        gradient = climb.gradient.nan_to_num(0.0, 0.0, 0.0)
        value = climb.values
        sizes = torch.full_like(value, size, dtype=inputs.dtype)
        zeros = torch.zeros_like(value, dtype=torch.int64)
        return cls(inputs, inputs, value, gradient, inputs, value, gradient, sizes, zeros, value.clone(), zeros.bool())

    def select(self, keep: "torch.Tensor") -> "_State":
        return _State(*(getattr(self, name)[keep] for name in self.__slots__))

    def move(self, ball: Ball, *, first: bool) -> None:
        """One step with momentum; the first has none."""
        target = ball.step(self.inputs, self.gradient, self.size)
        if not first:
            target = self.inputs + _MOMENTUM * (target - self.inputs) + (1 - _MOMENTUM) * (self.inputs - self.before)
            target = ball.project(target)
        self.before, self.inputs = self.inputs, target

    def look(self, climb: Climb) -> None:
        """Take in loss and gradient at the new inputs."""
        gradient = climb.gradient.nan_to_num(0.0, 0.0, 0.0)
        self.rises = self.rises + (climb.values > self.value)
        self.value, self.gradient = climb.values, gradient
        better = climb.values > self.top_value
        if bool(better.any()):
            wide = per_sample(better, self.inputs)
            self.top = self.inputs.where(wide, self.top)
            self.top_gradient = gradient.where(wide, self.top_gradient)
            self.top_value = climb.values.where(better, self.top_value)

    def check(self, steps: int) -> None:
        """Halve the step where too few of the last steps helped, or nothing came of them; go back to the best input."""
        few = self.rises <= _RISES * steps
        stuck = ~self.halved & (self.checked >= self.top_value)
        halve = few | stuck
        self.halved, self.checked = halve, self.top_value.clone()
        self.rises = self.rises.new_zeros(len(self.rises))
        if bool(halve.any()):
            wide = per_sample(halve, self.inputs)
            self.size = (self.size / 2).where(halve, self.size)
            self.inputs = self.top.where(wide, self.inputs)
            self.gradient = self.top_gradient.where(wide, self.gradient)
            self.value = self.top_value.where(halve, self.value)


def ascend(
    model: GradientModel,
    ball: Ball,
    start: "torch.Tensor",
    objective: Objective,
    *,
    steps: int,
    tick: Tick = lambda _share: None,
) -> Outcomes:
    """Climb the loss from `start`, beginning with steps of twice the radius. Nothing is to be tuned."""
    book = Book(model, start)
    if steps == 0:
        book.last(0, start, objective.labels)
        return book.closed()
    marks = checkpoints(steps)
    climb = model.climb(start, objective, settle=True)
    keep = book.enter(0, start, climb, objective)
    state = _State.at(start, climb, 2 * ball.radius)
    last = 0
    for step in range(1, steps + 1):
        if keep is not None:
            if not len(book.alive):
                break
            state, ball, objective = state.select(keep), ball.select(keep), objective.select(keep)
        state.move(ball, first=step == 1)
        if step == steps:
            book.last(step, state.inputs, objective.labels)
            break
        climb = model.climb(state.inputs, objective)
        keep = book.enter(step, state.inputs, climb, objective)
        state.look(climb)
        if step in marks:
            state.check(step - last)
            last = step
        tick(step / steps)
    return book.closed()


def checkpoints(steps: int) -> frozenset[int]:
    """After how many steps their size is looked at: 22 % of all, then at distances that shrink by 3 points down to 6."""
    marks, before, now = [], 0.0, 0.22
    while now <= 1:
        marks.append(math.ceil(now * steps - _ROUNDING))
        before, now = now, now + max(now - before - 0.03, 0.06)
    return frozenset(marks)
