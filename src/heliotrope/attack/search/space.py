"""The inputs a search may try: points around each sample, with what may change, how far, and what it costs.

A point is a row of numbers whatever the inputs are: values of an image, numbers of a table, codes of its categories. Numbers
may move by eps times the scale of their column (1 for images) within their range; integers stay whole; choices (categories
and booleans) may change to other valid ones, as many at once as the budget allows; all else stays as it is.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from heliotrope.core.predicates.behaviour import Norm, ThreatModel
from heliotrope.subjects.batching import as_array

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from heliotrope.attack.search.constraints import RowConstraints
    from heliotrope.subjects.interface import Inputs

    Points = NDArray[np.floating]
    Rows = NDArray[np.int64]
    Decode = Callable[[Points, Rows], Inputs]
    Encode = Callable[[Inputs, Rows], Points]

__all__ = ["CHOICE", "FIXED", "INTEGER", "NUMBER", "Box", "Space", "array_space"]

FIXED, NUMBER, INTEGER, CHOICE = 0, 1, 2, 3
"""Kinds of coordinates."""

TOLERANCE = 1e-6
"""Relative, on norms that are measured again in float64."""


@dataclass(frozen=True, slots=True)
class Box:
    """For some samples the lowest and highest value of each coordinate that is a number; elsewhere the value itself."""

    low: "Points"
    high: "Points"


@dataclass(frozen=True, slots=True)
class Space:
    """The samples an attack is held against, as points."""

    centres: "Points"
    """n x d. Missing values are NaN and stay so."""
    kinds: "NDArray[np.int8]"
    scale: "NDArray[np.float64]"
    """What eps is counted in, by coordinate."""
    low: "NDArray[np.float64]"
    high: "NDArray[np.float64]"
    """Range of valid values, by coordinate; without bounds where nothing is known."""
    choices: "tuple[NDArray[np.float64], ...]"
    """Codes of valid choices by coordinate; empty where it is none."""
    budget: int
    """Choices that may differ at once."""
    norm: Norm
    decode: "Decode"
    """Points of some samples as inputs of the model."""
    encode: "Encode"
    """Inputs of some samples as points. What may not change is 0 as long as it did not."""
    shape: tuple[int, ...] | None = None
    """C x H x W of images, whose neighbouring values move together."""
    names: tuple[str, ...] = ()
    """Of the columns of a table."""
    constraints: "RowConstraints | None" = None
    """What changed rows must keep beyond that."""

    def box(self, which: "Rows", radius: float) -> Box:
        """Bounds for numbers, rounded inwards to what points can hold."""
        import numpy as np

        centres = self.centres[which].astype(np.float64)
        reach = radius * self.scale
        low, high = np.maximum(self.low, centres - reach), np.minimum(self.high, centres + reach)
        if self.constraints is not None:
            low, high = self.constraints.narrowed(centres, low, high)
        whole = self.kinds == INTEGER
        low, high = np.where(whole, np.ceil(low), low), np.where(whole, np.floor(high), high)
        low, high = (
            _rounded(low, centres, self.centres.dtype, up=True),
            _rounded(high, centres, self.centres.dtype, up=False),
        )
        held = ~np.isin(self.kinds, (NUMBER, INTEGER)) | ~(low <= high)  # NaN compares as false
        own = self.centres[which]
        return Box(np.where(held, own, low), np.where(held, own, high))

    def movable(self, which: "Rows", box: Box) -> "NDArray[np.bool_]":
        """Which coordinates of which samples can change at all."""
        import numpy as np

        numbers = box.low < box.high
        if self.constraints is not None and self.budget:
            numbers |= self.constraints.may_miss & ~np.isnan(self.centres[which])
        if not self.budget:
            return numbers
        several = np.array([len(codes) > 1 for codes in self.choices])
        movable: NDArray[np.bool_] = numbers | (several & (self.kinds == CHOICE) & ~np.isnan(self.centres[which]))
        return movable

    def project(self, which: "Rows", points: "Points", box: Box, radius: float) -> "Points":
        """Into the box, and for L2 into the ball: changes of numbers shrink together, whole numbers towards the sample."""
        import numpy as np

        centres = self.centres[which]
        points = np.where(self.numbers, np.clip(points, box.low, box.high), points)
        points = np.where(np.isnan(centres), centres, points).astype(self.centres.dtype)
        if self.constraints is not None:
            points = self.constraints.repair(self, which, points, box)
        if self.norm == "Linf":
            return points
        length = self.lengths(which, points)
        share = np.minimum(radius * (1 - TOLERANCE) / np.maximum(length, 1e-30), 1.0)[:, None]
        return self.towards(centres, points, share)

    @property
    def numbers(self) -> "NDArray[np.bool_]":
        """Which coordinates are numbers, whole or not."""
        numbers: NDArray[np.bool_] = (self.kinds == NUMBER) | (self.kinds == INTEGER)
        return numbers

    def towards(self, centres: "Points", points: "Points", share: "NDArray[np.float64]") -> "Points":
        """Numbers at a share of the way from sample to point; choices as in the point."""
        import numpy as np

        moved = points.astype(np.float64) - centres
        scaled = np.where(self.kinds == INTEGER, np.trunc(share * moved), share * moved)
        between = np.where(self.numbers & (moved != 0) & (share < 1), centres + scaled, points)
        return between.astype(self.centres.dtype)

    def lengths(self, which: "Rows", points: "Points") -> "NDArray[np.float64]":
        """The norm of each change of numbers, in scales, in float64."""
        import numpy as np

        scaled = self.scaled_changes(which, points)
        linf = self.norm == "Linf"
        lengths: NDArray[np.float64] = (
            scaled.max(axis=1, initial=0.0) if linf else np.sqrt(np.square(scaled).sum(axis=1))
        )
        return lengths

    def scaled_changes(self, which: "Rows", points: "Points") -> "NDArray[np.float64]":
        """How far each number moved, in scales; 0 for all else. A number without a scale that moved is infinitely far."""
        import numpy as np

        moved = np.abs(points.astype(np.float64) - self.centres[which].astype(np.float64))
        moved = np.where(np.isnan(moved) | (self.kinds == CHOICE) | (self.kinds == FIXED), 0.0, moved)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(moved == 0, 0.0, moved / self.scale)

    def changed_choices(self, which: "Rows", points: "Points") -> "NDArray[np.bool_]":
        """Which choices differ, and which values went missing."""
        import numpy as np

        changed: NDArray[np.bool_] = (self.kinds == CHOICE) & _differ(points, self.centres[which])
        if self.constraints is not None:
            changed |= np.isnan(points) & ~np.isnan(self.centres[which])
        return changed

    def choice_count(self, which: "Rows", points: "Points") -> "NDArray[np.int64]":
        """How many choices differ; a one-hot group is one."""
        changed = self.changed_choices(which, points)
        count: NDArray[np.int64] = changed.sum(axis=1)
        for group in self.constraints.groups if self.constraints is not None else ():
            count = count - changed[:, group].sum(axis=1) + changed[:, group].any(axis=1)
        return count

    def permitted(self, which: "Rows", points: "Points") -> "NDArray[np.bool_]":
        """Whether each row is unchanged or keeps the constraints and the budget of choices. Norm and range are not looked at."""
        import numpy as np

        if self.constraints is None:
            return np.ones(len(points), dtype=bool)
        same = ~_differ(points, self.centres[which]).any(axis=1)
        kept = self.constraints.kept(self, which, points) & (self.choice_count(which, points) <= self.budget)
        permitted: NDArray[np.bool_] = same | kept
        return permitted

    def feasible(self, which: "Rows", points: "Points", radius: float) -> "NDArray[np.bool_]":
        """Whether each point keeps every promise, looked at afresh: norm, range, whole numbers, choices, all else untouched."""
        import numpy as np

        centres = self.centres[which]
        different = _differ(points, centres)
        fine = self.lengths(which, points) <= radius * (1 + TOLERANCE)
        fine &= self.choice_count(which, points) <= self.budget
        fine &= ~(different & (self.kinds == FIXED)).any(axis=1)
        lost = np.isnan(points) & ~np.isnan(centres)
        fine &= ~(np.isnan(centres) & ~np.isnan(points)).any(axis=1)
        fine &= ~(lost if self.constraints is None else lost & ~self.constraints.may_miss).any(axis=1)
        fine &= self.permitted(which, points)
        low, high = self.low.astype(points.dtype), self.high.astype(points.dtype)
        fine &= ~(different & (self.kinds != CHOICE) & ((points < low) | (points > high))).any(axis=1)
        fine &= ~(different & ~lost & (self.kinds == INTEGER) & (points != np.rint(points))).any(axis=1)
        for column in np.nonzero(self.kinds == CHOICE)[0]:
            fine &= ~different[:, column] | lost[:, column] | np.isin(points[:, column], self.choices[column])
        return fine


def array_space(inputs: "NDArray[np.float32]", threat: ThreatModel) -> Space:
    """Images and plain arrays: every value is a number in the declared range."""
    import numpy as np

    shape, size = inputs.shape[1:], int(np.prod(inputs.shape[1:]))
    low, high = threat.box
    return Space(
        centres=inputs.reshape(len(inputs), size),
        kinds=np.full(size, NUMBER, dtype=np.int8),
        scale=np.ones(size),
        low=np.full(size, low),
        high=np.full(size, high),
        choices=(np.empty(0),) * size,
        budget=0,
        norm=threat.norm,
        decode=lambda points, _: points.reshape(len(points), *shape).astype(np.float32),
        encode=lambda arrays, _: as_array(arrays).reshape(len(arrays), size),
        shape=shape if len(shape) == 3 and min(shape[1:]) > 2 else None,
    )


def _differ(one: "Points", other: "Points") -> "NDArray[np.bool_]":
    import numpy as np

    differ: NDArray[np.bool_] = (one != other) & ~(np.isnan(one) & np.isnan(other))
    return differ


def _rounded(
    exact: "NDArray[np.float64]", centres: "NDArray[np.float64]", kind: "np.dtype[np.floating]", *, up: bool
) -> "NDArray[np.float64]":
    """The nearest number of the kind that is not further out than the exact bound; the sample's own value is always allowed."""
    import numpy as np

    rounded = exact.astype(kind)
    outside = rounded.astype(np.float64) < exact if up else rounded.astype(np.float64) > exact
    inner = np.nextafter(rounded, np.array(np.inf if up else -np.inf, dtype=kind))
    bound = np.where(outside, inner, rounded).astype(np.float64)
    return np.where(exact == centres, centres, bound)
