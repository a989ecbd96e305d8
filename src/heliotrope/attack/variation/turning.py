"""Images turned and moved: the worst of a grid of rotations and translations, for any predict function.

Source: Engstrom, Tran, Tsipras, Schmidt, Madry: Exploring the landscape of spatial robustness (2019): up to 30 degrees and a
tenth of each side, bilinear, dark outside; the grid is the strongest of their attacks, the worst of k random points the cheapest.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from heliotrope.attack.interface import Tick
from heliotrope.attack.variation.interface import Broken, Oracle

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from heliotrope.attack.variation.interface import Images

__all__ = ["DEGREES", "SHIFT", "Turn", "Turned", "attack_by_turns", "grid", "random_turns", "turned"]

DEGREES = 30.0
SHIFT = 0.1
"""Of each side."""

_STREAM = 13


@dataclass(frozen=True, slots=True)
class Turn:
    """Anticlockwise about the middle, then moved down and to the right."""

    degrees: float
    down: float = 0.0
    right: float = 0.0
    """Pixels."""


@dataclass(slots=True)
class Turned:
    """What came of all turns."""

    held: "NDArray[np.bool_]"
    """Right by itself and under every turn."""
    clean: "NDArray[np.bool_]"
    broken: Broken
    rotations: "list[tuple[float, int]]"
    """For each rotation without a translation, how many samples are right."""
    turns: int


def grid(height: int, width: int, *, rotations: int, shifts: int) -> tuple[Turn, ...]:
    """Evenly spaced rotations and translations; odd numbers have the unchanged image among them."""
    angles = [DEGREES * (2 * place / (rotations - 1) - 1) for place in range(rotations)]
    parts = [2 * place / (shifts - 1) - 1 for place in range(shifts)]
    return tuple(
        Turn(angle, SHIFT * height * down, SHIFT * width * right)
        for angle in angles
        for down in parts
        for right in parts
    )


def random_turns(height: int, width: int, count: int, seed: int) -> tuple[Turn, ...]:
    """Uniform points of the same range, the same for every sample."""
    import numpy as np

    draws = np.random.default_rng([seed, _STREAM]).uniform(-1, 1, (count, 3)).tolist()
    return tuple(Turn(DEGREES * a, SHIFT * height * b, SHIFT * width * c) for a, b, c in draws)


def turned(images: "Images", turn: Turn, fill: float) -> "Images":
    """Images (n x C x H x W) turned and moved, bilinear; what comes from outside is `fill`. Values stay within theirs and it."""
    import numpy as np

    if turn == Turn(0.0):
        return images.copy()
    n, channels, height, width = images.shape
    angle = math.radians(turn.degrees)
    rows, columns = np.meshgrid(np.arange(height, dtype=np.float64), np.arange(width, dtype=np.float64), indexing="ij")
    down, right = rows - (height - 1) / 2 - turn.down, columns - (width - 1) / 2 - turn.right
    at_row = math.cos(angle) * down + math.sin(angle) * right + (height - 1) / 2
    at_column = -math.sin(angle) * down + math.cos(angle) * right + (width - 1) / 2
    top, left = np.floor(at_row).astype(np.int64), np.floor(at_column).astype(np.int64)
    below, beside = at_row - top, at_column - left
    flat = images.reshape(n, channels, height * width)
    total = np.zeros((n, channels, height * width))
    for step_down, weight_down in ((0, 1 - below), (1, below)):
        for step_right, weight_right in ((0, 1 - beside), (1, beside)):
            row, column = top + step_down, left + step_right
            inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
            place = (np.clip(row, 0, height - 1) * width + np.clip(column, 0, width - 1)).ravel()
            values = np.where(inside.ravel(), flat[:, :, place], fill)
            total += values * (weight_down * weight_right).ravel()
    low, high = min(fill, float(images.min())), max(fill, float(images.max()))
    return np.clip(total, low, high).astype(np.float32).reshape(images.shape)


def attack_by_turns(
    oracle: Oracle,
    images: "Images",
    labels: "NDArray[np.int64]",
    turns: tuple[Turn, ...],
    *,
    rotations: int,
    tick: Tick,
) -> Turned:
    """Ask about every turn, the furthest first; a sample leaves once one misleads, and that image is kept.

    Rotations alone are asked about for all samples, as the curve; they count as turns as well.
    """
    import numpy as np

    clean = ~oracle.wrong(images, labels)
    held, numbers = clean.copy(), np.zeros((len(images), 3))
    worst = images.copy()

    def note(which: "NDArray[np.int64]", changed: "Images", wrong: "NDArray[np.bool_]", turn: Turn) -> None:
        fresh = which[wrong & held[which]]
        worst[fresh] = changed[wrong & held[which]]
        numbers[fresh] = (turn.degrees, turn.down, turn.right)
        held[fresh] = False

    alone = [DEGREES * (2 * place / (rotations - 1) - 1) for place in range(rotations)]
    everything, points = np.arange(len(images)), []
    for angle in alone:
        changed = turned(images, Turn(angle), oracle.low)
        wrong = oracle.wrong(changed, labels)
        points.append((angle, int((~wrong).sum())))
        note(everything, changed, wrong, Turn(angle))
    ordered = sorted(turns, key=_far, reverse=True)
    for place, turn in enumerate(ordered):
        which = held.nonzero()[0]
        if not len(which):
            break
        changed = turned(images[which], turn, oracle.low)
        note(which, changed, oracle.wrong(changed, labels[which]), turn)
        tick((place + 1) / len(ordered))
    which = (clean & ~held).nonzero()[0]
    found = {"degrees": numbers[which, 0], "down": numbers[which, 1], "right": numbers[which, 2]}
    return Turned(held, clean, Broken(which, worst[which], found), points, len(turns) + len(alone))


def _far(turn: Turn) -> float:
    return abs(turn.degrees) / DEGREES + abs(turn.down) + abs(turn.right)
