"""What the indicators of a gradient attack look at."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from heliotrope.attack.gradients.model import GradientModel
from heliotrope.attack.interface import AttackResult, Samples
from heliotrope.core.predicates.behaviour import ThreatModel

if TYPE_CHECKING:
    import torch

__all__ = ["FEW", "SCORE_TOLERANCE", "Examined", "Rival", "as_float32"]

FEW = 50
"""Samples that a probe takes where it need not take all."""

SCORE_TOLERANCE = 1e-5
"""Relative: the same batch gives scores that differ by less, whatever it is put together from."""


@dataclass(frozen=True, slots=True)
class Rival:
    """An attack that should not beat the one examined, on samples that survived it."""

    name: str
    asked: int
    broken: int
    questions: int
    """Forward passes for each sample."""
    included: bool = False
    """Whether it is a part of the attack examined: what it broke is in the number, and it did not stop at a few."""


@dataclass(frozen=True, slots=True)
class Examined:
    """All that the indicators look at."""

    model: GradientModel
    samples: Samples
    module: "torch.nn.Module"
    threat: ThreatModel
    result: AttackResult
    stored: bytes
    """The npz of broken samples, as it is kept."""
    output: str
    """As declared: logits or probabilities."""
    declared_accuracy: float | None
    method: str = "pgd"
    rivals: tuple[Rival, ...] = ()
    logged: bool = False
    """Whether scores declared as logits were found to be probabilities, and their logarithm was taken."""
    eight_bit: bool = False
    """Whether the samples lie on the grid of 8-bit images."""


def as_float32(value: float) -> float:
    """A bound as float32 holds it, which is how inputs are kept."""
    import numpy as np

    return float(np.float32(value))
