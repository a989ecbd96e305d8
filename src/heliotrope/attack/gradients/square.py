"""Square attack: random search over square patches, one question for each step, no gradients.

Source: Andriushchenko, Croce, Flammarion, Hein: Square Attack: a query-efficient black-box adversarial attack via random
search (2020), algorithms 1 to 3.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from heliotrope.attack.gradients.batches import in_batches
from heliotrope.attack.gradients.book import Book
from heliotrope.attack.gradients.losses import Objective
from heliotrope.attack.gradients.model import Climb, GradientModel
from heliotrope.attack.interface import Attack, Budget, Outcomes, Samples, Tick, part_of
from heliotrope.subjects.balls import Ball, ball_around, per_sample

if TYPE_CHECKING:
    import torch

    from heliotrope.core.predicates.behaviour import ThreatModel

__all__ = ["SquareAttack", "share_of_side"]

_SHARE = 0.8
"""Share of the values that the first patch covers; of the paper's ensemble (0.8 for both norms)."""

_HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
"""After so many of 10,000 questions the share is halved."""

_TILES = 5
"""Of L2: the start is a grid of so many patches along each side."""

_STREAM = 5
"""Keeps the random numbers of this module apart from those of other attacks."""

_TINY = 1e-12


@dataclass(frozen=True, slots=True)
class SquareAttack:
    """`queries` questions for each sample that stands; the first is asked at a random point and counts."""

    queries: int
    restart: int = 1
    """Numbers the random choices."""
    rank: int = 0

    @property
    def steps(self) -> int:
        """Questions, whatever the threat says of steps."""
        return self.queries

    @property
    def name(self) -> str:
        """As in evidence."""
        return "square"

    def __call__(
        self,
        model: GradientModel,
        samples: Samples,
        threat: "ThreatModel",
        *,
        seed: int,
        budget: Budget = Budget(),  # noqa: B008 - frozen
        tick: Tick = lambda _share: None,
    ) -> Outcomes:
        """Attack every sample, in the model's batches; see `Attack`."""
        import torch

        queries = budget.steps(self.queries - 1, model.draws) + 1

        def work(part: slice) -> Outcomes:
            chosen = samples.select(torch.arange(part.start, part.stop)).on(model.device)
            share = part_of(tick, part.start / len(samples), (part.stop - part.start) / len(samples))
            return _search(model, chosen, threat, _Draws(chosen, queries, seed, self.restart), share)

        return Outcomes.joined(in_batches(model, len(samples), work), samples)


def share_of_side(asked: int, queries: int) -> float:
    """Share of the values that a patch covers after so many of all questions."""
    spent = asked * 10_000 / queries
    return _SHARE / 2.0 ** sum(spent > mark for mark in _HALVINGS)


class _Draws:
    """Random numbers of each sample, drawn ahead from its row: neither batch nor what others do changes them."""

    def __init__(self, samples: Samples, queries: int, seed: int, restart: int) -> None:
        import numpy as np
        import torch

        self.queries = queries
        self._shape = _as_map(tuple(samples.inputs.shape[1:]))
        channels, _, wide = self._shape
        places = np.empty((len(samples), queries, 5), dtype=np.float32)
        signs = np.empty((len(samples), queries, channels), dtype=np.int8)
        tiles = max(wide, _TILES * _TILES)
        starts = np.empty((len(samples), channels, tiles), dtype=np.int8)
        for position, row in enumerate(samples.rows):
            source = np.random.default_rng([seed, _STREAM, restart, row])
            starts[position] = source.integers(0, 2, starts[position].shape, dtype=np.int8) * 2 - 1
            source.random(out=places[position], dtype=np.float32)
            signs[position] = source.integers(0, 2, signs[position].shape, dtype=np.int8) * 2 - 1
        device = samples.inputs.device
        self._places, self._signs = torch.from_numpy(places).to(device), torch.from_numpy(signs).to(device)
        self._starts = torch.from_numpy(starts).to(device)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width; inputs that are no images count as one row of values."""
        return self._shape

    def select(self, keep: "torch.Tensor") -> None:
        """Some of the samples from now on."""
        self._places, self._signs, self._starts = self._places[keep], self._signs[keep], self._starts[keep]

    def stripes(self) -> "torch.Tensor":
        """N x channels x 1 x width of -1 and 1."""
        return self._starts[:, :, None, : self._shape[2]].float()

    def tiles(self) -> "torch.Tensor":
        """N x channels x tiles of -1 and 1."""
        return self._starts.float()

    def corner(self, asked: int, sides: tuple[int, int], which: int = 0) -> "tuple[torch.Tensor, torch.Tensor]":
        """Top and left of a patch of a size, one for each sample, any place alike."""
        _, high, wide = self._shape
        top = (self._places[:, asked, 2 * which] * (high - sides[0] + 1)).long().clamp_max(high - sides[0])
        left = (self._places[:, asked, 2 * which + 1] * (wide - sides[1] + 1)).long().clamp_max(wide - sides[1])
        return top, left

    def signs(self, asked: int) -> "torch.Tensor":
        """N x channels of -1 and 1."""
        return self._signs[:, asked].float()

    def turned(self, asked: int) -> "torch.Tensor":
        """n: whether a pattern is laid on its side."""
        return self._places[:, asked, 4] < 0.5


def _search(model: GradientModel, samples: Samples, threat: "ThreatModel", draws: _Draws, tick: Tick) -> Outcomes:
    import torch

    ball = ball_around(samples.inputs, threat, threat.eps)
    way = (
        _LinfWay(samples.inputs, ball, draws)
        if threat.norm == "Linf"
        else _L2Way(samples.inputs, ball, draws, threat.eps)
    )
    objective = Objective("margin", samples.labels)
    best = way.start()
    book = Book(model, best)
    top = torch.full((len(samples),), -math.inf, device=best.device)
    for asked in range(draws.queries):
        points = best if asked == 0 else way.propose(best, asked)
        scores = model.scores(points)
        values = objective(scores).float()
        keep = book.enter(asked, points, Climb(scores, values, torch.zeros_like(points)), objective)
        better = values > top  # false for NaN
        best, top = points.where(per_sample(better, points), best), values.where(better, top)
        if keep is not None:
            if not len(book.alive):
                break
            best, top, objective = best[keep], top[keep], objective.select(keep)
            way.select(keep)
        tick((asked + 1) / draws.queries)
    book.outcomes.gradients.zero_()
    book.outcomes.steps[book.alive] = draws.queries - 1
    book.outcomes.forwards[book.alive] = draws.queries * model.draws
    return book.closed()


class _LinfWay:
    """Stripes, then square patches whose values lie at either end of the box, channel by channel."""

    def __init__(self, centres: "torch.Tensor", ball: Ball, draws: _Draws) -> None:
        import torch

        far = torch.full_like(centres, math.inf)
        shape = (len(centres), *draws.shape)
        self._low, self._high = ball.project(-far).reshape(shape), ball.project(far).reshape(shape)
        self._draws, self._own = draws, tuple(centres.shape[1:])

    def select(self, keep: "torch.Tensor") -> None:
        self._low, self._high = self._low[keep], self._high[keep]
        self._draws.select(keep)

    def start(self) -> "torch.Tensor":
        chosen = self._high.where(self._draws.stripes() > 0, self._low)
        return chosen.reshape(-1, *self._own)

    def propose(self, best: "torch.Tensor", asked: int) -> "torch.Tensor":
        import torch

        _, high, wide = self._draws.shape
        sides = _sides(share_of_side(asked, self._draws.queries), high, wide)
        top, left = self._draws.corner(asked, sides)
        down, along = torch.arange(high, device=best.device), torch.arange(wide, device=best.device)
        in_rows = (down >= top[:, None]) & (down < top[:, None] + sides[0])
        in_columns = (along >= left[:, None]) & (along < left[:, None] + sides[1])
        inside = (in_rows[:, :, None] & in_columns[:, None, :])[:, None]
        ends = self._high.where(self._draws.signs(asked)[:, :, None, None] > 0, self._low)
        return ends.where(inside, best.reshape(ends.shape)).reshape(best.shape)


class _L2Way:
    """Pyramids on a grid, then mass moved from one patch to another."""

    def __init__(self, centres: "torch.Tensor", ball: Ball, draws: _Draws, eps: float) -> None:
        self._centres, self._ball, self._draws, self._eps = centres, ball, draws, eps

    def select(self, keep: "torch.Tensor") -> None:
        self._centres, self._ball = self._centres[keep], self._ball.select(keep)
        self._draws.select(keep)

    def start(self) -> "torch.Tensor":
        import torch

        channels, high, wide = self._draws.shape
        tiles = self._draws.tiles()
        change = torch.zeros((len(tiles), channels, high, wide), device=tiles.device)
        across, down = min(_TILES, wide), min(_TILES, high)
        sides = high // down, wide // across
        pattern = _pyramids(sides, change.device)
        for place in range(across * down):
            top, left = (place // across) * sides[0], (place % across) * sides[1]
            part = tiles[:, :, place, None, None] * pattern
            change[:, :, top : top + sides[0], left : left + sides[1]] += part
        return self._at(change)

    def propose(self, best: "torch.Tensor", asked: int) -> "torch.Tensor":
        import torch

        channels, high, wide = self._draws.shape
        sides = _sides(share_of_side(asked, self._draws.queries), high, wide, odd=True)
        change = (best - self._centres).reshape(-1, channels, high, wide)
        gain, taken = (self._window(change, asked, sides, which) for which in (0, 1))
        both = torch.zeros_like(change, dtype=torch.bool)
        both[gain] = True
        both[taken] = True
        mass = change.square().where(both, change.new_zeros(())).sum(dim=(2, 3))
        spare = (self._eps**2 - change.square().sum(dim=(1, 2, 3))).clamp_min(0.0) / channels
        pattern = _halves(sides, change.device)
        turned = pattern.transpose(1, 0) if sides[0] == sides[1] else pattern.flip(1)
        lying = per_sample(self._draws.turned(asked), change)
        laid = turned.where(lying, pattern) * self._draws.signs(asked)[:, :, None, None]
        old = change[gain]
        fresh = laid + old / old.square().sum(dim=(2, 3), keepdim=True).sqrt().clamp_min(_TINY)
        fresh = fresh / fresh.square().sum(dim=(2, 3), keepdim=True).sqrt().clamp_min(_TINY)
        change = change.clone()
        change[taken] = 0.0
        change[gain] = fresh * (mass + spare[:, None]).sqrt()[:, :, None, None]
        return self._at(change)

    def _window(
        self, change: "torch.Tensor", asked: int, sides: tuple[int, int], which: int
    ) -> "tuple[torch.Tensor, ...]":
        """An index of one patch for each sample, all channels."""
        import torch

        top, left = self._draws.corner(asked, sides, which)
        n, channels = change.shape[:2]
        device = change.device
        return (
            torch.arange(n, device=device)[:, None, None, None],
            torch.arange(channels, device=device)[None, :, None, None],
            (top[:, None] + torch.arange(sides[0], device=device))[:, None, :, None],
            (left[:, None] + torch.arange(sides[1], device=device))[:, None, None, :],
        )

    def _at(self, change: "torch.Tensor") -> "torch.Tensor":
        """The centre changed by that, brought to the full radius."""
        length = change.square().sum(dim=(1, 2, 3), keepdim=True).sqrt().clamp_min(_TINY)
        return self._ball.project(self._centres + (change * self._eps / length).reshape(self._centres.shape))


def _as_map(shape: tuple[int, ...]) -> tuple[int, int, int]:
    if len(shape) == 3:
        return shape[0], shape[1], shape[2]
    return (1, *shape) if len(shape) == 2 else (1, 1, math.prod(shape))


def _sides(share: float, high: int, wide: int, *, odd: bool = False) -> tuple[int, int]:
    """Height and width of a patch that covers a share of the map: a square where the map has two dimensions.

    `odd`: at least 3 and odd, as the patterns of L2 need it, where the map permits.
    """
    if high == 1:
        return 1, min(wide, max(2 if odd else 1, round(share * wide)))
    side = max(1, round(math.sqrt(share * high * wide)))
    if odd:
        side = max(3, side + 1 - side % 2)
    return min(side, high), min(side, wide)


def _pyramid(high: int, wide: int, device: "torch.device") -> "torch.Tensor":
    """Rings around the middle that weigh more the nearer they are: eta of the paper, equation 2."""
    import torch

    half = max(high, wide) // 2
    rows = (torch.arange(1, high + 1) - high // 2 - 1).abs()[:, None]
    columns = (torch.arange(1, wide + 1) - wide // 2 - 1).abs()[None, :]
    rings = half - torch.maximum(rows, columns)
    weights = torch.tensor([1.0 / (half + 1 - ring) ** 2 for ring in range(half + 1)]).cumsum(0)
    return torch.where(rings >= 0, weights[rings.clamp_min(0)], torch.zeros(())).to(device)


def _halves(sides: tuple[int, int], device: "torch.device") -> "torch.Tensor":
    """A positive pyramid beside a negative one, with norm 1."""
    import torch

    high, wide = sides
    first = wide // 2
    if first == 0:
        pattern = _pyramid(high, wide, device)
    else:
        left, right = _pyramid(high, first, device), _pyramid(high, wide - first, device)
        pattern = torch.cat([left, -right], dim=1)
    return pattern / pattern.square().sum().sqrt().clamp_min(_TINY)


def _pyramids(sides: tuple[int, int], device: "torch.device") -> "torch.Tensor":
    pattern = _pyramid(*sides, device)
    return pattern / pattern.square().sum().sqrt().clamp_min(_TINY)


_AS_ATTACK: Attack = SquareAttack(queries=1)  # the type checker sees that it is one
