"""The types explanations meet: an attribution, and what makes one."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from heliotrope.subjects.interface import Inputs

    Floats = NDArray[np.float64]
    Labels = NDArray[np.int64]

__all__ = ["TOLERANCE", "Attribution", "Explainer"]

TOLERANCE = 0.05
"""Completeness errors below it are fine: integrated gradients take more steps until they are there."""


@dataclass(frozen=True, slots=True)
class Attribution:
    """What each part of each input adds to the score of one class."""

    values: "Floats"
    """N x sample shape, or n x features; in units of the score."""
    method: str
    baseline: str
    """Against what: what an absent part looks like."""
    score: str
    """As in logit, margin or probability."""
    error: "Floats | None" = None
    """N: |sum of values - (score of input - score of baseline)| relative to that difference; None: it need not add up."""
    steps: int = 0
    """Most steps any sample took."""
    asked: int = 0
    """Rows the model was asked about, gradients included."""
    notes: tuple[str, ...] = ()


class Explainer(Protocol):
    """Attributes the score of `targets`, one class for each input. Deterministic; never changes its inputs."""

    def __call__(self, inputs: "Inputs", targets: "Labels") -> Attribution: ...
