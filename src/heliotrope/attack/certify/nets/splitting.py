"""Branch and bound: the inputs of a sample are divided by the sides of bends until every part is proven, or one is broken.

Every part is a region in which some rectifiers are known to be on one side; bounds of all nodes are made anew for it. What is
divided is the bend that costs the bound most. Parts are taken worst first, many at once, so that a budget spent early leaves
the best lower bound it could have bought.
"""

import heapq
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from heliotrope.attack.certify.nets.bounds import Bounds, Domain, bound
from heliotrope.attack.certify.nets.graph import Network
from heliotrope.attack.certify.nets.nonlinear import Rectifier
from heliotrope.attack.certify.nets.optimised import Lowered, climb
from heliotrope.attack.certify.nets.probing import inside
from heliotrope.attack.certify.nets.rows import Rows

if TYPE_CHECKING:
    import torch

    Tensors = dict[int, torch.Tensor]
    Wrong = Callable[[torch.Tensor], torch.Tensor]

__all__ = ["Decided", "Goal", "split_until_decided", "unsettled"]

_AT_ONCE = 32
_STEPS = 8
_LEAF_STEPS = 150
"""Where nothing is left to divide, only better multipliers help."""


@dataclass(frozen=True, slots=True)
class Goal:
    """To prove that for every input at least one of some functions of the last node is above zero."""

    functions: "torch.Tensor"
    """F x outputs."""
    offsets: "torch.Tensor"
    """F, added to them."""


@dataclass(slots=True)
class Decided:
    """What came of it."""

    proven: bool
    low: float
    """The worst lower bound of any part that is left, of the best function there; above zero where proven."""
    nodes: int
    """Parts that were looked at."""
    example: "torch.Tensor | None" = None
    """An input on which the served model is wrong."""


@dataclass(order=True, slots=True)
class _Part:
    low: float
    order: int
    sides: "Tensors" = field(compare=False)
    """By node in front of a rectifier: -1, 0 or 1 for each value."""


def unsettled(network: Network, known: Bounds) -> int:
    """Bends that one sample leaves open: what branch and bound would have to divide."""
    count = 0
    for node in network.nodes:
        if isinstance(node.operation, Rectifier):
            low, high = known.ranges[node.inputs[0]]
            count += int(((low < 0) & (high > 0)).sum())
    return count


def split_until_decided(
    network: Network,
    domain: Domain,
    goal: Goal,
    wrong: "Wrong",
    *,
    nodes: int,
    deadline: float | None = None,
) -> Decided:
    """Decide one sample (a domain of one). `wrong` says of float32 inputs whether the served model fails on them."""
    import torch

    places = [node.inputs[0] for node in network.nodes if isinstance(node.operation, Rectifier)]
    nothing = {place: torch.zeros(network.nodes[place].shape, dtype=torch.float64) for place in places}
    order = itertools.count()
    queue = [_Part(-float("inf"), next(order), nothing)]
    settled, looked = float("inf"), 0
    while queue:
        if looked >= nodes or (deadline is not None and time.monotonic() > deadline):
            return Decided(proven=False, low=min(settled, queue[0].low), nodes=looked)
        chosen = [heapq.heappop(queue) for _ in range(min(_AT_ONCE, len(queue), max(1, nodes - looked)))]
        looked += len(chosen)
        sides = {place: torch.stack([part.sides[place] for part in chosen]) for place in places}
        everywhere = domain.select(torch.zeros(len(chosen), dtype=torch.int64))
        with torch.no_grad():
            known = bound(network, everywhere, splits=sides)
        possible = _possible(known, places)
        lows, found = _bounded(network, known, goal, sides)
        example = _broken(everywhere, found, wrong)
        if example is not None:
            return Decided(proven=False, low=float(lows.min()), nodes=looked, example=example)
        for index in (possible & (lows <= 0)).nonzero()[:, 0].tolist():
            where = _worst_bend(network, known, found, index)
            if where is None:
                lows[index], example = _last_resort(network, everywhere, goal, sides, index=index, wrong=wrong)
                if example is not None:
                    return Decided(proven=False, low=float(lows.min()), nodes=looked, example=example)
                if lows[index] <= 0:
                    settled = min(settled, float(lows[index]))
                continue
            for side in (1.0, -1.0):
                made = dict(chosen[index].sides)
                made[where[0]] = made[where[0]].clone()
                made[where[0]].view(-1)[where[1]] = side
                heapq.heappush(queue, _Part(float(lows[index]), next(order), made))
    return Decided(proven=settled == float("inf"), low=settled, nodes=looked)


def _possible(known: Bounds, places: list[int]) -> "torch.Tensor":
    """Parts that hold any input at all."""
    import torch

    fine = torch.ones(len(known.domain), dtype=torch.bool)
    for place in places:
        low, high = known.ranges[place]
        fine &= (low <= high).flatten(1).all(dim=1)
    return fine


def _bounded(
    network: Network, known: Bounds, goal: Goal, sides: "Tensors", steps: int = _STEPS
) -> "tuple[torch.Tensor, Lowered]":
    """Of every part the lower bound of its best function, and how it came about."""
    import torch

    parts, functions = len(known.domain), len(goal.functions)
    sample = torch.arange(parts).repeat_interleave(functions)
    rows = Rows(goal.functions.repeat(parts, 1), sample)
    offsets = goal.offsets.repeat(parts)
    fixed = {place: side for place, side in sides.items() if bool((side != 0).any())}
    found, _, _ = climb(network, known, rows, steps=steps, sides=fixed or None, enough=float((-offsets).max()))
    lows = (found.low + offsets).reshape(parts, functions)
    best = lows.max(dim=1)
    pick = torch.arange(parts) * functions + best.indices
    chosen = Lowered(
        best.values,
        Rows(found.at_input.values[pick], torch.arange(parts)),
        {place: value[pick] for place, value in found.loss.items()},
    )
    return best.values.clone(), chosen


def _broken(domain: Domain, found: Lowered, wrong: "Wrong") -> "torch.Tensor | None":
    """The inputs that minimise the linear bounds are the likeliest to be counterexamples."""
    import torch

    slope = found.at_input.values
    corner = torch.where(slope > 0, domain.low, domain.high)
    if domain.centre is not None:
        length = slope.flatten(1).norm(dim=1).clamp_min(1e-300).reshape(-1, *[1] * (slope.ndim - 1))
        corner = domain.centre - domain.radius * slope / length
    candidates = inside(domain, corner)
    failed = wrong(candidates).nonzero()[:, 0]
    return candidates[failed[0]] if len(failed) else None


def _worst_bend(network: Network, known: Bounds, found: Lowered, index: int) -> tuple[int, int] | None:
    """Node and place of the open bend whose upper line costs most; of equal ones that with the widest range."""
    best: tuple[float, float] = (-1.0, -1.0)
    where = None
    for place, node in enumerate(network.nodes):
        if not isinstance(node.operation, Rectifier):
            continue
        source = node.inputs[0]
        low, high = (side[index].flatten() for side in known.ranges[source])
        open_ = (low < 0) & (high > 0)
        if not bool(open_.any()):
            continue
        loss = found.loss[place][index].flatten() if place in found.loss else (high - low) * 0
        loss = loss.where(open_, loss.new_full((), -1.0))
        width = (high.minimum(-low)).where(open_, high.new_full((), -1.0))
        which = int(loss.argmax()) if float(loss.max()) > 0 else int(width.argmax())
        score = (float(loss[which]), float(width[which]))
        if score > best:
            best, where = score, (source, which)
    return where


def _last_resort(
    network: Network, domain: Domain, goal: Goal, sides: "Tensors", *, index: int, wrong: "Wrong"
) -> "tuple[float, torch.Tensor | None]":
    """A part without open bends: its network is affine, and only multipliers and the corner decide."""
    import torch

    one = torch.tensor([index])
    part, fixed = domain.select(one), {place: side[one] for place, side in sides.items()}
    with torch.no_grad():
        known = bound(network, part, splits=fixed)
    lows, found = _bounded(network, known, goal, fixed, steps=_LEAF_STEPS)
    return float(lows[0]), _broken(part, found, wrong)
