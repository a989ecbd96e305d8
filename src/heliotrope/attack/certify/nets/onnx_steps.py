"""ONNX operators as nodes of a network."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from heliotrope.attack.certify.nets.building import Builder
from heliotrope.attack.certify.nets.graph import FLOAT32, NotModelled
from heliotrope.core.text import printable, shorten

if TYPE_CHECKING:
    import torch

    from heliotrope.attack.certify.nets.from_onnx import Reader

__all__ = ["operators", "tensor_of"]

Attributes = dict[str, Any]
Handler = Callable[["Reader", Any, Attributes], None]


def operators() -> dict[str, Handler]:
    return {
        "Gemm": _gemm, "MatMul": _matmul, "Conv": _conv, "BatchNormalization": _batch_norm,
        "Relu": _elementwise(lambda b, p, n, _: b.rectified(p, n)),
        "LeakyRelu": _elementwise(lambda b, p, n, a: b.rectified(p, n, float(a.get("alpha", 0.01)))),
        "Sigmoid": _elementwise(lambda b, p, n, _: b.sigmoidal(p, n, hyperbolic=False)),
        "Tanh": _elementwise(lambda b, p, n, _: b.sigmoidal(p, n, hyperbolic=True)),
        "Neg": _elementwise(lambda b, p, n, _: b.constant(p, -1.0, 0.0, n, terms=0)),
        "Identity": _identity, "Dropout": _identity, "Cast": _cast, "Clip": _clip,
        "Add": _sum(1.0), "Sub": _sum(-1.0), "Mul": _multiply, "Div": _divide,
        "Flatten": _flatten, "Reshape": _reshape, "Squeeze": _squeeze, "Unsqueeze": _unsqueeze,
        "MaxPool": _max_pool, "AveragePool": _average_pool, "GlobalAveragePool": _global_average,
        "Concat": _concat, "Constant": _constant, "Pad": _pad, "ReduceMean": _mean,
        "Softmax": _softmax, "LogSoftmax": _softmax, "Shape": _ignored_shape, "Transpose": _transpose,
    }  # fmt: skip


def tensor_of(array: Any) -> "torch.Tensor":
    import numpy as np
    import torch

    if array.dtype.kind not in "fiub":
        raise NotModelled(f"a constant holds {array.dtype}")
    return torch.from_numpy(np.array(array, dtype=np.float64 if array.dtype.kind == "f" else np.int64))


def _name(node: Any) -> str:
    return printable(shorten(node.name or node.op_type, 80))


def _elementwise(make: Callable[[Builder, int, str, Attributes], int]) -> Handler:
    def handle(reader: "Reader", node: Any, attributes: Attributes) -> None:
        reader.places[node.output[0]] = make(reader.builder, reader.place(node.input[0]), _name(node), attributes)

    return handle


def _identity(reader: "Reader", node: Any, _attributes: Attributes) -> None:
    source = node.input[0]
    if source in reader.constants:
        reader.constants[node.output[0]] = reader.constants[source]
        return
    if node.op_type == "Dropout" and len(node.input) > 2 and bool(reader.constant(node.input[2]).any()):
        raise NotModelled("dropout is active")
    reader.places[node.output[0]] = reader.place(source)


def _cast(reader: "Reader", node: Any, attributes: Attributes) -> None:
    if node.input[0] in reader.places and attributes.get("to") != (1 if reader.builder.unit == FLOAT32 else 11):
        raise NotModelled(f"{_name(node)} changes the kind of numbers")
    _identity(reader, node, attributes)


def _constant(reader: "Reader", node: Any, attributes: Attributes) -> None:
    from onnx import numpy_helper

    if "value" not in attributes:
        import torch

        value = attributes.get("value_float", attributes.get("value_int", attributes.get("value_ints")))
        if value is None:
            raise NotModelled(f"{_name(node)} is no tensor")
        reader.constants[node.output[0]] = torch.as_tensor(value)
        return
    reader.constants[node.output[0]] = tensor_of(numpy_helper.to_array(attributes["value"]))


def _gemm(reader: "Reader", node: Any, attributes: Attributes) -> None:
    if attributes.get("transA", 0):
        raise NotModelled(f"{_name(node)} transposes its input")
    weight = reader.constant(node.input[1]).double() * float(attributes.get("alpha", 1.0))
    weight = weight if attributes.get("transB", 0) else weight.T
    bias = None
    if len(node.input) > 2 and node.input[2]:
        bias = reader.constant(node.input[2]).double().reshape(-1) * float(attributes.get("beta", 1.0))
        bias = bias.expand(len(weight))
    reader.places[node.output[0]] = reader.builder.linear(reader.place(node.input[0]), weight, bias, _name(node))


def _matmul(reader: "Reader", node: Any, _attributes: Attributes) -> None:
    """A batch of rows times a matrix; a matrix times a batch of columns, as some exporters write it, is not the same."""
    weight = reader.constant(node.input[1]).double()
    if weight.ndim != 2:
        raise NotModelled(f"{_name(node)} multiplies by a tensor of {weight.ndim} dimensions")
    reader.places[node.output[0]] = reader.builder.linear(reader.place(node.input[0]), weight.T, None, _name(node))


def _spatial(attributes: Attributes, key: str, count: int, default: int) -> tuple[int, int]:
    values = [int(one) for one in attributes.get(key, [default] * count)]
    return (default, values[0]) if count == 1 else (values[0], values[1])


def _padded(
    reader: "Reader", node: Any, source: int, attributes: Attributes, count: int
) -> tuple[int, tuple[int, int]]:
    """Padding that is the same on both sides is left to the operation; other is put in front of it."""
    if attributes.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        raise NotModelled(f"{_name(node)} leaves its padding to be worked out")
    pads = [int(one) for one in attributes.get("pads", [0] * 2 * count)]
    begin, end = pads[:count], pads[count:]
    if begin == end:
        return source, (0, begin[0]) if count == 1 else (begin[0], begin[1])
    if count == 1 or node.op_type != "Conv":
        raise NotModelled(f"{_name(node)} pads more on one side than on the other")
    return reader.builder.pad(source, (begin[1], end[1], begin[0], end[0]), _name(node)), (0, 0)


def _conv(reader: "Reader", node: Any, attributes: Attributes) -> None:
    weight = reader.constant(node.input[1]).double()
    count = weight.ndim - 2
    if count not in (1, 2):
        raise NotModelled(f"{_name(node)} is a convolution in {count} dimensions")
    bias = reader.constant(node.input[2]) if len(node.input) > 2 and node.input[2] else None
    source, padding = _padded(reader, node, reader.place(node.input[0]), attributes, count)
    reader.places[node.output[0]] = reader.builder.conv(
        source,
        weight,
        bias,
        _name(node),
        stride=_spatial(attributes, "strides", count, 1),
        padding=padding,
        dilation=_spatial(attributes, "dilations", count, 1),
        groups=int(attributes.get("group", 1)),
    )


def _batch_norm(reader: "Reader", node: Any, attributes: Attributes) -> None:
    if attributes.get("training_mode", 0):
        raise NotModelled(f"{_name(node)} normalises by the batch itself")
    scale, bias, mean, variance = (reader.constant(name).double() for name in node.input[1:5])
    factor = scale / (variance + float(attributes.get("epsilon", 1e-5))).sqrt()
    magnitude = bias.abs() + (mean * factor).abs()
    source = reader.place(node.input[0])
    reader.places[node.output[0]] = reader.builder.by_channel(
        source, factor, bias - mean * factor, _name(node), magnitude=magnitude
    )


def _clip(reader: "Reader", node: Any, attributes: Attributes) -> None:
    bounds = []
    for place, key, default in ((1, "min", -math.inf), (2, "max", math.inf)):
        given = node.input[place] if len(node.input) > place else ""
        bounds.append(float(reader.constant(given)) if given else float(attributes.get(key, default)))
    reader.places[node.output[0]] = reader.builder.clipped(
        reader.place(node.input[0]), bounds[0], bounds[1], _name(node)
    )


def _sum(sign: float) -> Handler:
    def handle(reader: "Reader", node: Any, _attributes: Attributes) -> None:
        import torch

        one, other = (reader.known(name) for name in node.input[:2])
        unit = torch.ones((), dtype=torch.float64)
        if one is not None and other is not None:
            reader.constants[node.output[0]] = one + sign * other
        elif other is not None:
            place = reader.place(node.input[0])
            shift = sign * reader.sample_shaped(other, place)
            reader.places[node.output[0]] = reader.builder.scale(place, unit, shift, _name(node))
        elif one is not None:
            place = reader.place(node.input[1])
            shift = reader.sample_shaped(one, place)
            reader.places[node.output[0]] = reader.builder.scale(place, sign * unit, shift, _name(node))
        else:
            places = reader.place(node.input[0]), reader.place(node.input[1])
            reader.places[node.output[0]] = reader.builder.sum(places, (1.0, sign), _name(node))

    return handle


def _multiply(reader: "Reader", node: Any, _attributes: Attributes) -> None:
    one, other = (reader.known(name) for name in node.input[:2])
    if one is not None and other is not None:
        reader.constants[node.output[0]] = one * other
        return
    factor, name = (one, node.input[1]) if one is not None else (other, node.input[0])
    if factor is None:
        raise NotModelled(f"{_name(node)} multiplies two functions of the input")
    place = reader.place(name)
    reader.places[node.output[0]] = reader.builder.scale(place, reader.sample_shaped(factor, place), None, _name(node))


def _divide(reader: "Reader", node: Any, _attributes: Attributes) -> None:
    place = reader.place(node.input[0])
    divisor = reader.sample_shaped(reader.constant(node.input[1]).double(), place)
    reader.places[node.output[0]] = reader.builder.scale(place, 1 / divisor, None, _name(node), terms=3)


def _flatten(reader: "Reader", node: Any, attributes: Attributes) -> None:
    if int(attributes.get("axis", 1)) != 1:
        raise NotModelled(f"{_name(node)} mixes the samples of a batch")
    place = reader.place(node.input[0])
    reader.places[node.output[0]] = reader.builder.reshape(
        place, (math.prod(reader.builder.shape_of(place)),), _name(node)
    )


def _reshape(reader: "Reader", node: Any, _attributes: Attributes) -> None:
    if node.input[0] in reader.constants:
        tensor = reader.constants[node.input[0]]
        reader.constants[node.output[0]] = tensor.reshape([int(one) for one in reader.constant(node.input[1])])
        return
    place = reader.place(node.input[0])
    own = reader.builder.shape_of(place)
    wanted = [int(one) for one in reader.constant(node.input[1]).reshape(-1)]
    kept = [(1, *own)[index] if side == 0 else side for index, side in enumerate(wanted)]
    total = math.prod(own)
    rest = math.prod(side for side in kept[1:] if side != -1)
    if kept[0] in (1, -1) and kept[1:].count(-1) <= 1:
        sides = [total // rest if side == -1 and rest else side for side in kept[1:]]
        if math.prod(sides) == total and sides:
            reader.places[node.output[0]] = reader.builder.reshape(place, tuple(sides), _name(node))
            return
    raise NotModelled(f"{_name(node)} mixes the samples of a batch")


def _axes(reader: "Reader", node: Any, attributes: Attributes) -> list[int]:
    if len(node.input) > 1 and node.input[1]:
        return [int(one) for one in reader.constant(node.input[1]).reshape(-1)]
    return [int(one) for one in attributes.get("axes", [])]


def _squeeze(reader: "Reader", node: Any, attributes: Attributes) -> None:
    place = reader.place(node.input[0])
    shape = (1, *reader.builder.shape_of(place))
    axes = {one % len(shape) for one in _axes(reader, node, attributes)}
    if not axes or 0 in axes:
        raise NotModelled(f"{_name(node)} takes the batch away")
    left = tuple(side for index, side in enumerate(shape) if index and index not in axes)
    reader.places[node.output[0]] = reader.builder.reshape(place, left, _name(node))


def _unsqueeze(reader: "Reader", node: Any, attributes: Attributes) -> None:
    place = reader.place(node.input[0])
    shape = [0, *reader.builder.shape_of(place)]
    axes = _axes(reader, node, attributes)
    for axis in sorted(one % (len(shape) + len(axes)) for one in axes):
        shape.insert(axis, 1)
    if shape[0] != 0:
        raise NotModelled(f"{_name(node)} moves the batch")
    reader.places[node.output[0]] = reader.builder.reshape(place, tuple(shape[1:]), _name(node))


def _transpose(reader: "Reader", node: Any, attributes: Attributes) -> None:
    """Only where nothing but sides of 1 changes places."""
    place = reader.place(node.input[0])
    shape = reader.builder.shape_of(place)
    order = [int(one) for one in attributes.get("perm", range(len(shape), -1, -1))]
    wide = [axis for axis in order if axis == 0 or shape[axis - 1] > 1]
    if order[0] != 0 or wide != sorted(wide):
        raise NotModelled(f"{_name(node)} changes the order of dimensions")
    reader.places[node.output[0]] = reader.builder.reshape(
        place, tuple(shape[axis - 1] for axis in order[1:]), _name(node)
    )


def _pool_sides(
    reader: "Reader", node: Any, attributes: Attributes
) -> tuple[int, tuple[int, int], tuple[int, int], tuple[int, int]]:
    if attributes.get("ceil_mode", 0) or any(int(one) != 1 for one in attributes.get("dilations", [])):
        raise NotModelled(f"{_name(node)} pools with gaps or beyond the edge")
    source = reader.place(node.input[0])
    if len(attributes["kernel_shape"]) != 2 or len(reader.builder.shape_of(source)) != 3:
        raise NotModelled(f"{_name(node)} pools in {len(attributes['kernel_shape'])} dimensions")
    source, padding = _padded(reader, node, source, attributes, 2)
    size = tuple(int(one) for one in attributes["kernel_shape"])
    return source, size, _spatial(attributes, "strides", 2, 1), padding  # type: ignore[return-value]


def _max_pool(reader: "Reader", node: Any, attributes: Attributes) -> None:
    source, size, stride, padding = _pool_sides(reader, node, attributes)
    reader.places[node.output[0]] = reader.builder.maximum(
        source, _name(node), size=size, stride=stride, padding=padding
    )


def _average_pool(reader: "Reader", node: Any, attributes: Attributes) -> None:
    source, size, stride, padding = _pool_sides(reader, node, attributes)
    if any(padding) and not attributes.get("count_include_pad", 0):
        raise NotModelled(f"{_name(node)} averages fewer values at the edge")
    reader.places[node.output[0]] = reader.builder.average(
        source, _name(node), size=size, stride=stride, padding=padding
    )


def _global_average(reader: "Reader", node: Any, _attributes: Attributes) -> None:
    source = reader.place(node.input[0])
    shape = reader.builder.shape_of(source)
    if len(shape) != 3:
        raise NotModelled(f"{_name(node)} averages samples of shape {list(shape)}")
    sides = (shape[1], shape[2])
    reader.places[node.output[0]] = reader.builder.average(source, _name(node), size=sides, stride=sides)


def _mean(reader: "Reader", node: Any, attributes: Attributes) -> None:
    source = reader.place(node.input[0])
    shape = reader.builder.shape_of(source)
    axes = {one % (len(shape) + 1) for one in _axes(reader, node, attributes)}
    if len(shape) != 3 or axes != {2, 3}:
        raise NotModelled(f"{_name(node)} averages over the dimensions {sorted(axes) or 'all'}")
    sides = (shape[1], shape[2])
    made = reader.builder.average(source, _name(node), size=sides, stride=sides)
    if not attributes.get("keepdims", 1):
        made = reader.builder.reshape(made, (shape[0],), _name(node))
    reader.places[node.output[0]] = made


def _concat(reader: "Reader", node: Any, attributes: Attributes) -> None:
    import torch

    if all(name in reader.constants for name in node.input):
        parts = [reader.constants[name] for name in node.input]
        reader.constants[node.output[0]] = torch.cat(parts, dim=int(attributes["axis"]))
        return
    places = tuple(reader.place(name) for name in node.input)
    axis = int(attributes["axis"])
    if axis not in (1, -len(reader.builder.shape_of(places[0]))):
        raise NotModelled(f"{_name(node)} joins along dimension {axis}")
    reader.places[node.output[0]] = reader.builder.concat(places, _name(node))


def _pad(reader: "Reader", node: Any, attributes: Attributes) -> None:
    given = len(node.input) > 1
    pads = [int(one) for one in (reader.constant(node.input[1]) if given else attributes.get("pads", []))]
    value = (
        float(reader.constant(node.input[2])) if len(node.input) > 2 and node.input[2] else attributes.get("value", 0.0)
    )
    if attributes.get("mode", b"constant") != b"constant" or value or len(pads) != 8 or any(pads[:2] + pads[4:6]):
        raise NotModelled(f"{_name(node)} pads otherwise than with zeros around a map")
    sides = (pads[3], pads[7], pads[2], pads[6])
    reader.places[node.output[0]] = reader.builder.pad(reader.place(node.input[0]), sides, _name(node))


def _softmax(reader: "Reader", node: Any, _attributes: Attributes) -> None:
    """Keeps the order of the scores, so it is left out where it is the last step."""
    place = reader.place(node.input[0])
    if node.output[0] != reader.graph.output[0].name or len(reader.builder.shape_of(place)) != 1:
        raise NotModelled(f"{_name(node)} stands within the network, not at its end")
    reader.builder.ties = True
    reader.places[node.output[0]] = place


def _ignored_shape(reader: "Reader", node: Any, _attributes: Attributes) -> None:
    import torch

    place = reader.place(node.input[0])
    reader.constants[node.output[0]] = torch.tensor([1, *reader.builder.shape_of(place)])
