"""The types evasion attacks meet: what is attacked, under which threat, and what came of it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from heliotrope.core.predicates.behaviour import RestartResult, ThreatModel

if TYPE_CHECKING:
    import torch

    Logits = Callable[[torch.Tensor], torch.Tensor]

__all__ = ["Attack", "AttackResult", "Cost", "Target", "Tick"]

Tick = Callable[[float], None]
"""Called now and then with the share of the work done, in [0, 1]; may raise to stop."""


@dataclass(slots=True)
class Cost:
    """Samples sent forward and backward, summed over batches."""

    forward: int = 0
    gradient: int = 0


@dataclass(frozen=True, slots=True)
class Target:
    """A classifier and the samples an attack is held against."""

    logits: "Logits"
    images: "torch.Tensor"
    """n x C x H x W, float32, in the declared range."""
    labels: "torch.Tensor"
    """n, int64."""
    rows: tuple[int, ...]
    """Where each sample stands in the evaluation data; random starts depend on it, not on the batch."""
    batch: int
    """How many samples may pass at once."""


@dataclass(slots=True)
class AttackResult:
    """What an attack knows of each sample."""

    reach: "torch.Tensor"
    """Smallest norm of a change known to mislead the model, float64: 0 if it errs by itself, infinite if none is known."""
    adversarial: "torch.Tensor"
    """The changed inputs of that norm; unchanged where none is known."""
    restarts: list[RestartResult] = field(default_factory=list)
    """One for each restart; entries beyond threat.restarts are additional passes that broke further samples."""
    attacked: int = 0
    """Samples that were right to begin with."""
    gradientless: int = 0
    """Of those, how many had a gradient of exactly zero, or not finite, at the image itself."""
    cost: Cost = field(default_factory=Cost)

    def right_at(self, eps: float) -> int:
        """How many samples are right for every change known up to eps. Never rises with eps."""
        return int((self.reach > eps).sum())


class Attack(Protocol):
    """Looks for a change within the threat that misleads the classifier, sample by sample."""

    def __call__(self, target: Target, threat: ThreatModel, *, seed: int, tick: Tick) -> AttackResult: ...
