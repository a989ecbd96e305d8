"""The types hardening meets: the data it may use, and what a training function of a team is given."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from heliotrope.core.predicates.behaviour import ThreatModel

if TYPE_CHECKING:
    import torch

__all__ = ["Trainer", "Training"]


@dataclass(frozen=True, slots=True)
class Training:
    """What a training function is given beside the network."""

    images: "torch.Tensor"
    """n x ..., float32, in the declared range: what to train on. No row of it is among the evaluation data."""
    labels: "torch.Tensor"
    """n, int64."""
    validation_images: "torch.Tensor"
    """To choose the epoch by; nothing here is trained on."""
    validation_labels: "torch.Tensor"
    threat: ThreatModel
    epochs: int
    seed: int
    folder: Path | None
    """Survives a stop: what is kept here is there when the run goes on. None where nothing is kept."""
    perturb: "Callable[[torch.nn.Module, torch.Tensor, torch.Tensor], torch.Tensor]"
    """perturb(module, images, labels): a batch changed within the threat, by as many steps as are configured."""
    progress: Callable[[int, int, str], None]
    """progress(done, total, text); also the point where a run that is to end is ended."""


class Trainer(Protocol):
    """`harden.train`: trains the network in place, or returns another one of the same architecture."""

    def __call__(self, module: "torch.nn.Module", training: Training) -> "torch.nn.Module | None": ...
