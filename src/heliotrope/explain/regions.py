"""Small square regions of images: where they lie, and how much of an attribution lies in each."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from heliotrope.explain.parts import TILES

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Images = NDArray[np.float32]

__all__ = ["Region", "regions_of", "shares"]


@dataclass(frozen=True, slots=True)
class Region:
    """Rows and columns of an image, all channels."""

    top: int
    left: int
    height: int
    width: int

    @property
    def name(self) -> str:
        rows = f"rows {self.top}-{self.top + self.height - 1}"
        return f"{rows}, columns {self.left}-{self.left + self.width - 1}"

    @property
    def box(self) -> tuple[slice, slice, slice, slice]:
        """Of a batch, n x channels x height x width."""
        rows, columns = slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)
        return slice(None), slice(None), rows, columns

    def overlaps(self, other: "Region") -> bool:
        return (
            self.top < other.top + other.height
            and other.top < self.top + self.height
            and self.left < other.left + other.width
            and other.left < self.left + self.width
        )

    def filled(self, images: "Images", content: "Images | float") -> "Images":
        """A copy with this region holding a value, or a patch of channels x height x width."""
        made = images.copy()
        made[self.box] = content
        return made


def regions_of(shape: tuple[int, ...]) -> tuple[Region, ...]:
    """Squares of a seventh of the shorter side, two pixels at least, each half a side from the next: 4 x 4 pixels of MNIST."""
    height, width = shape[-2:]
    side = max(2, min(height, width) // TILES)
    step = max(1, side // 2)
    return tuple(
        Region(top, left, side, side) for top in _places(height, side, step) for left in _places(width, side, step)
    )


def _places(length: int, side: int, step: int) -> list[int]:
    """Up to the end, the last one flush with it."""
    return sorted({*range(0, length - side + 1, step), length - side})


def shares(maps: "Floats", regions: tuple[Region, ...]) -> "Floats":
    """N x regions: which share of the absolute attribution of each n x height x width map lies in each region; 0 of nothing."""
    import numpy as np

    total = maps.sum(axis=(1, 2))
    sums = np.zeros((len(maps), maps.shape[1] + 1, maps.shape[2] + 1))
    sums[:, 1:, 1:] = maps.cumsum(axis=1).cumsum(axis=2)
    found = np.zeros((len(maps), len(regions)))
    for place, one in enumerate(regions):
        low, high, left, right = one.top, one.top + one.height, one.left, one.left + one.width
        found[:, place] = sums[:, high, right] - sums[:, low, right] - sums[:, high, left] + sums[:, low, left]
    part: Floats = np.divide(found, total[:, None], out=np.zeros_like(found), where=total[:, None] > 0)
    return part
