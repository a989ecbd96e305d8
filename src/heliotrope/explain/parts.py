"""Parts of an input that are looked at one by one: columns of a table, tiles of an image, values of a plain array."""

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from heliotrope.subjects.batching import as_array, as_table
from heliotrope.subjects.interface import Dataset

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from heliotrope.subjects.interface import Inputs

__all__ = ["MAX_PARTS", "TILES", "Part", "parts_of"]

MAX_PARTS = 200
"""Parts that are tried one at a time; each costs passes over the sample."""

TILES = 7
"""Tiles along each side of an image: 4 x 4 pixels of MNIST."""

_FINEST = 2
"""Pixels along each side of a tile, at least: one alone carries little, and costs as much."""


@dataclass(frozen=True, slots=True)
class Part:
    """A column by name, or a box of an array by its slices."""

    name: str
    column: str | None = None
    box: tuple[slice, ...] = ()
    unit: str | None = None

    def permuted(self, inputs: "Inputs", order: "NDArray[np.int64]") -> "Inputs":
        """A copy in which each row has this part of another one."""
        if self.column is not None:
            frame = as_table(inputs).copy()
            frame[self.column] = frame[self.column].iloc[order].set_axis(frame.index)
            return frame
        array = as_array(inputs).copy()
        array[(slice(None), *self.box)] = array[order][(slice(None), *self.box)]
        return array


def parts_of(data: Dataset, inputs: "Inputs", tiles: int = TILES) -> tuple[tuple[Part, ...], int]:
    """The parts, at most MAX_PARTS, and how many more there are."""
    if data.kind == "table":
        columns = [Part(column.name, column=column.name, unit=column.unit) for column in data.columns]
        return tuple(columns[:MAX_PARTS]), max(0, len(columns) - MAX_PARTS)
    shape = as_array(inputs).shape[1:]
    if len(shape) == 3:
        height, width = shape[1:]
        rows, lines = _cuts(height, tiles), _cuts(width, tiles)
        found = [
            Part(f"rows {a}-{b - 1}, columns {c}-{d - 1}", box=(slice(None), slice(a, b), slice(c, d)))
            for a, b in rows
            for c, d in lines
        ]
        return tuple(found), 0
    if len(shape) == 1:
        names = [Part(f"value {place}", box=(slice(place, place + 1),)) for place in range(shape[0])]
        return tuple(names[:MAX_PARTS]), max(0, len(names) - MAX_PARTS)
    pieces = _cuts(shape[0], tiles)
    return tuple(Part(f"places {a}-{b - 1}", box=(slice(a, b),)) for a, b in pieces), 0


def _cuts(length: int, wanted: int) -> list[tuple[int, int]]:
    count = min(wanted, max(1, length // _FINEST))
    edges = [round(place * length / count) for place in range(count + 1)]
    return list(pairwise(edges))
