"""Projected gradient descent in batches that shrink as samples break.

Source: Madry, Makelov, Schmidt, Tsipras, Vladu: Towards deep learning models resistant to adversarial attacks (2018).
"""

from typing import TYPE_CHECKING

from heliotrope.attack.gradients.book import Book
from heliotrope.attack.gradients.losses import Objective
from heliotrope.attack.gradients.model import GradientModel
from heliotrope.attack.interface import Outcomes, Tick
from heliotrope.subjects.balls import Ball

if TYPE_CHECKING:
    import torch

__all__ = ["descend"]


def descend(
    model: GradientModel,
    ball: Ball,
    start: "torch.Tensor",
    objective: Objective,
    *,
    steps: int,
    size: float,
    tick: Tick = lambda _share: None,
) -> Outcomes:
    """Climb the loss from `start` in equal steps. Loss and prediction come from one forward pass."""
    book, inputs = Book(model, start), start
    for step in range(steps):
        climb = model.climb(inputs, objective, settle=step == 0)
        keep = book.enter(step, inputs, climb, objective)
        gradient = climb.gradient
        if keep is not None:
            if not len(book.alive):
                return book.closed()
            inputs, gradient, ball, objective = inputs[keep], gradient[keep], ball.select(keep), objective.select(keep)
        inputs = ball.step(inputs, gradient.nan_to_num(0.0, 0.0, 0.0), size)
        tick((step + 1) / (steps + 1))
    book.last(steps, inputs, objective.labels)
    return book.closed()
