"""How many samples a check takes, and which ones."""

from typing import TYPE_CHECKING

from heliotrope.config.schema import Suite
from heliotrope.subjects.planning import ModelTask

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["SUITE_SAMPLES", "choose_rows", "sample_size"]

SUITE_SAMPLES: dict[Suite, int | None] = {"quick": 200, "standard": 1000, "deep": None}
"""Samples by suite; None is all. At 1000 an interval is at most 6.3 points wide."""


def sample_size(parameters: ModelTask, total: int) -> int:
    """What `sample` says, else the suite, but never more than there are."""
    wanted = SUITE_SAMPLES[parameters.suite or "standard"] if parameters.sample is None else parameters.sample
    return total if wanted is None or wanted == "all" else min(wanted, total)


def choose_rows(total: int, size: int, seed: int) -> "NDArray[np.int64]":
    """A seeded choice of rows without replacement, in their order."""
    import numpy as np

    if size >= total:
        return np.arange(total, dtype=np.int64)
    chosen: NDArray[np.int64] = np.sort(np.random.default_rng(seed).choice(total, size, replace=False)).astype(np.int64)
    return chosen
