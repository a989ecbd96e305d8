"""A torch module as a network: its forward pass is traced with symbols, and every step must be one that is known.

Tracing runs the module's own forward method, as asking the model does, so it needs the same consent. What the symbols do not
show (numbers drawn while tracing, branches on Python state) is caught by comparing with the model's answers afterwards.
"""

import operator
from typing import TYPE_CHECKING, Any

from heliotrope.attack.certify.nets.building import Builder
from heliotrope.attack.certify.nets.graph import FLOAT32, FLOAT64, Network, NotModelled
from heliotrope.attack.certify.nets.torch_steps import functions, modules, name_of
from heliotrope.core.text import printable, shorten

if TYPE_CHECKING:
    import torch
    from torch import fx

__all__ = ["Reader", "from_torch"]

_BATCH = 2
"""Samples the trace is tried on, so that operations across the batch are seen."""


def from_torch(
    module: "torch.nn.Module", sample: "torch.Tensor", *, normalise: "tuple[Any, Any] | None" = None
) -> Network:
    """The network that a module in eval mode computes on samples like this one.

    `normalise`: mean and deviation for each channel, applied in front of it. Raises NotModelled with the part that is not known.
    """
    _require_plain(module)
    unit = _unit(module)
    graph, owner = _traced(module, sample)
    builder = Builder(tuple(sample.shape), unit)
    start = 0
    if normalise is not None:
        start = _normalised(builder, *normalise)
    reader = Reader(builder, owner, start)
    try:
        return builder.network(reader.read(graph))
    except (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError) as error:
        reason = shorten(printable(f"{type(error).__name__}: {error}"), 200)
        raise NotModelled(f"a step is called in a way that is not known: {reason}") from None


def _require_plain(module: "torch.nn.Module") -> None:
    """What is attached to modules from outside is not seen by reading their weights."""
    import torch.nn.modules.module as machinery

    if machinery._global_forward_hooks or machinery._global_forward_pre_hooks:  # noqa: SLF001 - no public way to ask
        raise NotModelled("hooks are registered for all modules")
    for name, part in module.named_modules():
        where = printable(name) or "the model"
        if part._forward_hooks or part._forward_pre_hooks:  # noqa: SLF001
            raise NotModelled(f"{where} has forward hooks")
        if "forward" in vars(part):
            raise NotModelled(f"{where} has a forward method of its own instance")
        if part.training:
            raise NotModelled(f"{where} is in training mode")


def _unit(module: "torch.nn.Module") -> float:
    import torch

    kinds = {one.dtype for one in (*module.parameters(), *module.buffers()) if one.is_floating_point()}
    if kinds <= {torch.float32}:
        return FLOAT32
    if kinds == {torch.float64}:
        return FLOAT64
    raise NotModelled(f"parameters are {', '.join(sorted(str(kind).removeprefix('torch.') for kind in kinds))}")


def _traced(module: "torch.nn.Module", sample: "torch.Tensor") -> "tuple[fx.Graph, Any]":
    import torch
    from torch import fx
    from torch.fx.passes.shape_prop import ShapeProp

    class Tracer(fx.Tracer):
        def is_leaf_module(self, m: "torch.nn.Module", module_qualified_name: str) -> bool:
            return type(m) in modules()

    try:
        if type(module) in modules():
            module = torch.nn.Sequential(module)
        graph = Tracer().trace(module)
        traced = fx.GraphModule(module, graph)
        with torch.no_grad():
            ShapeProp(traced).propagate(sample[None].repeat(_BATCH, *[1] * sample.ndim))
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - tracing runs foreign code, which fails in its own ways
        reason = shorten(printable(f"{type(error).__name__}: {error}".partition("\n")[0]), 200)
        raise NotModelled(f"its forward pass cannot be traced: {reason}") from None
    return graph, traced


def _normalised(builder: Builder, mean: Any, std: Any) -> int:
    import torch

    mean, std = (
        torch.as_tensor(one, dtype=torch.float64).reshape(-1, *[1] * (len(builder.shape) - 1)) for one in (mean, std)
    )
    return builder.scale(0, 1 / std, -mean / std, "normalisation", terms=4, magnitude=(mean / std).abs())


class Reader:
    """Walks a traced graph once."""

    def __init__(self, builder: Builder, owner: Any, start: int) -> None:
        self.builder, self.owner = builder, owner
        self.places: dict[fx.Node, int] = {}
        self._start = start

    def read(self, graph: "fx.Graph") -> int:
        last: int | None = None
        for node in graph.nodes:
            match node.op:
                case "placeholder":
                    if self.places:
                        raise NotModelled("its forward method takes more than one argument")
                    self.places[node] = self._start
                case "output":
                    last = self._result(node)
                case "get_attr":
                    if node.target.rpartition(".")[2].startswith("_tensor_constant"):
                        raise NotModelled("its forward method makes tensors of its own, perhaps at random")
                case "call_module":
                    self.places[node] = self._module(node)
                case _:
                    self._call(node)
        if last is None:
            raise NotModelled("its forward method returns nothing")
        return last

    def _result(self, node: "fx.Node") -> int:
        found = node.args[0]
        if found not in self.places:
            raise NotModelled("it does not return one tensor of scores")
        return self.places[found]  # type: ignore[index]

    def place(self, value: Any) -> int:
        if value not in self.places:
            raise NotModelled("a step takes something that is no function of the input")
        return self.places[value]

    def tensor(self, value: Any) -> "torch.Tensor":
        """A parameter or buffer."""
        import torch

        found: Any = self.owner
        if getattr(value, "op", "") != "get_attr":
            raise NotModelled("a step takes a weight that is computed")
        for part in value.target.split("."):
            found = getattr(found, part)
        if not isinstance(found, torch.Tensor):
            raise NotModelled("a step takes a weight that is no tensor")
        return found

    def number(self, value: Any) -> "torch.Tensor | None":
        """A constant that a step combines with the input; None when it is a function of the input."""
        import torch

        if isinstance(value, bool) or value in self.places:
            return None
        if isinstance(value, int | float):
            return torch.tensor(float(value), dtype=torch.float64)
        tensor = self.tensor(value)
        return (
            tensor[0] if tensor.ndim > 0 and tensor.shape[0] == 1 and tensor.ndim > len(self.builder.shape) else tensor
        )

    def shape(self, node: "fx.Node") -> tuple[int, ...]:
        meta: Any = node.meta.get("tensor_meta")
        shape = tuple(getattr(meta, "shape", ()))
        if len(shape) < 2 or shape[0] != _BATCH:
            raise NotModelled(f"{name_of(node)} mixes the samples of a batch")
        return shape[1:]

    def _module(self, node: "fx.Node") -> int:
        module = self.owner.get_submodule(node.target)
        source = self.place(node.args[0])
        return modules()[type(module)](self, node, module, source)

    def _call(self, node: "fx.Node") -> None:
        handler = functions().get(node.target if node.op == "call_function" else f".{node.target}")
        if handler is None:
            if _is_about_shape(node):
                return
            raise NotModelled(f"{name_of(node)} is no operation that is known")
        self.places[node] = handler(self, node, *node.args, **node.kwargs)


def _is_about_shape(node: "fx.Node") -> bool:
    """Sizes that only go into reshapes, whose outcome is known anyway."""
    if node.op == "call_method" and node.target in ("size", "dim"):
        return True
    return (
        node.op == "call_function"
        and node.target in (getattr, operator.getitem, operator.floordiv, operator.mul)
        and (getattr(node.meta.get("tensor_meta"), "shape", None) is None)
    )
