"""The smallest change that reaches a plane without leaving a box, in closed form for Linf and L2.

Source: Croce and Hein: Minimally distorted adversarial examples with a fast adaptive boundary attack (2020), section 2.1.
"""

from typing import TYPE_CHECKING

from heliotrope.subjects.balls import per_sample

if TYPE_CHECKING:
    import torch

__all__ = ["onto_plane"]

_TINY = 1e-30


def onto_plane(
    points: "torch.Tensor",
    normals: "torch.Tensor",
    gaps: "torch.Tensor",
    *,
    norm: str,
    low: float,
    high: float,
    units: "torch.Tensor | None" = None,
) -> "torch.Tensor":
    """Changes of smallest norm after which normals . change = -gaps, each value within [low, high].

    points, normals: n x ...; gaps: n, the value of a linear function at each point. `units`: budgets of channels as shares
    (see `balls.units_of`); a channel without budget does not move. Where the box is too small, its corner that comes nearest. A
    zero or non-finite normal does not move. In the dtype of the points, reckoned in float64.
    """
    import torch

    shape = points.shape
    needed = gaps.double().abs()
    along = (normals.double() * per_sample(-gaps.double().sign(), points)).nan_to_num(0.0, 0.0, 0.0).flatten(1)
    exact = points.double().flatten(1)
    room = torch.where(along > 0, high - exact, exact - low).clamp_min(0.0)
    scale = torch.ones(1, dtype=torch.float64, device=points.device)
    if units is not None:
        scale = units.to(points.device).expand(1, *shape[1:]).flatten(1)
        along = along * scale
        room = torch.where(scale > 0, room / scale.clamp_min(_TINY), room.new_zeros(()))
    size = along.abs()
    room = room.where(size > 0, room.new_zeros(()))
    pace = (size > 0).double() if norm == "Linf" else size
    share = _how_far(room, size, pace, needed)
    moved = torch.minimum((share[:, None] * pace).where(pace > 0, room.new_zeros(())), room)
    change = moved * along.sign() * scale
    return change.reshape(shape).to(points.dtype)


def _how_far(
    room: "torch.Tensor", size: "torch.Tensor", pace: "torch.Tensor", needed: "torch.Tensor"
) -> "torch.Tensor":
    """T with sum of size * min(t * pace, room) = needed; infinite where even all the room does not suffice."""
    import torch

    ends = (room / pace.clamp_min(_TINY)).where(pace > 0, torch.full_like(room, torch.inf))
    ends, order = ends.sort(dim=1)
    full, slope = (size * room).gather(1, order), (size * pace).gather(1, order)
    filled = torch.cat([torch.zeros_like(full[:, :1]), full.cumsum(dim=1)[:, :-1]], dim=1)
    open_ = slope.flip(1).cumsum(dim=1).flip(1)
    gained = filled + ends.where(ends.isfinite(), ends.new_zeros(())) * open_
    reached = (gained >= needed[:, None]) & (open_ > 0)
    first = reached.to(torch.uint8).argmax(dim=1, keepdim=True)
    t = (needed - filled.gather(1, first)[:, 0]) / open_.gather(1, first)[:, 0].clamp_min(_TINY)
    return t.where(reached.any(dim=1), torch.full_like(t, torch.inf)).clamp_min(0.0)
