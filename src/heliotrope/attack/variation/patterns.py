"""One pattern for all images: added everywhere, or put as a patch at random places. Made on some samples, judged on others.

Sources: Moosavi-Dezfooli, Fawzi, Fawzi, Frossard: Universal adversarial perturbations (2017); made by gradient steps on the loss of
many images as in Shafahi, Najibi, Xu, Dickerson, Davis, Goldstein: Universal adversarial training (2020). Brown, Mane, Roy,
Abadi, Gilmer: Adversarial patch (2017), for its expectation over places. Without gradients: blocks at either end of what is
allowed, kept when they help, as in Square attack (Andriushchenko et al. 2020), here on the mean over all samples.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from heliotrope.attack.interface import Tick
from heliotrope.attack.variation.interface import Oracle

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from heliotrope.attack.variation.interface import Images

    Gradient = Callable[[Images, NDArray[np.int64]], Images]
    """Images and labels to the gradient of the loss at each image."""

__all__ = ["AddedPattern", "PatchPattern", "Pattern", "by_gradients", "by_questions"]

_STREAM = 17
_FIRST_SHARE = 0.3
"""Of the pattern: what the first block covers; it falls to a single value."""


class Pattern(Protocol):
    """How a pattern meets images."""

    @property
    def shape(self) -> tuple[int, int, int]: ...

    def start(self, seed: int) -> "Images":
        """A pattern at random, as large as what is allowed: the control that a made one must beat."""

    def allowed(self, pattern: "Images") -> "Images":
        """The pattern, brought back into what is allowed."""

    def ends(self) -> tuple[float, float]:
        """The lowest and highest value of a pattern."""

    def on(self, images: "Images", rows: "NDArray[np.int64]", pattern: "Images", draw: int) -> "Images":
        """The images with the pattern; places depend on seed, row and draw alone."""

    def gathered(self, gradients: "Images", rows: "NDArray[np.int64]", draw: int) -> "Images":
        """Gradients at the images as one at the pattern."""


@dataclass(frozen=True, slots=True)
class AddedPattern:
    """Added to every image, within eps in the norm; the sum stays in the range."""

    shape: tuple[int, int, int]
    norm: str
    eps: float
    low: float
    high: float

    def start(self, seed: int) -> "Images":
        import numpy as np

        signs = np.random.default_rng([seed, _STREAM]).integers(0, 2, self.shape) * 2 - 1
        return self.allowed((signs * self.eps).astype(np.float32))

    def allowed(self, pattern: "Images") -> "Images":
        import numpy as np

        if self.norm == "Linf":
            inner = np.float32(self.eps)
            inner = inner if float(inner) <= self.eps else np.nextafter(inner, np.float32(0))
            clipped: Images = np.clip(pattern, -inner, inner)
            return clipped
        length = float(np.sqrt(np.square(pattern.astype(np.float64)).sum()))
        return (pattern * min(1.0, self.eps * (1 - 1e-6) / max(length, 1e-30))).astype(np.float32)

    def ends(self) -> tuple[float, float]:
        """Of L2: so large that a pattern of nothing but ends has the whole length."""
        end = self.eps if self.norm == "Linf" else self.eps / math.sqrt(math.prod(self.shape))
        return -end, end

    def on(self, images: "Images", rows: "NDArray[np.int64]", pattern: "Images", draw: int) -> "Images":
        import numpy as np

        changed: Images = np.clip(images + pattern, np.float32(self.low), np.float32(self.high))
        return changed

    def gathered(self, gradients: "Images", rows: "NDArray[np.int64]", draw: int) -> "Images":
        total: Images = gradients.sum(axis=0)
        return total


@dataclass(frozen=True, slots=True)
class PatchPattern:
    """A square that covers what is below it, anywhere in the image."""

    image: tuple[int, int, int]
    side: int
    low: float
    high: float
    seed: int

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.image[0], self.side, self.side

    def start(self, seed: int) -> "Images":
        import numpy as np

        draws = np.random.default_rng([seed, _STREAM]).uniform(self.low, self.high, self.shape)
        return self.allowed(draws.astype(np.float32))

    def allowed(self, pattern: "Images") -> "Images":
        import numpy as np

        clipped: Images = np.clip(pattern, np.float32(self.low), np.float32(self.high))
        return clipped

    def ends(self) -> tuple[float, float]:
        return self.low, self.high

    def places(self, rows: "NDArray[np.int64]", draw: int) -> list[tuple[int, int]]:
        """Top and left for each image."""
        import numpy as np

        _, high, wide = self.image
        spare = (high - self.side + 1, wide - self.side + 1)
        made = [np.random.default_rng([self.seed, _STREAM, draw, int(row)]).integers(0, spare).tolist() for row in rows]
        return [(top, left) for top, left in made]

    def on(self, images: "Images", rows: "NDArray[np.int64]", pattern: "Images", draw: int) -> "Images":
        changed = images.copy()
        for position, (top, left) in enumerate(self.places(rows, draw)):
            changed[position, :, top : top + self.side, left : left + self.side] = pattern
        return changed

    def gathered(self, gradients: "Images", rows: "NDArray[np.int64]", draw: int) -> "Images":
        import numpy as np

        total = np.zeros(self.shape, dtype=np.float32)
        for position, (top, left) in enumerate(self.places(rows, draw)):
            total += gradients[position, :, top : top + self.side, left : left + self.side]
        return total


def by_gradients(
    how: Pattern, gradient: "Gradient", images: "Images", labels: "NDArray[np.int64]", rows: "NDArray[np.int64]", *,
    start: "Images", steps: int, tick: Tick,
) -> "Images":  # fmt: skip
    """Signed steps up the summed loss, each with places of its own, from a tenth of the range down to nothing."""
    import numpy as np

    low, high = how.ends()
    pattern = start
    for step in range(steps):
        draw = step + 1
        summed = how.gathered(gradient(how.on(images, rows, pattern, draw), labels), rows, draw)
        size = 0.1 * (high - low) * (1 - step / steps)
        pattern = how.allowed((pattern + size * np.sign(summed)).astype(np.float32))
        tick((step + 1) / steps)
    return pattern


def by_questions(
    how: Pattern, oracle: Oracle, images: "Images", labels: "NDArray[np.int64]", rows: "NDArray[np.int64]", *,
    start: "Images", steps: int, seed: int, tick: Tick,
) -> "Images":  # fmt: skip
    """Blocks at either end of the range, kept when the right classes lead by less on the mean."""
    import numpy as np

    source = np.random.default_rng([seed, _STREAM, 1])
    low, high = how.ends()
    channels, tall, wide = how.shape
    each = np.arange(len(labels))

    def leads(changed: "Images") -> "NDArray[np.float64]":
        scores = oracle.answers(changed)
        others = scores.copy()
        others[each, labels] = -np.inf
        found: NDArray[np.float64] = scores[each, labels] - others.max(axis=1)
        return found

    cap = float(np.median(np.abs(leads(images)))) or 1.0

    def lead(pattern: "Images") -> float:
        """What is misled clearly counts no further: others are still to be won."""
        return float(np.maximum(leads(how.on(images, rows, pattern, 0)), -cap).mean())

    best, least = start, lead(start)
    for step in range(steps):
        share = _FIRST_SHARE * (1 - step / steps) ** 6
        sides = (max(1, round(tall * math.sqrt(share))), max(1, round(wide * math.sqrt(share))))
        top, left = source.integers(0, (tall - sides[0] + 1, wide - sides[1] + 1))
        tried = best.copy()
        ends = np.where(source.random(channels) < 0.5, low, high).astype(np.float32)
        tried[:, top : top + sides[0], left : left + sides[1]] = ends[:, None, None]
        tried = how.allowed(tried)
        found = lead(tried)
        if found < least:
            best, least = tried, found
        tick((step + 1) / steps)
    return best
