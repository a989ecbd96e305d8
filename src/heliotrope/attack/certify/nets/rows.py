"""Linear functions of what a node of a network holds, many at once, each about one sample: what bounds are carried back in."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

__all__ = ["Rows", "joined"]


@dataclass(frozen=True, slots=True)
class Rows:
    """Row r is the function sum(values[r] * node[sample[r]]).

    Of a map (channels x height x width) the values may cover a window only, all else being zero: the receptive field of
    one place is small, and most of the work is there.
    """

    values: "torch.Tensor"
    """R x what the node holds, or R x the window, float64."""
    sample: "torch.Tensor"
    """R, int64: which sample of the batch each row is about."""
    origin: tuple[int, int] | None = None
    """Top and left of the window; None: the values cover the whole."""

    def crop(self, per_sample: "torch.Tensor") -> "torch.Tensor":
        """What belongs to each row, of something that the node holds for each sample (or once for all)."""
        cut = self.cut(per_sample)
        return cut if cut.shape[0] == 1 else cut[self.sample]

    def cut(self, per_sample: "torch.Tensor") -> "torch.Tensor":
        """The window of every sample."""
        if self.origin is None:
            return per_sample
        top, left = self.origin
        height, width = self.values.shape[-2:]
        return per_sample[..., top : top + height, left : left + width]

    def dot(self, per_sample: "torch.Tensor") -> "torch.Tensor":
        """Each row applied to a vector of its sample."""
        return (self.values * self.crop(per_sample)).flatten(1).sum(dim=1)

    def weigh(self, per_sample: "torch.Tensor") -> "torch.Tensor":
        """Each row's absolute values applied to a vector of its sample."""
        return (self.values.abs() * self.crop(per_sample)).flatten(1).sum(dim=1)

    def times(self, per_sample: "torch.Tensor") -> "Rows":
        return Rows(self.values * self.crop(per_sample), self.sample, self.origin)

    def widened(self, shape: tuple[int, ...]) -> "Rows":
        """The same functions over the whole of the node."""
        if self.origin is None:
            return self
        whole = self.values.new_zeros((len(self.values), *shape))
        top, left = self.origin
        height, width = self.values.shape[-2:]
        whole[..., top : top + height, left : left + width] = self.values
        return Rows(whole, self.sample)


def joined(one: Rows | None, other: Rows, shape: tuple[int, ...]) -> Rows:
    """The sum of two functions of the same node."""
    if one is None:
        return other
    if one.origin != other.origin or one.values.shape != other.values.shape:
        one, other = one.widened(shape), other.widened(shape)
    return Rows(one.values + other.values, other.sample, other.origin)
