"""How far two samples of numbers lie apart, without assuming a shape: Cliff's delta and the test of Mann and Whitney."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from heliotrope.core.measurements import Interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["Effect", "effect_of"]


@dataclass(frozen=True, slots=True)
class Effect:
    """Of numbers now against numbers then."""

    delta: float
    """P(now > then) - P(now < then), -1 to 1."""
    interval: Interval | None
    """None where either has fewer than two."""
    p_value: float
    """Two-sided, for equal distributions; 1 where all numbers are equal."""


def effect_of(now: "Floats", then: "Floats", confidence: float = 0.95) -> Effect:
    """Cliff's delta with the interval of its placement values, and Mann and Whitney's test with correction for ties.

    Sources: Cliff (1993); DeLong, DeLong and Clarke-Pearson (1988), of whose area delta is twice the distance from a half.
    """
    import numpy as np
    from scipy.stats import mannwhitneyu

    sorted_then, sorted_now = np.sort(then), np.sort(now)
    above = _placed(now, sorted_then)
    below = -_placed(then, sorted_now)
    delta = float(above.mean())
    interval = None
    if len(now) > 1 and len(then) > 1:
        from scipy.special import ndtri

        error = (above.var(ddof=1) / len(now) + below.var(ddof=1) / len(then)) ** 0.5
        reach = float(ndtri((1 + confidence) / 2) * error)
        low, high = max(-1.0, delta - reach), min(1.0, delta + reach)
        interval = Interval(low=low, high=high, confidence=confidence, method="delong")
    equal = now.min() == now.max() == then.min() == then.max()
    p_value = 1.0 if equal else float(mannwhitneyu(now, then, alternative="two-sided").pvalue)
    return Effect(delta, interval, p_value)


def _placed(values: "Floats", others: "Floats") -> "Floats":
    """Share of the sorted others below each value less the share above it."""
    import numpy as np

    below, upto = np.searchsorted(others, values, "left"), np.searchsorted(others, values, "right")
    placed: Floats = (below - (len(others) - upto)) / len(others)
    return placed
