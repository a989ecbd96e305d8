"""Tests by permutation and corrections for many of them, fixed before anything is looked at."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Labels = NDArray[np.int64]

__all__ = ["PERMUTATIONS", "corrected", "excess_by_class"]

PERMUTATIONS = 999


def excess_by_class(
    values: "Floats", predicted: "Labels", labels: Sequence[int], seed: int
) -> "tuple[Floats, list[float]]":
    """Classes x columns: mean over samples of the class less mean over all others, and a p-value for each class.

    The p-value is that of the largest excess of the class over all columns, when classes are permuted among samples (Westfall
    and Young 1993: the maximum over columns corrects for their number).
    """
    import numpy as np

    of_class = np.stack([predicted == label for label in labels]) if labels else np.zeros((0, len(predicted)), bool)
    observed = _excess(values, of_class)
    beyond = np.ones(len(labels))
    rng = np.random.default_rng([seed, 9])
    largest = observed.max(axis=1, initial=-np.inf)
    for _ in range(PERMUTATIONS):
        order = rng.permutation(len(predicted))
        beyond += _excess(values, of_class[:, order]).max(axis=1, initial=-np.inf) >= largest
    return observed, (beyond / (PERMUTATIONS + 1)).tolist()


def _excess(values: "Floats", of_class: "NDArray[np.bool_]") -> "Floats":
    counts = of_class.sum(axis=1, keepdims=True)
    sums = of_class.astype(float) @ values
    found: Floats = sums / counts - (values.sum(axis=0) - sums) / (len(values) - counts)
    return found


def corrected(p_values: Sequence[float]) -> list[float]:
    """P-values by Holm (1979): below a level, they keep the chance of any false one below it."""
    order = sorted(range(len(p_values)), key=lambda place: p_values[place])
    found, running = [1.0] * len(p_values), 0.0
    for rank, place in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[place]))
        found[place] = running
    return found
