"""Intervals for shares. Exact ones: the promised confidence holds for every n, also at 0 and at n."""

from heliotrope.core.errors import MissingExtraError
from heliotrope.core.measurements import Interval

__all__ = ["exact_interval"]


def exact_interval(successes: int, n: int, confidence: float = 0.95) -> Interval:
    """The two-sided Clopper-Pearson interval of a binomial share.

    Source: Clopper and Pearson (1934), by the quantiles of the beta distribution. With n = 0 nothing is known: [0, 1].
    Raises ValueError when the counts cannot be, MissingExtraError without scipy.
    """
    if not 0 <= successes <= n:
        raise ValueError(f"successes must lie in 0..n, got {successes} of {n}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie in (0, 1), got {confidence}")
    try:
        from scipy.special import betaincinv
    except ImportError:
        raise MissingExtraError("torch", module="scipy") from None
    tail = (1 - confidence) / 2
    low = 0.0 if successes == 0 else float(betaincinv(successes, n - successes + 1, tail))
    high = 1.0 if successes == n else float(betaincinv(successes + 1, n - successes, 1 - tail))
    return Interval(low=low, high=high, confidence=confidence, method="clopper-pearson")
