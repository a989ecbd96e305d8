"""Activations and maxima, and the linear functions between which they lie over an interval."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    Pair = tuple[torch.Tensor, torch.Tensor]

__all__ = ["Band", "MaxPool", "Rectifier", "Sigmoidal"]

_SLACK = 2.0**-48
"""Relative, in float64: more than slopes and intercepts of a band can be off by rounding."""

_LIBRARY = 8
"""Units in the last place by which a library's exponential function may be off."""


@dataclass(frozen=True, slots=True)
class Band:
    """slope * x + centre - radius <= f(x) <= slope * x + centre + radius over the interval, entry by entry."""

    slope: "torch.Tensor"
    centre: "torch.Tensor"
    radius: "torch.Tensor"


@dataclass(frozen=True)
class Rectifier:
    """x where it is positive, `leak` * x elsewhere; 0 <= leak < 1 for each value or channel."""

    leak: "torch.Tensor | float" = 0.0

    def forward(self, *inputs: "torch.Tensor") -> "torch.Tensor":
        return inputs[0].clamp_min(0) + inputs[0].clamp_max(0) * self.leak

    def interval(self, *inputs: "Pair") -> "Pair":
        low, high = inputs[0]
        return self.forward(low), self.forward(high)

    def rounding(self, unit: float, *magnitudes: "torch.Tensor") -> "torch.Tensor | None":
        exact = isinstance(self.leak, float) and self.leak == 0
        return None if exact else 2 * unit * magnitudes[0] * self.leak

    def slopes(self, low: "torch.Tensor", high: "torch.Tensor") -> "torch.Tensor":
        """Of the chord; the function's own where it does not bend."""
        import torch

        bends = (low < 0) & (high > 0)
        width = torch.where(bends, high - low, torch.ones_like(low))
        chord = (high - self.leak * low) / width
        flat = torch.where(low >= 0, torch.ones_like(low), torch.zeros_like(low) + self.leak)
        return torch.where(bends, chord, flat)

    def band(self, low: "torch.Tensor", high: "torch.Tensor") -> Band:
        """Below by the chord's parallel through the bend, above by the chord."""
        import torch

        bends = (low < 0) & (high > 0)
        slope = self.slopes(low, high)
        half = torch.where(bends, high * (1 - slope) / 2, torch.zeros_like(low)).clamp_min(0)
        slack = torch.where(bends, _SLACK * (high - low), torch.zeros_like(low))
        return Band(slope, half, half + slack)


@dataclass(frozen=True)
class Sigmoidal:
    """The logistic function or the hyperbolic tangent: rising, steepest at zero."""

    hyperbolic: bool

    def forward(self, *inputs: "torch.Tensor") -> "torch.Tensor":
        return inputs[0].tanh() if self.hyperbolic else inputs[0].sigmoid()

    def interval(self, *inputs: "Pair") -> "Pair":
        low, high = inputs[0]
        return self.forward(low) - 1e-14, self.forward(high) + 1e-14

    def rounding(self, unit: float, *magnitudes: "torch.Tensor") -> "torch.Tensor | None":
        import torch

        return torch.full_like(magnitudes[0], 2 * _LIBRARY * unit)  # values are at most 1

    def band(self, low: "torch.Tensor", high: "torch.Tensor") -> Band:
        """F less its smallest slope still rises, so it lies between its values at both ends."""
        import torch

        at_low, at_high = self.forward(low), self.forward(high)
        slope = torch.minimum(self._derivative(at_low), self._derivative(at_high)).clamp_min(0) * (1 - 1e-9)
        centre = (at_low + at_high - slope * (low + high)) / 2
        radius = ((at_high - at_low) - slope * (high - low)).clamp_min(0) / 2
        return Band(slope, centre, radius + 1e-14 + _SLACK * slope * (low.abs() + high.abs()))

    def _derivative(self, value: "torch.Tensor") -> "torch.Tensor":
        return 1 - value.square() if self.hyperbolic else value * (1 - value)


@dataclass(frozen=True)
class MaxPool:
    """The largest of each window."""

    size: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int] = (0, 0)

    def forward(self, *inputs: "torch.Tensor") -> "torch.Tensor":
        import torch

        return torch.nn.functional.max_pool2d(inputs[0], self.size, self.stride, self.padding)

    def interval(self, *inputs: "Pair") -> "Pair":
        low, high = inputs[0]
        return self.forward(low), self.forward(high)

    def rounding(self, unit: float, *magnitudes: "torch.Tensor") -> "torch.Tensor | None":
        return None

    def band(self, low: "torch.Tensor", high: "torch.Tensor") -> "tuple[torch.Tensor, Band]":
        """Which entry of each window has the highest lower end, and how far above it the maximum can be."""
        import torch

        at_least, which = torch.nn.functional.max_pool2d(low, self.size, self.stride, self.padding, return_indices=True)
        rest = high.flatten(2)
        above = torch.empty_like(at_least)
        # The highest upper end among all others of the window: pad with what no value reaches, unfold, strike out the chosen.
        left, right = self.padding[1], self.padding[0]
        padded = torch.nn.functional.pad(high, (left, left, right, right), value=-torch.inf)
        places = torch.arange(rest.shape[2], device=high.device, dtype=high.dtype).reshape(1, 1, *high.shape[2:])
        numbered = torch.nn.functional.pad(places, (left, left, right, right), value=-1.0)
        windows = self._windows(padded)
        numbers = self._windows(numbered)
        chosen = numbers == which[..., None].to(numbers.dtype)
        above = windows.masked_fill(chosen, -torch.inf).amax(dim=-1)
        spare = (above - at_least).clamp_min(0)
        return which, Band(torch.ones_like(spare), spare / 2, spare / 2 + _SLACK * spare)

    def _windows(self, maps: "torch.Tensor") -> "torch.Tensor":
        """Batch x channels x height x width x entries of the window."""
        rows = maps.unfold(2, self.size[0], self.stride[0]).unfold(3, self.size[1], self.stride[1])
        return rows.flatten(4)
