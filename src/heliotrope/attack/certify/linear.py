"""Linear classifiers: the least lead over a region has a closed form, so every sample is decided and its radius is exact.

Over a box, a linear function is least at a corner. Over a ball cut by the range of valid inputs it is least where the gradient,
scaled and clipped to the range, has the length of the radius: one number, found by halving.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from heliotrope.attack.certify.interface import Budget, Certificates, Region, Tick, silent

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from heliotrope.attack.certify.interface import Floats, Inputs, Served

__all__ = ["LinearCertifier", "least_change"]

_BATCH = 4096
_HALVINGS = 60
_ROUNDING = 2.0**-50
"""Relative, of sums of products in float64, for each term."""


@dataclass(frozen=True)
class LinearCertifier:
    """Scores are `weight` x + `bias`, K x d; the class is the largest."""

    weight: "Floats"
    bias: "Floats"
    served: "Served"
    unit: float = _ROUNDING
    """Relative error of one product in the served arithmetic."""

    @property
    def method(self) -> str:
        return "linear-exact"

    @property
    def assumptions(self) -> tuple[str, ...]:
        return ()

    def certify(
        self, inputs: "Inputs", labels: "NDArray[np.int64]", region: Region, budget: Budget, tick: Tick = silent
    ) -> Certificates:
        """Exact, up to rounding: a sample is undecided only when the least lead is as small as rounding."""
        import numpy as np

        n = len(inputs)
        known = Certificates(
            ["undecided"] * n,
            np.zeros(n, dtype=bool),
            np.full(n, np.nan),
            np.full(n, np.nan),
            methods=[self.method] * n,
        )
        for begin in range(0, n, _BATCH):
            rows = slice(begin, min(begin + _BATCH, n))
            self._batch(known, rows, inputs[rows], labels[rows], region)
            tick(rows.stop / n)
        return known

    def _batch(
        self, known: Certificates, rows: slice, inputs: "Inputs", labels: "NDArray[np.int64]", region: Region
    ) -> None:
        import numpy as np

        flat = inputs.reshape(len(inputs), -1).astype(np.float64)
        right = self.served(inputs).argmax(axis=1) == labels
        lead, other = self._least_lead(flat, labels, region, region.eps)
        doubt = self._doubt(flat, region)
        corner = self._corner(flat, labels, other, region).reshape(inputs.shape)
        candidate = _held(corner, inputs, region)
        broken = self.served(candidate).argmax(axis=1) != labels
        radius = self._radius(flat, labels, region)
        known.right[rows], known.margin[rows] = right, lead
        known.radius[rows] = np.where(right, radius, 0.0)
        for place in range(len(inputs)):
            row = rows.start + place
            if not right[place]:
                known.verdicts[row], known.examples[row] = "broken", inputs[place]
            elif broken[place]:
                known.verdicts[row], known.examples[row] = "broken", candidate[place]
            elif lead[place] > doubt[place]:
                known.verdicts[row] = "certified"
            else:
                known.methods[row] = ""

    def _difference(self, labels: "NDArray[np.int64]", other: int) -> "tuple[Floats, Floats]":
        return self.weight[labels] - self.weight[other], self.bias[labels] - self.bias[other]

    def _least_lead(
        self, flat: "Floats", labels: "NDArray[np.int64]", region: Region, eps: "float | Floats"
    ) -> "tuple[Floats, NDArray[np.int64]]":
        """The least lead of the label over any other class, and which class that is."""
        import numpy as np

        least, which = np.full(len(flat), np.inf), np.zeros(len(flat), dtype=np.int64)
        for other in range(len(self.weight)):
            slope, shift = self._difference(labels, other)
            change = least_change(slope, flat, region, eps)
            lead = (slope * flat).sum(axis=1) + shift + (slope * change).sum(axis=1)
            lead = np.where(labels == other, np.inf, lead)
            which = np.where(lead < least, other, which)
            least = np.minimum(least, lead)
        return least, which

    def _corner(
        self, flat: "Floats", labels: "NDArray[np.int64]", other: "NDArray[np.int64]", region: Region
    ) -> "Floats":
        slope = self.weight[labels] - self.weight[other]
        return flat + least_change(slope, flat, region, region.eps)

    def _doubt(self, flat: "Floats", region: Region) -> "Floats":
        """What rounding may add to a lead, here or where the model is served."""
        import numpy as np

        low, high = region.box(flat)
        size = np.maximum(np.abs(low), np.abs(high)) @ np.abs(self.weight).max(axis=0) + np.abs(self.bias).max()
        doubt: Floats = 4 * self.unit * (flat.shape[1] + 2) * size
        return doubt

    def _radius(self, flat: "Floats", labels: "NDArray[np.int64]", region: Region) -> "Floats":
        """The largest radius with a positive least lead, from below; infinite where no valid input misleads."""
        import numpy as np

        low, high = np.zeros(len(flat)), np.full(len(flat), region.eps)
        doubt = self._doubt(flat, region)
        for _ in range(_HALVINGS):  # beyond what any input needs: doubling
            safe = self._least_lead(flat, labels, region, high)[0] > doubt
            if not bool(safe.any()) or float(high.max()) > 1e12:
                break
            low, high = np.where(safe, high, low), np.where(safe, 2 * high, high)
        endless = high > 1e12
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            safe = self._least_lead(flat, labels, region, middle)[0] > doubt
            low, high = np.where(safe, middle, low), np.where(safe, high, middle)
        return np.where(endless, np.inf, low)


def least_change(slope: "Floats", flat: "Floats", region: Region, eps: "float | Floats") -> "Floats":
    """By row, the change within the region that makes slope * change least."""
    import numpy as np

    slope = np.broadcast_to(slope, flat.shape)
    radius = np.broadcast_to(np.asarray(eps, dtype=np.float64).reshape(-1, 1), (len(flat), 1))
    scale = np.broadcast_to(np.asarray(region.scale, dtype=np.float64), flat.shape[1:])
    room = Region(region.norm, 1.0, region.low, region.high, radius * scale)
    low, high = room.box(flat)
    low, high = low - flat, high - flat
    if region.norm == "Linf":
        return np.where(slope > 0, low, np.where(slope < 0, high, 0.0))
    # In scales: change = -t * slope * scale**2, clipped; t such that the length is the radius, or as large as it gets.
    pull = slope * scale * scale
    size = np.sqrt(np.square(slope * scale).sum(axis=1, keepdims=True))
    start = np.divide(radius, size, out=np.zeros_like(size), where=size > 0)
    steps_low, steps_high = start, start * 2.0**200  # clipping only shortens, so the first is never too long

    def at(step: "Floats") -> "Floats":
        changed: Floats = np.clip(-step * pull, low, high)
        return changed

    def length(change: "Floats") -> "Floats":
        scaled = np.divide(change, scale, out=np.zeros_like(change), where=scale > 0)
        size: Floats = np.sqrt(np.square(scaled).sum(axis=1, keepdims=True))
        return size

    plain = at(start)
    if bool((plain == -start * pull).all()):
        return plain
    for _ in range(_HALVINGS):
        middle = np.sqrt(steps_low) * np.sqrt(steps_high)
        short = length(at(middle)) <= radius
        steps_low, steps_high = np.where(short, middle, steps_low), np.where(short, steps_high, middle)
    return at(steps_high)  # a hair too long rather than too short: then a lead that is proven is one


def _held(points: "Floats", inputs: "Inputs", region: Region) -> "Inputs":
    """The points as inputs of the model's kind, rounded towards the sample so that they stay in the region."""
    import numpy as np

    low, high = region.box(inputs)
    points = np.clip(points, low, high)
    if region.norm == "L2":
        length = region.lengths(inputs, points).reshape(-1, *[1] * (inputs.ndim - 1))
        share = np.minimum(region.eps * (1 - 1e-9) / np.maximum(length, 1e-300), 1.0)
        points = inputs + (points - inputs) * share
    made = points.astype(inputs.dtype)
    too_far = (made > high) | (made < low)
    toward = np.nextafter(made, np.asarray(inputs, dtype=made.dtype))
    return np.where(too_far, toward, made)
