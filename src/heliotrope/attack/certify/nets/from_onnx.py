"""An ONNX graph as a network. Only the standard operators that are named here; everything else is a fact that ends it.

https://onnx.ai/onnx/operators/ ; the file is parsed by the onnx package, external data are not read.
"""

import math
from typing import TYPE_CHECKING, Any

from heliotrope.attack.certify.nets.building import Builder
from heliotrope.attack.certify.nets.graph import FLOAT32, FLOAT64, Network, NotModelled
from heliotrope.attack.certify.nets.onnx_steps import operators, tensor_of
from heliotrope.core.errors import MissingExtraError
from heliotrope.core.text import printable, shorten

if TYPE_CHECKING:
    import torch

__all__ = ["MAX_BYTES", "MAX_NODES", "Reader", "from_onnx"]

MAX_BYTES = 512 * 2**20
"""Of a model: bounds take several times its weights in float64."""

MAX_NODES = 20_000
"""Of a graph; the largest networks of the verification competitions have a few hundred."""


def from_onnx(
    data: bytes, *, normalise: "tuple[Any, Any] | None" = None, shape: tuple[int, ...] | None = None
) -> Network:
    """The network of a model with one input (a batch of samples) and one output of scores.

    `shape`: of one sample, where the graph leaves it open. Raises NotModelled with the part that is not known.
    """
    try:
        import onnx
    except ImportError:
        raise MissingExtraError("certify", module="onnx") from None
    if len(data) > MAX_BYTES:
        raise NotModelled(f"the file is larger than {MAX_BYTES // 2**20} MiB")
    try:
        model = onnx.load_model_from_string(data)
    except Exception as error:  # noqa: BLE001 - the parser's own errors have no common root
        raise NotModelled(f"the file is no readable ONNX model: {type(error).__name__}") from None
    if model.functions or len(model.graph.node) > MAX_NODES:
        raise NotModelled("the model defines functions of its own, or is too large")
    reader = Reader(model, shape)
    if normalise is not None:
        reader.normalise(*normalise)
    try:
        return reader.read()
    except (IndexError, KeyError, TypeError, ValueError, OverflowError, RuntimeError) as error:
        reason = shorten(printable(f"{type(error).__name__}: {error}"), 200)
        raise NotModelled(f"the graph contradicts itself: {reason}") from None


class Reader:
    """Values are places in the builder, or constant tensors."""

    def __init__(self, model: Any, shape: tuple[int, ...] | None) -> None:
        from onnx import numpy_helper

        graph = model.graph
        self.graph = graph
        self.constants: dict[str, torch.Tensor] = {}
        for one in graph.initializer:
            if one.data_location == 1 or one.external_data:
                raise NotModelled("tensors are kept in other files")
            self.constants[one.name] = tensor_of(numpy_helper.to_array(one))
        inputs = [one for one in graph.input if one.name not in self.constants]
        if len(inputs) != 1 or len(graph.output) != 1:
            raise NotModelled(f"it has {len(inputs)} inputs and {len(graph.output)} outputs")
        kind = inputs[0].type.tensor_type
        if kind.elem_type not in (1, 11):
            raise NotModelled("its input is neither float32 nor float64")
        own = [dim.dim_value if dim.HasField("dim_value") else 0 for dim in kind.shape.dim]
        if shape is None:
            shape = tuple(own[1:])
        if not shape or any(side < 1 for side in shape):
            raise NotModelled("the shape of its input is open")
        self.builder = Builder(shape, FLOAT32 if kind.elem_type == 1 else FLOAT64)
        declared = tuple(own[1:])
        self.places: dict[str, int] = {}
        start = 0
        if declared and all(declared) and declared != shape and math.prod(declared) == math.prod(shape):
            start = self.builder.reshape(0, declared, "input")
        self.places[inputs[0].name] = start
        self.input = inputs[0].name

    def normalise(self, mean: Any, std: Any) -> None:
        import torch

        place = self.places[self.input]
        form = (-1, *[1] * (len(self.builder.shape_of(place)) - 1))
        mean, std = (torch.as_tensor(one, dtype=torch.float64).reshape(form) for one in (mean, std))
        self.places[self.input] = self.builder.scale(
            place, 1 / std, -mean / std, "normalisation", terms=4, magnitude=(mean / std).abs()
        )

    def read(self) -> Network:
        import onnx

        handlers = operators()
        for node in self.graph.node:
            attributes = {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}
            handler = handlers.get(node.op_type) if node.domain in ("", "ai.onnx") else None
            if handler is None:
                raise NotModelled(f"the operator {printable(shorten(node.op_type, 60))} is not known")
            handler(self, node, attributes)
        return self.builder.network(self.places[self.graph.output[0].name])

    def place(self, name: str) -> int:
        if name not in self.places:
            raise NotModelled(f"{printable(shorten(name, 60))} is no function of the input")
        return self.places[name]

    def constant(self, name: str) -> "torch.Tensor":
        if name not in self.constants:
            raise NotModelled(f"{printable(shorten(name, 60))} is computed, where a constant is expected")
        return self.constants[name]

    def known(self, name: str) -> "torch.Tensor | None":
        return self.constants.get(name)

    def sample_shaped(self, tensor: "torch.Tensor", place: int) -> "torch.Tensor":
        """A constant as it meets one sample: the batch dimension, which must be 1, is taken off."""
        rank = len(self.builder.shape_of(place)) + 1
        if tensor.ndim == rank:
            if tensor.shape[0] != 1:
                raise NotModelled("a constant differs by the sample of a batch")
            return tensor[0]
        return tensor
