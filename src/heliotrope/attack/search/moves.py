"""What a search tries next: where an attempt starts, and which coordinates or squares it changes in which step.

All randomness of a sample comes from seed, restart and row, so that neither batches nor other samples change it.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from heliotrope.attack.search.space import CHOICE, INTEGER, Box, Space

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from heliotrope.attack.search.space import Points, Rows

__all__ = ["Guide", "Mover", "Start", "start_of"]

Start = Literal["guide", "donor", "best", "random"]

_BLOCK = 0.15
"""Share of the coordinates that a block move changes at once."""

_MISSING = 0.6
"""A draw above it leaves out a value that may be missing."""

_SQUARE = 0.8
_HALVED_AT = (0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)
"""The side of squares: their share of the picture at first, and after which share of all steps it is halved (Square attack)."""


def start_of(restart: int) -> Start:
    """The first attempt follows the guide; later ones come from another class, from the best point so far, or from anywhere."""
    if restart == 0:
        return "guide"
    starts: tuple[Start, ...] = ("random", "donor", "best")
    return starts[restart % 3]


@dataclass(frozen=True, slots=True)
class Guide:
    """Which way of changing a coordinate helps on the average sample of a class, as a survey of a few has shown."""

    side: "NDArray[np.int8]"
    """classes x d: 1 where the upper end of a number helps more than the lower one, else -1."""
    gain: "NDArray[np.float64]"
    """classes x d: by how much the right class loses its lead, at best."""
    choice: "NDArray[np.float64]"
    """classes x d: the code of the choice that helps most; NaN for numbers."""

    @classmethod
    def blank(cls, classes: int, width: int) -> "Guide":
        import numpy as np

        return cls(np.ones((classes, width), np.int8), np.zeros((classes, width)), np.full((classes, width), np.nan))


class Mover:
    """The moves of one attempt on some samples."""

    def __init__(
        self,
        space: Space,
        which: "Rows",
        box: Box,
        *,
        radius: float,
        labels: "NDArray[np.int64]",
        rows: "NDArray[np.int64]",
        guide: Guide | None,
        seed: int,
        restart: int,
        steps: int,
        progress: float,
    ) -> None:
        """`labels` and `rows` are those of `which`; `progress` is the share of all attempts that is done, for the squares."""
        import numpy as np

        self._space, self._which, self._box, self._radius = space, which, box, radius
        self._labels, self._guide, self._restart, self._progress = labels, guide, restart, progress
        self._width = space.centres.shape[1]
        self._generators = [np.random.default_rng([seed, restart, int(row)]) for row in rows]
        self._draws = np.stack([generator.random((steps, 4)) for generator in self._generators])
        self._squares = space.shape is not None and guide is None
        if not self._squares:
            self._order_coordinates()

    def _order_coordinates(self) -> None:
        """For each sample the coordinates that can change, the most promising first, and how many there are."""
        import numpy as np

        movable = self._space.movable(self._which, self._box)
        priority = np.stack([generator.random(self._width) for generator in self._generators])
        if self._guide is not None and self._restart == 0:
            gain = self._guide.gain[self._labels]
            priority = priority * 1e-9 * max(float(gain.max(initial=0.0)), 1e-9) + gain
        priority[~movable] = -np.inf
        self._order = np.argsort(-priority, axis=1, kind="stable")
        self._count = movable.sum(axis=1)

    def select(self, keep: "NDArray[np.bool_]") -> None:
        """Go on with some of the samples."""
        self._which, self._labels, self._draws = self._which[keep], self._labels[keep], self._draws[keep]
        self._box = Box(self._box.low[keep], self._box.high[keep])
        if not self._squares:
            self._order, self._count = self._order[keep], self._count[keep]

    def start(self, kind: Start, best: "Points", donors: "Points") -> "Points":
        """Where the attempt begins; `best` and `donors` have a row for each sample, NaN where there is no donor."""
        import numpy as np

        centres = self._space.centres[self._which]
        if kind == "best":
            return self._space.project(self._which, best, self._box, self._radius)
        if kind == "donor":
            points = self._with_choices_of(donors, centres)
            points = np.where(self._space.numbers & ~np.isnan(donors), donors, points)
        elif kind == "guide":
            points = self._stripes() if self._squares else self._guided(centres)
        else:
            points = self._anywhere(centres)
        return self._space.project(self._which, points.astype(centres.dtype), self._box, self._radius)

    def _guided(self, centres: "Points") -> "Points":
        """Every number at the end that helps its class, and the choices that help most, as far as the budget goes."""
        import numpy as np

        if self._guide is None:
            return centres.copy()
        side, gain = self._guide.side[self._labels], self._guide.gain[self._labels]
        ends = np.where(side > 0, self._box.high, self._box.low)
        points = np.where(self._space.numbers & (gain > 0), ends, centres)
        choice = self._guide.choice[self._labels]
        better = (gain > 0) & ~np.isnan(choice) & ~np.isnan(centres) & (choice != centres)
        return np.where(self._first(better, -gain, self._space.budget), choice, points)

    def _with_choices_of(self, donors: "Points", centres: "Points") -> "Points":
        """As many choices of the donor as the budget allows, valid ones only."""
        import numpy as np

        differ = (self._space.kinds == CHOICE) & ~np.isnan(donors) & ~np.isnan(centres) & (donors != centres)
        for column in np.nonzero(differ.any(axis=0))[0]:
            differ[:, column] &= np.isin(donors[:, column], self._space.choices[column])
        priority = self._draws[:, 0, 0][:, None] * np.arange(1, self._width + 1) % 1
        return np.where(self._first(differ, priority, self._space.budget), donors, centres)

    @staticmethod
    def _first(mask: "NDArray[np.bool_]", priority: "NDArray[np.float64]", count: int) -> "NDArray[np.bool_]":
        """Of each row at most `count` of the marked places, those of the lowest priority number."""
        import numpy as np

        ranked = np.argsort(np.argsort(np.where(mask, priority, np.inf), axis=1, kind="stable"), axis=1, kind="stable")
        chosen: NDArray[np.bool_] = mask & (ranked < count)
        return chosen

    def _anywhere(self, centres: "Points") -> "Points":
        """Uniform in the box; choices stay for later steps."""
        import numpy as np

        draws = np.stack([generator.random(self._width) for generator in self._generators])
        points = self._box.low + draws * (self._box.high - self._box.low)
        points = np.where(self._space.kinds == INTEGER, np.rint(points), points)
        return np.where(self._space.numbers & ~np.isnan(points), points, centres)

    def _stripes(self) -> "Points":
        """Vertical stripes of either end of the box: where the Square attack begins."""
        import numpy as np

        assert self._space.shape is not None
        channels, height, width = self._space.shape
        up = np.stack([generator.random((channels, 1, width)) < 0.5 for generator in self._generators])
        up = np.broadcast_to(up, (len(up), channels, height, width)).reshape(len(up), -1)
        return np.where(up, self._box.high, self._box.low)

    def propose(self, points: "Points", step: int, steps: int) -> "Points":
        """A change of each point, inside what is allowed."""
        draws = self._draws[:, step]
        if self._squares:
            moved = self._square(points, draws, self._progress + (1 - self._progress) * step / steps)
        else:
            moved = self._coordinate(points, draws, step)
        return self._space.project(self._which, moved.astype(points.dtype), self._box, self._radius)

    def _square(self, points: "Points", draws: "NDArray[np.float64]", done: float) -> "Points":
        import numpy as np

        assert self._space.shape is not None
        channels, height, width = self._space.shape
        share = _SQUARE / 2 ** sum(done > mark for mark in _HALVED_AT)
        side = max(1, min(round(math.sqrt(share * height * width)), height, width))
        top = (draws[:, 0] * (height - side + 1)).astype(np.int64)
        left = (draws[:, 1] * (width - side + 1)).astype(np.int64)
        rows, columns = np.arange(height), np.arange(width)
        inside = (rows >= top[:, None]) & (rows < top[:, None] + side)
        across = (columns >= left[:, None]) & (columns < left[:, None] + side)
        square = inside[:, None, :, None] & across[:, None, None, :]
        square = np.broadcast_to(square, (len(points), channels, height, width)).reshape(len(points), -1)
        signs = (draws[:, 2] * 2.0**channels).astype(np.int64)[:, None] >> np.arange(channels) & 1
        up = np.repeat(signs.astype(bool), height * width, axis=1)
        return np.where(square, np.where(up, self._box.high, self._box.low), points)

    def _coordinate(self, points: "Points", draws: "NDArray[np.float64]", step: int) -> "Points":
        """One coordinate of each point, or in later attempts now and then a block of numbers."""
        import numpy as np

        each = np.arange(len(points))
        count = np.maximum(self._count, 1)
        guided = self._restart == 0
        place = step % count if guided else (draws[:, 0] * count).astype(np.int64)
        column = self._order[each, place]
        moved = points.copy()
        low, high = self._box.low[each, column], self._box.high[each, column]
        if guided:
            liked = self._guide.side[self._labels, column] if self._guide else np.where(draws[:, 1] < 0.5, 1, -1)
            end, other = np.where(liked > 0, high, low), np.where(liked > 0, low, high)
            value = np.where(points[each, column] == end, other, end)
        else:
            between = low + draws[:, 2] * (high - low)
            between = np.where(self._space.kinds[column] == INTEGER, np.rint(between), between)
            value = np.where(draws[:, 1] < 0.4, low, np.where(draws[:, 1] < 0.8, high, between))
        number = self._space.numbers[column] & (self._count > 0)
        moved[each[number], column[number]] = value[number]
        for one in np.unique(column[(self._space.kinds[column] == CHOICE) & (self._count > 0)]):
            self._choose(moved, each[column == one], int(one), draws)
        if self._space.constraints is not None:
            missing = self._space.constraints.may_miss[column] & (draws[:, 3] > _MISSING) & (self._count > 0)
            moved[each[missing], column[missing]] = np.nan
        if not guided and self._width > 4:
            self._block(moved, draws)
        return moved

    def _choose(self, moved: "Points", some: "Rows", column: int, draws: "NDArray[np.float64]") -> None:
        """Another valid choice; if the budget is used up, another changed one goes back to what it was."""
        import numpy as np

        codes = self._space.choices[column]
        before, own = moved[some, column], self._space.centres[self._which[some], column]
        index = (draws[some, 2] * len(codes)).astype(np.int64)
        picked = codes[index]
        picked = np.where(picked == before, codes[(index + 1) % len(codes)], picked)
        if self._guide is not None and self._restart == 0:
            liked = self._guide.choice[self._labels[some], column]
            picked = np.where(np.isnan(liked) | (liked == before), np.where(before == own, picked, own), liked)
        moved[some, column] = picked
        changed = self._space.changed_choices(self._which[some], moved[some])
        over = self._space.choice_count(self._which[some], moved[some]) > self._space.budget
        changed[:, column] = False
        for position in np.nonzero(over)[0]:
            others = np.nonzero(changed[position])[0]
            row = some[position]
            back = others[int(draws[row, 3] * len(others))] if len(others) else column
            moved[row, back] = self._space.centres[self._which[row], back]

    def _block(self, moved: "Points", draws: "NDArray[np.float64]") -> None:
        """Of some samples several numbers at once, to either end: what single steps cannot reach."""
        import numpy as np

        some = np.nonzero(draws[:, 3] < 0.25)[0]
        size = max(2, round(_BLOCK * self._width))
        begin = (draws[some, 0] * self._width).astype(np.int64)
        for offset in range(size):
            column = self._order[some, (begin + offset) % self._width]
            up = (draws[some, 2] * 2.0 ** (offset % 40 + 1)).astype(np.int64) & 1
            value = np.where(up == 1, self._box.high[some, column], self._box.low[some, column])
            number = self._space.numbers[column] & ~np.isnan(value)
            moved[some[number], column[number]] = value[number]
