"""Certificates on tables: every choice of categories that the threat permits is a box of numbers, and every box is decided.

The model's own steps turn both ends of a box into the numbers that it compares or sums, so that encodings, scaling and
rounding are those of the model. What is found is turned back into a row of the table, and the model is asked about that row.
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from heliotrope.attack.certify.boxes import BoxDecider
from heliotrope.attack.certify.interface import Budget, Certificates, Tick, Verdict, silent
from heliotrope.attack.certify.nets.graph import NotModelled
from heliotrope.attack.certify.trees.search import Ball
from heliotrope.attack.search.space import CHOICE, INTEGER, Space

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from heliotrope.attack.search.space import Points, Rows

    Floats = NDArray[np.float64]

_Change = tuple[tuple[int, float], ...]
"""Places of a row, with what they become."""

__all__ = ["MAX_ASSIGNMENTS", "TableCertifier"]

MAX_ASSIGNMENTS = 512
"""Choices of categories of one row that are looked at one by one; a row with more is at best broken."""

_HALVINGS = 80
_DOUBLINGS = 10
"""A radius a thousand times eps is as good as any."""

_ENCODED = 64
"""Rows whose boxes are encoded together; each has three points for every choice of categories."""

_AT_ONCE = 8192
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
        for row in (~right).nonzero()[0].tolist():
            known.verdicts[row], known.methods[row], known.radius[row] = "broken", "clean", 0.0
            known.examples[row] = self.space.centres[row]
        drivers = self._drivers()
        kept = right.nonzero()[0]
        for done, one in enumerate(self._boxes(kept, np.full(len(kept), eps), drivers)):
            found = self._decide(one, int(labels[one.row]), budget.nodes)
            known.nodes += found.nodes
            known.verdicts[one.row], known.margin[one.row] = found.verdict, found.lead
            known.methods[one.row] = self.method if found.verdict != "undecided" else ""
            if found.example is not None:
                known.examples[one.row] = found.example
            tick((done + 1) / len(kept))
        if budget.radii and len(kept):
            self._radii(known, kept, labels[kept], eps=eps, budget=budget, drivers=drivers)
        return known

    def _radii(
        self,
        known: Certificates,
        rows: "Rows",
        labels: "NDArray[np.int64]",
        *,
        eps: float,
        budget: Budget,
        drivers: "_Drivers",
    ) -> None:
        """Doubling where a radius is larger than eps, then halving; all samples together, as encoding takes its time."""
        import numpy as np

        blind = not (self.decider.asks and bool(drivers.plain.all()))
        proven = np.array([known.verdicts[row] == "certified" for row in rows.tolist()])
        low, high = np.where(proven, eps, 0.0), np.where(proven, 2.0 * eps, eps)
        growing = proven.copy()
        for attempt in range(_DOUBLINGS + budget.radii):
            doubling = attempt < _DOUBLINGS
            if doubling and not bool(growing.any()):
                continue
            tried = np.where(growing, high, (low + high) / 2) if doubling else (low + high) / 2
            which = growing.nonzero()[0] if doubling else np.arange(len(rows))
            for one, place in zip(self._boxes(rows[which], tried[which], drivers), which.tolist(), strict=True):
                found = self._decide(one, int(labels[place]), budget.nodes, blind=blind)
                known.nodes += found.nodes
                if found.verdict == "certified":
                    low[place] = tried[place]
                    high[place] = 2 * tried[place] if growing[place] else high[place]
                    continue
                growing[place], high[place] = False, min(high[place], tried[place])
                if found.example is not None:
                    length = float(self.space.lengths(np.array([one.row]), found.example[None])[0])
                    high[place] = max(low[place], min(high[place], length))
        known.radius[rows] = low

    def _decide(self, one: "_Row", label: int, nodes: int, *, blind: bool = False) -> "_Found":
        import numpy as np

        worst, used, open_ = float("inf"), 0, not one.complete
        for box in one.boxes:
            finder = _Finder(self, one, box, label=label, blind=blind)
            whole = one.drivers.whole if one.drivers.plain.all() else None
            below, above = np.minimum(box.first, box.last), np.maximum(box.first, box.last)
            found = self.decider.decide(
                below, above, label, finder, nodes=max(1, nodes - used), ball=box.ball, whole=whole
            )
            used, worst = used + found.nodes, min(worst, found.lead)
            if finder.example is not None:
                return _Found("broken", worst, used, finder.example)
            open_ = open_ or found.verdict != "certified"
        return _Found("undecided" if open_ else "certified", worst, used)

    def _boxes(self, rows: "Rows", eps: "Floats", drivers: "_Drivers") -> "Iterator[_Row]":
        """The boxes of each row at a radius of its own, encoded many at once."""
        import numpy as np

        for begin in range(0, len(rows), _ENCODED):
            made = [
                self._row(int(row), float(reach))
                for row, reach in zip(
                    rows[begin : begin + _ENCODED].tolist(), eps[begin : begin + _ENCODED].tolist(), strict=True
                )
            ]
            points = [point for one in made for point in one.points]
            which = np.array([one.row for one in made for _ in one.points], dtype=np.int64)
            parts = [
                self._numbers(np.stack(points[at : at + _AT_ONCE]), which[at : at + _AT_ONCE])
                for at in range(0, len(points), _AT_ONCE)
            ]
            numbers, at = np.concatenate(parts), 0
            for one in made:
                boxes = tuple(
                    self._encoded(one, place, numbers[at + 3 * place : at + 3 * place + 3], drivers)
                    for place in range(len(one.points) // 3)
                )
                at += len(one.points)
                yield _Row(one.row, one.eps, boxes, one.complete, drivers)

    def _row(self, row: int, eps: float) -> "_Corners":
        """Of every choice of categories both ends of the box, and the sample itself."""
        import numpy as np

        box = self.space.box(np.array([row]), eps)
        centre = self.space.centres[row].astype(np.float64)
        low, high = np.fmin(box.low[0], centre), np.fmax(box.high[0], centre)
        low, high = np.where(np.isnan(centre), centre, low), np.where(np.isnan(centre), centre, high)
        chosen = list(itertools.islice(self._assignments(centre), MAX_ASSIGNMENTS + 1))
        points = [codes(end) for codes in chosen[:MAX_ASSIGNMENTS] for end in (low, high, centre)]
        return _Corners(row, eps, points, complete=len(chosen) <= MAX_ASSIGNMENTS)

    def _encoded(self, one: "_Corners", place: int, numbers: "Floats", drivers: "_Drivers") -> "_Box":
        low, high, centre = one.points[3 * place : 3 * place + 3]
        ball = self._ball(numbers, one.eps, drivers)
        return _Box(low, high, centre, numbers[0], numbers[1], numbers[2], ball)

    def _assignments(self, centre: "Floats") -> "Iterator[Callable[[Floats], Floats]]":
        """The row's own categories first, then every set of changes that the budget permits; a one-hot group is one."""
        ways = self._ways(centre)
        for size in range(min(self.space.budget, len(ways)) + 1):
            for chosen in itertools.combinations(ways, size):
                for codes in itertools.product(*chosen):
                    places = tuple(place for one in codes for place, _ in one)
                    yield _setting(places, tuple(value for one in codes for _, value in one))

    def _ways(self, centre: "Floats") -> "list[list[_Change]]":
        """By column or group that may change: each other value, as places with what they become."""
        import numpy as np

        space, grouped, ways = self.space, set(), []
        for group in space.constraints.groups if space.constraints is not None else ():
            members = group.tolist()
            grouped |= set(members)
            others = [one for one in members if centre[one] != 1]
            ways.append([tuple((place, float(place == one)) for place in members) for one in others])
        for place, own in enumerate(centre.tolist()):
            if place in grouped or np.isnan(own):
                continue
            changes: list[_Change] = []
            if space.kinds[place] == CHOICE:
                changes += [((place, float(code)),) for code in space.choices[place] if code != own]
            if space.constraints is not None and space.constraints.may_miss[place]:
                changes.append(((place, float("nan")),))
            if changes:
                ways.append(changes)
        return ways

    def _ball(self, numbers: "Floats", eps: float, drivers: "_Drivers") -> Ball | None:
        """Only where every number that the model compares is one of the table as it stands."""
        import numpy as np

        if self.space.norm != "L2" or not drivers.plain.all():
            return None
        first, last, centre = numbers
        scale = np.where(drivers.of >= 0, self.space.scale[drivers.of], 0.0)
        weight = np.where(scale > 0, 1 / np.square(np.maximum(scale, 1e-150)), 0.0)
        largest = np.nan_to_num(np.fmax(np.abs(first), np.abs(last)))
        rounding = float(
            np.sqrt((np.square(largest * 2.0**-22) * weight).sum())
        )  # to float32, before they are compared
        return Ball(np.clip(centre, np.fmin(first, last), np.fmax(first, last)), weight, eps * (1 + 1e-9) + rounding)

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


@dataclass(frozen=True, slots=True)
class _Corners:
    row: int
    eps: float
    points: "list[Floats]"
    """Low, high and the sample itself, three for every choice of categories."""
    complete: bool
    """Whether all choices are there."""


@dataclass(frozen=True, slots=True)
class _Box:
    """One choice of categories: ends and sample as points of the table, and as numbers of the model."""

    low: "Floats"
    high: "Floats"
    centre: "Floats"
    first: "Floats"
    last: "Floats"
    middle: "Floats"
    ball: Ball | None


@dataclass(frozen=True, slots=True)
class _Row:
    row: int
    eps: float
    boxes: tuple[_Box, ...]
    complete: bool
    drivers: _Drivers


@dataclass(frozen=True, slots=True)
class _Found:
    verdict: Verdict
    lead: float
    nodes: int
    example: "Floats | None" = None


class _Finder:
    """Turns a box of the model's numbers into a row of the table, and asks the model about it."""

    def __init__(self, owner: TableCertifier, row: _Row, box: _Box, *, label: int, blind: bool) -> None:
        self._owner, self._row, self._box, self._label, self._blind = owner, row, box, label, blind
        self._which = _one(row.row)
        self.example: Floats | None = None

    def __call__(self, below: "Floats", above: "Floats") -> bool | None:
        point = None if self._blind else self._realised(below, above)
        if point is None:
            return None
        owner = self._owner
        if owner.space.norm == "L2" and float(owner.space.lengths(self._which, point[None])[0]) > self._row.eps * (
            1 + 1e-9
        ):
            return None
        wrong = int(owner._answers(point[None], self._which)[0]) != self._label  # noqa: SLF001 - its own helper
        if wrong and not bool(owner.space.feasible(self._which, point[None], self._row.eps)[0]):
            return None
        if wrong:
            self.example = point
        return wrong

    def _realised(self, below: "Floats", above: "Floats") -> "Floats | None":
        """A row whose numbers lie in the box: straight lines between the ends first, then halving; None if none is found."""
        import numpy as np

        of, box = self._row.drivers.of, self._box
        point = self._guessed(below, above)
        low, high = box.low.copy(), box.high.copy()
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
            narrow = np.nextafter(low, np.inf) >= high
            guess = np.where(narrow, np.where(up, high, low), (low + high) / 2)
            point = self._rounded(np.where(up | down, guess, point), up)
        return None

    def _guessed(self, below: "Floats", above: "Floats") -> "Floats":
        """The sample's value where that will do, else the end of the part that is nearer, as if steps were straight lines."""
        import numpy as np

        box, drivers = self._box, self._row.drivers
        point, up = box.centre.copy(), np.zeros(len(box.centre), dtype=bool)
        for number, column in enumerate(drivers.of.tolist()):
            own, first, last = box.middle[number], box.first[number], box.last[number]
            if column < 0 or below[number] <= own <= above[number]:
                continue
            up[column] = own < below[number]
            end = below[number] if up[column] else above[number]
            if drivers.plain[number]:
                point[column] = min(max(end, box.low[column]), box.high[column])
            elif last != first:
                share = min(max((end - first) / (last - first), 0.0), 1.0)
                point[column] = box.low[column] + share * (box.high[column] - box.low[column])
        return self._rounded(point, up)

    def _rounded(self, point: "Floats", up: "NDArray[np.bool_]") -> "Floats":
        """As the table can hold it, within the box."""
        import numpy as np

        space = self._owner.space
        whole = np.where(up, np.ceil(point), np.floor(point))
        kept = np.where((space.kinds == INTEGER) & (point != self._box.centre), whole, point)
        made: Floats = (
            np.fmax(np.fmin(kept, self._box.high), self._box.low).astype(space.centres.dtype).astype(np.float64)
        )
        return made

    def _cast(self, point: "Floats") -> "Floats":
        numbers: Floats = self._owner._numbers(point[None], self._which)[0]  # noqa: SLF001 - its own helper
        ensemble = getattr(self._owner.decider, "ensemble", None)
        return ensemble.cast(numbers) if ensemble is not None else numbers


def _one(row: int) -> "NDArray[np.int64]":
    import numpy as np

    return np.array([row], dtype=np.int64)
