"""The inputs an attacker may choose: within eps of the image in the norm, and in the declared range.

Bounds are rounded inwards, so that what is stored as float32 keeps the norm when it is measured again in float64.
"""

import math
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    import torch

    from heliotrope.core.predicates.behaviour import ThreatModel

__all__ = ["Ball", "ball_around", "norms", "shrunk"]

_FLOAT32_EPSILON = 2.0**-23


class Ball(Protocol):
    """One ball for each sample of a batch."""

    def select(self, keep: "torch.Tensor") -> Self:
        """The balls of some of the samples."""

    def step(self, inputs: "torch.Tensor", gradient: "torch.Tensor", size: float) -> "torch.Tensor":
        """Move up the gradient by `size` in the norm and come back into the ball; a zero gradient does not move."""

    def random(self, noise: "torch.Tensor", shares: "torch.Tensor") -> "torch.Tensor":
        """A point of the ball, uniform up to clipping to the range, from standard normal noise and one uniform number."""

    def project(self, inputs: "torch.Tensor") -> "torch.Tensor":
        """The inputs, moved into the ball and the range."""


def ball_around(centres: "torch.Tensor", threat: "ThreatModel", radius: float) -> Ball:
    """Balls of a radius in the threat's norm and range."""
    if threat.norm == "Linf":
        return _LinfBall.around(centres, radius, *threat.box)
    return _L2Ball(centres, _safe_radius(centres, radius, threat), *threat.box)


def norms(changes: "torch.Tensor", norm: str) -> "torch.Tensor":
    """The norm of each change, in float64."""
    flat = changes.double().flatten(1)
    return flat.abs().amax(dim=1) if norm == "Linf" else flat.square().sum(dim=1).sqrt()


def shrunk(changes: "torch.Tensor", norm: str, radius: float) -> "torch.Tensor":
    """Changes brought to a smaller radius: clipped for Linf, scaled for L2."""
    if norm == "Linf":
        return changes.clamp(-radius, radius)
    factors = (radius / norms(changes, norm).clamp_min(1e-30)).clamp_max(1).to(changes.dtype)
    return changes * _per_sample(factors)


class _LinfBall:
    """A box, the meet of the ball and the range."""

    def __init__(self, low: "torch.Tensor", high: "torch.Tensor") -> None:
        self._low = low
        self._high = high

    @classmethod
    def around(cls, centres: "torch.Tensor", radius: float, low: float, high: float) -> Self:
        exact = centres.double()
        lower, upper = (exact - radius).clamp_min(low), (exact + radius).clamp_max(high)
        return cls(_round_up(lower), -_round_up(-upper))

    def select(self, keep: "torch.Tensor") -> Self:
        return type(self)(self._low[keep], self._high[keep])

    def step(self, inputs: "torch.Tensor", gradient: "torch.Tensor", size: float) -> "torch.Tensor":
        return self.project(inputs.add(gradient.sign(), alpha=size))

    def random(self, noise: "torch.Tensor", shares: "torch.Tensor") -> "torch.Tensor":
        uniform = noise.mul(math.sqrt(0.5)).erf_().add_(1).mul_(0.5)  # the normal distribution function
        return self.project(self._low + uniform * (self._high - self._low))

    def project(self, inputs: "torch.Tensor") -> "torch.Tensor":
        return inputs.clamp(self._low, self._high)


class _L2Ball:
    """First into the ball, then into the range: the centre is in the range, so clipping only comes nearer to it."""

    def __init__(self, centres: "torch.Tensor", radius: float, low: float, high: float) -> None:
        self._centres = centres
        self._radius = radius
        self._low = low
        self._high = high

    def select(self, keep: "torch.Tensor") -> Self:
        return type(self)(self._centres[keep], self._radius, self._low, self._high)

    def step(self, inputs: "torch.Tensor", gradient: "torch.Tensor", size: float) -> "torch.Tensor":
        return self.project(inputs + size * _direction(gradient))

    def random(self, noise: "torch.Tensor", shares: "torch.Tensor") -> "torch.Tensor":
        lengths = shares.pow(1 / noise[0].numel())
        return self.project(self._centres + self._radius * _per_sample(lengths) * _direction(noise))

    def project(self, inputs: "torch.Tensor") -> "torch.Tensor":
        inside = self._centres + shrunk(inputs - self._centres, "L2", self._radius)
        return inside.clamp(self._low, self._high)


def _safe_radius(centres: "torch.Tensor", radius: float, threat: "ThreatModel") -> float:
    """The radius less what rounding the sum of centre and change to float32 can add to the norm, at most half of it."""
    largest = max(abs(bound) for bound in threat.box)
    rounding = largest * _FLOAT32_EPSILON * math.sqrt(centres[0].numel())
    return max(radius - rounding, radius / 2)


def _direction(gradient: "torch.Tensor") -> "torch.Tensor":
    """Each sample's gradient with norm 1; zero stays zero. Scaled by its largest entry first: squares may vanish."""
    flat = gradient.flatten(1)
    flat = flat / flat.abs().amax(dim=1, keepdim=True).clamp_min(1e-38)
    lengths = flat.square().sum(dim=1, keepdim=True).sqrt()
    return (flat / lengths.clamp_min(1e-12)).reshape(gradient.shape)


def _per_sample(values: "torch.Tensor") -> "torch.Tensor":
    return values.reshape(-1, 1, 1, 1)


def _round_up(exact: "torch.Tensor") -> "torch.Tensor":
    """The nearest float32 that is not smaller."""
    import torch

    rounded = exact.float()
    return torch.where(rounded.double() < exact, torch.nextafter(rounded, torch.full_like(rounded, math.inf)), rounded)
