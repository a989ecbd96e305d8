"""Whether a property holds of a network: random inputs and corners first, then bounds, then branch and bound.

Every counterexample is an input of float32 on which the served model itself was asked; nothing else counts as one.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from heliotrope.attack.certify.nets.bounds import Domain
from heliotrope.attack.certify.nets.graph import Network, NotModelled
from heliotrope.attack.certify.nets.probing import inside
from heliotrope.attack.certify.nets.splitting import Goal, split_until_decided
from heliotrope.attack.certify.properties.vnnlib import Case, Property
from heliotrope.core.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["PropertyVerdict", "decide_property", "meets"]

_RANDOM = 256
_STEPS = 30


@dataclass(frozen=True, slots=True)
class PropertyVerdict:
    verdict: Literal["holds", "violated", "undecided"]
    nodes: int
    """Parts that branch and bound looked at."""
    low: float
    """Worst proven distance from being unsafe over all cases that are left; above zero where it holds."""
    example: "NDArray[np.float32] | None" = None
    """An unsafe input, as one row."""
    outputs: "Floats | None" = None
    """What the served model says of it."""


def decide_property(
    network: Network,
    prop: Property,
    served: "Callable[[NDArray[np.float32]], Floats]",
    *,
    nodes: int,
    seconds: float | None = None,
    seed: int = 0,
) -> PropertyVerdict:
    """`served`: n x inputs to n x outputs. `nodes` and `seconds` bound all cases together; what is left is undecided."""
    import math

    if math.prod(network.shape) != prop.inputs or network.classes != prop.outputs:
        raise InputError(
            f"the property is about {prop.inputs} inputs and {prop.outputs} outputs, the network has "
            f"{math.prod(network.shape)} and {network.classes}",
            hint="take the property that was written for this network",
        )
    if network.ties:
        raise NotModelled("the outputs are probabilities, which the bounds do not describe")
    deadline = None if seconds is None else time.monotonic() + seconds
    used, worst = 0, float("inf")
    for index, case in enumerate(prop.cases):
        if any(low > high for low, high in zip(case.low, case.high, strict=True)):
            continue  # no such input
        found = _decide_case(network, case, served, nodes=max(1, nodes - used), deadline=deadline, seed=seed + index)
        used, worst = used + found.nodes, min(worst, found.low)
        if found.example is not None:
            return PropertyVerdict("violated", used, worst, found.example, found.outputs)
        if found.verdict == "undecided" and used >= nodes:
            break
    return PropertyVerdict("holds" if worst > 0 else "undecided", used, worst)


def meets(case: Case, inputs: "NDArray[np.float32]", outputs: "Floats") -> "NDArray[np.bool_]":
    """Which inputs are counterexamples: within the bounds, with outputs that meet every constraint, without tolerance."""
    import numpy as np

    low, high = np.array(case.low), np.array(case.high)
    exact = inputs.astype(np.float64)
    met: NDArray[np.bool_] = np.all((exact >= low) & (exact <= high), axis=1)
    for constraint in case.constraints:
        total = sum((weight * outputs[:, place] for place, weight in constraint.weights), np.zeros(len(outputs)))
        kept: NDArray[np.bool_] = np.asarray(
            total < constraint.limit if constraint.strict else total <= constraint.limit
        )
        met &= kept
    return met


def _decide_case(
    network: Network,
    case: Case,
    served: "Callable[[NDArray[np.float32]], Floats]",
    *,
    nodes: int,
    deadline: float | None,
    seed: int,
) -> PropertyVerdict:
    import numpy as np
    import torch

    shape = (1, *network.shape)
    domain = Domain(
        torch.tensor(case.low, dtype=torch.float64).reshape(shape),
        torch.tensor(case.high, dtype=torch.float64).reshape(shape),
    )
    goal = _goal(case, network.classes)

    def unsafe(points: "torch.Tensor") -> "torch.Tensor":
        rows = points.flatten(1).numpy().astype(np.float32)
        return torch.from_numpy(meets(case, rows, served(rows)))

    candidates = inside(
        domain.select(torch.zeros(_RANDOM + _STEPS, dtype=torch.int64)), _tries(network, domain, goal, seed)
    )
    failed = unsafe(candidates).nonzero()[:, 0]
    example = candidates[failed[0]] if len(failed) else None
    low, used = float("-inf"), 0
    if example is None:
        if not len(goal.functions):
            return PropertyVerdict("undecided", 0, low)  # every input is unsafe, but none could be made
        decided = split_until_decided(network, domain, goal, unsafe, nodes=nodes, deadline=deadline)
        example, low, used = decided.example, decided.low, decided.nodes
        if decided.proven:
            return PropertyVerdict("holds", used, low)
    if example is None:
        return PropertyVerdict("undecided", used, min(low, 0.0))
    row = example.flatten()[None].numpy().astype(np.float32)
    return PropertyVerdict("violated", used, low, row[0], served(row)[0])


def _goal(case: Case, outputs: int) -> Goal:
    """A case is safe where any constraint fails: its sum less its limit is above zero."""
    import torch

    functions = torch.zeros((len(case.constraints), outputs), dtype=torch.float64)
    for place, constraint in enumerate(case.constraints):
        for output, weight in constraint.weights:
            functions[place, output] += weight
    return Goal(functions, torch.tensor([-one.limit for one in case.constraints], dtype=torch.float64))


def _tries(network: Network, domain: Domain, goal: Goal, seed: int) -> "torch.Tensor":
    """Random points and corners, and the way down from the worst of them."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    shares = torch.rand((_RANDOM, *domain.low.shape[1:]), generator=generator, dtype=torch.float64)
    shares[_RANDOM // 2 :] = shares[_RANDOM // 2 :].round()
    points = domain.low + shares * (domain.high - domain.low)
    if not len(goal.functions):
        return torch.cat([points, points[:_STEPS]])
    with torch.no_grad():
        worst = (network.forward(points) @ goal.functions.T + goal.offsets).amax(dim=1)
    point = points[worst.argmin()][None]
    path = []
    size = (domain.high - domain.low) / 10
    for _ in range(_STEPS):
        point = point.detach().requires_grad_(True)
        value = (network.forward(point) @ goal.functions.T + goal.offsets).amax(dim=1).sum()
        gradient = torch.autograd.grad(value, point)[0]
        point = (point - size * gradient.sign()).detach().maximum(domain.low).minimum(domain.high)
        size = size * 0.9
        path.append(point)
    return torch.cat([points, *path])
