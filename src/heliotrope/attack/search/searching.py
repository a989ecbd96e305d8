"""Search without gradients: greedy steps along coordinates and squares, random restarts, one question for each step.

Sources: greedy steps along coordinates in random order: Guo et al., Simple black-box adversarial attacks (2019); squares that
shrink: Andriushchenko et al., Square attack (2020); starting from inputs of another class: Brendel et al., Decision-based
adversarial attacks (2018).
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from heliotrope.attack.interface import Tick
from heliotrope.attack.search.moves import Guide, Mover, Start, start_of
from heliotrope.attack.search.space import Space
from heliotrope.attack.search.survey import survey
from heliotrope.core.predicates.behaviour import RestartResult, ThreatModel

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from heliotrope.attack.search.space import Points, Rows
    from heliotrope.subjects.interface import Inputs, Scores

    Asked = tuple[NDArray[np.float64], NDArray[np.bool_]]

__all__ = [
    "CURVE_FRACTIONS",
    "REFUSED",
    "Attempt",
    "SearchResult",
    "SearchTarget",
    "attempt",
    "count_late",
    "search",
    "sparsify",
]

CURVE_FRACTIONS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
"""Where the curve of accuracy against perturbation is drawn, in units of eps."""

_HALVINGS = 6
"""Of the way from sample to adversarial, to find a smaller change."""

REFUSED = 1e30
"""The lead of a point that breaks a constraint: the search turns back."""

_OUTER_SHARE = 0.1
"""Steps at a radius above eps, as a share of steps x restarts."""


@dataclass(slots=True)
class SearchTarget:
    """A classifier that can only be asked, and the samples an attack is held against."""

    scores: "Callable[[Inputs], Scores]"
    space: Space
    labels: "NDArray[np.int64]"
    rows: "NDArray[np.int64]"
    """Where each sample stands in the evaluation data; randomness depends on it, not on the batch."""
    batch: int
    classes: int
    asked: int = 0
    """Rows sent so far."""

    def ask(self, points: "Points", which: "Rows", *, freely: bool = False) -> "Asked":
        """For each point how far the right class leads (negative: another does), and whether it is misled.

        A point that breaks the constraints misleads nobody and leads by REFUSED; `freely` asks about it all the same.
        """
        import numpy as np

        if not len(which):
            return np.empty(0), np.empty(0, dtype=bool)
        asked = [self._ask(points[begin : begin + self.batch], which[begin : begin + self.batch], freely=freely)
                 for begin in range(0, len(which), self.batch)]  # fmt: skip
        return np.concatenate([lead for lead, _ in asked]), np.concatenate([wrong for _, wrong in asked])

    def _ask(self, points: "Points", which: "Rows", *, freely: bool) -> "Asked":
        import numpy as np

        inputs = self.space.decode(points, which)
        scores = self.scores(inputs)
        self.asked += len(which)
        labels, each = self.labels[which], np.arange(len(which))
        own, others = scores[each, labels], scores.copy()
        others[each, labels] = -np.inf
        lead, wrong = own - others.max(axis=1), scores.argmax(axis=1) != labels
        if self.space.constraints is None or freely:
            return lead, wrong
        kept = self.space.permitted(which, self.space.encode(inputs, which))  # as the model gets it
        return np.where(kept, lead, REFUSED), wrong & kept


@dataclass(slots=True)
class SearchResult:
    """What the search knows of each sample."""

    reach: "NDArray[np.float64]"
    """Smallest change of numbers known to mislead the model, in scales: 0 if it errs by itself, the least positive number if
    choices alone mislead it, infinite if no way is known."""
    adversarial: "Points"
    lead: "NDArray[np.float64]"
    """How far the right class leads on the unchanged samples."""
    felt: "NDArray[np.bool_]"
    """Whether any question about the sample was answered with another lead."""
    guide: Guide | None = None
    restarts: list[RestartResult] = field(default_factory=list)
    attacked: int = 0
    """Samples that were right to begin with."""

    def right_at(self, eps: float) -> int:
        """How many samples are right for every change known up to eps. Never rises with eps."""
        return int((self.reach > eps).sum())

    def broken(self, eps: float) -> "Rows":
        """Samples that were right and are not within eps."""
        broken: Rows = ((self.reach > 0) & (self.reach <= eps)).nonzero()[0]
        return broken

    def note(self, space: Space, which: "Rows", points: "Points", radius: float) -> None:
        """Keep what misleads with a smaller change than known before; found within `radius`, whatever rounding makes of it."""
        import numpy as np

        lengths = np.clip(space.lengths(which, points), np.nextafter(0.0, 1.0), radius)
        better = lengths < self.reach[which]
        self.reach[which[better]] = lengths[better]
        self.adversarial[which[better]] = points[better]


@dataclass(slots=True)
class Attempt:
    """One attempt on some samples."""

    broken: "NDArray[np.bool_]"
    points: "Points"
    """What misleads, or came nearest to it."""
    lead: "NDArray[np.float64]"
    felt: "NDArray[np.bool_]"


def search(target: SearchTarget, threat: ThreatModel, *, seed: int, tick: Tick) -> SearchResult:
    """Attack every sample that is right by itself; one that breaks is not attacked again, only its change made smaller."""
    import numpy as np

    space, everything = target.space, np.arange(len(target.labels))
    lead, wrong = target.ask(space.centres, everything)
    result = SearchResult(
        reach=np.where(wrong, 0.0, np.inf),
        adversarial=space.centres.copy(),
        lead=lead,
        felt=np.zeros(len(everything), dtype=bool),
        attacked=int((~wrong).sum()),
    )
    result.guide = survey(
        functools.partial(target.ask, freely=True),
        space,
        threat,
        labels=target.labels,
        standing=(~wrong).nonzero()[0],
        classes=target.classes,
        seed=seed,
    )
    best, best_lead = space.centres.copy(), lead.copy()
    for restart in range(threat.restarts):
        standing = np.isinf(result.reach).nonzero()[0]
        one = attempt(target, standing, threat.eps, threat.steps, result, seed=seed, restart=restart, best=best[standing],
                      begun=restart / threat.restarts,
                      tick=_part(tick, 0.9 * restart / threat.restarts, 0.9 / threat.restarts))  # fmt: skip
        result.note(space, standing[one.broken], one.points[one.broken], threat.eps)
        result.felt[standing] |= one.felt
        nearer = one.lead < best_lead[standing]
        best[standing[nearer]], best_lead[standing[nearer]] = one.points[nearer], one.lead[nearer]
        broken = int(one.broken.sum())
        result.restarts.append(RestartResult(restart=restart, attacked=len(standing), broken=broken))
    _shrink(target, threat, result)
    for fraction in CURVE_FRACTIONS:
        if fraction > 1:
            standing = np.isinf(result.reach).nonzero()[0]
            steps = max(5, min(20, int(_OUTER_SHARE * threat.steps * threat.restarts)))
            one = attempt(target, standing, fraction * threat.eps, steps, result, seed=seed, best=best[standing])
            result.note(space, standing[one.broken], one.points[one.broken], fraction * threat.eps)
    count_late(result, threat)
    tick(1.0)
    return result


def attempt(
    target: SearchTarget,
    which: "Rows",
    radius: float,
    steps: int,
    result: SearchResult,
    *,
    seed: int,
    best: "Points",
    restart: int = 0,
    begun: float = 0.0,
    start: Start | None = None,
    tick: Tick = lambda _share: None,
) -> Attempt:
    """One start and `steps` questions for each of `which`, batch by batch; a sample leaves as soon as it breaks.

    `best` has a row for each of `which`: where an attempt goes on that does not start anew.
    """
    import numpy as np

    made = Attempt(
        np.zeros(len(which), dtype=bool), best.copy(), result.lead[which].copy(), np.zeros(len(which), dtype=bool)
    )
    for begin in range(0, len(which), target.batch):
        part = np.arange(begin, min(begin + target.batch, len(which)))
        box = target.space.box(which[part], radius)
        mover = Mover(target.space, which[part], box, radius=radius, labels=target.labels[which[part]],
                      rows=target.rows[which[part]], guide=result.guide, seed=seed, restart=restart, steps=steps,
                      progress=begun)  # fmt: skip
        donors = _donors(target, which[part], result, seed + restart)
        points = mover.start(start or start_of(restart), best[part], donors)
        _climb(target, which, part, mover=mover, points=points, steps=steps, result=result, made=made,
               tick=_part(tick, begin / len(which), len(part) / len(which)))  # fmt: skip
    return made


def _climb(
    target: SearchTarget,
    which: "Rows",
    part: "Rows",
    *,
    mover: Mover,
    points: "Points",
    steps: int,
    result: SearchResult,
    made: Attempt,
    tick: Tick,
) -> None:
    """Greedy: a change stays unless the right class leads by more than before."""
    alive = part
    lead, wrong = target.ask(points, which[alive])
    worse = (lead > result.lead[which[alive]]) & ~wrong
    made.felt[alive] |= (lead != result.lead[which[alive]]) & (lead < REFUSED)
    points[worse], lead[worse] = target.space.centres[which[alive[worse]]], result.lead[which[alive[worse]]]
    for step in range(1, steps + 1):
        made.points[alive], made.lead[alive], made.broken[alive] = points, lead, wrong
        if wrong.any():
            mover.select(~wrong)
            alive, points, lead = alive[~wrong], points[~wrong], lead[~wrong]
        if step == steps or not len(alive):
            break
        tried = mover.propose(points, step, steps)
        tried_lead, wrong = target.ask(tried, which[alive])
        made.felt[alive] |= (tried_lead != result.lead[which[alive]]) & (tried_lead < REFUSED)
        better = (tried_lead <= lead) | wrong
        points[better], lead[better] = tried[better], tried_lead[better]
        tick(step / steps)


def _donors(target: SearchTarget, which: "Rows", result: SearchResult, seed: int) -> "Points":
    """For each sample another one that the model gives another class, NaN where there is none."""
    import numpy as np

    donors = np.full((len(which), target.space.centres.shape[1]), np.nan, dtype=target.space.centres.dtype)
    right = result.reach > 0
    draws = np.array([np.random.default_rng([seed, 1, int(row)]).random() for row in target.rows[which]])
    for label in np.unique(target.labels[which]):
        others = np.nonzero(right & (target.labels != label))[0]
        mine = target.labels[which] == label
        if len(others):
            donors[mine] = target.space.centres[others[(draws[mine] * len(others)).astype(np.int64)]]
    return donors


def _shrink(target: SearchTarget, threat: ThreatModel, result: SearchResult) -> None:
    """For each broken sample a smaller change in the same direction, by halving."""
    import numpy as np

    which = result.broken(threat.eps)
    which = which[target.space.lengths(which, result.adversarial[which]) > 0]
    low, high = np.zeros(len(which)), np.ones(len(which))
    centres, furthest = target.space.centres[which], result.adversarial[which].copy()
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        points = target.space.towards(centres, furthest, middle[:, None])
        _, wrong = target.ask(points, which)
        result.note(target.space, which[wrong], points[wrong], threat.eps)
        low, high = np.where(wrong, low, middle), np.where(wrong, middle, high)


def sparsify(target: SearchTarget, which: "Rows", result: SearchResult) -> None:
    """Take back whatever change the error does not need, the smallest first, so that people see what matters."""
    import numpy as np

    space = target.space
    points = result.adversarial[which].copy()
    cost = space.scaled_changes(which, points) + space.changed_choices(which, points)
    order = np.argsort(np.where(cost > 0, cost, np.inf), axis=1, kind="stable")
    each = np.arange(len(which))
    for place in range(int((cost > 0).sum(axis=1).max(initial=0))):
        column = order[:, place]
        changed = cost[each, column] > 0
        tried = points.copy()
        tried[each, column] = space.centres[which, column]
        _, wrong = target.ask(tried, which)
        points[changed & wrong] = tried[changed & wrong]
    result.adversarial[which] = points
    result.reach[which] = np.clip(space.lengths(which, points), np.nextafter(0.0, 1.0), result.reach[which])


def count_late(result: SearchResult, threat: ThreatModel) -> None:
    """Samples that broke within eps while the curve was drawn count as a further pass."""
    late = len(result.broken(threat.eps)) - sum(one.broken for one in result.restarts)
    if late:
        attacked = result.attacked - sum(one.broken for one in result.restarts)
        result.restarts.append(RestartResult(restart=len(result.restarts), attacked=attacked, broken=late))


def _part(tick: Tick, begin: float, length: float) -> Tick:
    return lambda share: tick(begin + share * length)
