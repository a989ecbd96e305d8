"""Attacks on trees that can be read: moves just across thresholds, as the library compares them.

Where a row is led otherwise depends on nothing but the side of each threshold it is on, so the search is over parts of the
space with one answer, the worst first, and the row taken from a part is the one nearest to the sample. The model itself is
asked about every row, as it is served; a search that completes has the smallest change there is, one that does not leaves the
bound it has proven. Source of the order: Devos et al., Veritas (2021).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from heliotrope.attack.certify.trees.ensemble import Branch, Ensemble
from heliotrope.attack.certify.trees.search import Ball, decide
from heliotrope.attack.interface import Tick
from heliotrope.attack.search.searching import SearchResult, SearchTarget, count_late
from heliotrope.attack.search.space import Space
from heliotrope.core.predicates.behaviour import Norm, ThreatModel
from heliotrope.subjects.interface import Opened

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from heliotrope.attack.search.space import Rows

    Floats = NDArray[np.float64]
    Served = Callable[[Floats], Floats]

__all__ = ["NearestRow", "nearest_misled", "read_trees"]

_NODES = {"quick": 50, "standard": 200, "deep": 1000}
_DOUBLINGS = 20
_MOVES, _VALUES = 4, 3
"""Of a greedy attempt: features that move, and values of each that are tried."""

_MOST_ROWS, _CONTROLS = 200, 20
"""Rows that are read: those that stand, and some that were misled, none of which may come out as proven."""

_CLOSE = 1e-3
"""Relative: a change that is this near to the proven bound is taken for the smallest."""


@dataclass(frozen=True, slots=True)
class NearestRow:
    """The smallest change of one sample that is known to mislead the model."""

    row: "Floats | None"
    length: float
    """Its norm in scales; infinite where none is known."""
    bound: float
    """Proven: no smaller change misleads."""
    queries: int
    traversals: int


def nearest_misled(
    ensemble: Ensemble,
    served: "Served",
    sample: "Floats",
    label: int,
    *,
    scale: "Floats",
    low: "Floats",
    high: "Floats",
    norm: Norm = "Linf",
    first: float = 0.1,
    nodes: int = 400,
    traversals: int = 3000,
    whole: "NDArray[np.bool_] | None" = None,
    permitted: "Callable[[Floats], bool] | None" = None,
) -> NearestRow:
    """Halve between what is proven and what is found, until they meet or the budget of parts or traversals is spent.

    A radius that the search over parts leaves open is tried greedily. A traversal is one row, or part, through all trees.

    `sample` is a row of numbers as the trees take them; `low`, `high` and `scale` (0: held fast) are by feature. `permitted`
    refuses rows that break further constraints. Rows are float32 where the library compares float32.
    """
    finder = _Finder(ensemble, served, sample, label, scale, norm, permitted)
    if finder.wrong(sample):
        return NearestRow(sample.copy(), 0.0, 0.0, finder.queries, 0)
    proven, floor, tried, used, walked = 0.0, 0.0, first, 0, 0
    values = _thresholds(ensemble)
    while used < nodes and walked < traversals and tried <= first * 2.0**_DOUBLINGS:
        own = ensemble.cast(sample)
        below = ensemble.cast(_inwards(sample, tried, scale, low, high, single=ensemble.single, up=False))
        above = ensemble.cast(_inwards(sample, tried, scale, low, high, single=ensemble.single, up=True))
        ball = Ball(own, _weights(scale), tried) if norm == "L2" else None
        finder.limit, best = tried, finder.length
        budget = max(1, min(nodes - used, nodes // 16))
        found = decide(ensemble, below, above, label, finder, nodes=budget, ball=ball, whole=whole)
        used, walked = used + max(1, found.nodes), walked + found.traversals
        if found.verdict == "certified":
            proven = max(proven, tried)
        elif finder.length == best:
            walked += _greedy(finder, values, below, above, whole)
        if finder.length == best:
            floor = max(floor, tried)
        if finder.row is None:
            tried *= 2
            continue
        if finder.length - floor <= _CLOSE * finder.length:
            break
        tried = (floor + finder.length) / 2
    return NearestRow(finder.row, finder.length, min(proven, finder.length), finder.queries, walked)


def _thresholds(ensemble: Ensemble) -> "list[Floats]":
    """By feature both sides of every threshold, rising."""
    import numpy as np

    found: list[set[float]] = [set() for _ in range(ensemble.features)]
    stack = list(ensemble.trees)
    while stack:
        node = stack.pop()
        if isinstance(node, Branch):
            if node.codes is None:
                found[node.feature] |= {node.below, node.above}
            stack += [node.left, node.right]
    return [np.array(sorted(one)) for one in found]


def _greedy(
    finder: "_Finder", values: "list[Floats]", below: "Floats", above: "Floats", whole: "NDArray[np.bool_] | None"
) -> int:
    """Cross the thresholds in the box that cost the right class most, one or many at once; how many rows that took."""
    import numpy as np

    ensemble, label = finder.ensemble, finder.label
    row, walked = ensemble.cast(finder.sample), 1
    lead = float(_leads(ensemble, row[None], label)[0])
    for _ in range(_MOVES):
        tried = []
        for feature, sides in enumerate(values):
            inside = sides[(sides >= below[feature]) & (sides <= above[feature]) & np.isfinite(sides)]
            if whole is not None and whole[feature]:
                inside = np.unique(np.clip(np.rint(inside), below[feature], above[feature]))
            if len(inside) > _VALUES:
                inside = inside[np.linspace(0, len(inside) - 1, _VALUES).astype(int)]
            for value in inside[inside != row[feature]]:
                other = row.copy()
                other[feature] = value
                tried.append(other)
        if not tried:
            return walked
        rows = np.array(tried)
        leads = _leads(ensemble, rows, label)
        joined = _joined(row, rows, leads, lead)
        rows, leads = np.concatenate([rows, joined]), np.concatenate([leads, _leads(ensemble, joined, label)])
        walked += len(rows)
        best = int(leads.argmin())
        if leads[best] >= lead:
            return walked
        row, lead = rows[best], float(leads[best])
        if lead <= 0 and finder.take(row):
            return walked
    return walked


def _weights(scale: "Floats") -> "Floats":
    import numpy as np

    return np.where(scale > 0, 1 / np.square(np.maximum(scale, 1e-150)), 0.0)


def _inwards(
    sample: "Floats", radius: float, scale: "Floats", low: "Floats", high: "Floats", *, single: bool, up: bool
) -> "Floats":
    """An end of the box as a number the library can compare, never further out than the radius."""
    import numpy as np

    exact = np.minimum(high, sample + radius * scale) if up else np.maximum(low, sample - radius * scale)
    exact = np.maximum(exact, sample) if up else np.minimum(exact, sample)
    if not single:
        return exact
    with np.errstate(over="ignore"):
        rounded = exact.astype(np.float32)
    outside = rounded.astype(np.float64) > exact if up else rounded.astype(np.float64) < exact
    inner = np.nextafter(rounded, np.float32(-np.inf if up else np.inf))
    kept = np.where(outside, inner, rounded).astype(np.float64)
    own = sample.astype(np.float32).astype(np.float64)
    bounded: Floats = np.maximum(kept, own) if up else np.minimum(kept, own)
    return bounded


def _leads(ensemble: Ensemble, rows: "Floats", label: int) -> "Floats":
    import numpy as np

    scores = ensemble.scores(rows)
    own = scores[:, label].copy()
    scores[:, label] = -np.inf
    leads: Floats = np.asarray(own - scores.max(axis=1))
    return leads


def _joined(row: "Floats", tried: "Floats", leads: "Floats", lead: float) -> "Floats":
    """Rows with the best 2, 4, 8 and so on of the single moves at once, each feature's best: trees add up, mostly."""
    import numpy as np

    joined, made, seen = row.copy(), [], set()
    for place in np.argsort(leads, kind="stable").tolist():
        feature = int(np.flatnonzero(~_same(tried[place], row))[0])
        if feature in seen or leads[place] >= lead:
            continue
        seen.add(feature)
        joined[feature] = tried[place][feature]
        if len(seen) & (len(seen) - 1) == 0 and len(seen) > 1:
            made.append(joined.copy())
    made.append(joined)
    return np.array(made)


def _same(one: "Floats", other: "Floats") -> "NDArray[np.bool_]":
    import numpy as np

    same: NDArray[np.bool_] = np.asarray((one == other) | (np.isnan(one) & np.isnan(other)))
    return same


@dataclass(slots=True)
class _Finder:
    """Takes the nearest row out of a part with one answer, and asks the model about it."""

    ensemble: Ensemble
    served: "Served"
    sample: "Floats"
    label: int
    scale: "Floats"
    norm: Norm
    permitted: "Callable[[Floats], bool] | None"
    row: "Floats | None" = None
    length: float = float("inf")
    limit: float = float("inf")
    queries: int = 0

    def wrong(self, row: "Floats") -> bool:
        self.queries += 1
        return int(self.served(row[None])[0].argmax()) != self.label

    def take(self, row: "Floats") -> bool:
        """Whether a row of compared numbers misleads; features that did not move keep the sample's own value."""
        self.limit = float("inf")
        return self(row, row) is True

    def __call__(self, below: "Floats", above: "Floats") -> bool | None:
        import numpy as np

        own = self.ensemble.cast(self.sample)
        with np.errstate(invalid="ignore"):
            inside = np.isnan(own) | ((own >= below) & (own <= above))
        row = np.where(inside, self.sample, np.clip(own, below, above))
        length = self._length(row)
        if self.permitted is not None and not self.permitted(row):
            return None
        if not self.wrong(row):
            return False
        if length > self.limit * (1 + 1e-9):
            return None
        if length < self.length:
            self.row, self.length = row, length
        return True

    def _length(self, row: "Floats") -> float:
        import numpy as np

        moved = np.abs(np.nan_to_num(row - self.sample))
        with np.errstate(divide="ignore", invalid="ignore"):
            scaled = np.where(moved == 0, 0.0, moved / self.scale)
        return float(scaled.max(initial=0.0) if self.norm == "Linf" else np.sqrt(np.square(scaled).sum()))


def read_trees(opened: Opened, target: SearchTarget, threat: ThreatModel, result: SearchResult, *, tick: Tick) -> str:
    """Where the model's trees can be read, search them for what the questions missed; what came of it, for people.

    Encodings and scaling are the model's own; models that are no trees, or are not known inside, are left to the questions.
    """
    import numpy as np

    from heliotrope.attack.certify.bounds_check import by_boxes
    from heliotrope.attack.certify.boxes import TreeBoxes
    from heliotrope.attack.certify.interface import Budget
    from heliotrope.attack.certify.nets.graph import NotModelled
    from heliotrope.subjects.inside import look_inside

    inside = look_inside(opened) if opened.data.kind == "table" else None
    standing = np.flatnonzero(result.reach > threat.eps)
    rows = np.sort(np.concatenate([standing[:_MOST_ROWS], result.broken(threat.eps)[:_CONTROLS]]))
    if inside is None or inside.kind in ("torch", "onnx") or not len(rows):
        return ""

    def served(inputs: object) -> "Floats":
        answers: Floats = target.scores(inputs)  # type: ignore[arg-type]
        target.asked += len(answers)
        return answers

    try:
        certifier = replace(by_boxes(opened, inside, target.space), served=served)
        if not isinstance(certifier.decider, TreeBoxes):
            return ""
        certifier.require_agreement(np.arange(min(64, len(target.labels))))
        nodes = _NODES[opened.parameters.suite or "standard"]
        part = replace(certifier, space=_part(target.space, rows))
        known = part.certify(target.labels[rows], threat.eps, Budget(nodes=nodes), tick)
    except NotModelled:
        return ""
    before = len(result.broken(threat.eps))
    for place, point in known.examples.items():
        which, one = rows[place : place + 1], point[None]
        _, wrong = target.ask(one, which)
        if wrong[0] and target.space.feasible(which, one, threat.eps)[0]:
            result.note(target.space, which, one, threat.eps)
            result.felt[which] = True
    count_late(result, threat)
    further = len(result.broken(threat.eps)) - before
    held = rows[[verdict == "certified" for verdict in known.verdicts]]
    denied = int((result.reach[held] <= threat.eps).sum())
    if denied:
        return f"; nothing is proven: {denied} rows that the trees as read hold right were misled"
    read = min(len(standing), _MOST_ROWS)
    return (
        f"; reading the trees for {read} of {len(standing)} rows that stood ({known.nodes} parts looked at) misled {further} "
        f"more and proves {len(held)} right, {read - further - len(held)} undecided"
    )


def _part(space: Space, rows: "Rows") -> Space:
    """The space of some of its samples."""
    constraints = space.constraints
    return replace(
        space,
        centres=space.centres[rows],
        decode=lambda points, which: space.decode(points, rows[which]),
        encode=lambda inputs, which: space.encode(inputs, rows[which]),
        constraints=None if constraints is None else replace(constraints, offset=constraints.offset[rows]),
    )
