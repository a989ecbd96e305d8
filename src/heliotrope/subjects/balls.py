"""The inputs an attacker may choose: within eps of the input in the norm, and in the declared range.

Bounds are rounded inwards, so that what is stored as float32 keeps the norm when it is measured again in float64. Where
channels have budgets of their own, changes are measured in units of channel budget / eps: a channel without budget stays.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self

from heliotrope.core.errors import InputError

if TYPE_CHECKING:
    import torch

    from heliotrope.core.predicates.behaviour import ThreatModel

__all__ = ["Ball", "ball_around", "lengths_of", "norms", "per_sample", "shrunk", "units_of"]

_FLOAT32_EPSILON = 2.0**-23


class Ball(Protocol):
    """One ball for each sample of a batch."""

    @property
    def radius(self) -> float:
        """In the norm."""

    def select(self, keep: "torch.Tensor") -> Self:
        """The balls of some of the samples."""

    def step(self, inputs: "torch.Tensor", gradient: "torch.Tensor", size: "float | torch.Tensor") -> "torch.Tensor":
        """Move up the gradient by `size` (one, or one for each sample) in the norm and come back into the ball.

        A zero gradient does not move.
        """

    def random(self, noise: "torch.Tensor", shares: "torch.Tensor") -> "torch.Tensor":
        """A point of the ball, uniform up to clipping to the range, from standard normal noise and one uniform number."""

    def project(self, inputs: "torch.Tensor") -> "torch.Tensor":
        """The inputs, moved into the ball and the range."""


def ball_around(centres: "torch.Tensor", threat: "ThreatModel", radius: float) -> Ball:
    """Balls of a radius in the threat's norm and range."""
    units = units_of(centres, threat)
    if threat.norm == "Linf":
        return _LinfBall.around(centres, radius, *threat.box, units)
    return _L2Ball(centres, radius, _safe_radius(centres, radius, threat), *threat.box, units)


def norms(changes: "torch.Tensor", norm: str) -> "torch.Tensor":
    """The norm of each change, in float64."""
    flat = changes.double().flatten(1)
    return flat.abs().amax(dim=1) if norm == "Linf" else flat.square().sum(dim=1).sqrt()


def lengths_of(perturbed: "torch.Tensor", centres: "torch.Tensor", threat: "ThreatModel") -> "torch.Tensor":
    """How far inputs are from their centres in the threat's norm and channel budgets, in float64.

    Infinite where a channel without budget changed.
    """
    changes = perturbed.double() - centres.double()
    units = units_of(changes, threat)
    if units is None:
        return norms(changes, threat.norm)
    scaled = (changes / units).where(changes != 0, changes.new_zeros(()))
    return norms(scaled, threat.norm)


def shrunk(changes: "torch.Tensor", norm: str, radius: float) -> "torch.Tensor":
    """Changes brought to a smaller radius: clipped for Linf, scaled for L2."""
    if norm == "Linf":
        return changes.clamp(-radius, radius)
    factors = (radius / norms(changes, norm).clamp_min(1e-30)).clamp_max(1).to(changes.dtype)
    return changes * per_sample(factors, changes)


def per_sample(values: "torch.Tensor", like: "torch.Tensor") -> "torch.Tensor":
    """One number for each sample, shaped so that it meets every value of `like`."""
    return values.reshape(-1, *[1] * (like.ndim - 1))


@dataclass(frozen=True, slots=True)
class _LinfBall:
    """A box, the meet of the ball and the range."""

    radius: float
    low: "torch.Tensor"
    high: "torch.Tensor"
    units: "torch.Tensor | None"

    @classmethod
    def around(
        cls, centres: "torch.Tensor", radius: float, low: float, high: float, units: "torch.Tensor | None"
    ) -> Self:
        exact = centres.double()
        reach = radius if units is None else radius * units
        lower, upper = (exact - reach).clamp_min(low), (exact + reach).clamp_max(high)
        return cls(radius, _round_up(lower), -_round_up(-upper), units)

    def select(self, keep: "torch.Tensor") -> Self:
        return type(self)(self.radius, self.low[keep], self.high[keep], self.units)

    def step(self, inputs: "torch.Tensor", gradient: "torch.Tensor", size: "float | torch.Tensor") -> "torch.Tensor":
        way = gradient.sign() if self.units is None else gradient.sign() * self.units.to(gradient.dtype)
        moved = inputs.add(way, alpha=size) if isinstance(size, float) else inputs + per_sample(size, inputs) * way
        return self.project(moved)

    def random(self, noise: "torch.Tensor", shares: "torch.Tensor") -> "torch.Tensor":
        uniform = noise.mul(math.sqrt(0.5)).erf_().add_(1).mul_(0.5)  # the normal distribution function
        return self.project(self.low + uniform * (self.high - self.low))

    def project(self, inputs: "torch.Tensor") -> "torch.Tensor":
        return inputs.clamp(self.low, self.high)


@dataclass(frozen=True, slots=True)
class _L2Ball:
    """First into the ball, then into the range: the centre is in the range, so clipping only comes nearer to it."""

    centres: "torch.Tensor"
    radius: float
    safe: float
    low: float
    high: float
    units: "torch.Tensor | None"

    def select(self, keep: "torch.Tensor") -> Self:
        return type(self)(self.centres[keep], self.radius, self.safe, self.low, self.high, self.units)

    def step(self, inputs: "torch.Tensor", gradient: "torch.Tensor", size: "float | torch.Tensor") -> "torch.Tensor":
        length = size if isinstance(size, float) else per_sample(size, inputs)
        return self.project(inputs + length * self._outer(_direction(self._outer(gradient))))

    def random(self, noise: "torch.Tensor", shares: "torch.Tensor") -> "torch.Tensor":
        lengths = shares.pow(1 / noise[0].numel())
        return self.project(self.centres + self.safe * per_sample(lengths, noise) * self._outer(_direction(noise)))

    def project(self, inputs: "torch.Tensor") -> "torch.Tensor":
        changes = inputs - self.centres
        if self.units is not None:
            units = self.units.to(changes.dtype)
            changes = (changes / units).where(units > 0, changes.new_zeros(()))
        inside = self.centres + self._outer(shrunk(changes, "L2", self.safe))
        return inside.clamp(self.low, self.high)

    def _outer(self, changes: "torch.Tensor") -> "torch.Tensor":
        """From units of channel budgets to those of the input."""
        return changes if self.units is None else changes * self.units.to(changes.dtype)


def units_of(like: "torch.Tensor", threat: "ThreatModel") -> "torch.Tensor | None":
    """Channel budgets as shares of eps, 1 x C x 1 ..., in float64; None where all channels have the same."""
    import torch

    if threat.channel_eps is None:
        return None
    if like.ndim < 2 or like.shape[1] != len(threat.channel_eps):
        raise InputError(
            f"threat.channel_eps names {len(threat.channel_eps)} channels, the inputs have {like.shape[1]}",
            hint="give one eps for each channel",
        )
    shares = torch.tensor([each / threat.eps for each in threat.channel_eps], dtype=torch.float64, device=like.device)
    return shares.reshape(1, -1, *[1] * (like.ndim - 2))


def _safe_radius(centres: "torch.Tensor", radius: float, threat: "ThreatModel") -> float:
    """The radius less what rounding the sum of centre and change to float32 can add to the norm, at most half of it."""
    largest = max(abs(bound) for bound in threat.box)
    least = min((each / threat.eps for each in threat.channel_eps or () if each > 0), default=1.0)
    rounding = largest * _FLOAT32_EPSILON * math.sqrt(centres[0].numel()) / least
    return max(radius - rounding, radius / 2)


def _direction(gradient: "torch.Tensor") -> "torch.Tensor":
    """Each sample's gradient with norm 1; zero stays zero. Scaled by its largest entry first: squares may vanish."""
    flat = gradient.flatten(1)
    flat = flat / flat.abs().amax(dim=1, keepdim=True).clamp_min(1e-38)
    lengths = flat.square().sum(dim=1, keepdim=True).sqrt()
    return (flat / lengths.clamp_min(1e-12)).reshape(gradient.shape)


def _round_up(exact: "torch.Tensor") -> "torch.Tensor":
    """The nearest float32 that is not smaller."""
    import torch

    rounded = exact.float()
    return torch.where(rounded.double() < exact, torch.nextafter(rounded, torch.full_like(rounded, math.inf)), rounded)
