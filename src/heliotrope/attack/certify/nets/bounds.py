"""Bounds on every node of a network over a box or ball of inputs: intervals, then linear bounds carried back to the input.

What is bounded is the network as it is served: every node may differ from the exact value of its inputs by what rounding
adds there (`Operation.rounding`), and that error is carried along like any other uncertainty.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from heliotrope.attack.certify.nets.affine import Concat, Conv, Input
from heliotrope.attack.certify.nets.graph import Network, Node
from heliotrope.attack.certify.nets.nonlinear import Band, MaxPool, Rectifier, Sigmoidal
from heliotrope.attack.certify.nets.rows import Rows, joined

if TYPE_CHECKING:
    import torch

    Pair = tuple[torch.Tensor, torch.Tensor]

__all__ = ["Bounds", "Domain", "bend_nodes", "bound", "carry_back", "linear_range", "over_domain", "pool_back"]

MAX_VALUES = 6_000_000
"""Of the coefficients that are carried back at once: 48 MB."""


@dataclass(frozen=True, slots=True)
class Domain:
    """The inputs that an attacker may choose, for each sample of a batch: a box, and maybe a ball around the sample in it."""

    low: "torch.Tensor"
    high: "torch.Tensor"
    """B x input, float64."""
    centre: "torch.Tensor | None" = None
    radius: "float | torch.Tensor" = 0.0
    """Of a ball of the Euclidean norm around `centre`, for all or each; without a centre the box counts alone."""

    def __len__(self) -> int:
        return len(self.low)

    def select(self, which: "torch.Tensor") -> "Domain":
        centre = None if self.centre is None else self.centre[which]
        radius = self.radius if isinstance(self.radius, float) else self.radius[which]
        return Domain(self.low[which], self.high[which], centre, radius)


@dataclass(slots=True)
class Bounds:
    """Of every node, for every sample of a batch."""

    domain: Domain
    ranges: "list[Pair]"
    errors: "list[torch.Tensor | None]"
    bands: "dict[int, Band]" = field(default_factory=dict)
    chosen: "dict[int, torch.Tensor]" = field(default_factory=dict)
    """Of maxima: the entry of each window that stands for it."""


def bound(
    network: Network, domain: Domain, *, refine: bool = True, splits: "dict[int, torch.Tensor] | None" = None
) -> Bounds:
    """Intervals of all nodes; with `refine`, linear bounds where an interval does not settle on which side of a bend it lies.

    `splits`: of nodes in front of a rectifier, 1 where the value is known not to be negative, -1 where not to be positive.
    """
    known = Bounds(domain, [(domain.low, domain.high)], [None])
    bends = bend_nodes(network)
    for index, node in enumerate(network.nodes[1:], start=1):
        sources = [known.ranges[source] for source in node.inputs]
        sizes = [_magnitude(pair) for pair in sources]
        error = node.operation.rounding(network.unit, *sizes)
        low, high = node.operation.interval(*sources)
        if error is not None:
            low, high = low - error, high + error
        known.errors.append(error)
        known.ranges.append((low, high))
        _relax(known, index, node)
        if refine and index in bends and _far_from_input(network, index):
            _refine(network, known, index)
        if splits is not None and index in splits:
            low, high = known.ranges[index]
            side = splits[index]
            known.ranges[index] = low.where(side <= 0, low.clamp_min(0)), high.where(side >= 0, high.clamp_max(0))
    return known


def bend_nodes(network: Network) -> frozenset[int]:
    """Nodes that feed something that is not affine."""
    nonlinear = (Rectifier, Sigmoidal, MaxPool)
    return frozenset(
        source for node in network.nodes if isinstance(node.operation, nonlinear) for source in node.inputs
    )


def linear_range(network: Network, known: Bounds, index: int, rows: Rows) -> "Pair":
    """Lowest and highest value of linear functions of a node, R each."""
    centre, radius, at_input = carry_back(network, known, index, rows)
    low, high = over_domain(known.domain, at_input)
    return low + centre - radius, high + centre + radius


def carry_back(network: Network, known: Bounds, index: int, rows: Rows) -> "tuple[torch.Tensor, torch.Tensor, Rows]":
    """Linear functions of a node as ones of the input, with what is to be added (centre) and how far off that may be."""
    pending: dict[int, Rows] = {index: rows}
    centre = rows.values.new_zeros(len(rows.values))
    radius = rows.values.new_zeros(len(rows.values))
    for place in range(index, 0, -1):
        held = pending.pop(place, None)
        if held is None:
            continue
        node = network.nodes[place]
        operation = node.operation
        error = known.errors[place]
        if error is not None:
            radius = radius + held.weigh(error)
        if isinstance(operation, Rectifier | Sigmoidal):
            band = known.bands[place]
            centre, radius = centre + held.dot(band.centre), radius + held.weigh(band.radius)
            parts: tuple[Rows, ...] = (held.times(band.slope),)
        elif isinstance(operation, MaxPool):
            band = known.bands[place]
            held = held.widened(node.shape)
            centre, radius = centre + held.dot(band.centre), radius + held.weigh(band.radius)
            parts = (pool_back(held, known.chosen[place], network.nodes[node.inputs[0]].shape),)
        else:
            if operation.bias is not None:  # type: ignore[attr-defined]
                centre = centre + held.dot(operation.bias.expand(1, *node.shape))  # type: ignore[attr-defined]
            shapes = tuple(network.nodes[source].shape for source in node.inputs)
            if isinstance(operation, Concat):
                held = held if held.origin is None or len(node.shape) == 3 else held.widened(node.shape)
            parts = operation.transpose(held, shapes)  # type: ignore[attr-defined]
        for source, part in zip(node.inputs, parts, strict=True):
            pending[source] = joined(pending.get(source), part, network.nodes[source].shape)
    return centre, radius, pending[0]


def over_domain(domain: Domain, rows: Rows) -> "Pair":
    """Lowest and highest value of linear functions of the input: over the box, and over the ball where that is better."""
    middle, half = (domain.low + domain.high) / 2, (domain.high - domain.low) / 2
    at_middle, spread = rows.dot(middle), rows.weigh(half)
    low, high = at_middle - spread, at_middle + spread
    if domain.centre is None:
        return low, high
    at_centre = rows.dot(domain.centre)
    radius = domain.radius if isinstance(domain.radius, float) else domain.radius[rows.sample]
    reach = radius * (1 + 1e-12) * rows.values.flatten(1).square().sum(dim=1).sqrt()
    return low.maximum(at_centre - reach), high.minimum(at_centre + reach)


def pool_back(rows: Rows, chosen: "torch.Tensor", shape: tuple[int, ...]) -> Rows:
    """Functions of maxima as functions of the entries that stand for them."""
    places = rows.crop(chosen).expand(len(rows.values), *chosen.shape[1:]).flatten(2)
    flat = rows.values.new_zeros((len(rows.values), shape[0], shape[1] * shape[2]))
    flat = flat.scatter_add(2, places, rows.values.flatten(2))
    return Rows(flat.reshape(len(flat), *shape), rows.sample)


def _magnitude(pair: "Pair") -> "torch.Tensor":
    return pair[0].abs().maximum(pair[1].abs())


def _relax(known: Bounds, index: int, node: Node) -> None:
    operation = node.operation
    if isinstance(operation, Rectifier | Sigmoidal):
        known.bands[index] = operation.band(*known.ranges[node.inputs[0]])
    elif isinstance(operation, MaxPool):
        known.chosen[index], known.bands[index] = operation.band(*known.ranges[node.inputs[0]])


def _far_from_input(network: Network, index: int) -> bool:
    """Whether anything not affine, or a sum of several paths, lies between: else an interval is exact already."""
    node = network.nodes[index]
    while len(node.inputs) == 1:
        source = network.nodes[node.inputs[0]]
        if isinstance(source.operation, Input):
            return bool(getattr(node.operation, "terms", 1) and _affine_before(network, index))
        if isinstance(source.operation, Rectifier | Sigmoidal | MaxPool):
            return True
        node = source
    return True


def _affine_before(network: Network, index: int) -> bool:
    """Whether two affine maps with sums follow each other before this node: then intervals lose something."""
    count, node = 0, network.nodes[index]
    while node.inputs:
        count += int(getattr(node.operation, "terms", 0) > 2)
        node = network.nodes[node.inputs[0]]
    return count > 1


def _refine(network: Network, known: Bounds, index: int) -> None:
    """Linear bounds for the values of a node that an interval leaves on both sides of the bend."""
    low, high = known.ranges[index]
    open_ = (low < 0) & (high > 0)
    consumers = [node.operation for node in network.nodes if index in node.inputs]
    if not all(isinstance(one, Rectifier) for one in consumers):
        open_ = low < high
    if not bool(open_.any()):
        return
    low, high = low.clone(), high.clone()
    for sample, place, rows in _unit_rows(network, index, open_):
        lower, upper = linear_range(network, known, index, rows)
        low[(sample, *place)] = low[(sample, *place)].maximum(lower)
        high[(sample, *place)] = high[(sample, *place)].minimum(upper)
    known.ranges[index] = low, high.maximum(low)


def _unit_rows(
    network: Network, index: int, wanted: "torch.Tensor"
) -> "Iterator[tuple[torch.Tensor, tuple[torch.Tensor, ...], Rows]]":
    """Single values of a node as functions of it: those of one place of a map together, in pieces that fit into memory."""
    import torch

    shape = network.nodes[index].shape
    windowed = len(shape) == 3 and isinstance(network.nodes[index].operation, Conv)
    if not windowed:
        where = wanted.nonzero(as_tuple=True)
        size = max(1, MAX_VALUES // _widest(network, index))
        for begin in range(0, len(where[0]), size):
            sample, *place = (part[begin : begin + size] for part in where)
            values = torch.zeros((len(sample), *shape), dtype=torch.float64)
            values[(torch.arange(len(sample)), *place)] = 1.0
            yield sample, tuple(place), Rows(values, sample)
        return
    for top in range(shape[1]):
        for left in range(shape[2]):
            samples, channels = wanted[:, :, top, left].nonzero(as_tuple=True)
            size = max(64, MAX_VALUES // _widest(network, index))
            for begin in range(0, len(samples), size):
                sample, channel = samples[begin : begin + size], channels[begin : begin + size]
                values = torch.zeros((len(sample), shape[0], 1, 1), dtype=torch.float64)
                values[torch.arange(len(sample)), channel] = 1.0
                here = (torch.full_like(channel, top), torch.full_like(channel, left))
                yield sample, (channel, *here), Rows(values, sample, (top, left))


def _widest(network: Network, index: int) -> int:
    """Values of the largest node on the way, of which several copies are held."""
    sizes = [1]
    for node in network.nodes[: index + 1]:
        count = 1
        for side in node.shape:
            count *= side
        sizes.append(count)
    return 2 * max(sizes)
