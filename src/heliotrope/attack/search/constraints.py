"""What a changed row of a table must keep beyond types and ranges, and how a row is brought back to it.

Relations are repaired by moving the other columns that take part, those that have not moved first, as far as their own bounds
permit. What cannot be repaired is refused, never counted: repairing helps the search, checking decides.
Sources: constraints and repair: Simonetto et al., A unified framework for adversarial attack and defense in constrained
feature space (2022) and Constrained adaptive attack (2024).
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from heliotrope.attack.search.space import CHOICE, FIXED, INTEGER, Box, Space
from heliotrope.config.constraints import ConstraintsFile, Relation
from heliotrope.core.errors import InputError
from heliotrope.core.text import printable, shorten
from heliotrope.subjects.interface import Column

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from heliotrope.attack.search.space import Points, Rows

    Floats = NDArray[np.float64]
    Mask = NDArray[np.bool_]

__all__ = ["RowConstraints", "constrained_columns", "constrained_space"]

_BUDGET_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class RowConstraints:
    """By column of a space; relations as lower <= weights x row + offset <= upper."""

    upward: "Mask"
    """Whether a number may rise."""
    downward: "Mask"
    reach: "Floats"
    """How far a number may move, in its own units."""
    step: "Floats"
    """0: any."""
    cost: "Floats"
    may_miss: "Mask"
    groups: "tuple[NDArray[np.int64], ...]"
    weights: "Floats"
    """Relations x columns; 0 for columns that never move, which are part of the offset."""
    offset: "Floats"
    """Samples x relations."""
    lower: "Floats"
    upper: "Floats"
    relations: tuple[str, ...]
    """As people read them."""
    budget: float

    def narrowed(self, centres: "Floats", low: "Floats", high: "Floats") -> "tuple[Floats, Floats]":
        """Bounds of numbers, made tighter by directions and largest changes."""
        import numpy as np

        low = np.maximum(low, np.where(self.downward, centres - self.reach, centres))
        high = np.minimum(high, np.where(self.upward, centres + self.reach, centres))
        return low, high

    def broken_by(self, which: "Rows", points: "Points") -> "dict[str, Mask]":
        """Of each group and relation whether each row breaks it, by what people read."""
        import numpy as np

        found = {}
        for group in self.groups:
            own = points[:, group]
            fine = np.isin(own, (0.0, 1.0)).all(axis=1) & (own.sum(axis=1) == 1)
            found[f"one-hot group of {len(group)} columns from column {int(group[0]) + 1}"] = ~fine
        totals = self._totals(which, points)
        for place, text in enumerate(self.relations):
            total = totals[:, place]
            found[text] = ~((total >= self.lower[place]) & (total <= self.upper[place]))
        return found

    def kept(self, space: Space, which: "Rows", points: "Points") -> "Mask":
        """Whether each changed row keeps directions, steps, largest changes, groups, relations and the budget."""
        import numpy as np

        centres = space.centres[which]
        moved = np.where(space.numbers & ~np.isnan(points) & ~np.isnan(centres), points - centres, 0.0)
        fine = ~((moved > 0) & ~self.upward).any(axis=1) & ~((moved < 0) & ~self.downward).any(axis=1)
        rounding = 1e-9 * np.maximum(1.0, np.abs(np.nan_to_num(centres)))
        fine &= (np.abs(moved) <= self.reach + rounding).all(axis=1)
        steps = np.where(self.step > 0, self.step, 1.0)
        off = np.abs(moved - np.rint(moved / steps) * steps) > rounding
        fine &= ~(off & (self.step > 0)).any(axis=1)
        for broken in self.broken_by(which, points).values():
            fine &= ~broken
        fine &= self.spent(space, which, points) <= self.budget * (1 + _BUDGET_ROUNDING)
        kept: Mask = np.asarray(fine)
        return kept

    def spent(self, space: Space, which: "Rows", points: "Points") -> "Floats":
        """The cost of each row. A one-hot group that changes costs as its dearest column."""
        import numpy as np

        priced = self.prices(space, which, points)
        for group in self.groups:
            dearest = priced[:, group].max(axis=1)
            priced[:, group] = 0.0
            priced[:, group[0]] = dearest
        total: Floats = np.asarray(priced.sum(axis=1))
        return total

    def prices(self, space: Space, which: "Rows", points: "Points") -> "Floats":
        """The cost of each change, rows x columns."""
        import numpy as np

        amount = space.scaled_changes(which, points) + space.changed_choices(which, points)
        priced: Floats = np.where(amount > 0, amount * self.cost, 0.0)
        return priced

    def repair(self, space: Space, which: "Rows", points: "Points", box: Box) -> "Points":
        """Rows that come as near to keeping everything as moving each column within its box permits."""
        import numpy as np

        centres = space.centres[which]
        points = points.copy()
        whole = (space.kinds == INTEGER) & ~np.isnan(points) & (points != centres)
        points = np.where(whole, np.clip(np.rint(points), box.low, box.high), points)
        steps = np.where(self.step > 0, self.step, 1.0)
        stepped = centres + np.trunc((points - centres) / steps + 1e-9) * steps
        points = np.where((self.step > 0) & space.numbers & (points != centres), stepped, points)
        for group in self.groups:
            _one_of(points, centres, group)
        for _ in range(2):
            for place in range(len(self.relations)):
                self._level(space, which, points, box=box, place=place)
        return points

    def _level(self, space: Space, which: "Rows", points: "Points", *, box: Box, place: int) -> None:
        """Bring one sum back: by columns that have not moved, then by all a little, then by whole numbers."""
        import numpy as np

        weights = self.weights[place]
        columns = ((weights != 0) & space.numbers).nonzero()[0]
        centres = space.centres[which]
        for column in columns:
            self._shift(space, which, points, box=box, place=place, column=int(column), only=points == centres)
        gap = self._gap(which, points, place)
        some = [int(column) for column in columns if space.kinds[column] != INTEGER and not self.step[column]]
        if some and bool((gap != 0).any()):
            falls = (gap[:, None] * weights[some]) > 0
            room = np.where(falls, points[:, some] - box.low[:, some], box.high[:, some] - points[:, some])
            room = np.nan_to_num(np.maximum(room, 0.0), nan=0.0, posinf=1e12) * np.abs(weights[some])
            share = np.minimum(1.0, np.abs(gap) / np.maximum(room.sum(axis=1), 1e-300))[:, None]
            points[:, some] -= np.where(
                gap[:, None] != 0, np.where(falls, 1, -1) * share * room / np.abs(weights[some]), 0.0
            )
        for column in columns:
            self._shift(
                space, which, points, box=box, place=place, column=int(column), only=np.ones_like(points, dtype=bool)
            )

    def _shift(
        self, space: Space, which: "Rows", points: "Points", *, box: Box, place: int, column: int, only: "Mask"
    ) -> None:
        import numpy as np

        gap = self._gap(which, points, place)
        wanted = points[:, column] - gap / self.weights[place, column]
        moved = np.clip(wanted, box.low[:, column], box.high[:, column])
        if space.kinds[column] == INTEGER:
            moved = np.rint(moved)
        if self.step[column]:
            own = space.centres[which, column]
            moved = own + np.rint((moved - own) / self.step[column]) * self.step[column]
        inside = (moved >= box.low[:, column]) & (moved <= box.high[:, column])
        points[:, column] = np.where(only[:, column] & (gap != 0) & inside, moved, points[:, column])

    def _gap(self, which: "Rows", points: "Points", place: int) -> "Floats":
        """By how much a sum is above (or below, negative) the middle of what is allowed, where it is outside."""
        import numpy as np

        total = self._totals(which, points)[:, place]
        low, high = self.lower[place], self.upper[place]
        equal = np.isfinite(low) & np.isfinite(high)
        aim_high, aim_low = ((low + high) / 2, (low + high) / 2) if equal else (high, low)
        gap = np.where(total > high, total - aim_high, np.where(total < low, total - aim_low, 0.0))
        return np.where(np.isfinite(gap), gap, 0.0)

    def _totals(self, which: "Rows", points: "Points") -> "Floats":
        import numpy as np

        used = np.where(np.isnan(points), 0.0, points)
        totals: Floats = used @ self.weights.T + self.offset[which]
        return totals


def constrained_columns(columns: tuple[Column, ...], file: ConstraintsFile) -> tuple[Column, ...]:
    """Columns as heliotrope.yaml and data say, made tighter. InputError for a column that is not there."""
    names = {column.name for column in columns}
    unknown = sorted(file.named() - names)
    if unknown:
        shown = printable(shorten(unknown[0], 80))
        raise InputError(
            f"the constraints name a column that is no feature: {shown}",
            hint="write names as in the data, or take the column out",
        )
    made = []
    for column in columns:
        rule = file.features.get(column.name)
        if rule is None:
            made.append(column)
            continue
        low, high = rule.range or (None, None)
        integer = rule.integer and column.type == "number"
        made.append(
            replace(
                column,
                type="integer" if integer else column.type,
                immutable=column.immutable or rule.immutable,
                low=low if low is not None else column.low,
                high=high if high is not None else column.high,
            )
        )
    return tuple(made)


def constrained_space(space: Space, frame: "pd.DataFrame", columns: tuple[Column, ...], file: ConstraintsFile) -> Space:
    """The space with what the file says; members of one-hot groups become choices that change together."""
    import numpy as np

    place = {column.name: index for index, column in enumerate(columns)}
    rules = [file.features.get(column.name) for column in columns]
    groups = tuple(
        np.array([place[name] for name in group])
        for group in file.one_hot
        if not all(space.kinds[place[name]] == FIXED for name in group)
    )
    kinds, choices = space.kinds.copy(), list(space.choices)
    for group in groups:
        for index in group.tolist():
            if kinds[index] == FIXED or columns[index].type == "category":
                raise InputError(
                    f"one-hot group with {columns[index].name!r}: every member must be a number that may change",
                    hint="make all of the group immutable, or none",
                )
            kinds[index], choices[index] = CHOICE, np.array([0.0, 1.0])
    missing = np.array([rule is not None and rule.missing for rule in rules])
    _require_room_for_missing(frame, columns, missing, file)
    weights, offset = _relations(space, frame, columns, file.relations)
    sides = [_sides(one) for one in file.relations]
    constraints = RowConstraints(
        upward=np.array([rule is None or rule.direction != "decrease" for rule in rules]),
        downward=np.array([rule is None or rule.direction != "increase" for rule in rules]),
        reach=np.array([np.inf if rule is None or rule.max_change is None else rule.max_change for rule in rules]),
        step=np.array([0.0 if rule is None or rule.step is None else rule.step for rule in rules]),
        cost=np.array([1.0 if rule is None else rule.cost for rule in rules]),
        may_miss=missing & (kinds != FIXED),
        groups=groups,
        weights=weights,
        offset=offset,
        lower=np.array([low for low, _ in sides]),
        upper=np.array([high for _, high in sides]),
        relations=tuple(_said(one) for one in file.relations),
        budget=np.inf if file.budget is None else file.budget,
    )
    return replace(space, kinds=kinds, choices=tuple(choices), constraints=constraints)


def _require_room_for_missing(
    frame: "pd.DataFrame", columns: tuple[Column, ...], missing: "Mask", file: ConstraintsFile
) -> None:
    related = {name for one in file.relations for name in one.terms} | {name for one in file.one_hot for name in one}
    for column, wanted in zip(columns, missing.tolist(), strict=True):
        if wanted and (frame[column.name].dtype.kind in "iub" or column.name in related):
            raise InputError(
                f"column {column.name!r} cannot go missing: it holds whole numbers or truth values only, or a relation or "
                "group needs its value",
                hint="take missing: true out, or give the column a type that has missing values",
            )


def _relations(
    space: Space, frame: "pd.DataFrame", columns: tuple[Column, ...], relations: tuple[Relation, ...]
) -> "tuple[Floats, Floats]":
    import numpy as np

    place = {column.name: index for index, column in enumerate(columns)}
    weights, offset = np.zeros((len(relations), len(columns))), np.zeros((len(frame), len(relations)))
    for index, one in enumerate(relations):
        for name, weight in one.terms.items():
            if columns[place[name]].type not in ("number", "integer", "boolean"):
                raise InputError(f"a relation has {name!r}, which is no number", hint="relations are sums of numbers")
            if space.kinds[place[name]] == FIXED:
                offset[:, index] += weight * frame[name].to_numpy(dtype=np.float64, na_value=np.nan)
            else:
                weights[index, place[name]] = weight
    return weights, np.nan_to_num(offset)


def _sides(one: Relation) -> tuple[float, float]:
    low = one.value - one.tolerance if one.holds in ("=", ">=") else float("-inf")
    high = one.value + one.tolerance if one.holds in ("=", "<=") else float("inf")
    return low, high


def _said(one: Relation) -> str:
    terms = " + ".join(f"{weight:g} {printable(shorten(name, 40))}" for name, weight in one.terms.items())
    return f"{terms} {one.holds} {one.value:g}"


def _one_of(points: "Points", centres: "Points", group: "NDArray[np.int64]") -> None:
    """The member that became 1 is the only one; without any the row keeps what it had."""
    import numpy as np

    own, before = points[:, group], centres[:, group]
    risen = (own == 1) & (before != 1)
    several = own.sum(axis=1) != 1
    chosen = np.where(risen.any(axis=1)[:, None], np.eye(len(group))[risen.argmax(axis=1)], before)
    points[:, group] = np.where(several[:, None], chosen, own)
