"""Changed rows that mislead a model, for those who train on them: the search with fewer questions and nothing measured."""

from dataclasses import replace
from typing import TYPE_CHECKING

from heliotrope.attack.search.check import attack_by_search, threat_of
from heliotrope.attack.search.searching import SearchTarget
from heliotrope.core.errors import InputError
from heliotrope.core.outcomes import Inconclusive
from heliotrope.core.predicates.behaviour import ThreatModel
from heliotrope.engine.interface import RunContext
from heliotrope.subjects.interface import Batch, Opened
from heliotrope.subjects.judging import Misled

if TYPE_CHECKING:
    from heliotrope.attack.search.space import Points, Rows

__all__ = ["AROUND", "mislead_by_search", "rows_as_changed"]

AROUND = 5
"""Rows at random corners, for each sample."""

_SALT = 13


def mislead_by_search(opened: Opened, context: RunContext, *, sample: int, questions: int) -> Misled:
    """Attack some rows once under the configured threat, read trees with few parts; every row that comes back is looked at afresh."""
    parameters = opened.parameters.model_copy(update={"sample": sample, "suite": "quick"})
    opened = replace(opened, parameters=parameters)
    threat = threat_of(opened)
    threat = threat.model_copy(update={"steps": questions, "restarts": 1})
    attacked = attack_by_search(opened, context, threat, share=1.0)
    if isinstance(attacked, Inconclusive):
        raise InputError(attacked.reason, hint="correct the constraints or the data")
    target, result = attacked.target, attacked.result
    which = result.broken(threat.eps)
    points = _pushed(target, threat, which, result.adversarial[which])
    kept = target.space.feasible(which, points, threat.eps)
    return Misled(
        rows=attacked.batch.rows,
        clean=result.reach > 0,
        robust=result.reach > threat.eps,
        around=_around(target, threat, opened.task.seed),
        found=rows_as_changed(target, which[kept], points[kept]),
    )


def rows_as_changed(target: SearchTarget, which: "Rows", points: "Points") -> Batch:
    """Points as inputs of the model, with the right answers."""
    return Batch(target.space.decode(points, which), target.labels[which], target.rows[which])


def _around(target: SearchTarget, threat: ThreatModel, seed: int) -> Batch:
    """Rows at random corners of the box around each sample, brought back to the constraints; those that cannot be are left out."""
    import numpy as np

    space, width = target.space, target.space.centres.shape[1]
    which = np.repeat(np.arange(len(target.labels)), AROUND)
    draws = [np.random.default_rng([seed, _SALT, int(row)]).random((AROUND, width)) for row in target.rows]
    box = space.box(which, threat.eps)
    ends = np.where(np.concatenate(draws) < 0.5, box.low, box.high)
    points = space.project(which, np.where(space.numbers, ends, space.centres[which]), box, threat.eps)
    moved = (space.lengths(which, points) > 0) & space.feasible(which, points, threat.eps)
    return rows_as_changed(target, which[moved], points[moved])


def _pushed(target: SearchTarget, threat: ThreatModel, which: "Rows", points: "Points") -> "Points":
    """The same rows with every number that moved at the end of what it may, where that misleads as well.

    The search stops at the first row that misleads and makes its change smaller; a model fitted on such rows alone moves its
    boundary by as little.
    """
    import numpy as np

    space = target.space
    box, centres = space.box(which, threat.eps), space.centres[which]
    ends = np.where(points > centres, box.high, np.where(points < centres, box.low, points))
    pushed = space.project(which, np.where(space.numbers, ends, points), box, threat.eps)
    _, wrong = target.ask(pushed, which)
    better = wrong & space.feasible(which, pushed, threat.eps)
    return np.where(better[:, None], pushed, points)
