"""Feed-forward networks as a list of nodes, each an affine map, a simple activation, a maximum or a sum of earlier ones."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import torch


__all__ = ["FLOAT32", "FLOAT64", "Network", "Node", "NotModelled", "Operation"]

FLOAT32, FLOAT64 = 2.0**-24, 2.0**-44
"""Unit roundoffs of the arithmetic in which a model is served. That of float64 is taken 512 times larger than it is: the bounds
are computed in the same arithmetic, and that rounding is thereby included."""


class NotModelled(Exception):  # noqa: N818 - a fact about the model, not a fault
    """The network has a part that the bounds do not describe; the text names it. Nothing may be claimed of it."""


class Operation(Protocol):
    """What a node does to its inputs. Tensors are float64, batch first."""

    def forward(self, *inputs: "torch.Tensor") -> "torch.Tensor":
        """The exact value, up to rounding in float64."""

    def interval(self, *inputs: "tuple[torch.Tensor, torch.Tensor]") -> "tuple[torch.Tensor, torch.Tensor]":
        """Lowest and highest value over boxes of inputs."""

    def rounding(self, unit: float, *magnitudes: "torch.Tensor") -> "torch.Tensor | None":
        """How far the served value may be from the exact one of the same inputs, whose absolute values are at most these.

        None: it is exact.
        """


@dataclass(frozen=True, slots=True)
class Node:
    operation: Operation
    inputs: tuple[int, ...]
    """Earlier nodes."""
    shape: tuple[int, ...]
    """Of one sample."""
    label: str = ""
    """Where it stands in the model, for people."""


@dataclass(frozen=True, slots=True)
class Network:
    """The first node is the input, the last one the output."""

    nodes: tuple[Node, ...]
    unit: float = FLOAT32
    """Unit roundoff of the arithmetic in which the model is served."""
    ties: float = 0.0
    """By how much a class must lead for a softmax after the last node to keep the order; 0 where there is none."""

    @property
    def shape(self) -> tuple[int, ...]:
        return self.nodes[0].shape

    @property
    def classes(self) -> int:
        return self.nodes[-1].shape[0]

    def values(self, inputs: "torch.Tensor") -> "list[torch.Tensor]":
        """What every node holds for a batch, in float64."""
        held = [inputs.double()]
        for node in self.nodes[1:]:
            held.append(node.operation.forward(*(held[source] for source in node.inputs)))
        return held

    def forward(self, inputs: "torch.Tensor") -> "torch.Tensor":
        return self.values(inputs)[-1]
