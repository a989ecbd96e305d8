"""Putting a network together node by node: what readers of models share."""

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from heliotrope.attack.certify.nets.affine import Concat, Conv, Input, Linear, Pad, Reshape, Scale, Sum
from heliotrope.attack.certify.nets.graph import FLOAT32, Network, Node, NotModelled, Operation
from heliotrope.attack.certify.nets.nonlinear import MaxPool, Rectifier, Sigmoidal

if TYPE_CHECKING:
    import torch

__all__ = ["MAX_NODE_VALUES", "Builder", "pair"]

MAX_NODE_VALUES = 4_000_000
"""Of one sample at one node; beyond that, bounds neither fit nor say anything."""


def pair(value: Any) -> tuple[int, int]:
    """As in kernel_size=3 or (3, 3)."""
    if isinstance(value, int):
        return value, value
    first, second = value
    return int(first), int(second)


@dataclass
class Builder:
    """Nodes so far. Places are indices into them."""

    shape: tuple[int, ...]
    unit: float = FLOAT32
    nodes: list[Node] = field(default_factory=list)
    ties: bool = False

    def __post_init__(self) -> None:
        self.nodes.append(Node(Input(), (), self.shape, "input"))

    def add(self, operation: Operation, inputs: tuple[int, ...], shape: tuple[int, ...], label: str) -> int:
        if math.prod(shape) > MAX_NODE_VALUES:
            raise NotModelled(f"{label} holds {math.prod(shape)} values for one sample")
        self.nodes.append(Node(operation, inputs, shape, label))
        return len(self.nodes) - 1

    def network(self, last: int) -> Network:
        """Nodes up to the output; what does not lead there is left out."""
        needed = {last}
        for place in range(last, 0, -1):
            if place in needed:
                needed.update(self.nodes[place].inputs)
        if 0 not in needed:
            raise NotModelled("the output does not depend on the input")
        order = sorted(needed)
        where = {old: new for new, old in enumerate(order)}
        nodes = tuple(
            Node(one.operation, tuple(where[source] for source in one.inputs), one.shape, one.label)
            for one in (self.nodes[old] for old in order)
        )
        if len(nodes[-1].shape) != 1:
            raise NotModelled(f"the output has the shape {list(nodes[-1].shape)} for each sample")
        return Network(nodes, self.unit, 1.0 if self.ties else 0.0)

    def shape_of(self, place: int) -> tuple[int, ...]:
        return self.nodes[place].shape

    def linear(self, source: int, weight: "torch.Tensor", bias: "torch.Tensor | None", label: str) -> int:
        shape = self.shape_of(source)
        if len(shape) != 1 or shape[0] != weight.shape[1]:
            raise NotModelled(f"{label} is a linear layer over samples of shape {list(shape)}")
        operation = Linear(_exact(weight), None if bias is None else _exact(bias))
        return self.add(operation, (source,), (weight.shape[0],), label)

    def conv(
        self,
        source: int,
        weight: "torch.Tensor",
        bias: "torch.Tensor | None",
        label: str,
        *,
        stride: tuple[int, int],
        padding: tuple[int, int],
        dilation: tuple[int, int] = (1, 1),
        groups: int = 1,
    ) -> int:
        """A convolution over maps; over sequences (two dimensions for each sample) where the weight has three."""
        shape = self.shape_of(source)
        if weight.ndim == 3:
            made = self.conv(
                self.reshape(source, (shape[0], 1, shape[1]), label), weight[:, :, None], bias, label,
                stride=(1, stride[1]), padding=(0, padding[1]), dilation=(1, dilation[1]), groups=groups,
            )  # fmt: skip
            outputs, _, length = self.shape_of(made)
            return self.reshape(made, (outputs, length), label)
        if len(shape) != 3 or shape[0] != weight.shape[1] * groups:
            raise NotModelled(f"{label} is a convolution over samples of shape {list(shape)}")
        operation = Conv(_exact(weight), None if bias is None else _exact(bias), stride, padding, dilation, groups)
        sides = tuple(
            (size + 2 * pad - span) // step + 1
            for size, pad, span, step in zip(shape[1:], padding, operation.span, stride, strict=True)
        )
        if min(sides) < 1:
            raise NotModelled(f"{label} looks at more than there is")
        return self.add(operation, (source,), (weight.shape[0], *sides), label)

    def average(
        self,
        source: int,
        label: str,
        *,
        size: tuple[int, int],
        stride: tuple[int, int],
        padding: tuple[int, int] = (0, 0),
    ) -> int:
        """The mean of each window, zeros of the padding included."""
        import torch

        channels = self.shape_of(source)[0]
        weight = torch.full((channels, 1, *size), 1 / (size[0] * size[1]), dtype=torch.float64)
        return self.conv(source, weight, None, label, stride=stride, padding=padding, groups=channels)

    def maximum(
        self, source: int, label: str, *, size: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int]
    ) -> int:
        shape = self.shape_of(source)
        sides = tuple(
            (whole + 2 * pad - one) // step + 1
            for whole, pad, one, step in zip(shape[1:], padding, size, stride, strict=True)
        )
        if len(shape) != 3 or min(sides) < 1:
            raise NotModelled(f"{label} is a maximum over samples of shape {list(shape)}")
        return self.add(MaxPool(size, stride, padding), (source,), (shape[0], *sides), label)

    def scale(
        self,
        source: int,
        factor: "torch.Tensor",
        shift: "torch.Tensor | None",
        label: str,
        *,
        terms: int = 2,
        magnitude: "torch.Tensor | None" = None,
    ) -> int:
        """Factor and shift broadcast against a sample, not against the batch."""
        shape = self.shape_of(source)

        def fitting(value: "torch.Tensor | None") -> "torch.Tensor | None":
            if value is None:
                return None
            value = _exact(value)
            if value.ndim > len(shape):
                raise NotModelled(f"{label} combines samples with a tensor of shape {list(value.shape)}")
            value = value.reshape(1, *[1] * (len(shape) - value.ndim), *value.shape)
            if any(own not in (1, given) for own, given in zip(value.shape[1:], shape, strict=True)):
                raise NotModelled(f"{label} combines samples with a tensor of shape {list(value.shape[1:])}")
            return value

        made = fitting(factor)
        assert made is not None
        return self.add(Scale(made, fitting(shift), terms, fitting(magnitude)), (source,), shape, label)

    def by_channel(
        self, source: int, factor: "torch.Tensor", shift: "torch.Tensor", label: str, *, magnitude: "torch.Tensor"
    ) -> int:
        """As batch statistics do it; in float32 the folded factor itself is off by a few units, hence more terms."""
        form = (-1, *[1] * (len(self.shape_of(source)) - 1))
        return self.scale(
            source, factor.reshape(form), shift.reshape(form), label, terms=8, magnitude=magnitude.reshape(form)
        )

    def constant(self, source: int, factor: float, shift: float, label: str, *, terms: int = 2) -> int:
        import torch

        one = torch.tensor(factor, dtype=torch.float64)
        other = torch.tensor(shift, dtype=torch.float64)
        return self.scale(source, one, other, label, terms=terms)

    def rectified(self, source: int, label: str, leak: "float | torch.Tensor" = 0.0) -> int:
        import torch

        if isinstance(leak, torch.Tensor):
            leak = _exact(leak).reshape(1, -1, *[1] * (len(self.shape_of(source)) - 1))
        inside = bool((torch.as_tensor(leak) >= 0).all()) and bool((torch.as_tensor(leak) < 1).all())
        if not inside:
            raise NotModelled(f"{label} has a negative slope outside 0 to 1")
        return self.add(Rectifier(leak), (source,), self.shape_of(source), label)

    def clipped(self, source: int, low: float, high: float, label: str) -> int:
        """min(max(x, low), high), by two rectifiers; the shifts between them are exact, as clipping is."""
        if not low <= high:
            raise NotModelled(f"{label} clips to an empty range")
        place = source
        if low > -math.inf:
            place = self.rectified(self.constant(place, 1.0, -low, label, terms=0), label)
            place = self.constant(place, 1.0, low, label, terms=0)
        if high < math.inf:
            place = self.rectified(self.constant(place, -1.0, high, label, terms=0), label)
            place = self.constant(place, -1.0, high, label, terms=0)
        return place

    def sigmoidal(self, source: int, label: str, *, hyperbolic: bool) -> int:
        return self.add(Sigmoidal(hyperbolic), (source,), self.shape_of(source), label)

    def reshape(self, source: int, shape: tuple[int, ...], label: str) -> int:
        if math.prod(shape) != math.prod(self.shape_of(source)):
            raise NotModelled(f"{label} mixes the samples of a batch")
        return source if shape == self.shape_of(source) else self.add(Reshape(shape), (source,), shape, label)

    def pad(self, source: int, sides: tuple[int, int, int, int], label: str) -> int:
        """Zeros: left, right, top, bottom."""
        shape = self.shape_of(source)
        if len(shape) != 3 or min(sides) < 0:
            raise NotModelled(f"{label} pads samples of shape {list(shape)} by {list(sides)}")
        left, right, top, bottom = sides
        return self.add(Pad(sides), (source,), (shape[0], shape[1] + top + bottom, shape[2] + left + right), label)

    def sum(self, sources: tuple[int, ...], signs: tuple[float, ...], label: str) -> int:
        shapes = {self.shape_of(source) for source in sources}
        if len(shapes) != 1:
            raise NotModelled(f"{label} adds samples of different shapes")
        return self.add(Sum(signs), sources, shapes.pop(), label)

    def concat(self, sources: tuple[int, ...], label: str) -> int:
        shapes = [self.shape_of(source) for source in sources]
        if len({shape[1:] for shape in shapes}) != 1:
            raise NotModelled(f"{label} joins samples of different shapes")
        sizes = tuple(shape[0] for shape in shapes)
        return self.add(Concat(sizes), sources, (sum(sizes), *shapes[0][1:]), label)


def _exact(tensor: "torch.Tensor") -> "torch.Tensor":
    """In float64, without history; NotModelled for values that are not finite."""
    import torch

    value = tensor.detach().to(dtype=torch.float64, device="cpu")
    if not bool(torch.isfinite(value).all()):
        raise NotModelled("a weight is not finite")
    return value
