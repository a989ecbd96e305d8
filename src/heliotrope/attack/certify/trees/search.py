"""The least lead of a class over another within a box, exactly, by branch and bound over the leaves of the trees.

A part of the box is bounded by the sum over all trees of the least leaf that it can still reach. The part with the least bound
is divided by the leaves of the tree that disagrees most (as in Devos et al., Veritas, 2021). All inputs of a part in which every
tree has one leaf get the very same answer, so asking the model about one of them settles the part, ties included. A search that
runs out of its budget still has a bound: the least of all parts that are left.
"""

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from heliotrope.attack.certify.interface import Verdict
from heliotrope.attack.certify.trees.ensemble import Ensemble, Leaves

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ask = Callable[[Floats, Floats], bool | None]

__all__ = ["Ball", "Decision", "decide"]

_AT_MOST = 4_000_000
"""Comparisons of one division: leaves of a tree, times leaves of all trees, times features."""


@dataclass(frozen=True, slots=True)
class Ball:
    """A Euclidean ball in the numbers that are compared; only where each of them is one value of the input itself."""

    centre: "Floats"
    weight: "Floats"
    """1 / scale squared by feature; 0 where a feature is held fast."""
    radius: float

    def meets(self, low: "Floats", high: "Floats") -> "NDArray[np.bool_]":
        """Whether boxes, M x features, come as near as the radius; a little further counts as well."""
        import numpy as np

        gap = np.maximum(np.maximum(low - self.centre, self.centre - high), 0.0)
        gap = np.where(np.isnan(gap), 0.0, gap)
        with np.errstate(invalid="ignore", over="ignore"):
            distance = (np.square(gap) * self.weight).sum(axis=-1)
        meets: NDArray[np.bool_] = np.asarray(~(distance > self.radius**2 * (1 + 1e-9)))
        return meets


@dataclass(slots=True)
class Decision:
    verdict: Verdict
    lead: float
    """No input of the box has a smaller lead."""
    nodes: int
    """Parts that were looked at."""
    traversals: int = 0
    """Times that all trees were walked or bounded for a part."""


def decide(
    ensemble: Ensemble,
    low: "Floats",
    high: "Floats",
    label: int,
    ask: "Ask",
    *,
    nodes: int,
    ball: Ball | None = None,
    whole: "NDArray[np.bool_] | None" = None,
) -> Decision:
    """Decide a box of compared numbers. `ask` gets a part with one answer: True, the model is wrong there; None, unknown.

    `whole`: features that take whole numbers only.
    """
    search = _Search(ensemble, low, high, ask, ball, whole)
    leaves = ensemble.reachable(low, high)
    worst, used, open_, walked = float("inf"), 0, False, 1
    for other in range(ensemble.classes):
        if other == label:
            continue
        found = search.against(leaves, label, other, nodes - used)
        used, walked = used + found.nodes, walked + found.traversals
        worst = min(worst, found.lead)
        if found.verdict == "broken":
            return Decision("broken", worst, used, walked)
        open_ = open_ or found.verdict == "undecided"
    return Decision("undecided" if open_ else "certified", worst, used, walked)


@dataclass(frozen=True, slots=True)
class _Search:
    """One box, and what may be asked about it."""

    ensemble: Ensemble
    low: "Floats"
    high: "Floats"
    ask: "Ask"
    ball: Ball | None
    whole: "NDArray[np.bool_] | None"

    def against(self, leaves: list[Leaves], label: int, other: int, nodes: int) -> Decision:
        """The least lead over one other class."""
        import numpy as np

        fixed = float(self.ensemble.base[label] - self.ensemble.base[other])
        trees, leads = [], []
        for tree in leaves:
            lead = tree.values[:, label] - tree.values[:, other]
            if lead.min() == lead.max():  # a tree that does not care
                fixed += float(lead[0])
                continue
            trees.append(tree)
            leads.append(lead)
        least = fixed + sum(float(lead.min()) for lead in leads)
        if least > self.ensemble.doubt:
            return Decision("certified", least, 0)
        if not trees:
            return self._settled(self.low, self.high, least)
        used = _features(trees)
        state = _State(
            np.concatenate([tree.low[:, used] for tree in trees]),
            np.concatenate([tree.high[:, used] for tree in trees]),
            np.concatenate(leads),
            np.cumsum([0, *(len(lead) for lead in leads)]),
            fixed,
            None if self.whole is None else self.whole[used],
            None if self.ball is None else Ball(self.ball.centre[used], self.ball.weight[used], self.ball.radius),
        )
        return self._best_first(state, used, least, nodes)

    def _best_first(self, state: "_State", used: "NDArray[np.int64]", least: float, nodes: int) -> Decision:
        """Until the worst part that is left is safe, one is broken, or the budget is spent."""
        order = itertools.count()
        queue = [(least, next(order), self.low[used], self.high[used])]
        looked, walked, unknown, safest = 0, 0, False, float("inf")
        while queue:
            bound, _, below, above = heapq.heappop(queue)
            if bound > self.ensemble.doubt:
                safest = min(safest, bound)
                break
            if looked >= nodes:
                return Decision("undecided", min(bound, safest), looked, walked)
            looked += 1
            pick = state.widest(below, above)
            if pick is None:
                low, high = self.low.copy(), self.high.copy()
                low[used], high[used] = below, above
                found = self._settled(low, high, bound)
                if found.verdict == "broken":
                    return Decision("broken", bound, looked, walked)
                unknown = unknown or found.verdict == "undecided"
                safest = min(safest, bound)
                continue
            children = state.divided(pick, below, above)
            walked += len(children)
            for child in children:
                heapq.heappush(queue, (child[0], next(order), child[1], child[2]))
        return Decision("undecided" if unknown else "certified", safest, looked, walked)

    def _settled(self, low: "Floats", high: "Floats", lead: float) -> Decision:
        """A part with one answer, on which the model is asked."""
        answer = self.ask(low, high)
        verdict: Verdict = "broken" if answer else "undecided" if answer is None else "certified"
        return Decision(verdict, lead, 0)


def _features(trees: list[Leaves]) -> "NDArray[np.int64]":
    """Features that any leaf of any tree asks about beyond what the whole box says."""
    import numpy as np

    if not trees:
        return np.empty(0, dtype=np.int64)
    varies = np.zeros(trees[0].low.shape[1], dtype=bool)
    for tree in trees:
        varies |= (tree.low != tree.low[0]).any(axis=0) | (tree.high != tree.high[0]).any(axis=0)
    varies &= ~np.isnan(trees[0].low).any(axis=0)
    return varies.nonzero()[0]


@dataclass(frozen=True, slots=True)
class _State:
    """The leaves of all trees that disagree, one below the other."""

    low: "Floats"
    high: "Floats"
    lead: "Floats"
    starts: "NDArray[np.int64]"
    """Where each tree begins, and the end."""

    fixed: float
    """What all other trees add to the lead."""
    whole: "NDArray[np.bool_] | None"
    ball: Ball | None

    def widest(self, below: "Floats", above: "Floats") -> int | None:
        """The tree whose reachable leaves differ most; None when every tree has one leaf."""
        import numpy as np

        reach = self._meets(below[None], above[None])[0]
        best, where = 0.0, None
        for tree in range(len(self.starts) - 1):
            part = slice(self.starts[tree], self.starts[tree + 1])
            own = self.lead[part][reach[part]]
            spread = float(np.ptp(own)) if len(own) > 1 else 0.0
            if len(own) > 1 and (spread > best or where is None):
                best, where = spread, tree
        return where

    def divided(self, tree: int, below: "Floats", above: "Floats") -> "list[tuple[float, Floats, Floats]]":
        """The parts by leaves of a tree, each with its bound."""
        import numpy as np

        part = slice(self.starts[tree], self.starts[tree + 1])
        lows, highs = np.maximum(self.low[part], below), np.minimum(self.high[part], above)
        if self.whole is not None:
            lows, highs = np.where(self.whole, np.ceil(lows), lows), np.where(self.whole, np.floor(highs), highs)
        there = (lows <= highs).all(axis=1)
        if self.ball is not None:
            there &= self.ball.meets(lows, highs)
        lows, highs = lows[there], highs[there]
        size = max(1, _AT_MOST // max(1, self.low.size))
        bounds = [self._bounds(lows[at : at + size], highs[at : at + size]) for at in range(0, len(lows), size)]
        flat = np.concatenate(bounds) if bounds else np.empty(0)
        return [(float(flat[index]), lows[index], highs[index]) for index in range(len(flat)) if flat[index] < np.inf]

    def _meets(self, lows: "Floats", highs: "Floats") -> "NDArray[np.bool_]":
        """Boxes x leaves."""
        import numpy as np

        meets: NDArray[np.bool_] = np.all(
            np.logical_and(self.low[None] <= highs[:, None], self.high[None] >= lows[:, None]), axis=2
        )
        return meets

    def _bounds(self, lows: "Floats", highs: "Floats") -> "Floats":
        import numpy as np

        leads = np.where(self._meets(lows, highs), self.lead[None], np.inf)
        bounds: Floats = self.fixed + np.minimum.reduceat(leads, self.starts[:-1], axis=1).sum(axis=1)
        return bounds
