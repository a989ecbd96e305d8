"""Intervals: exact ones for shares, whose promised confidence holds for every n; approximate ones for errors."""

import math
from typing import TYPE_CHECKING

from heliotrope.core.errors import MissingExtraError
from heliotrope.core.measurements import Interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["ErrorMoments", "exact_interval", "mean_interval", "paired_interval"]


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


def paired_interval(gained: int, lost: int, n: int, confidence: float = 0.95) -> Interval:
    """A two-sided interval of (gained - lost) / n: by how much a share rose when the same n samples were judged twice.

    gained: samples that are right only afterwards; lost: only before. Both shares have an exact interval at half the error
    (Bonferroni), so that the promised confidence holds for every n; it is wider than approximate intervals.
    Raises ValueError when the counts cannot be.
    """
    if gained < 0 or lost < 0 or gained + lost > n:
        raise ValueError(f"gained and lost must lie in 0..n together, got {gained} and {lost} of {n}")
    each = (1 + confidence) / 2
    up, down = exact_interval(gained, n, each), exact_interval(lost, n, each)
    return Interval(
        low=max(up.low - down.high, -1.0),
        high=min(up.high - down.low, 1.0),
        confidence=confidence,
        method="paired-clopper-pearson",
    )


def mean_interval(mean: float, deviation: float, n: int, confidence: float = 0.95) -> Interval | None:
    """The two-sided Student's t interval of a mean, from the sample's standard deviation; None for fewer than two."""
    if n < 2:
        return None
    try:
        from scipy.special import stdtrit
    except ImportError:
        raise MissingExtraError("torch", module="scipy") from None
    reach = float(stdtrit(n - 1, (1 + confidence) / 2)) * deviation / n**0.5
    return Interval(low=mean - reach, high=mean + reach, confidence=confidence, method="student-t")


class ErrorMoments:
    """Mean absolute error and R2 of a regression with their intervals, from one pass over any number of batches.

    Only power sums are kept. Right answers are taken relative to their mean in the first batch, so that large targets lose
    no digits.
    """

    def __init__(self) -> None:
        self.n = 0
        self._origin: float | None = None
        self._sums = [0.0] * 9

    def add(self, answers: "NDArray[np.float64]", predicted: "NDArray[np.float64]") -> None:
        """Further samples; empty batches change nothing."""
        import numpy as np

        if not len(answers):
            return
        if self._origin is None:
            self._origin = float(answers.mean())
        y = answers.astype(np.float64) - self._origin
        error = np.abs(predicted.astype(np.float64) - answers)
        square = error**2
        terms = (error, square, square**2, y, y**2, y**3, y**4, square * y, square * y**2)
        self._sums = [total + float(term.sum()) for total, term in zip(self._sums, terms, strict=True)]
        self.n += len(answers)

    @property
    def target_mean(self) -> float:
        return (self._origin or 0.0) + self._mean(3)

    @property
    def target_deviation(self) -> float:
        return math.sqrt(max(self._mean(4) - self._mean(3) ** 2, 0.0))

    @property
    def mean_absolute_error(self) -> float:
        return self._mean(0)

    def mean_absolute_error_interval(self) -> Interval | None:
        """By Student's t; never below 0."""
        if self.n < 2:
            return None
        variance = max(self._mean(1) - self._mean(0) ** 2, 0.0) * self.n / (self.n - 1)
        interval = mean_interval(self._mean(0), variance**0.5, self.n)
        return interval and interval.model_copy(update={"low": max(interval.low, 0.0)})

    @property
    def r2(self) -> float | None:
        """None where the target does not vary."""
        variance = self.target_deviation**2
        return 1 - self._mean(1) / variance if variance > 0 else None

    def r2_interval(self, confidence: float = 0.95) -> Interval | None:
        """By the delta method for the ratio of squared error and squared distance from the mean; never above 1.

        Source: the variance of a ratio of means (Cochran: Sampling Techniques, 1977, chapter 6).
        """
        r2 = self.r2
        if r2 is None or self.n < 2:
            return None
        from scipy.special import ndtri

        _, a, a2, y1, y2, y3, y4, ay, ay2 = (self._mean(index) for index in range(9))
        b = y2 - y1**2
        b2 = y4 - 4 * y1 * y3 + 6 * y1**2 * y2 - 3 * y1**4
        ab = ay2 - 2 * y1 * ay + y1**2 * a
        ratio = a / b
        variance = max((a2 - a**2) - 2 * ratio * (ab - a * b) + ratio**2 * (b2 - b**2), 0.0) / (b**2 * self.n)
        reach = float(ndtri((1 + confidence) / 2)) * variance**0.5
        return Interval(low=r2 - reach, high=min(r2 + reach, 1.0), confidence=confidence, method="delta")

    def _mean(self, index: int) -> float:
        return self._sums[index] / self.n if self.n else 0.0
