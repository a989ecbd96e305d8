"""Training examples: batches of inputs changed within the threat, by a few steps that cost little.

Sources: pgd: Madry et al.: Towards deep learning models resistant to adversarial attacks (2018); trades: Zhang et al.:
Theoretically principled trade-off between robustness and accuracy (2019); fast: Wong, Rice, Kolter: Fast is better than free
(2020).
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from heliotrope.core.predicates.behaviour import ThreatModel
from heliotrope.subjects.balls import ball_around

if TYPE_CHECKING:
    import torch

    Scores = Callable[[torch.Tensor], torch.Tensor]

__all__ = ["climbed", "diverged", "random_start"]

_NEAR = 1e-3
"""trades begins this near to the inputs, in deviations: at them the divergence has no slope."""


def climbed(
    scores: "Scores",
    inputs: "torch.Tensor",
    labels: "torch.Tensor",
    threat: ThreatModel,
    *,
    eps: float,
    steps: int,
    start: "torch.Tensor | None" = None,
) -> "torch.Tensor":
    """Inputs that climb cross-entropy within eps: `steps` steps of 2.5 eps / steps, a single one of 1.25 eps.

    `start`: where from; None: a random point of the ball. The generator of torch decides where.
    """
    import torch

    def loss(points: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(scores(points), labels, reduction="sum")

    size = 1.25 * eps if steps == 1 else 2.5 * eps / steps
    return _climb(loss, inputs, start, threat, eps=eps, steps=steps, size=size)


def diverged(
    scores: "Scores", inputs: "torch.Tensor", threat: ThreatModel, *, eps: float, steps: int
) -> "torch.Tensor":
    """Inputs within eps whose answers are far from those about the inputs themselves, by Kullback and Leibler."""
    import torch

    with torch.no_grad():
        wanted = scores(inputs).softmax(dim=1)

    def loss(points: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.kl_div(scores(points).log_softmax(dim=1), wanted, reduction="sum")

    start = inputs + _NEAR * torch.randn_like(inputs)
    return _climb(loss, inputs, start, threat, eps=eps, steps=steps, size=2.5 * eps / steps)


def random_start(inputs: "torch.Tensor", threat: ThreatModel, eps: float) -> "torch.Tensor":
    """A random point of each ball; the generator of torch decides which."""
    import torch

    noise = torch.randn_like(inputs)
    shares = torch.rand(len(inputs), dtype=inputs.dtype, device=inputs.device)
    return ball_around(inputs, threat, eps).random(noise, shares)


def _climb(
    loss: "Scores",
    inputs: "torch.Tensor",
    start: "torch.Tensor | None",
    threat: ThreatModel,
    *,
    eps: float,
    steps: int,
    size: float,
) -> "torch.Tensor":
    import torch

    if eps <= 0:
        return inputs
    ball = ball_around(inputs, threat, eps)
    points = random_start(inputs, threat, eps) if start is None else ball.project(start)
    for _ in range(steps):
        leaf = points.detach().requires_grad_(True)
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad(loss(leaf), leaf)
        points = ball.step(points, gradient.nan_to_num(0.0, 0.0, 0.0), size)
    return points.detach()
