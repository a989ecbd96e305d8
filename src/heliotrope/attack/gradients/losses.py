"""What an attack along gradients climbs: losses that rise towards a mistake, one value for each sample.

Sources: margin: Carlini and Wagner: Towards evaluating the robustness of neural networks (2017); difference of logits
ratio, also targeted: Croce and Hein: Reliable evaluation of adversarial robustness (2020).
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch

__all__ = ["MAX_TARGETS", "LossName", "Objective", "ranked_targets", "suited"]

LossName = Literal["cross-entropy", "margin", "dlr", "targeted", "gap"]

MAX_TARGETS = 9
"""Classes that targeted passes head for, the best-scoring first; the paper's number. Fewer classes have fewer."""

_LARGE_LEAD = 20.0
"""Beyond this lead the float32 gradient of cross-entropy loses its digits, and beyond 100 it vanishes."""

_SMALL_SPREAD = 1.0
"""Of logits that differ by less, cross-entropy climbs towards the average of all classes."""

_TINY = 1e-12


@dataclass(slots=True)
class Objective:
    """A loss of some samples; `settle` fixes what depends on where a pass starts, so that its values can be compared."""

    name: LossName
    labels: "torch.Tensor"
    targets: "torch.Tensor | None" = None
    """Of the targeted loss and the gap: which class each sample is driven to."""
    scale: "torch.Tensor | None" = None
    """Of cross-entropy: what logits are multiplied with."""

    def select(self, keep: "torch.Tensor") -> "Objective":
        """The loss of some of the samples."""
        return Objective(
            self.name,
            self.labels[keep],
            None if self.targets is None else self.targets[keep],
            None if self.scale is None else self.scale[keep],
        )

    def settle(self, scores: "torch.Tensor") -> None:
        """Take the scale of cross-entropy from the scores at the start: its direction stays, its gradient does not vanish."""
        if self.name == "cross-entropy":
            scores = scores.detach().nan_to_num(0.0, 0.0, 0.0)
            lead = scores.gather(1, self.labels[:, None])[:, 0] - _other(scores, self.labels)
            spread = scores.amax(dim=1) - scores.amin(dim=1)
            shrink = (_LARGE_LEAD / lead.abs().clamp_min(_TINY)).clamp_max(1.0)
            stretch = (_SMALL_SPREAD / spread.clamp_min(_TINY)).clamp_min(1.0)
            self.scale = (shrink * stretch).where(spread > 0, shrink.new_ones(()))

    def __call__(self, scores: "torch.Tensor") -> "torch.Tensor":
        """One value for each sample; a sample with a value above that of another point is nearer to a mistake there."""
        import torch

        if self.name == "cross-entropy":
            scaled = scores if self.scale is None else scores * self.scale[:, None]
            return torch.nn.functional.cross_entropy(scaled, self.labels, reduction="none")
        own = scores.gather(1, self.labels[:, None])[:, 0]
        if self.targets is not None:
            gap = scores.gather(1, self.targets[:, None])[:, 0] - own
            return gap / _height(scores, places=4) if self.name == "targeted" and scores.shape[1] > 3 else gap
        gap = _other(scores, self.labels) - own
        return gap if self.name == "margin" else gap / _height(scores, places=3)


def suited(classes: int, *, targets: int = MAX_TARGETS, repeats: int = 1) -> tuple[tuple[LossName, int], ...]:
    """The losses for a number of classes, with the rank of the target from 1 (0: untargeted); cross-entropy `repeats` times.

    Two classes have no third logit to divide by: the margin stands in for DLR, and the only other class is the target of
    both, so targeted passes would repeat it.
    """
    first: list[tuple[LossName, int]] = [("cross-entropy", 0)] * repeats
    if classes == 2:
        return (*first, ("margin", 0))
    ranks = range(1, min(targets, classes - 1) + 1)
    targeted: list[tuple[LossName, int]] = [("targeted", rank) for rank in ranks]
    return (*first, ("dlr", 0), *targeted)


def ranked_targets(scores: "torch.Tensor", labels: "torch.Tensor", count: int) -> "torch.Tensor":
    """For each sample the other classes by falling score, `count` of them (n x count)."""
    masked = scores.scatter(1, labels[:, None], -math.inf)
    return masked.argsort(dim=1, descending=True, stable=True)[:, :count]


def _other(scores: "torch.Tensor", labels: "torch.Tensor") -> "torch.Tensor":
    return scores.scatter(1, labels[:, None], -math.inf).amax(dim=1)


def _height(scores: "torch.Tensor", *, places: int) -> "torch.Tensor":
    """What makes DLR blind to scale: the best score less the third, or, targeted, less the mean of third and fourth.

    Three classes have no fourth: their targeted loss is the plain margin to the target, exact where scores are linear.
    """
    top = scores.topk(places, dim=1).values
    return (top[:, 0] - top[:, 2:].mean(dim=1)).clamp_min(_TINY)
