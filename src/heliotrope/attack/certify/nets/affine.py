"""Affine operations: forward, over boxes, and transposed, with a bound on what rounding adds in the served arithmetic.

A sum of n products in floating point, in any order and with or without fused multiply-add, differs from the exact one by at
most gamma(n) = n u / (1 - n u) times the sum of the absolute values (Higham, Accuracy and Stability of Numerical Algorithms,
chapter 3). That holds for direct and im2col convolutions; not for those by Winograd or Fourier transforms, nor for tensor
cores in reduced precision.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from heliotrope.attack.certify.nets.rows import Rows

if TYPE_CHECKING:
    import torch

    Pair = tuple[torch.Tensor, torch.Tensor]

__all__ = ["Affine", "Concat", "Conv", "Input", "Linear", "Pad", "Reshape", "Scale", "Sum", "gamma"]

_DENSE = 4_000_000
"""Entries of a transposed convolution over a window that is kept as a matrix: one product instead of many small ones."""

_RESERVE = 1.01
"""The bounds themselves are computed in float64, whose unit is 2^-29 of float32's: a hundredth more covers that rounding many
times over for sums of up to millions of terms."""

_TINY = 1e-30
"""What underflow may add to a sum in float32, a million times over."""


def gamma(terms: int, unit: float) -> float:
    """Relative error of a sum of `terms` products."""
    share = (terms + 1) * unit
    if share >= 0.1:
        raise OverflowError(f"a sum of {terms} terms has no bound in this arithmetic")
    return _RESERVE * share / (1 - share)


class Affine:
    """One input, W x + b. Subclasses say how W, |W| and its transpose are applied."""

    terms: int
    """Products in one sum; 0: exact in floating point."""

    def linear(self, inputs: "torch.Tensor") -> "torch.Tensor":
        raise NotImplementedError

    def absolute(self, inputs: "torch.Tensor") -> "torch.Tensor":
        raise NotImplementedError

    def transpose(self, rows: Rows, shapes: tuple[tuple[int, ...], ...]) -> tuple[Rows, ...]:
        raise NotImplementedError

    @property
    def bias(self) -> "torch.Tensor | None":
        """1 x what the node holds, or smaller where one value counts for several."""
        return None

    @property
    def bias_magnitude(self) -> "torch.Tensor | None":
        """Of the terms that the bias is made of."""
        return None if self.bias is None else self.bias.abs()

    def forward(self, *inputs: "torch.Tensor") -> "torch.Tensor":
        value = self.linear(inputs[0])
        return value if self.bias is None else value + self.bias

    def interval(self, *inputs: "Pair") -> "Pair":
        low, high = inputs[0]
        centre, radius = self.forward((low + high) / 2), self.absolute((high - low) / 2)
        return centre - radius, centre + radius

    def rounding(self, unit: float, *magnitudes: "torch.Tensor") -> "torch.Tensor | None":
        if not self.terms:
            return None
        size = self.absolute(magnitudes[0])
        if self.bias_magnitude is not None:
            size = size + self.bias_magnitude
        return gamma(self.terms, unit) * size + _TINY


class Input:
    """The sample itself."""

    def forward(self, *inputs: "torch.Tensor") -> "torch.Tensor":
        return inputs[0]

    def interval(self, *inputs: "Pair") -> "Pair":
        return inputs[0]

    def rounding(self, unit: float, *magnitudes: "torch.Tensor") -> "torch.Tensor | None":
        return None


@dataclass(frozen=True)
class Linear(Affine):
    weight: "torch.Tensor"
    """Outputs x inputs."""
    shift: "torch.Tensor | None"

    @property
    def terms(self) -> int:  # type: ignore[override]
        return self.weight.shape[1]

    @property
    def bias(self) -> "torch.Tensor | None":
        return None if self.shift is None else self.shift[None]

    def linear(self, inputs: "torch.Tensor") -> "torch.Tensor":
        return inputs @ self.weight.T

    def absolute(self, inputs: "torch.Tensor") -> "torch.Tensor":
        return inputs @ self.weight.abs().T

    def transpose(self, rows: Rows, shapes: tuple[tuple[int, ...], ...]) -> tuple[Rows, ...]:
        return (Rows(rows.values @ self.weight, rows.sample),)


@dataclass(frozen=True)
class Conv(Affine):
    """Two dimensions; one dimension is a map of height 1."""

    weight: "torch.Tensor"
    """Outputs x inputs of a group x height x width."""
    shift: "torch.Tensor | None"
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    _dense: "dict[tuple[int, int], torch.Tensor]" = field(default_factory=dict, compare=False, repr=False)

    @property
    def terms(self) -> int:  # type: ignore[override]
        return self.weight[0].numel()

    @property
    def bias(self) -> "torch.Tensor | None":
        return None if self.shift is None else self.shift.reshape(1, -1, 1, 1)

    def linear(self, inputs: "torch.Tensor") -> "torch.Tensor":
        return self._apply(inputs, self.weight)

    def absolute(self, inputs: "torch.Tensor") -> "torch.Tensor":
        return self._apply(inputs, self.weight.abs())

    def _apply(self, inputs: "torch.Tensor", weight: "torch.Tensor") -> "torch.Tensor":
        import torch

        return torch.nn.functional.conv2d(inputs, weight, None, self.stride, self.padding, self.dilation, self.groups)

    @property
    def span(self) -> tuple[int, int]:
        """Height and width that one output looks at."""
        height, width = self.weight.shape[2:]
        return self.dilation[0] * (height - 1) + 1, self.dilation[1] * (width - 1) + 1

    def transpose(self, rows: Rows, shapes: tuple[tuple[int, ...], ...]) -> tuple[Rows, ...]:
        height, width = shapes[0][1:]
        if rows.origin is None:
            size = rows.values.shape[2:]
            extra = [
                whole - ((out - 1) * stride - 2 * pad + span)
                for whole, out, stride, pad, span in zip(
                    (height, width), size, self.stride, self.padding, self.span, strict=True
                )
            ]
            return (Rows(self._backward(rows.values, self.padding, extra), rows.sample),)
        top, left = (
            start * stride - pad for start, stride, pad in zip(rows.origin, self.stride, self.padding, strict=True)
        )
        values = self._window(rows.values)
        down, right = top + values.shape[2], left + values.shape[3]
        values = values[:, :, max(0, -top) : values.shape[2] - max(0, down - height)]
        values = values[:, :, :, max(0, -left) : values.shape[3] - max(0, right - width)]
        if values.shape[2:] == (height, width):
            return (Rows(values, rows.sample),)
        return (Rows(values, rows.sample, (max(0, top), max(0, left))),)

    def _backward(self, values: "torch.Tensor", padding: "tuple[int, int]", extra: "list[int]") -> "torch.Tensor":
        import torch

        # Rows that the forward pass never looked at (a stride that does not come out even) have no weight.
        valid = [min(one, stride - 1) for one, stride in zip(extra, self.stride, strict=True)]
        back = torch.nn.functional.conv_transpose2d(
            values, self.weight, None, self.stride, padding, valid, self.groups, self.dilation
        )
        missing = [one - two for one, two in zip(extra, valid, strict=True)]
        return torch.nn.functional.pad(back, (0, missing[1], 0, missing[0])) if any(missing) else back

    def _window(self, values: "torch.Tensor") -> "torch.Tensor":
        import torch

        channels, height, width = values.shape[1:]
        shape = (
            self.weight.shape[1] * self.groups,
            (height - 1) * self.stride[0] + self.span[0],
            (width - 1) * self.stride[1] + self.span[1],
        )
        entries = channels * height * width
        if self.groups > 1 or entries * shape[0] * shape[1] * shape[2] > _DENSE:
            return self._backward(values, (0, 0), [0, 0])
        dense = self._dense.get((height, width))
        if dense is None:
            units = torch.eye(entries, dtype=values.dtype).reshape(entries, channels, height, width)
            dense = self._backward(units, (0, 0), [0, 0]).reshape(entries, -1)
            self._dense[height, width] = dense
        return (values.flatten(1) @ dense).reshape(len(values), *shape)


@dataclass(frozen=True)
class Scale(Affine):
    """A factor and a shift for each value, or for each channel; normalisation, folded batch statistics, constants."""

    factor: "torch.Tensor"
    """1 x what the node holds, or 1 in places where one value counts for several."""
    shift: "torch.Tensor | None"
    terms: int = 2
    magnitude: "torch.Tensor | None" = None

    @property
    def bias(self) -> "torch.Tensor | None":
        return self.shift

    @property
    def bias_magnitude(self) -> "torch.Tensor | None":
        return self.magnitude if self.magnitude is not None else super().bias_magnitude

    def linear(self, inputs: "torch.Tensor") -> "torch.Tensor":
        return inputs * self.factor

    def absolute(self, inputs: "torch.Tensor") -> "torch.Tensor":
        return inputs * self.factor.abs()

    def transpose(self, rows: Rows, shapes: tuple[tuple[int, ...], ...]) -> tuple[Rows, ...]:
        return (rows.times(self.factor.expand(1, *shapes[0])),)


@dataclass(frozen=True)
class Reshape(Affine):
    shape: tuple[int, ...]
    """Of one sample, afterwards."""
    terms: int = 0

    def linear(self, inputs: "torch.Tensor") -> "torch.Tensor":
        return inputs.reshape(len(inputs), *self.shape)

    absolute = linear

    def transpose(self, rows: Rows, shapes: tuple[tuple[int, ...], ...]) -> tuple[Rows, ...]:
        whole = rows.widened(self.shape)
        return (Rows(whole.values.reshape(len(whole.values), *shapes[0]), rows.sample),)


@dataclass(frozen=True)
class Pad(Affine):
    """Zeros around a map: left, right, top, bottom."""

    sides: tuple[int, int, int, int]
    terms: int = 0

    def linear(self, inputs: "torch.Tensor") -> "torch.Tensor":
        import torch

        return torch.nn.functional.pad(inputs, self.sides)

    absolute = linear

    def transpose(self, rows: Rows, shapes: tuple[tuple[int, ...], ...]) -> tuple[Rows, ...]:
        channels, height, width = shapes[0]
        left, right, top, bottom = self.sides
        whole = rows.widened((channels, height + top + bottom, width + left + right))
        return (Rows(whole.values[:, :, top : top + height, left : left + width], rows.sample),)


@dataclass(frozen=True)
class Sum:
    """A sum of nodes of one shape, each with a sign."""

    signs: tuple[float, ...]

    bias = None

    def forward(self, *inputs: "torch.Tensor") -> "torch.Tensor":
        total = inputs[0] * self.signs[0]
        for value, sign in zip(inputs[1:], self.signs[1:], strict=True):
            total = total + value * sign
        return total

    def interval(self, *inputs: "Pair") -> "Pair":
        centre = self.forward(*((low + high) / 2 for low, high in inputs))
        radius = sum((high - low) / 2 for low, high in inputs)
        return centre - radius, centre + radius

    def rounding(self, unit: float, *magnitudes: "torch.Tensor") -> "torch.Tensor | None":
        total = magnitudes[0]
        for value in magnitudes[1:]:
            total = total + value
        return gamma(len(magnitudes), unit) * total

    def transpose(self, rows: Rows, shapes: tuple[tuple[int, ...], ...]) -> tuple[Rows, ...]:
        return tuple(Rows(rows.values * sign, rows.sample, rows.origin) for sign in self.signs)


@dataclass(frozen=True)
class Concat:
    """Nodes side by side along the first dimension of a sample."""

    sizes: tuple[int, ...]

    bias = None

    def forward(self, *inputs: "torch.Tensor") -> "torch.Tensor":
        import torch

        return torch.cat(inputs, dim=1)

    def interval(self, *inputs: "Pair") -> "Pair":
        import torch

        return torch.cat([low for low, _ in inputs], dim=1), torch.cat([high for _, high in inputs], dim=1)

    def rounding(self, unit: float, *magnitudes: "torch.Tensor") -> "torch.Tensor | None":
        return None

    def transpose(self, rows: Rows, shapes: tuple[tuple[int, ...], ...]) -> tuple[Rows, ...]:
        parts: tuple[torch.Tensor, ...] = rows.values.split(list(self.sizes), dim=1)  # type: ignore[no-untyped-call]
        return tuple(Rows(part, rows.sample, rows.origin) for part in parts)
