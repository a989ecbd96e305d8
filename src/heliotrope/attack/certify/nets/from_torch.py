"""A torch module as a network: its forward pass is traced with symbols, and every step must be one that is known.

Tracing runs the module's own forward method, as asking the model does, so it needs the same consent. What the symbols do not
show (numbers drawn while tracing, branches on Python state) is caught by comparing with the model's answers afterwards.
"""

import math
import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from heliotrope.attack.certify.nets.building import Builder, pair
from heliotrope.attack.certify.nets.graph import FLOAT32, FLOAT64, Network, NotModelled
from heliotrope.core.text import printable, shorten

if TYPE_CHECKING:
    import torch
    from torch import fx

__all__ = ["from_torch"]

_BATCH = 2
"""Samples the trace is tried on, so that operations across the batch are seen."""


def from_torch(module: "torch.nn.Module", sample: "torch.Tensor", *, normalise: "tuple[Any, Any] | None" = None) -> Network:
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
    reader = _Reader(builder, owner, start)
    return builder.network(reader.read(graph))


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
        def is_leaf_module(self, m: "torch.nn.Module", module_qualified_name: str) -> bool:  # noqa: ARG002
            return type(m) in _modules()

    try:
        if type(module) in _modules():
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

    mean, std = (torch.as_tensor(one, dtype=torch.float64).reshape(-1, *[1] * (len(builder.shape) - 1)) for one in (mean, std))
    return builder.scale(0, 1 / std, -mean / std, "normalisation", terms=4, magnitude=(mean / std).abs())


class _Reader:
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
        return tensor[0] if tensor.ndim > 0 and tensor.shape[0] == 1 and tensor.ndim > len(self.builder.shape) else tensor

    def shape(self, node: "fx.Node") -> tuple[int, ...]:
        meta: Any = node.meta.get("tensor_meta")
        shape = tuple(getattr(meta, "shape", ()))
        if len(shape) < 2 or shape[0] != _BATCH:
            raise NotModelled(f"{_name(node)} mixes the samples of a batch")
        return shape[1:]

    def _module(self, node: "fx.Node") -> int:
        module = self.owner.get_submodule(node.target)
        source = self.place(node.args[0])
        return _modules()[type(module)](self, node, module, source)

    def _call(self, node: "fx.Node") -> None:
        handler = _functions().get(node.target if node.op == "call_function" else f".{node.target}")
        if handler is None:
            if _is_about_shape(node):
                return
            raise NotModelled(f"{_name(node)} is no operation that is known")
        self.places[node] = handler(self, node, *node.args, **node.kwargs)


def _name(node: "fx.Node") -> str:
    target = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", str(node.target))
    return printable(shorten(target, 80))


def _is_about_shape(node: "fx.Node") -> bool:
    """Sizes that only go into reshapes, whose outcome is known anyway."""
    if node.op == "call_method" and node.target in ("size", "dim"):
        return True
    return node.op == "call_function" and node.target in (getattr, operator.getitem, operator.floordiv, operator.mul) and (
        getattr(node.meta.get("tensor_meta"), "shape", None) is None
    )


Handler = Callable[..., int]


def _modules() -> dict[type, Handler]:
    from torch import nn

    return {
        nn.Linear: lambda r, n, m, s: r.builder.linear(s, m.weight, m.bias, _name(n)),
        nn.Conv1d: _conv_module,
        nn.Conv2d: _conv_module,
        nn.BatchNorm1d: _batch_norm,
        nn.BatchNorm2d: _batch_norm,
        nn.ReLU: lambda r, n, _, s: r.builder.rectified(s, _name(n)),
        nn.LeakyReLU: lambda r, n, m, s: r.builder.rectified(s, _name(n), float(m.negative_slope)),
        nn.PReLU: lambda r, n, m, s: r.builder.rectified(s, _name(n), m.weight),
        nn.ReLU6: lambda r, n, _, s: r.builder.clipped(s, 0.0, 6.0, _name(n)),
        nn.Hardtanh: lambda r, n, m, s: r.builder.clipped(s, float(m.min_val), float(m.max_val), _name(n)),
        nn.Sigmoid: lambda r, n, _, s: r.builder.sigmoidal(s, _name(n), hyperbolic=False),
        nn.Tanh: lambda r, n, _, s: r.builder.sigmoidal(s, _name(n), hyperbolic=True),
        nn.Identity: _same,
        nn.Dropout: _same,
        nn.Dropout1d: _same,
        nn.Dropout2d: _same,
        nn.Flatten: _reshaped,
        nn.Unflatten: _reshaped,
        nn.MaxPool1d: _max_pool_module,
        nn.MaxPool2d: _max_pool_module,
        nn.AvgPool1d: _average_module,
        nn.AvgPool2d: _average_module,
        nn.AdaptiveAvgPool1d: _adaptive_module,
        nn.AdaptiveAvgPool2d: _adaptive_module,
        nn.ZeroPad2d: lambda r, n, m, s: r.builder.pad(s, tuple(m.padding), _name(n)),
        nn.Softmax: _softmax,
        nn.LogSoftmax: _softmax,
    }


def _functions() -> dict[Any, Handler]:
    import torch
    from torch.nn import functional

    relu: Handler = lambda r, n, x, inplace=False: r.builder.rectified(r.place(x), _name(n))  # noqa: E731, ARG005
    tanh: Handler = lambda r, n, x: r.builder.sigmoidal(r.place(x), _name(n), hyperbolic=True)  # noqa: E731
    sigmoid: Handler = lambda r, n, x: r.builder.sigmoidal(r.place(x), _name(n), hyperbolic=False)  # noqa: E731
    reshape: Handler = lambda r, n, x, *_, **__: _reshaped(r, n, None, r.place(x))  # noqa: E731
    softmax: Handler = lambda r, n, x, *_, **__: _softmax(r, n, None, r.place(x))  # noqa: E731
    same: Handler = lambda r, _n, x, *_, **__: r.place(x)  # noqa: E731
    plus: dict[Any, Handler] = {
        key: _add for key in (operator.add, operator.iadd, torch.add, ".add", ".add_")
    }
    minus: dict[Any, Handler] = {key: _subtract for key in (operator.sub, operator.isub, torch.sub, ".sub", ".sub_")}
    times: dict[Any, Handler] = {key: _multiply for key in (operator.mul, operator.imul, torch.mul, ".mul", ".mul_")}
    over: dict[Any, Handler] = {key: _divide for key in (operator.truediv, operator.itruediv, torch.div, ".div", ".div_")}
    return {
        **plus, **minus, **times, **over,
        **dict.fromkeys((functional.relu, functional.relu_, torch.relu, torch.relu_, ".relu", ".relu_"), relu),
        **dict.fromkeys((functional.tanh, torch.tanh, ".tanh"), tanh),
        **dict.fromkeys((functional.sigmoid, torch.sigmoid, ".sigmoid"), sigmoid),
        **dict.fromkeys((torch.flatten, torch.reshape, torch.squeeze, torch.unsqueeze, ".flatten", ".reshape", ".view",
                         ".squeeze", ".unsqueeze"), reshape),
        **dict.fromkeys((functional.softmax, functional.log_softmax, torch.softmax, torch.log_softmax, ".softmax",
                         ".log_softmax"), softmax),
        **dict.fromkeys((".contiguous", ".clone", ".detach"), same),
        functional.dropout: _dropout,
        functional.leaky_relu: lambda r, n, x, slope=0.01, inplace=False: r.builder.rectified(  # noqa: ARG005
            r.place(x), _name(n), float(slope)),
        functional.relu6: lambda r, n, x, inplace=False: r.builder.clipped(r.place(x), 0.0, 6.0, _name(n)),  # noqa: ARG005
        functional.hardtanh: _clamp, torch.clamp: _clamp, torch.clip: _clamp, ".clamp": _clamp, ".clip": _clamp,
        operator.neg: lambda r, n, x: r.builder.constant(r.place(x), -1.0, 0.0, _name(n), terms=0),
        torch.cat: _cat, torch.concat: _cat,
        functional.max_pool2d: _max_pool, torch.max_pool2d: _max_pool,
        functional.avg_pool2d: _avg_pool,
        functional.adaptive_avg_pool2d: lambda r, n, x, size: _adaptive(r, n, r.place(x), size),
        functional.linear: lambda r, n, x, weight, bias=None: r.builder.linear(
            r.place(x), r.tensor(weight), None if bias is None else r.tensor(bias), _name(n)),
        functional.conv2d: _conv_function, torch.conv2d: _conv_function,
        functional.pad: _pad,
        torch.mean: _mean, ".mean": _mean,
    }  # fmt: skip


def _same(_reader: _Reader, _node: "fx.Node", _module: Any, source: int) -> int:
    return source


def _reshaped(reader: _Reader, node: "fx.Node", _module: Any, source: int) -> int:
    return reader.builder.reshape(source, reader.shape(node), _name(node))


def _softmax(reader: _Reader, node: "fx.Node", _module: Any, source: int) -> int:
    """Keeps the order of the scores, so it is left out where it is the last step."""
    if any(user.op != "output" for user in node.users) or len(reader.builder.shape_of(source)) != 1:
        raise NotModelled(f"{_name(node)} stands within the network, not at its end")
    reader.builder.ties = True
    return source


def _dropout(reader: _Reader, node: "fx.Node", x: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> int:  # noqa: ARG001, FBT001, FBT002
    if training is not False:
        raise NotModelled("dropout is active")
    return reader.place(x)


def _batch_norm(reader: _Reader, node: "fx.Node", module: Any, source: int) -> int:
    import torch

    if module.running_mean is None or module.running_var is None:
        raise NotModelled(f"{_name(node)} normalises by the batch itself")
    mean, variance = module.running_mean.double(), module.running_var.double()
    weight = torch.ones_like(mean) if module.weight is None else module.weight.double()
    bias = torch.zeros_like(mean) if module.bias is None else module.bias.double()
    factor = weight / (variance + module.eps).sqrt()
    magnitude = bias.abs() + (mean * factor).abs()
    return reader.builder.by_channel(source, factor, bias - mean * factor, _name(node), magnitude=magnitude)


def _conv_module(reader: _Reader, node: "fx.Node", module: Any, source: int) -> int:
    if module.padding_mode != "zeros":
        raise NotModelled(f"{_name(node)} pads with {printable(module.padding_mode)}")
    padding = module.padding
    return _convolved(reader, node, source, module.weight, module.bias, module.stride, padding, module.dilation, module.groups)


def _conv_function(
    reader: _Reader, node: "fx.Node", x: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0,
    dilation: Any = 1, groups: int = 1,
) -> int:  # fmt: skip
    kernel, shift = reader.tensor(weight), None if bias is None else reader.tensor(bias)
    return _convolved(reader, node, reader.place(x), kernel, shift, stride, padding, dilation, groups)


def _convolved(
    reader: _Reader, node: "fx.Node", source: int, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any,
    groups: int,
) -> int:  # fmt: skip
    if isinstance(padding, str):
        total = [d * (k - 1) for d, k in zip(_many(dilation, weight.ndim - 2), weight.shape[2:], strict=True)]
        if padding == "valid":
            padding = 0
        elif padding == "same" and all(one % 2 == 0 for one in total):
            padding = tuple(one // 2 for one in total)
        else:
            raise NotModelled(f"{_name(node)} pads more on one side than on the other")
    spread = [_pair_of(one, weight.ndim) for one in (stride, padding, dilation)]
    return reader.builder.conv(
        source, weight, bias, _name(node), stride=spread[0], padding=spread[1], dilation=spread[2], groups=groups
    )


def _many(value: Any, count: int) -> tuple[int, ...]:
    return (value,) * count if isinstance(value, int) else tuple(value)


def _pair_of(value: Any, dimensions: int) -> tuple[int, int]:
    """Of a convolution over sequences the second number counts."""
    if dimensions == 3 and not isinstance(value, int):
        value = int(value[0])
    return pair(value)


def _on_maps(reader: _Reader, node: "fx.Node", source: int, make: Callable[[int], int]) -> int:
    """Pooling over sequences, as maps of height 1."""
    shape = reader.builder.shape_of(source)
    if len(shape) == 3:
        return make(source)
    if len(shape) != 2:
        raise NotModelled(f"{_name(node)} pools samples of shape {list(shape)}")
    made = make(reader.builder.reshape(source, (shape[0], 1, shape[1]), _name(node)))
    channels, _, length = reader.builder.shape_of(made)
    return reader.builder.reshape(made, (channels, length), _name(node))


def _spread(value: Any, *, sequence: bool, flat: int) -> tuple[int, int]:
    if not sequence:
        return pair(value)
    return flat, value if isinstance(value, int) else int(value[0])


def _max_pool_module(reader: _Reader, node: "fx.Node", module: Any, source: int) -> int:
    return _max_pool_at(
        reader, node, source, module.kernel_size, module.stride, module.padding, module.dilation, module.ceil_mode
    )


def _max_pool(
    reader: _Reader, node: "fx.Node", x: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
    ceil_mode: bool = False, return_indices: bool = False,  # noqa: ARG001, FBT001, FBT002
) -> int:  # fmt: skip
    return _max_pool_at(reader, node, reader.place(x), kernel_size, stride, padding, dilation, ceil_mode)


def _max_pool_at(
    reader: _Reader, node: "fx.Node", source: int, size: Any, stride: Any, padding: Any, dilation: Any, ceil: Any
) -> int:
    if ceil or dilation not in (1, (1, 1), [1, 1], (1,)):
        raise NotModelled(f"{_name(node)} pools with gaps or beyond the edge")
    sequence = len(reader.builder.shape_of(source)) == 2
    step = stride or size
    return _on_maps(
        reader,
        node,
        source,
        lambda at: reader.builder.maximum(
            at,
            _name(node),
            size=_spread(size, sequence=sequence, flat=1),
            stride=_spread(step, sequence=sequence, flat=1),
            padding=_spread(padding, sequence=sequence, flat=0),
        ),
    )


def _average_module(reader: _Reader, node: "fx.Node", module: Any, source: int) -> int:
    divisor = getattr(module, "divisor_override", None)
    return _average_at(
        reader, node, source, module.kernel_size, module.stride, module.padding, module.ceil_mode, module.count_include_pad,
        divisor,
    )  # fmt: skip


def _avg_pool(
    reader: _Reader, node: "fx.Node", x: Any, kernel_size: Any, stride: Any = None, padding: Any = 0,
    ceil_mode: bool = False, count_include_pad: bool = True, divisor_override: Any = None,  # noqa: FBT001, FBT002
) -> int:  # fmt: skip
    source = reader.place(x)
    return _average_at(reader, node, source, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


def _average_at(
    reader: _Reader, node: "fx.Node", source: int, size: Any, stride: Any, padding: Any, ceil: Any, count: Any, divisor: Any
) -> int:
    sequence = len(reader.builder.shape_of(source)) == 2
    around = _spread(padding, sequence=sequence, flat=0)
    if ceil or divisor is not None or (any(around) and not count):
        raise NotModelled(f"{_name(node)} averages beyond the edge or by another divisor")
    step = stride or size
    return _on_maps(
        reader,
        node,
        source,
        lambda at: reader.builder.average(
            at,
            _name(node),
            size=_spread(size, sequence=sequence, flat=1),
            stride=_spread(step, sequence=sequence, flat=1),
            padding=around,
        ),
    )


def _adaptive_module(reader: _Reader, node: "fx.Node", module: Any, source: int) -> int:
    return _adaptive(reader, node, source, module.output_size)


def _adaptive(reader: _Reader, node: "fx.Node", source: int, size: Any) -> int:
    shape = reader.builder.shape_of(source)
    sequence = len(shape) == 2
    whole = (1, shape[1]) if sequence else shape[1:]
    wanted = _spread(size, sequence=sequence, flat=1)
    if any(one is None or all_ % one for one, all_ in zip(wanted, whole, strict=True)):
        raise NotModelled(f"{_name(node)} averages windows of different sizes")
    window = whole[0] // wanted[0], whole[1] // wanted[1]
    return _on_maps(
        reader, node, source, lambda at: reader.builder.average(at, _name(node), size=window, stride=window)
    )


def _clamp(
    reader: _Reader, node: "fx.Node", x: Any, min: Any = None, max: Any = None, min_val: Any = None, max_val: Any = None,  # noqa: A002
    inplace: bool = False,  # noqa: ARG001, FBT001, FBT002
) -> int:  # fmt: skip
    if node.target is not None and getattr(node.target, "__name__", "") == "hardtanh":
        min, max = (-1.0 if min is None else min), (1.0 if max is None else max)  # noqa: A001
    low, high = (min if min_val is None else min_val), (max if max_val is None else max_val)
    if not all(one is None or isinstance(one, int | float) for one in (low, high)):
        raise NotModelled(f"{_name(node)} clips to bounds that are tensors")
    return reader.builder.clipped(
        reader.place(x), -math.inf if low is None else float(low), math.inf if high is None else float(high), _name(node)
    )


def _add(reader: _Reader, node: "fx.Node", one: Any, other: Any, alpha: Any = 1) -> int:
    return _summed(reader, node, one, other, 1.0, alpha)


def _subtract(reader: _Reader, node: "fx.Node", one: Any, other: Any, alpha: Any = 1) -> int:
    return _summed(reader, node, one, other, -1.0, alpha)


def _summed(reader: _Reader, node: "fx.Node", one: Any, other: Any, sign: float, alpha: Any) -> int:
    import torch

    if alpha != 1:
        raise NotModelled(f"{_name(node)} has a factor alpha")
    left, right = reader.number(one), reader.number(other)
    if left is None and right is None:
        return reader.builder.sum((reader.place(one), reader.place(other)), (1.0, sign), _name(node))
    unit = torch.ones((), dtype=torch.float64)
    if right is not None:
        return reader.builder.scale(reader.place(one), unit, sign * right, _name(node))
    assert left is not None
    return reader.builder.scale(reader.place(other), sign * unit, left, _name(node))


def _multiply(reader: _Reader, node: "fx.Node", one: Any, other: Any) -> int:
    left, right = reader.number(one), reader.number(other)
    factor, source = (right, one) if left is None else (left, other)
    if factor is None:
        raise NotModelled(f"{_name(node)} multiplies two functions of the input")
    return reader.builder.scale(reader.place(source), factor, None, _name(node))


def _divide(reader: _Reader, node: "fx.Node", one: Any, other: Any, rounding_mode: Any = None) -> int:
    divisor = reader.number(other)
    if divisor is None or rounding_mode is not None:
        raise NotModelled(f"{_name(node)} divides by a function of the input")
    return reader.builder.scale(reader.place(one), 1 / divisor.double(), None, _name(node), terms=3)


def _cat(reader: _Reader, node: "fx.Node", tensors: Any, dim: int = 0) -> int:
    if dim not in (1, -len(reader.shape(node))):
        raise NotModelled(f"{_name(node)} joins along dimension {dim}")
    return reader.builder.concat(tuple(reader.place(one) for one in tensors), _name(node))


def _pad(reader: _Reader, node: "fx.Node", x: Any, pad: Any, mode: str = "constant", value: Any = None) -> int:  # noqa: A002
    sides = tuple(int(one) for one in pad)
    if mode != "constant" or value not in (None, 0, 0.0) or len(sides) != 4:
        raise NotModelled(f"{_name(node)} pads otherwise than with zeros around a map")
    return reader.builder.pad(reader.place(x), sides, _name(node))  # type: ignore[arg-type]


def _mean(reader: _Reader, node: "fx.Node", x: Any, dim: Any = None, keepdim: bool = False) -> int:  # noqa: ARG001, FBT001, FBT002
    source = reader.place(x)
    shape = reader.builder.shape_of(source)
    dims = {one % (len(shape) + 1) for one in ((dim,) if isinstance(dim, int) else dim or ())}
    if len(shape) != 3 or dims != {2, 3}:
        raise NotModelled(f"{_name(node)} averages over the dimensions {sorted(dims) or 'all'}")
    made = reader.builder.average(source, _name(node), size=shape[1:], stride=shape[1:])  # type: ignore[arg-type]
    return reader.builder.reshape(made, reader.shape(node), _name(node))
