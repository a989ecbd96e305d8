"""An evolutionary search under constraints: rows of a population are crossed, changed, repaired, and the best ones kept.

Where sums and groups tie columns together, single steps that help are rare; crossing two rows that keep the constraints, and
repairing what comes of it, moves many columns at once. Source: Simonetto et al., A unified framework for adversarial attack
and defense in constrained feature space (2022), with repair in place of their objective on constraints.
"""

from typing import TYPE_CHECKING

from heliotrope.attack.search.searching import SearchResult, SearchTarget, count_late
from heliotrope.attack.search.space import CHOICE, INTEGER, Box
from heliotrope.core.predicates.behaviour import ThreatModel

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from heliotrope.attack.search.space import Points, Rows

    Generators = list[np.random.Generator]

__all__ = ["evolve"]

POPULATION = 10
"""Rows for each sample."""

_MUTATED = 0.2
"""Share of the columns of a child that change."""

_TO_THE_END = 0.5
"""Share of changed numbers that go to an end of what is allowed; the others go anywhere between."""

_SALT = 7


def evolve(target: SearchTarget, threat: ThreatModel, result: SearchResult, *, seed: int) -> int:
    """Attack the samples that stand, with as many questions for each as one restart has; how many more were misled."""
    import numpy as np

    before = len(result.broken(threat.eps))
    standing = np.flatnonzero(result.reach > threat.eps)
    size = max(1, target.batch // POPULATION)
    for begin in range(0, len(standing), size):
        _evolve(target, threat, result, standing[begin : begin + size], seed=seed)
    count_late(result, threat)
    return len(result.broken(threat.eps)) - before


def _evolve(target: SearchTarget, threat: ThreatModel, result: SearchResult, some: "Rows", *, seed: int) -> None:
    import numpy as np

    generators = [np.random.default_rng([seed, _SALT, int(row)]) for row in target.rows[some]]
    which = np.repeat(some, POPULATION)
    box = target.space.box(which, threat.eps)
    rows = _changed(target, which, target.space.centres[which], box, generators, radius=threat.eps, share=1.0)
    lead = _asked(target, threat, result, which, rows)
    for _ in range(max(0, threat.steps // POPULATION - 1)):
        alive = np.flatnonzero(np.repeat((result.reach[some] > threat.eps), POPULATION))
        if not len(alive):
            return
        kept = result.reach[some] > threat.eps
        some, generators = some[kept], [one for one, keep in zip(generators, kept.tolist(), strict=True) if keep]
        which, rows, lead = which[alive], rows[alive], lead[alive]
        box = Box(box.low[alive], box.high[alive])
        children = _crossed(rows, lead, generators)
        children = _changed(target, which, children, box, generators, radius=threat.eps, share=_MUTATED)
        childrens_lead = _asked(target, threat, result, which, children)
        rows, lead = _best(rows, lead, children, childrens_lead)


def _asked(
    target: SearchTarget, threat: ThreatModel, result: SearchResult, which: "Rows", rows: "Points"
) -> "NDArray[np.float64]":
    lead, wrong = target.ask(rows, which)
    result.felt[which[(lead != result.lead[which]) & target.space.permitted(which, rows)]] = True
    held = wrong & target.space.feasible(which, rows, threat.eps)
    for place in held.nonzero()[0]:  # of one sample several may be wrong: the smallest change stays
        one = slice(place, place + 1)
        result.note(target.space, which[one], rows[one], threat.eps)
    return lead


def _changed(
    target: SearchTarget, which: "Rows", rows: "Points", box: Box, generators: "Generators", *, radius: float, share: float
) -> "Points":  # fmt: skip
    """Some columns of each row set anew within what is allowed, then repaired."""
    import numpy as np

    space, width = target.space, rows.shape[1]
    draws = np.concatenate([one.random((POPULATION, 3, width)) for one in generators])
    between = box.low + draws[:, 1] * (box.high - box.low)
    ends = np.where(draws[:, 1] < 0.5, box.low, box.high)
    values = np.where(draws[:, 2] < _TO_THE_END, ends, between)
    values = np.where(space.kinds == INTEGER, np.rint(values), values)
    # whole rows are set anew at first, each by a share of its own
    chosen = draws[:, 0] < (share if share < 1 else draws[:, 2].mean(axis=1, keepdims=True))
    changed = np.where(chosen & space.numbers & ~np.isnan(values), values, rows)
    if space.budget:
        _one_choice(target, which, changed, draws)
    return space.project(which, changed, box, radius)


def _one_choice(target: SearchTarget, which: "Rows", rows: "Points", draws: "NDArray[np.float64]") -> None:
    """In half of the rows one category, boolean or value that may go missing becomes another."""
    import numpy as np

    space = target.space
    may_miss = space.constraints.may_miss if space.constraints is not None else np.zeros(rows.shape[1], dtype=bool)
    places = np.flatnonzero((space.kinds == CHOICE) | may_miss)
    if not len(places):
        return
    for row in np.flatnonzero(draws[:, 0, 0] < 0.5):
        place = int(places[int(draws[row, 1, 0] * len(places))])
        if np.isnan(space.centres[which[row], place]):
            continue
        codes = [float(code) for code in space.choices[place] if code != rows[row, place]]
        codes += [float("nan")] if may_miss[place] else []
        before = rows[row].copy()
        rows[row, place] = codes[int(draws[row, 2, 0] * len(codes))] if codes else rows[row, place]
        if int(space.choice_count(which[row : row + 1], rows[row : row + 1])[0]) > space.budget:
            choices = (space.kinds == CHOICE) | may_miss
            rows[row] = np.where(choices, space.centres[which[row]], before)
            rows[row, place] = codes[int(draws[row, 2, 0] * len(codes))] if codes else rows[row, place]


def _crossed(rows: "Points", lead: "NDArray[np.float64]", generators: "Generators") -> "Points":
    """For each place of a population a child of two rows, the better of two drawn each time."""
    import numpy as np

    children = rows.copy()
    for index, generator in enumerate(generators):
        part = slice(index * POPULATION, (index + 1) * POPULATION)
        own, leads = rows[part], lead[part]
        drawn = generator.integers(0, POPULATION, (POPULATION, 2, 2))
        parents = np.where(leads[drawn[..., 0]] <= leads[drawn[..., 1]], drawn[..., 0], drawn[..., 1])
        mask = generator.random(own.shape) < 0.5
        children[part] = np.where(mask, own[parents[:, 0]], own[parents[:, 1]])
    return children


def _best(
    rows: "Points", lead: "NDArray[np.float64]", children: "Points", childrens_lead: "NDArray[np.float64]"
) -> "tuple[Points, NDArray[np.float64]]":
    """Of parents and children of each sample the best ones."""
    import numpy as np

    width = rows.shape[1]
    both = np.concatenate([rows.reshape(-1, POPULATION, width), children.reshape(-1, POPULATION, width)], axis=1)
    leads = np.concatenate([lead.reshape(-1, POPULATION), childrens_lead.reshape(-1, POPULATION)], axis=1)
    order = np.argsort(leads, axis=1, kind="stable")[:, :POPULATION]
    kept = np.take_along_axis(both, order[:, :, None], axis=1).reshape(-1, width)
    return kept, np.take_along_axis(leads, order, axis=1).reshape(-1)
