"""Certificates on tables: every choice of categories that the threat permits is a box of numbers, and every box is decided.

The model's own steps turn both ends of a box into the numbers that it compares or sums, so that encodings, scaling and
rounding are those of the model. What is found is turned back into a row of the table, and the model is asked about that row.
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from heliotrope.attack._space import CHOICE, INTEGER, Space
from heliotrope.attack.certify.boxes import BoxDecider
from heliotrope.attack.certify.interface import Budget, Certificates, Tick, silent
from heliotrope.attack.certify.nets.graph import NotModelled
from heliotrope.attack.certify.trees.search import Ball

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from heliotrope.attack._space import Points, Rows

    Floats = NDArray[np.float64]

__all__ = ["MAX_ASSIGNMENTS", "TableCertifier"]

MAX_ASSIGNMENTS = 512
"""Choices of categories of one row that are looked at one by one; a row with more is at best broken."""

_HALVINGS = 80
_AGREEMENT = 1e-4


@dataclass(frozen=True)
class TableCertifier:
    """One model on the samples of a space."""

    space: Space
    matrix: "Callable[[Any], Any]"
    """A batch as the numbers that the decider takes."""
    served: "Callable[[Any], Floats]"
    decider: BoxDecider

    @property
    def method(self) -> str:
        return self.decider.method

    @property
    def assumptions(self) -> tuple[str, ...]:
        return ()

    def require_agreement(self, which: "Rows") -> None:
        """NotModelled unless what was read answers as the model does."""
        import numpy as np

        inputs = self.space.decode(self.space.centres[which], which)
        own, served = self.decider.scores(self._numbers(self.space.centres[which], which)), self.served(inputs)
        one_hot = bool(np.isin(served, (0.0, 1.0)).all())  # a model that says no more than the class
        if one_hot and own.shape == served.shape:
            ordered = np.sort(own, axis=1)
            clear = ordered[:, -1] - ordered[:, -2] > _AGREEMENT
            own, served = own[clear].argmax(axis=1), served[clear].argmax(axis=1)
        if own.shape != served.shape or not np.allclose(own, served, atol=_AGREEMENT, rtol=_AGREEMENT):
            raise NotModelled("what was read of the model answers otherwise than the model")

    def certify(self, labels: "NDArray[np.int64]", eps: float, budget: Budget, tick: Tick = silent) -> Certificates:
        """Verdicts on the samples of the space."""
        import numpy as np

        n = len(self.space.centres)
        everything = np.arange(n)
        right = self._answers(self.space.centres, everything) == labels
        known = Certificates(["undecided"] * n, right, np.full(n, np.nan), np.full(n, np.nan), methods=[""] * n)
        drivers = self._drivers()
        for row in range(n):
            if right[row]:
                self._one(known, row, int(labels[row]), eps=eps, budget=budget, drivers=drivers)
            else:
                known.verdicts[row], known.methods[row], known.radius[row] = "broken", "clean", 0.0
                known.examples[row] = self.space.centres[row]
            tick((row + 1) / n)
        return known

    def _one(
        self, known: Certificates, row: int, label: int, *, eps: float, budget: Budget, drivers: "_Drivers"
    ) -> None:
        verdict, lead, example, nodes = self._decide(row, label, eps, budget.nodes, drivers)
        known.nodes += nodes
        known.verdicts[row], known.margin[row] = verdict, lead
        known.methods[row] = self.method if verdict != "undecided" else ""
        if example is not None:
            known.examples[row] = example
        if not budget.radii:
            return
        blind = not self.decider.asks
        low, high = (eps, 2 * eps) if verdict == "certified" else (0.0, eps)
        while verdict == "certified" and high < 2**10 * eps:
            again, _, _, nodes = self._decide(row, label, high, budget.nodes, drivers, blind=blind)
            known.nodes += nodes
            if again != "certified":
                break
            low, high = high, 2 * high
        for _ in range(budget.radii):
            middle = (low + high) / 2
            again, _, example, nodes = self._decide(row, label, middle, budget.nodes, drivers, blind=blind)
            known.nodes += nodes
            if again == "certified":
                low = middle
            else:
                high = middle
                if example is not None:
                    which = np_array([row])
                    high = min(high, float(self.space.lengths(which, example[None])[0]))
            if high <= low:
                break
        known.radius[row] = low

    def _decide(
        self, row: int, label: int, eps: float, nodes: int, drivers: "_Drivers", *, blind: bool = False
    ) -> "tuple[Any, float, Floats | None, int]":
        """Verdict, lead, a broken point of the space, and the parts that were looked at."""
        import numpy as np

        which = np.array([row])
        box = self.space.box(which, eps)
        centre = self.space.centres[row].astype(np.float64)
        low, high = np.fmin(box.low[0], centre), np.fmax(box.high[0], centre)
        low, high = np.where(np.isnan(centre), centre, low), np.where(np.isnan(centre), centre, high)
        worst, used, open_ = float("inf"), 0, False
        assignments = self._assignments(centre)
        for count, codes in enumerate(assignments):
            if count >= MAX_ASSIGNMENTS:
                open_ = True
                break
            first, last = codes(low), codes(high)
            ends = self._numbers(np.stack([first, last]), np.array([row, row]))
            finder = _Finder(
                self,
                which,
                centre=codes(centre),
                low=first,
                high=last,
                drivers=drivers,
                label=label,
                eps=eps,
                blind=blind,
            )
            ball = self._ball(ends, codes(centre), row, eps, drivers)
            whole = drivers.whole if drivers.plain.all() else None
            below, above = np.minimum(ends[0], ends[1]), np.maximum(ends[0], ends[1])
            below, above = np.where(np.isnan(ends[0]), ends[0], below), np.where(np.isnan(ends[0]), ends[0], above)
            found = self.decider.decide(below, above, label, finder, nodes=max(1, nodes - used), ball=ball, whole=whole)
            used, worst = used + found.nodes, min(worst, found.lead)
            if finder.example is not None:
                return "broken", worst, finder.example, used
            open_ = open_ or found.verdict != "certified"
        return ("undecided" if open_ else "certified"), worst, None, used

    def _assignments(self, centre: "Floats") -> "Iterator[Callable[[Floats], Floats]]":
        """The row's own categories first, then every set of changes that the budget permits."""
        import numpy as np

        places = [
            place
            for place in range(len(centre))
            if self.space.kinds[place] == CHOICE and not np.isnan(centre[place]) and len(self.space.choices[place]) > 1
        ]
        for size in range(min(self.space.budget, len(places)) + 1):
            for chosen in itertools.combinations(places, size):
                others = [[code for code in self.space.choices[place] if code != centre[place]] for place in chosen]
                for codes in itertools.product(*others):
                    yield _setting(chosen, codes)

    def _ball(self, ends: "Floats", centre: "Floats", row: int, eps: float, drivers: "_Drivers") -> Ball | None:
        """Only where every number that the model compares is one of the table as it stands."""
        import numpy as np

        if self.space.norm != "L2" or not drivers.plain.all():
            return None
        numbers = self._numbers(centre[None], np.array([row]))[0]
        scale = np.where(drivers.of >= 0, self.space.scale[drivers.of], 0.0)
        weight = np.where(scale > 0, 1 / np.square(np.maximum(scale, 1e-150)), 0.0)
        largest = np.nan_to_num(np.fmax(np.abs(ends[0]), np.abs(ends[1])))
        rounding = float(
            np.sqrt((np.square(largest * 2.0**-22) * weight).sum())
        )  # to float32, before they are compared
        return Ball(np.clip(numbers, np.fmin(*ends), np.fmax(*ends)), weight, eps * (1 + 1e-9) + rounding)

    def _numbers(self, points: "Points", which: "Rows") -> "Floats":
        import numpy as np

        made = self.matrix(self.space.decode(points, which))
        made = made.to_numpy(dtype=np.float64, na_value=np.nan) if hasattr(made, "to_numpy") else np.asarray(made)
        flat: Floats = made.reshape(len(points), -1).astype(np.float64)
        return flat

    def _answers(self, points: "Points", which: "Rows") -> "NDArray[np.int64]":
        answers: NDArray[np.int64] = self.served(self.space.decode(points, which)).argmax(axis=1)
        return answers

    def _drivers(self) -> "_Drivers":
        """Which column each number follows, seen by moving one column at a time over the whole of its range."""
        import numpy as np

        space = self.space
        centres = space.centres.astype(np.float64)
        numbers = space.numbers.nonzero()[0]
        with np.errstate(invalid="ignore"):
            known = ~np.isnan(centres[:, numbers]).any(axis=1)
        base = centres[int(known.argmax())]
        rows = np.tile(base, (len(numbers) + 1, 1))
        for place, column in enumerate(numbers.tolist()):
            low = space.low[column] if np.isfinite(space.low[column]) else np.nanmin(centres[:, column]) - 1
            high = space.high[column] if np.isfinite(space.high[column]) else np.nanmax(centres[:, column]) + 1
            rows[place + 1, column] = high if abs(high - base[column]) > abs(low - base[column]) else low
        made = self._numbers(rows, np.zeros(len(rows), dtype=np.int64) + int(known.argmax()))
        moved = (made[1:] != made[0]) & ~(np.isnan(made[1:]) & np.isnan(made[0]))
        if bool((moved.sum(axis=0) > 1).any()):
            raise NotModelled("a number that the model takes follows several columns")
        of = np.where(moved.any(axis=0), numbers[moved.argmax(axis=0)] if len(numbers) else 0, -1)
        taken = rows[:, np.maximum(of, 0)]
        with np.errstate(invalid="ignore"):
            near = (np.abs(made - taken) <= 1e-6 * np.maximum(1, np.abs(taken))).all(axis=0)
        plain = (of < 0) | near
        whole = (of >= 0) & (space.kinds[np.maximum(of, 0)] == INTEGER)
        return _Drivers(of, plain, whole)


def np_array(values: list[int]) -> "NDArray[np.int64]":
    import numpy as np

    return np.array(values, dtype=np.int64)


def _setting(places: tuple[int, ...], codes: "tuple[float, ...]") -> "Callable[[Floats], Floats]":
    def setting(point: "Floats") -> "Floats":
        made = point.copy()
        made[list(places)] = codes
        return made

    return setting


@dataclass(frozen=True, slots=True)
class _Drivers:
    of: "NDArray[np.int64]"
    """By number of the model: the column that it follows, -1 for none that may move."""
    plain: "NDArray[np.bool_]"
    """Whether it is that column's value itself."""
    whole: "NDArray[np.bool_]"


class _Finder:
    """Turns a box of the model's numbers into a row, and asks the model about it."""

    def __init__(
        self,
        owner: TableCertifier,
        which: "Rows",
        *,
        centre: "Floats",
        low: "Floats",
        high: "Floats",
        drivers: _Drivers,
        label: int,
        eps: float,
        blind: bool,
    ) -> None:
        self._blind = blind
        self._owner, self._which, self._centre, self._low, self._high = owner, which, centre, low, high
        self._drivers, self._label, self._eps = drivers, label, eps
        self.example: Floats | None = None

    def __call__(self, below: "Floats", above: "Floats") -> bool | None:
        import numpy as np

        point = None if self._blind else self._realised(below, above)
        if point is None:
            return None
        owner = self._owner
        if owner.space.norm == "L2":
            share = np.minimum(self._eps / np.maximum(owner.space.lengths(self._which, point[None]), 1e-300), 1.0)
            if share[0] < 1 - 1e-9:
                return None
        wrong = int(owner._answers(point[None], self._which)[0]) != self._label  # noqa: SLF001 - its own helper
        if wrong and not bool(owner.space.feasible(self._which, point[None], self._eps)[0]):
            return None
        if wrong:
            self.example = point
        return wrong

    def _realised(self, below: "Floats", above: "Floats") -> "Floats | None":
        """The row nearest to the sample whose numbers lie in the box, by halving each column; None if there is none."""
        import numpy as np

        space, of = self._owner.space, self._drivers.of
        low, high, point = self._low.copy(), self._high.copy(), self._centre.copy()
        for _ in range(_HALVINGS):
            numbers = self._cast(point)
            short, long = numbers < below, numbers > above
            if not bool((short | long).any()):
                return point
            if bool(((short | long) & (of < 0)).any()):
                return None
            up, down = np.zeros(len(point), dtype=bool), np.zeros(len(point), dtype=bool)
            up[of[short]], down[of[long]] = True, True
            if bool((up & down).any()):
                return None
            low, high = np.where(up, point, low), np.where(down, point, high)
            guess = self._direct(point, up=up, down=down, below=below, above=above, low=low, high=high)
            point = np.where(up | down, guess, point).astype(space.centres.dtype).astype(np.float64)
        return None

    def _cast(self, point: "Floats") -> "Floats":
        numbers: Floats = self._owner._numbers(point[None], self._which)[0]  # noqa: SLF001 - its own helper
        ensemble = getattr(self._owner.decider, "ensemble", None)
        return ensemble.cast(numbers) if ensemble is not None else numbers

    def _direct(
        self,
        point: "Floats",
        *,
        up: "NDArray[np.bool_]",
        down: "NDArray[np.bool_]",
        below: "Floats",
        above: "Floats",
        low: "Floats",
        high: "Floats",
    ) -> "Floats":
        """The end of the box itself where a number is the column's value, else half the way."""
        import numpy as np

        guess = (low + high) / 2
        for number, column in enumerate(self._drivers.of.tolist()):
            if column < 0 or not (up[column] or down[column]):
                continue
            end = below[number] if up[column] else above[number]
            if self._drivers.plain[number] and low[column] < end < high[column]:
                guess[column] = end
            elif np.nextafter(low[column], np.inf) >= high[column]:
                guess[column] = high[column] if up[column] else low[column]
        whole = self._owner.space.kinds == INTEGER
        return np.where(whole, np.where(up, np.ceil(guess), np.floor(guess)), guess)
