"""The types evasion attacks meet: what is attacked, under which threat, and what came of it."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Protocol, Self

from heliotrope.core.predicates.behaviour import RestartResult, ThreatModel

if TYPE_CHECKING:
    import torch

    from heliotrope.attack.gradients.model import GradientModel

__all__ = ["Attack", "AttackResult", "Budget", "Cost", "Outcomes", "Samples", "Tick", "part_of"]

Tick = Callable[[float], None]
"""Called now and then with the share of the work done, in [0, 1]; may raise to stop."""


@dataclass(slots=True)
class Cost:
    """Samples sent forward and backward, summed over batches and draws."""

    forward: int = 0
    gradient: int = 0


@dataclass(frozen=True, slots=True)
class Budget:
    """What an attack may spend. Counted for each sample, so that neither batches nor threads change where it ends."""

    forwards: int | None = None
    """Forward passes for each sample and call; None: as many as the threat's steps take."""

    def steps(self, wanted: int, draws: int = 1) -> int:
        """How many of the wanted steps it pays for; a step beyond the start is one forward pass for each draw."""
        return wanted if self.forwards is None else max(0, min(wanted, self.forwards // draws - 1))


@dataclass(frozen=True, slots=True)
class Samples:
    """The samples an attack is held against."""

    inputs: "torch.Tensor"
    """n x ..., float32, in the declared range; images are n x C x H x W."""
    labels: "torch.Tensor"
    """n, int64."""
    rows: tuple[int, ...]
    """Where each sample stands in the evaluation data; random starts depend on it, not on the batch."""
    targets: "torch.Tensor | None" = None
    """n x k, the other classes by falling score at the input; targeted attacks ask for it where it is missing."""

    def __len__(self) -> int:
        return len(self.labels)

    def select(self, which: "torch.Tensor") -> "Samples":
        """Some of the samples, by position."""
        rows = tuple(self.rows[position] for position in which.tolist())
        targets = None if self.targets is None else self.targets[which]
        return Samples(self.inputs[which], self.labels[which], rows, targets)

    def on(self, device: str) -> "Samples":
        """The samples on a device."""
        targets = None if self.targets is None else self.targets.to(device)
        return Samples(self.inputs.to(device), self.labels.to(device), self.rows, targets)


@dataclass(slots=True)
class Outcomes:
    """What one call of an attack made of each sample. A sample that breaks leaves the batch there and then."""

    broken: "torch.Tensor"
    """Whether an input that misleads the model was found."""
    adversarial: "torch.Tensor"
    """That input; the start where none was found."""
    steps: "torch.Tensor"
    """After how many steps the sample broke, 0 being the start; all steps where it did not."""
    forwards: "torch.Tensor"
    gradients: "torch.Tensor"
    first: "torch.Tensor"
    """The loss at the start; NaN where it was never asked for."""
    best: "torch.Tensor"
    """The largest loss seen."""
    useless: "torch.Tensor"
    """Whether the gradient at the start was zero throughout, or not finite."""
    rescaled: "torch.Tensor"
    """Whether cross-entropy was taken of scaled logits, because these are so large or small that it would fail."""
    strange: "torch.Tensor"
    """Whether a score was NaN or infinite at any point; such a point is never taken for an error of the model."""

    @classmethod
    def joined(cls, parts: "list[Outcomes]", samples: Samples) -> "Outcomes":
        """The outcomes of consecutive batches of the samples; of none, empty ones."""
        import torch

        if not parts:
            none, whole, real = (torch.zeros(0, dtype=kind) for kind in (torch.bool, torch.int64, torch.float32))
            return cls(none, samples.inputs[:0], whole, whole, whole, real, real, none, none, none)
        return cls(**{one.name: torch.cat([getattr(part, one.name) for part in parts]) for one in fields(cls)})


@dataclass(slots=True)
class AttackResult:
    """What all attacks together know of each sample: the pointwise worst case."""

    reach: "torch.Tensor"
    """Smallest norm of a change known to mislead the model, float64: 0 if it errs by itself, infinite if none is known."""
    adversarial: "torch.Tensor"
    """The changed inputs of that norm; unchanged where none is known."""
    restarts: list[RestartResult] = field(default_factory=list)
    """One for each restart; entries beyond threat.restarts are additional passes that broke further samples."""
    attacked: int = 0
    """Samples that were right to begin with."""
    gradientless: int = 0
    """Of those, how many had no usable gradient at the image, whatever the loss."""
    rescaled: int = 0
    """Of those, how many had logits so large or small that cross-entropy was taken of scaled ones."""
    survived: int = 0
    """Samples that every pass left standing."""
    unrisen: int = 0
    """Of those, how many saw no loss rise above its start in any pass."""
    strange: int = 0
    """Samples with scores that are NaN or infinite, at the image or on the way."""
    late: int = 0
    """Samples that broke in the last quarter of the steps of the pass that broke them."""
    tries: int = 0
    """Passes that were run; the first so many restarts are theirs."""
    passes: tuple[str, ...] = ()
    """The attacks that were run, in order."""
    cost: Cost = field(default_factory=Cost)
    """The count of the model that was attacked; it goes on counting."""

    @classmethod
    def unknown(cls, samples: Samples) -> Self:
        """Before any attack."""
        import torch

        reach = torch.full((len(samples),), math.inf, dtype=torch.float64)
        return cls(reach=reach, adversarial=samples.inputs.clone())

    def right_at(self, eps: float) -> int:
        """How many samples are right for every change known up to eps. Never rises with eps."""
        return int((self.reach > eps).sum())

    def standing(self) -> "torch.Tensor":
        """Positions of the samples for which no change is known."""
        return self.reach.isinf().nonzero()[:, 0]

    def broken_within(self, eps: float) -> "torch.Tensor":
        """Positions of the samples that were right and are not within eps."""
        return ((self.reach > 0) & (self.reach <= eps)).nonzero()[:, 0]

    def note(self, which: "torch.Tensor", inputs: "torch.Tensor", lengths: "torch.Tensor") -> None:
        """Keep what misleads with a smaller change than known before; `lengths` are norms in float64."""
        better = lengths < self.reach[which]
        self.reach[which[better]] = lengths[better]
        self.adversarial[which[better]] = inputs[better]


class Attack(Protocol):
    """Looks for a change within the threat that misleads the classifier, sample by sample.

    Random choices depend on seed and row alone. What the call costs is counted by the model and, sample by sample, in the
    outcomes. Memory that runs out makes the batch smaller and changes nothing else.
    """

    def __call__(
        self, model: "GradientModel", samples: Samples, threat: ThreatModel, *, seed: int, budget: Budget, tick: Tick
    ) -> Outcomes: ...


def part_of(tick: Tick, begin: float, length: float) -> Tick:
    """Progress of a part of the work, as progress of the whole."""
    return lambda share: tick(begin + share * length)
