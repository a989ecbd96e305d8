"""Looking for counterexamples: a short ascent on the network, every find asked of the served model."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from heliotrope.attack.certify.nets.bounds import Domain
from heliotrope.attack.certify.nets.graph import Network

if TYPE_CHECKING:
    import torch

__all__ = ["inside", "misled", "search"]

_STARTS = 3
_STEPS = 20


def search(
    network: Network,
    domain: Domain,
    labels: "torch.Tensor",
    asked: "Callable[[torch.Tensor], torch.Tensor]",
    *,
    seed: int = 0,
) -> "dict[int, torch.Tensor]":
    """By sample, a float32 input of its domain on which the served model is wrong; those that are not found are absent."""
    import torch

    found: dict[int, torch.Tensor] = {}
    generator = torch.Generator().manual_seed(seed)
    for start in range(_STARTS):
        left = torch.tensor([one for one in range(len(domain)) if one not in found], dtype=torch.int64)
        if not len(left):
            break
        part = domain.select(left)
        middle = (part.low + part.high) / 2 if part.centre is None else part.centre
        noise = torch.rand(part.low.shape, generator=generator, dtype=torch.float64)
        point = middle if start == 0 else part.low + noise * (part.high - part.low)
        size = (part.high - part.low) * (1.25 / _STEPS)
        for _ in range(_STEPS):
            point = point.detach().requires_grad_(True)
            scores = network.forward(point)
            own = scores.gather(1, labels[left, None])
            lead = (own - scores.scatter(1, labels[left, None], -torch.inf).amax(dim=1, keepdim=True))[:, 0]
            gradient = torch.autograd.grad(lead.sum(), point)[0]
            point = _projected(part, (point - size * _direction(part, gradient)).detach())
            candidates = inside(part, point)
            wrong = misled(asked, candidates, labels[left])
            for place in wrong.nonzero()[:, 0].tolist():
                found.setdefault(int(left[place]), candidates[place])
            if bool(wrong.all()):
                break
    return found


def misled(
    asked: "Callable[[torch.Tensor], torch.Tensor]", inputs: "torch.Tensor", labels: "torch.Tensor"
) -> "torch.Tensor":
    """Whether the served model answers otherwise than the labels say."""
    return asked(inputs).argmax(dim=1) != labels


def inside(domain: Domain, points: "torch.Tensor") -> "torch.Tensor":
    """Float32 inputs that are certainly in the domain: bounds are rounded inwards where a float32 lies between them."""
    import torch

    low, high = domain.low.float(), domain.high.float()
    up = torch.nextafter(low, torch.full_like(low, torch.inf))
    down = torch.nextafter(high, torch.full_like(high, -torch.inf))
    low, high = torch.where(low.double() < domain.low, up, low), torch.where(high.double() > domain.high, down, high)
    made = points.float().maximum(low).minimum(high)
    if domain.centre is None:
        return made
    change = made.double() - domain.centre
    length = change.flatten(1).norm(dim=1).clamp_min(1e-300)
    share = (domain.radius * (1 - 1e-6) / length).clamp_max(1).reshape(-1, *[1] * (made.ndim - 1))
    return torch.where(share < 1, (domain.centre + change * share).float(), made).maximum(low).minimum(high)


def _direction(domain: Domain, gradient: "torch.Tensor") -> "torch.Tensor":
    if domain.centre is None:
        return gradient.sign()
    flat = gradient.flatten(1)
    unit: torch.Tensor = flat / flat.norm(dim=1, keepdim=True).clamp_min(1e-300) * flat.shape[1] ** 0.5
    return unit.reshape(gradient.shape)


def _projected(domain: Domain, points: "torch.Tensor") -> "torch.Tensor":
    points = points.maximum(domain.low).minimum(domain.high)
    if domain.centre is None:
        return points
    change = points - domain.centre
    length = change.flatten(1).norm(dim=1).clamp_min(1e-300)
    share = (domain.radius / length).clamp_max(1).reshape(-1, *[1] * (points.ndim - 1))
    projected: torch.Tensor = domain.centre + change * share
    return projected
