# ruff: noqa: ARG001, ARG005, FBT001, FBT002, PLR0917 - the signatures are those of the functions that were called
"""Steps of a traced torch module as nodes of a network, by the module's exact type or the function that was called."""

import math
import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from heliotrope.attack.certify.nets.building import pair
from heliotrope.attack.certify.nets.graph import NotModelled
from heliotrope.core.text import printable, shorten

if TYPE_CHECKING:
    from torch import fx

    from heliotrope.attack.certify.nets.from_torch import Reader

__all__ = ["functions", "modules", "name_of"]

Handler = Callable[..., int]


def name_of(node: "fx.Node") -> str:
    target = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", str(node.target))
    return printable(shorten(target, 80))


def modules() -> dict[type, Handler]:
    from torch import nn

    return {
        nn.Linear: lambda r, n, m, s: r.builder.linear(s, m.weight, m.bias, name_of(n)),
        nn.Conv1d: _conv_module,
        nn.Conv2d: _conv_module,
        nn.BatchNorm1d: _batch_norm,
        nn.BatchNorm2d: _batch_norm,
        nn.ReLU: lambda r, n, _, s: r.builder.rectified(s, name_of(n)),
        nn.LeakyReLU: lambda r, n, m, s: r.builder.rectified(s, name_of(n), float(m.negative_slope)),
        nn.PReLU: lambda r, n, m, s: r.builder.rectified(s, name_of(n), m.weight),
        nn.ReLU6: lambda r, n, _, s: r.builder.clipped(s, 0.0, 6.0, name_of(n)),
        nn.Hardtanh: lambda r, n, m, s: r.builder.clipped(s, float(m.min_val), float(m.max_val), name_of(n)),
        nn.Sigmoid: lambda r, n, _, s: r.builder.sigmoidal(s, name_of(n), hyperbolic=False),
        nn.Tanh: lambda r, n, _, s: r.builder.sigmoidal(s, name_of(n), hyperbolic=True),
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
        nn.ZeroPad2d: lambda r, n, m, s: r.builder.pad(s, tuple(m.padding), name_of(n)),
        nn.Softmax: _softmax,
        nn.LogSoftmax: _softmax,
    }


def functions() -> dict[Any, Handler]:
    import torch
    from torch.nn import functional

    relu: Handler = lambda r, n, x, inplace=False: r.builder.rectified(r.place(x), name_of(n))  # noqa: E731
    tanh: Handler = lambda r, n, x: r.builder.sigmoidal(r.place(x), name_of(n), hyperbolic=True)  # noqa: E731
    sigmoid: Handler = lambda r, n, x: r.builder.sigmoidal(r.place(x), name_of(n), hyperbolic=False)  # noqa: E731
    reshape: Handler = lambda r, n, x, *_, **__: _reshaped(r, n, None, r.place(x))  # noqa: E731
    softmax: Handler = lambda r, n, x, *_, **__: _softmax(r, n, None, r.place(x))  # noqa: E731
    same: Handler = lambda r, _n, x, *_, **__: r.place(x)  # noqa: E731
    plus: dict[Any, Handler] = dict.fromkeys((operator.add, operator.iadd, torch.add, ".add", ".add_"), _add)
    minus: dict[Any, Handler] = dict.fromkeys((operator.sub, operator.isub, torch.sub, ".sub", ".sub_"), _subtract)
    times: dict[Any, Handler] = dict.fromkeys((operator.mul, operator.imul, torch.mul, ".mul", ".mul_"), _multiply)
    over: dict[Any, Handler] = dict.fromkeys((operator.truediv, operator.itruediv, torch.div, ".div", ".div_"), _divide)
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
        functional.leaky_relu: lambda r, n, x, slope=0.01, inplace=False: r.builder.rectified(
            r.place(x), name_of(n), float(slope)),
        functional.relu6: lambda r, n, x, inplace=False: r.builder.clipped(r.place(x), 0.0, 6.0, name_of(n)),
        functional.hardtanh: _clamp, torch.clamp: _clamp, torch.clip: _clamp, ".clamp": _clamp, ".clip": _clamp,
        operator.neg: lambda r, n, x: r.builder.constant(r.place(x), -1.0, 0.0, name_of(n), terms=0),
        torch.cat: _cat, torch.concat: _cat,
        functional.max_pool2d: _max_pool, torch.max_pool2d: _max_pool,
        functional.avg_pool2d: _avg_pool,
        functional.adaptive_avg_pool2d: lambda r, n, x, size: _adaptive(r, n, r.place(x), size),
        functional.linear: lambda r, n, x, weight, bias=None: r.builder.linear(
            r.place(x), r.tensor(weight), None if bias is None else r.tensor(bias), name_of(n)),
        functional.conv2d: _conv_function, torch.conv2d: _conv_function,
        functional.pad: _pad,
        torch.mean: _mean, ".mean": _mean,
    }  # fmt: skip


def _same(_reader: "Reader", _node: "fx.Node", _module: Any, source: int) -> int:
    return source


def _reshaped(reader: "Reader", node: "fx.Node", _module: Any, source: int) -> int:
    return reader.builder.reshape(source, reader.shape(node), name_of(node))


def _softmax(reader: "Reader", node: "fx.Node", _module: Any, source: int) -> int:
    """Keeps the order of the scores, so it is left out where it is the last step."""
    if any(user.op != "output" for user in node.users) or len(reader.builder.shape_of(source)) != 1:
        raise NotModelled(f"{name_of(node)} stands within the network, not at its end")
    reader.builder.ties = True
    return source


def _dropout(
    reader: "Reader", node: "fx.Node", x: Any, p: float = 0.5, training: bool = True, inplace: bool = False
) -> int:
    if training is not False:
        raise NotModelled("dropout is active")
    return reader.place(x)


def _batch_norm(reader: "Reader", node: "fx.Node", module: Any, source: int) -> int:
    import torch

    if module.running_mean is None or module.running_var is None:
        raise NotModelled(f"{name_of(node)} normalises by the batch itself")
    mean, variance = module.running_mean.double(), module.running_var.double()
    weight = torch.ones_like(mean) if module.weight is None else module.weight.double()
    bias = torch.zeros_like(mean) if module.bias is None else module.bias.double()
    factor = weight / (variance + module.eps).sqrt()
    magnitude = bias.abs() + (mean * factor).abs()
    return reader.builder.by_channel(source, factor, bias - mean * factor, name_of(node), magnitude=magnitude)


def _conv_module(reader: "Reader", node: "fx.Node", module: Any, source: int) -> int:
    if module.padding_mode != "zeros":
        raise NotModelled(f"{name_of(node)} pads with {printable(module.padding_mode)}")
    padding = module.padding
    return _convolved(
        reader, node, source, module.weight, module.bias, module.stride, padding, module.dilation, module.groups
    )


def _conv_function(
    reader: "Reader", node: "fx.Node", x: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0,
    dilation: Any = 1, groups: int = 1,
) -> int:  # fmt: skip
    kernel, shift = reader.tensor(weight), None if bias is None else reader.tensor(bias)
    return _convolved(reader, node, reader.place(x), kernel, shift, stride, padding, dilation, groups)


def _convolved(
    reader: "Reader", node: "fx.Node", source: int, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any,
    groups: int,
) -> int:  # fmt: skip
    if isinstance(padding, str):
        total = [d * (k - 1) for d, k in zip(_many(dilation, weight.ndim - 2), weight.shape[2:], strict=True)]
        if padding == "valid":
            padding = 0
        elif padding == "same" and all(one % 2 == 0 for one in total):
            padding = tuple(one // 2 for one in total)
        else:
            raise NotModelled(f"{name_of(node)} pads more on one side than on the other")
    spread = [_pair_of(one, weight.ndim) for one in (stride, padding, dilation)]
    return reader.builder.conv(
        source, weight, bias, name_of(node), stride=spread[0], padding=spread[1], dilation=spread[2], groups=groups
    )


def _many(value: Any, count: int) -> tuple[int, ...]:
    return (value,) * count if isinstance(value, int) else tuple(value)


def _pair_of(value: Any, dimensions: int) -> tuple[int, int]:
    """Of a convolution over sequences the second number counts."""
    if dimensions == 3 and not isinstance(value, int):
        value = int(value[0])
    return pair(value)


def _on_maps(reader: "Reader", node: "fx.Node", source: int, make: Callable[[int], int]) -> int:
    """Pooling over sequences, as maps of height 1."""
    shape = reader.builder.shape_of(source)
    if len(shape) == 3:
        return make(source)
    if len(shape) != 2:
        raise NotModelled(f"{name_of(node)} pools samples of shape {list(shape)}")
    made = make(reader.builder.reshape(source, (shape[0], 1, shape[1]), name_of(node)))
    channels, _, length = reader.builder.shape_of(made)
    return reader.builder.reshape(made, (channels, length), name_of(node))


def _spread(value: Any, *, sequence: bool, flat: int) -> tuple[int, int]:
    if not sequence:
        return pair(value)
    return flat, value if isinstance(value, int) else int(value[0])


def _max_pool_module(reader: "Reader", node: "fx.Node", module: Any, source: int) -> int:
    return _max_pool_at(
        reader, node, source, module.kernel_size, module.stride, module.padding, module.dilation, module.ceil_mode
    )


def _max_pool(
    reader: "Reader", node: "fx.Node", x: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
    ceil_mode: bool = False, return_indices: bool = False,
) -> int:  # fmt: skip
    return _max_pool_at(reader, node, reader.place(x), kernel_size, stride, padding, dilation, ceil_mode)


def _max_pool_at(
    reader: "Reader", node: "fx.Node", source: int, size: Any, stride: Any, padding: Any, dilation: Any, ceil: Any
) -> int:
    if ceil or dilation not in (1, (1, 1), [1, 1], (1,)):
        raise NotModelled(f"{name_of(node)} pools with gaps or beyond the edge")
    sequence = len(reader.builder.shape_of(source)) == 2
    step = stride or size
    return _on_maps(
        reader,
        node,
        source,
        lambda at: reader.builder.maximum(
            at,
            name_of(node),
            size=_spread(size, sequence=sequence, flat=1),
            stride=_spread(step, sequence=sequence, flat=1),
            padding=_spread(padding, sequence=sequence, flat=0),
        ),
    )


def _average_module(reader: "Reader", node: "fx.Node", module: Any, source: int) -> int:
    divisor = getattr(module, "divisor_override", None)
    return _average_at(
        reader, node, source, module.kernel_size, module.stride, module.padding, module.ceil_mode, module.count_include_pad,
        divisor,
    )  # fmt: skip


def _avg_pool(
    reader: "Reader", node: "fx.Node", x: Any, kernel_size: Any, stride: Any = None, padding: Any = 0,
    ceil_mode: bool = False, count_include_pad: bool = True, divisor_override: Any = None,
) -> int:  # fmt: skip
    source = reader.place(x)
    return _average_at(
        reader, node, source, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    )


def _average_at(
    reader: "Reader",
    node: "fx.Node",
    source: int,
    size: Any,
    stride: Any,
    padding: Any,
    ceil: Any,
    count: Any,
    divisor: Any,
) -> int:
    sequence = len(reader.builder.shape_of(source)) == 2
    around = _spread(padding, sequence=sequence, flat=0)
    if ceil or divisor is not None or (any(around) and not count):
        raise NotModelled(f"{name_of(node)} averages beyond the edge or by another divisor")
    step = stride or size
    return _on_maps(
        reader,
        node,
        source,
        lambda at: reader.builder.average(
            at,
            name_of(node),
            size=_spread(size, sequence=sequence, flat=1),
            stride=_spread(step, sequence=sequence, flat=1),
            padding=around,
        ),
    )


def _adaptive_module(reader: "Reader", node: "fx.Node", module: Any, source: int) -> int:
    return _adaptive(reader, node, source, module.output_size)


def _adaptive(reader: "Reader", node: "fx.Node", source: int, size: Any) -> int:
    shape = reader.builder.shape_of(source)
    sequence = len(shape) == 2
    whole = (1, shape[1]) if sequence else shape[1:]
    wanted = _spread(size, sequence=sequence, flat=1)
    if any(all_ % one for one, all_ in zip(wanted, whole, strict=True)):
        raise NotModelled(f"{name_of(node)} averages windows of different sizes")
    window = whole[0] // wanted[0], whole[1] // wanted[1]
    return _on_maps(
        reader, node, source, lambda at: reader.builder.average(at, name_of(node), size=window, stride=window)
    )


def _clamp(
    reader: "Reader", node: "fx.Node", x: Any, min: Any = None, max: Any = None, min_val: Any = None, max_val: Any = None,  # noqa: A002
    inplace: bool = False,
) -> int:  # fmt: skip
    if getattr(node.target, "__name__", "") == "hardtanh":
        min, max = (-1.0 if min is None else min), (1.0 if max is None else max)  # noqa: A001
    low, high = (min if min_val is None else min_val), (max if max_val is None else max_val)
    if not all(one is None or isinstance(one, int | float) for one in (low, high)):
        raise NotModelled(f"{name_of(node)} clips to bounds that are tensors")
    return reader.builder.clipped(
        reader.place(x),
        -math.inf if low is None else float(low),
        math.inf if high is None else float(high),
        name_of(node),
    )


def _add(reader: "Reader", node: "fx.Node", one: Any, other: Any, alpha: Any = 1) -> int:
    return _summed(reader, node, one, other, 1.0, alpha)


def _subtract(reader: "Reader", node: "fx.Node", one: Any, other: Any, alpha: Any = 1) -> int:
    return _summed(reader, node, one, other, -1.0, alpha)


def _summed(reader: "Reader", node: "fx.Node", one: Any, other: Any, sign: float, alpha: Any) -> int:
    import torch

    if alpha != 1:
        raise NotModelled(f"{name_of(node)} has a factor alpha")
    left, right = reader.number(one), reader.number(other)
    if left is None and right is None:
        return reader.builder.sum((reader.place(one), reader.place(other)), (1.0, sign), name_of(node))
    unit = torch.ones((), dtype=torch.float64)
    if right is not None:
        return reader.builder.scale(reader.place(one), unit, sign * right, name_of(node))
    assert left is not None
    return reader.builder.scale(reader.place(other), sign * unit, left, name_of(node))


def _multiply(reader: "Reader", node: "fx.Node", one: Any, other: Any) -> int:
    left, right = reader.number(one), reader.number(other)
    factor, source = (right, one) if left is None else (left, other)
    if factor is None:
        raise NotModelled(f"{name_of(node)} multiplies two functions of the input")
    return reader.builder.scale(reader.place(source), factor, None, name_of(node))


def _divide(reader: "Reader", node: "fx.Node", one: Any, other: Any, rounding_mode: Any = None) -> int:
    divisor = reader.number(other)
    if divisor is None or rounding_mode is not None:
        raise NotModelled(f"{name_of(node)} divides by a function of the input")
    return reader.builder.scale(reader.place(one), 1 / divisor.double(), None, name_of(node), terms=3)


def _cat(reader: "Reader", node: "fx.Node", tensors: Any, dim: int = 0) -> int:
    if dim not in (1, -len(reader.shape(node))):
        raise NotModelled(f"{name_of(node)} joins along dimension {dim}")
    return reader.builder.concat(tuple(reader.place(one) for one in tensors), name_of(node))


def _pad(reader: "Reader", node: "fx.Node", x: Any, pad: Any, mode: str = "constant", value: Any = None) -> int:
    sides = tuple(int(one) for one in pad)
    if mode != "constant" or value not in (None, 0, 0.0) or len(sides) != 4:
        raise NotModelled(f"{name_of(node)} pads otherwise than with zeros around a map")
    return reader.builder.pad(reader.place(x), sides, name_of(node))


def _mean(reader: "Reader", node: "fx.Node", x: Any, dim: Any = None, keepdim: bool = False) -> int:
    source = reader.place(x)
    shape = reader.builder.shape_of(source)
    dims = {one % (len(shape) + 1) for one in ((dim,) if isinstance(dim, int) else dim or ())}
    if len(shape) != 3 or dims != {2, 3}:
        raise NotModelled(f"{name_of(node)} averages over the dimensions {sorted(dims) or 'all'}")
    made = reader.builder.average(source, name_of(node), size=shape[1:], stride=shape[1:])
    return reader.builder.reshape(made, reader.shape(node), name_of(node))
