"""Attributions of anything that can be asked: what the score loses when a part is replaced by that of other samples."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from heliotrope.explain.interface import Attribution
from heliotrope.explain.parts import Part

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from heliotrope.subjects.interface import Inputs, Scores

    Labels = NDArray[np.int64]

__all__ = ["occlusion"]


def occlusion(
    ask: "Callable[[Inputs], Scores]",
    inputs: "Inputs",
    targets: "Labels",
    parts: tuple[Part, ...],
    *,
    score: str,
    seed: int,
    draws: int = 2,
    tick: Callable[[int, int], None] = lambda _done, _total: None,
) -> Attribution:
    """N x parts: score of the target less its mean when the part comes from other rows, `draws` of them.

    Replacing by values that occur keeps each value plausible, unlike a constant; combinations may still be odd.
    """
    import numpy as np

    n = len(inputs)
    rows = np.arange(n)
    clean = ask(inputs)[rows, targets]
    values = np.zeros((n, len(parts)))
    for position, part in enumerate(parts):
        for draw in range(draws):
            other = part.permuted(inputs, np.random.default_rng([seed, position, draw]).permutation(n))
            values[:, position] += (clean - ask(other)[rows, targets]) / draws
        tick(position + 1, len(parts))
    return Attribution(
        values, "occlusion", f"values of {draws} other samples", score, asked=n * (1 + draws * len(parts))
    )
