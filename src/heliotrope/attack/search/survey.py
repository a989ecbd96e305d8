"""A survey before the search: which change of which coordinate moves the average sample of a class. Few questions, asked of few."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from heliotrope.attack.search.moves import Guide
from heliotrope.attack.search.space import CHOICE, Box, Space
from heliotrope.core.predicates.behaviour import ThreatModel

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from heliotrope.attack.search.space import Points, Rows

    Ask = Callable[[Points, Rows], tuple[NDArray[np.float64], NDArray[np.bool_]]]

__all__ = ["survey"]

SHARE = 0.1
"""Questions, as a share of those of the attack that follows."""

_SAMPLES = 16
"""Of each class, at most."""
_CODES = 8
"""Choices of one column that are tried, at most."""


def survey(
    ask: "Ask",
    space: Space,
    threat: ThreatModel,
    *,
    labels: "NDArray[np.int64]",
    standing: "Rows",
    classes: int,
    seed: int,
) -> Guide | None:
    """Try every change alone on a few samples of each class; None where that would cost too much."""
    import numpy as np

    changes = _changes(space)
    present = np.unique(labels[standing])
    budget = SHARE * len(standing) * threat.steps * threat.restarts
    each = min(_SAMPLES, int(budget / max(len(changes) * len(present), 1)))
    if each < 1 or not changes:
        return None
    generator = np.random.default_rng([seed, 7])
    guide = Guide.blank(classes, space.centres.shape[1])
    for label in present:
        own = standing[labels[standing] == label]
        few = np.sort(generator.choice(own, min(each, len(own)), replace=False))
        _survey_class(ask, space, few, changes, guide, eps=threat.eps, label=int(label))
    return guide


def _changes(space: Space) -> list[tuple[int, float]]:
    """Coordinate and what becomes of it: for a number either end of its box (-1, 1), for a choice a code."""
    import numpy as np

    changes = [
        (int(column), side) for column in np.nonzero(space.numbers & (space.scale > 0))[0] for side in (-1.0, 1.0)
    ]
    if space.budget:
        changes += [
            (int(column), float(code))
            for column in np.nonzero(space.kinds == CHOICE)[0]
            for code in space.choices[column][:_CODES]
        ]
    return changes


def _survey_class(
    ask: "Ask", space: Space, few: "Rows", changes: list[tuple[int, float]], guide: Guide, *, eps: float, label: int
) -> None:
    import numpy as np

    box, centres = space.box(few, eps), space.centres[few]
    lead, _ = ask(centres, few)
    together = max(1, 4096 // len(few))
    for begin in range(0, len(changes), together):
        some = changes[begin : begin + together]
        points = np.concatenate([_changed(space, centres, box, *change) for change in some])
        after, _ = ask(points, np.tile(few, len(some)))
        gains = (lead - after.reshape(len(some), len(few))).mean(axis=1)
        for (column, value), gain in zip(some, gains, strict=True):
            if gain <= guide.gain[label, column]:
                continue
            guide.gain[label, column] = gain
            if space.kinds[column] == CHOICE:
                guide.choice[label, column] = value
            else:
                guide.side[label, column] = int(value)


def _changed(space: Space, centres: "Points", box: Box, column: int, value: float) -> "Points":
    import numpy as np

    points = centres.copy()
    if space.kinds[column] == CHOICE:
        points[:, column] = np.where(np.isnan(centres[:, column]), np.nan, value)
    else:
        points[:, column] = (box.high if value > 0 else box.low)[:, column]
    return points
