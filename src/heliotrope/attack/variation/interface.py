"""What is attacked by variations, and what came of it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from heliotrope.subjects.interface import Inputs, Scores

    Images = NDArray[np.float32]

__all__ = ["Broken", "Oracle"]


@dataclass(slots=True)
class Oracle:
    """A classifier of images that can only be asked. `asked` counts images."""

    scores: "Callable[[Inputs], Scores]"
    batch: int
    low: float
    high: float
    asked: int = 0

    def answers(self, images: "Images") -> "Scores":
        """Scores of any number of images."""
        import numpy as np

        parts = [self.scores(images[begin : begin + self.batch]) for begin in range(0, len(images), self.batch)]
        self.asked += len(images)
        return np.concatenate(parts)

    def wrong(self, images: "Images", labels: "NDArray[np.int64]") -> "NDArray[np.bool_]":
        """Whether each image is taken for another class."""
        mistaken: NDArray[np.bool_] = self.answers(images).argmax(axis=1) != labels
        return mistaken


@dataclass(slots=True)
class Broken:
    """Samples that a variation misleads, with the image that does."""

    which: "NDArray[np.int64]"
    images: "Images"
    numbers: "dict[str, NDArray[Any]]" = field(default_factory=dict)
    """What the variation was, one row for each image."""
