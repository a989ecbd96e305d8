"""Randomised smoothing: a classifier that votes over noisy copies of its input is right within a radius that votes prove.

After Cohen, Rosenfeld and Kolter, Certified Adversarial Robustness via Randomized Smoothing (2019), algorithm CERTIFY. The
statement is about the smoothed classifier, not about the one it is made of, and holds with probability 1 - alpha for each sample.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from heliotrope.attack.certify.interface import Tick, silent

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from heliotrope.attack.certify.interface import Floats, Inputs, Served

__all__ = ["Smoothed", "Smoothing", "certified_radius", "smooth", "vote_bound"]

ABSTAINED = -1
"""The class of a sample on which the smoothed classifier says nothing."""


@dataclass(frozen=True, slots=True)
class Smoothing:
    """How a smoothed classifier is asked."""

    sigma: float
    """Standard deviation of the noise, in the units of the input."""
    votes: int = 10_000
    """Noisy copies that are counted, of which an error is bounded."""
    selection: int = 100
    """Noisy copies that only choose the class."""
    alpha: float = 0.001
    """Probability with which a radius may be wrong, for each sample."""
    batch: int = 256


@dataclass(frozen=True, slots=True)
class Smoothed:
    """What is known of each sample."""

    prediction: "NDArray[np.int64]"
    """ABSTAINED where the votes do not suffice for any radius."""
    radius: "Floats"
    """Euclidean, in the units of the input; 0 where it abstained."""
    probability: "Floats"
    """Lower bound of the probability of the predicted class under noise."""
    asked: int


def vote_bound(successes: int, n: int, alpha: float) -> float:
    """One-sided lower Clopper-Pearson bound of a probability."""
    from scipy.stats import beta

    return 0.0 if successes == 0 else float(beta.ppf(alpha, successes, n - successes + 1))


def certified_radius(probability: float, sigma: float) -> float:
    """Sigma times the normal quantile of the lower bound; 0 at one half and below. Rounded down."""
    from scipy.special import ndtri

    if probability <= 0.5:
        return 0.0
    return float(sigma * ndtri(probability)) * (1 - 1e-9)


def smooth(
    served: "Served",
    inputs: "Inputs",
    smoothing: Smoothing,
    *,
    seed: int,
    rows: "NDArray[np.int64] | None" = None,
    tick: Tick = silent,
) -> Smoothed:
    """Ask about noisy copies of each sample. The noise of a sample depends on seed and row alone.

    The classes to count are chosen on copies of their own, so that the bound on the votes is not biased by the choice.
    Where the right class is known beforehand it plays no part: the classifier predicts, and abstains where it is unsure.
    """
    import numpy as np

    n = len(inputs)
    prediction = np.full(n, ABSTAINED, dtype=np.int64)
    radius, probability = np.zeros(n), np.zeros(n)
    for place in range(n):
        row = place if rows is None else int(rows[place])
        source = np.random.default_rng([seed, row])
        first = _votes(served, inputs[place], smoothing, smoothing.selection, source)
        chosen = int(first.argmax())
        counted = int(_votes(served, inputs[place], smoothing, smoothing.votes, source)[chosen])
        probability[place] = vote_bound(counted, smoothing.votes, smoothing.alpha)
        if probability[place] > 0.5:
            prediction[place] = chosen
            radius[place] = certified_radius(float(probability[place]), smoothing.sigma)
        tick((place + 1) / n)
    return Smoothed(prediction, radius, probability, n * (smoothing.selection + smoothing.votes))


def linf_radius(radius: "Floats", values: int) -> "Floats":
    """What a Euclidean radius guarantees for changes of every value: a box fits into a ball of sqrt(values) times its half side."""
    return radius / math.sqrt(values)


def _votes(
    served: "Served", sample: "Inputs", smoothing: Smoothing, count: int, source: "np.random.Generator"
) -> "NDArray[np.int64]":
    import numpy as np

    votes: NDArray[np.int64] | None = None
    for begin in range(0, count, smoothing.batch):
        size = min(smoothing.batch, count - begin)
        noise = source.standard_normal((size, *sample.shape), dtype=np.float32)
        scores = served((sample[None] + smoothing.sigma * noise).astype(sample.dtype))
        found = np.bincount(scores.argmax(axis=1), minlength=scores.shape[1])
        votes = found if votes is None else votes + found
    assert votes is not None
    return votes
