"""Lower bounds with free slopes: each rectifier's lower line may have any slope between its two, and every choice is sound.

The best choice is looked for by gradient ascent, separately for each function that is bounded (Xu et al., Fast and Complete,
2021). Where branch and bound has fixed the side of a bend, the constraint enters with a multiplier that is zero or larger,
which is sound for every value too (Wang et al., Beta-CROWN, 2021).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from heliotrope.attack.certify.nets.bounds import Bounds, over_domain, pool_back
from heliotrope.attack.certify.nets.graph import Network
from heliotrope.attack.certify.nets.nonlinear import MaxPool, Rectifier, Sigmoidal
from heliotrope.attack.certify.nets.rows import Rows, joined

if TYPE_CHECKING:
    import torch

    Tensors = dict[int, torch.Tensor]

__all__ = ["Lowered", "climb", "lower"]

_RATE = 0.25
_DECAY = 0.97


@dataclass(slots=True)
class Lowered:
    """What came of carrying functions back with given slopes and multipliers."""

    low: "torch.Tensor"
    """R: each function is at least this, for every input allowed."""
    at_input: Rows
    """The linear function whose minimum that is."""
    loss: "Tensors"
    """Of each rectifier, how much of the bound its upper line costs at most: R x what it holds."""


def lower(
    network: Network,
    known: Bounds,
    rows: Rows,
    *,
    slopes: "Tensors",
    multipliers: "Tensors | None" = None,
    sides: "Tensors | None" = None,
) -> Lowered:
    """Lower bounds of functions of the last node.

    `slopes` in [0, 1], of each rectifier: where between its leak and 1 its lower line lies. `multipliers`, `sides`: of the
    nodes in front of rectifiers whose side is fixed, by row and by sample.
    """
    import torch

    last = len(network.nodes) - 1
    pending: dict[int, Rows] = {last: rows}
    total = rows.values.new_zeros(len(rows.values))
    loss: Tensors = {}
    for place in range(last, 0, -1):
        held = pending.pop(place, None)
        if held is None:
            continue
        node, operation = network.nodes[place], network.nodes[place].operation
        if multipliers is not None and sides is not None and place in multipliers:
            held = Rows(held.values - multipliers[place] * held.crop(sides[place]), held.sample)
        error = known.errors[place]
        if error is not None:
            total = total - held.weigh(error)
        if isinstance(operation, Rectifier):
            held = held.widened(node.shape)
            band = known.bands[place]
            low, high = known.ranges[node.inputs[0]]
            bends = held.crop(((low < 0) & (high > 0)).double())
            slope = held.crop(band.slope)
            above = held.crop(band.centre + band.radius)
            leak = operation.leak
            free = leak + slopes[place] * (1 - leak)
            below = torch.where(bends > 0, free, slope)
            positive, negative = held.values.clamp_min(0), held.values.clamp_max(0)
            cost = negative * above
            total = total + cost.flatten(1).sum(dim=1)
            loss[place] = -cost.detach()
            parts: tuple[Rows, ...] = (Rows(positive * below + negative * slope, held.sample),)
        elif isinstance(operation, Sigmoidal | MaxPool):
            held = held.widened(node.shape)
            band = known.bands[place]
            total = total + held.dot(band.centre) - held.weigh(band.radius)
            if isinstance(operation, MaxPool):
                parts = (pool_back(held, known.chosen[place], network.nodes[node.inputs[0]].shape),)
            else:
                parts = (held.times(band.slope),)
        else:
            if operation.bias is not None:  # type: ignore[attr-defined]
                total = total + held.dot(operation.bias.expand(1, *node.shape))  # type: ignore[attr-defined]
            parts = operation.transpose(held, tuple(network.nodes[one].shape for one in node.inputs))  # type: ignore[attr-defined]
        for source, part in zip(node.inputs, parts, strict=True):
            pending[source] = joined(pending.get(source), part, network.nodes[source].shape)
    return Lowered(total + over_domain(known.domain, pending[0])[0], pending[0], loss)


def climb(
    network: Network,
    known: Bounds,
    rows: Rows,
    *,
    steps: int,
    slopes: "Tensors | None" = None,
    sides: "Tensors | None" = None,
    multipliers: "Tensors | None" = None,
    enough: float = 0.0,
) -> "tuple[Lowered, Tensors, Tensors]":
    """The best lower bounds of some steps of ascent, with the slopes and multipliers to go on from.

    Starts at the better of two usual choices for each row. Stops early when every row is above `enough`.
    """
    import torch

    if slopes is None:
        slopes = _starting_slopes(network, known, rows)
    slopes = {place: value.clone() for place, value in slopes.items()}
    betas: Tensors = {}
    if sides is not None:
        betas = {
            place: torch.zeros_like(rows_of(rows, side)) if multipliers is None else multipliers[place].clone()
            for place, side in sides.items()
        }
    free = [*slopes.values(), *betas.values()]
    if not free:  # nothing to choose
        with torch.no_grad():
            return lower(network, known, rows, slopes=slopes), slopes, betas
    best: Lowered | None = None
    optimiser = torch.optim.Adam(
        [{"params": list(slopes.values()), "lr": _RATE}, {"params": list(betas.values()), "lr": _RATE / 5}]
    )
    for step in range(steps + 1):
        last = step == steps
        for value in free:
            value.requires_grad_(not last)
        with torch.set_grad_enabled(not last):
            found = lower(network, known, rows, slopes=slopes, multipliers=betas or None, sides=sides)
        best = _better(best, found)
        if last or bool((best.low > enough).all()):
            break
        optimiser.zero_grad()
        torch.autograd.backward(-found.low.sum(), inputs=free)
        optimiser.step()
        for group in optimiser.param_groups:
            group["lr"] *= _DECAY
        with torch.no_grad():
            for value in slopes.values():
                value.clamp_(0, 1)
            for value in betas.values():
                value.clamp_(min=0)
    assert best is not None
    return best, {k: v.detach() for k, v in slopes.items()}, {k: v.detach() for k, v in betas.items()}


def rows_of(rows: Rows, per_sample: "torch.Tensor") -> "torch.Tensor":
    """What belongs to each row, of something for each sample."""
    return per_sample[rows.sample].double()


def _starting_slopes(network: Network, known: Bounds, rows: Rows) -> "Tensors":
    """By row the better of: the chord's slope, and 0 or 1, whichever leaves the smaller gap."""
    import torch

    chord: Tensors = {}
    adaptive: Tensors = {}
    for place, node in enumerate(network.nodes):
        if isinstance(node.operation, Rectifier):
            low, high = known.ranges[node.inputs[0]]
            leak = node.operation.leak
            share = ((known.bands[place].slope - leak) / (1 - leak)).clamp(0, 1)
            chord[place] = rows_of(rows, share)
            adaptive[place] = rows_of(rows, (high > -low).double())
    with torch.no_grad():
        one = lower(network, known, rows, slopes=chord).low
        other = lower(network, known, rows, slopes=adaptive).low
    first = one >= other
    return {
        place: torch.where(first.reshape(-1, *[1] * (value.ndim - 1)), value, adaptive[place])
        for place, value in chord.items()
    }


def _better(best: Lowered | None, found: Lowered) -> Lowered:
    import torch

    low, at_input = found.low.detach(), found.at_input.values.detach()
    loss = {place: value.detach() for place, value in found.loss.items()}
    if best is None:
        return Lowered(low, Rows(at_input, found.at_input.sample), loss)
    won = low > best.low

    def pick(new: "torch.Tensor", old: "torch.Tensor") -> "torch.Tensor":
        return torch.where(won.reshape(-1, *[1] * (new.ndim - 1)), new, old)

    return Lowered(
        pick(low, best.low),
        Rows(pick(at_input, best.at_input.values), found.at_input.sample),
        {place: pick(value, best.loss[place]) for place, value in loss.items()},
    )
