"""HopSkipJump: the smallest change that misleads a model of which nothing is seen but the class it names.

Source: Chen, Jordan, Wainwright: HopSkipJumpAttack: a query-efficient decision-based attack (2020), algorithms 1 and 2. A
misleading point is brought to the boundary; the direction across it is estimated from answers around that point; a step along
it leads to the next. Departures, with their reasons: the first points are the nearest samples of other classes, which cost no
question, and noise only where there are none; answers are asked for at a fixed share of the distance and the boundary is
searched to a tenth of that, since more digits cost questions and change nothing; the number of answers in a round is scaled
to what a sample may ask in all.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from heliotrope.attack.decision.interface import BoundaryState
from heliotrope.attack.interface import Tick
from heliotrope.core.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from heliotrope.attack.search.searching import SearchTarget
    from heliotrope.attack.search.space import Points, Rows
    from heliotrope.core.predicates.behaviour import ThreatModel

__all__ = ["FEWEST_QUESTIONS", "HopSkipJump"]

FEWEST_QUESTIONS = 50
"""Of each sample: with fewer the boundary is found and nothing is known of its direction."""

_STREAM = 11
"""Keeps the random numbers of this module apart from those of other attacks."""

_DONORS = 3
_NOISE_TRIES = 32
_FIRST_ANSWERS, _FEWEST_ANSWERS = 100, 20
"""Answers for one estimate in the first round; later ones take the square root of their number times as many."""

_FIRST_RADIUS = 0.1
"""Of the range: where the first answers are asked for."""

_RADIUS = 0.03
"""Of the distance to the sample: where later answers are asked for. The paper's 1 / d is 0.0013 for MNIST; on its first 20 images
at 5,000 questions the mean L2 distance is 1.82 with that, 1.81 with 0.01 and 1.71 with 0.03: the
best of three, chosen on those images."""

_HALVINGS = 10
_LATE = 0.75
_ROWS = 1 << 14
"""Points held at once while a direction is estimated."""


@dataclass(frozen=True, slots=True)
class HopSkipJump:
    """`questions` for each sample that is right by itself, all rounds together."""

    questions: int

    def __call__(
        self,
        target: "SearchTarget",
        threat: "ThreatModel",
        *,
        seed: int,
        state: BoundaryState | None = None,
        after: Callable[[BoundaryState], None] = lambda _state: None,
        tick: Tick = lambda _share: None,
    ) -> BoundaryState:
        """Bring every sample as near as the questions permit; `after` sees the state when a round is done.

        Whatever the model raises passes through: `after` was given the last complete round. With that state the attack goes
        on, and ends as if it had not been stopped.
        """
        if self.questions < FEWEST_QUESTIONS:
            raise InputError(
                f"{self.questions} questions for each sample do not suffice", hint=f"ask at least {FEWEST_QUESTIONS}"
            )
        run = _Run(target, threat, seed, self.questions)
        if state is None:
            state = run.begin()
            after(state)
        while len(which := run.asking(state)):
            state = run.round(state, which)
            after(state)
            tick(min(1.0, float(state.asked[which].mean()) / self.questions))
        tick(1.0)
        return state


class _Run:
    def __init__(self, target: "SearchTarget", threat: "ThreatModel", seed: int, questions: int) -> None:
        self.target, self.threat, self.seed, self.questions = target, threat, seed, questions
        space = target.space
        self.centres, self.norm = space.centres, threat.norm
        self.low, self.high = (side.astype(space.centres.dtype) for side in (space.low, space.high))
        self.width = self.centres.shape[1]
        self.halvings = max(6, math.ceil(math.log2(10 / _RADIUS)))
        self.first = min(_FIRST_ANSWERS, max(_FEWEST_ANSWERS, questions // 10))

    def begin(self) -> BoundaryState:
        """Ask about the samples themselves, and search the boundary once between each that is right and a misleading point."""
        import numpy as np

        everything = np.arange(len(self.target.labels))
        _, wrong = self.target.ask(self.centres, everything)
        state = BoundaryState(
            current=self.centres.copy(),
            best=self.centres.copy(),
            reach=np.where(wrong, 0.0, np.inf),
            begun=np.where(wrong, 0.0, np.inf),
            asked=np.ones(len(everything), dtype=np.int64),
        )
        right = (~wrong).nonzero()[0]
        donors = _nearest_of_other_classes(self.centres, self.target.labels, right, _DONORS)
        for place in range(donors.shape[1]):
            chosen = donors[:, place] >= 0
            which = right[chosen]
            self._take(state, which, self._to_boundary(which, self.centres[donors[chosen, place]], state))
        lost = right[np.isinf(state.reach[right])]
        which, noise = self._noise(lost, state)
        self._take(state, which, self._to_boundary(which, noise, state))
        state.begun = state.reach.copy()
        return state

    def asking(self, state: BoundaryState) -> "Rows":
        """Samples that have a point and enough questions left for a round."""
        import numpy as np

        least = self.halvings + _FEWEST_ANSWERS + 2
        live = np.isfinite(state.reach) & (state.reach > 0) & (state.asked + least <= self.questions)
        return live.nonzero()[0]

    def round(self, state: BoundaryState, which: "Rows") -> BoundaryState:
        """Estimate the direction, step, and search the boundary again."""
        import numpy as np

        state = BoundaryState(
            state.current.copy(), state.best.copy(), state.reach.copy(), state.begun, state.asked.copy(),
            state.round + 1, state.late,
        )  # fmt: skip
        before = state.reach[which].copy()
        late = state.asked[which] >= _LATE * self.questions
        lengths = self._lengths(which, state.current[which])
        wanted = int(self.first * math.sqrt(state.round))
        spare = int(self.questions - state.asked[which].max()) - self.halvings - 2
        answers = max(_FEWEST_ANSWERS, min(wanted, spare))
        ways = self._directions(state, which, lengths, answers)
        stepped = self._step(state, which, ways, lengths / math.sqrt(state.round))
        self._take(state, which, self._to_boundary(which, stepped, state))
        came = (before > self.threat.eps) & (state.reach[which] <= self.threat.eps)
        state.late += int(np.count_nonzero(came & late))
        return state

    def _misled(self, points: "Points", which: "Rows", state: BoundaryState) -> "NDArray[np.bool_]":
        """Whether each point misleads; counts one question for each."""
        import numpy as np

        np.add.at(state.asked, which, 1)
        return self.target.ask(points, which)[1]

    def _take(self, state: BoundaryState, which: "Rows", points: "Points") -> None:
        """Enter misleading points: the nearest is kept, and the way goes on from the newest, at first from the nearest."""
        lengths = self._lengths(which, points)
        better = lengths < state.reach[which]
        state.best[which[better]] = points[better]
        state.reach[which[better]] = lengths[better]
        going = better if state.round == 0 else lengths > 0
        state.current[which[going]] = points[going]

    def _lengths(self, which: "Rows", points: "Points") -> "NDArray[np.float64]":
        return self.target.space.lengths(which, points)

    def _to_boundary(self, which: "Rows", points: "Points", state: BoundaryState) -> "Points":
        """The nearest misleading point between each sample and its point, which misleads: by halves."""
        import numpy as np

        points = points.copy()
        whole = self._lengths(which, points)
        outer, low, high = points.copy(), np.zeros(len(which)), np.ones(len(which))
        for _ in range(self.halvings):
            middle = (low + high) / 2
            tried = self._between(which, outer, whole, middle)
            wrong = self._misled(tried, which, state)
            points[wrong] = tried[wrong]
            high, low = np.where(wrong, middle, high), np.where(wrong, low, middle)
        return points

    def _between(
        self, which: "Rows", outer: "Points", whole: "NDArray[np.float64]", share: "NDArray[np.float64]"
    ) -> "Points":
        """A share of the way from sample to point: of L2 along the line, of Linf the point clipped to a smaller cube."""
        import numpy as np

        centres = self.centres[which].astype(np.float64)
        moved = outer.astype(np.float64) - centres
        if self.norm == "Linf":
            reach = (share * whole)[:, None]
            moved = np.clip(moved, -reach, reach)
        else:
            moved = moved * share[:, None]
        return self._held(centres + moved)

    def _held(self, points: "NDArray[np.floating]") -> "Points":
        import numpy as np

        held: Points = np.clip(points.astype(self.centres.dtype), self.low, self.high)
        return held

    def _directions(
        self, state: BoundaryState, which: "Rows", lengths: "NDArray[np.float64]", answers: int
    ) -> "NDArray[np.float32]":
        """The way across the boundary at each current point, from so many answers around it: equation 16 of the paper."""
        import numpy as np

        span = float((self.high - self.low).max())
        ways = np.zeros((len(which), self.width), dtype=np.float32)
        at_once = max(1, _ROWS // answers)
        for begin in range(0, len(which), at_once):
            part = slice(begin, begin + at_once)
            some = which[part]
            radius = _RADIUS * lengths[part] if state.round > 1 else np.full(len(some), _FIRST_RADIUS * span)
            noise = np.stack([self._draw(int(self.target.rows[one]), state.round, answers) for one in some])
            around = self._held(state.current[some][:, None] + radius[:, None, None].astype(np.float32) * noise)
            repeated = np.repeat(some, answers)
            wrong = self._misled(around.reshape(-1, self.width), repeated, state).reshape(len(some), answers)
            moved = (around - state.current[some][:, None]) / radius[:, None, None].astype(np.float32)
            signs = np.where(wrong, 1.0, -1.0).astype(np.float32)
            mean = signs.mean(axis=1, keepdims=True)
            weights = np.where(np.abs(mean) == 1.0, signs, signs - mean)
            ways[part] = np.einsum("na,nad->nd", weights, moved)
        if self.norm == "Linf":
            return np.sign(ways)
        scaled: NDArray[np.float32] = ways / np.maximum(np.linalg.norm(ways, axis=1, keepdims=True), 1e-30)
        return scaled

    def _draw(self, row: int, number: int, answers: int) -> "NDArray[np.float32]":
        """Directions of length 1 for one sample in one round: they depend on seed, row and round alone."""
        import numpy as np

        source = np.random.default_rng([self.seed, _STREAM, row, number])
        shape = (answers, self.width)
        noise = (
            source.uniform(-1.0, 1.0, shape).astype(np.float32)
            if self.norm == "Linf"
            else source.standard_normal(shape, dtype=np.float32)
        )
        unit: NDArray[np.float32] = noise / np.maximum(np.linalg.norm(noise, axis=1, keepdims=True), 1e-30)
        return unit

    def _step(
        self, state: BoundaryState, which: "Rows", ways: "NDArray[np.float32]", sizes: "NDArray[np.float64]"
    ) -> "Points":
        """The longest step, halved until the point misleads; no step where none does or no question is left for it."""
        import numpy as np

        points, sizes = state.current[which].copy(), sizes.copy()
        open_ = np.arange(len(which))
        for _ in range(_HALVINGS):
            open_ = open_[state.asked[which[open_]] + self.halvings < self.questions]
            if not len(open_):
                break
            tried = self._held(state.current[which[open_]] + sizes[open_, None].astype(np.float32) * ways[open_])
            wrong = self._misled(tried, which[open_], state)
            points[open_[wrong]] = tried[wrong]
            sizes[open_] /= 2
            open_ = open_[~wrong]
        return points

    def _noise(self, which: "Rows", state: BoundaryState) -> "tuple[Rows, Points]":
        """Points of the range that mislead, for those of the samples for which one is found.

        Uniform noise, corners of the range and plain grey in turn: noise alone has the same mean everywhere.
        """
        import numpy as np

        found, kept = np.zeros(len(which), dtype=bool), self.centres[which].copy()
        sources = [np.random.default_rng([self.seed, _STREAM, int(self.target.rows[one])]) for one in which]
        for attempt in range(_NOISE_TRIES):
            open_ = (~found).nonzero()[0]
            if not len(open_):
                break
            shares = [sources[one].random(self.width if attempt % 3 < 2 else 1) for one in open_]
            share = np.stack([one.round() if attempt % 3 == 1 else one for one in shares])
            tried = self._held(self.low + share * (self.high - self.low))
            wrong = self._misled(tried, which[open_], state)
            kept[open_[wrong]] = tried[wrong]
            found[open_[wrong]] = True
        return which[found], kept[found]


def _nearest_of_other_classes(centres: "Points", labels: "Rows", right: "Rows", count: int) -> "Rows":
    """For each right sample the nearest right ones with other labels, -1 where there are fewer: they mislead, unasked."""
    import numpy as np

    points = centres[right].astype(np.float64)
    own = labels[right]
    squares = np.square(points).sum(axis=1)
    nearest = np.full((len(right), count), -1, dtype=np.int64)
    for position in range(len(right)):
        others = (own != own[position]).nonzero()[0]
        if len(others):
            far = squares[others] - 2 * points[others] @ points[position]
            order = np.argsort(far, kind="stable")[:count]
            nearest[position, : len(order)] = right[others[order]]
    return nearest
