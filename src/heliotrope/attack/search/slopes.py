"""Along the gradients of torch models on tables, within constraints: steps in spreads of each column, then repair.

Source: Simonetto et al., Constrained adaptive attack: effective adversarial attack against deep neural networks for tabular data
(2024), CAPGD: momentum, steps that are halved when they no longer help, repair after every step. A step is counted in spreads,
so that columns of millions move as well as those of hundredths.
"""

from typing import TYPE_CHECKING

from heliotrope.attack.search.searching import SearchResult, SearchTarget, count_late
from heliotrope.core.predicates.behaviour import ThreatModel
from heliotrope.subjects.torch_model import TorchModel

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from heliotrope.attack.search.space import Points, Rows

__all__ = ["ascend"]

_STEPS, _STARTS = 40, 2
_MOMENTUM = 0.75
_PATIENCE = 5
"""Steps without a smaller lead after which the step is halved and the best row taken up again."""

_NOTHING = 1e-9
"""Relative to the largest part of a direction: what rounding leaves."""

_SALT = 11


def ascend(model: TorchModel, target: SearchTarget, threat: ThreatModel, result: SearchResult, *, seed: int) -> int:
    """Attack the samples that stand; how many more were misled. Choices stay as they are: those are the questions' part."""
    import numpy as np

    before = len(result.broken(threat.eps))
    for start in range(_STARTS):
        standing = np.flatnonzero(result.reach > threat.eps)
        for begin in range(0, len(standing), target.batch):
            _climb(model, target, threat, result, standing[begin : begin + target.batch], seed=seed, start=start)
    count_late(result, threat)
    return len(result.broken(threat.eps)) - before


def _climb(
    model: TorchModel, target: SearchTarget, threat: ThreatModel, result: SearchResult, some: "Rows", *, seed: int, start: int
) -> None:  # fmt: skip
    import numpy as np

    space = target.space
    box = space.box(some, threat.eps)
    points = space.centres[some]
    if start:
        draws = np.stack(
            [np.random.default_rng([seed, _SALT, int(row)]).random(points.shape[1]) for row in target.rows[some]]
        )
        anywhere = np.where(space.numbers, box.low + draws * (box.high - box.low), points)
        points = space.project(some, np.where(np.isnan(anywhere), points, anywhere), box, threat.eps)
    best, best_lead = points.copy(), np.full(len(some), np.inf)
    size, waited = np.full(len(some), 2.0 * threat.eps), np.zeros(len(some), dtype=np.int64)
    last = np.zeros_like(points)
    for _ in range(min(threat.steps, _STEPS)):
        lead = _tried(target, threat, result, some, points)
        better = lead < best_lead
        best[better], best_lead[better] = points[better], lead[better]
        waited = np.where(better, 0, waited + 1)
        tired = waited >= _PATIENCE
        size, waited = np.where(tired, size / 2, size), np.where(tired, 0, waited)
        points = np.where(tired[:, None], best, points)
        if not (result.reach[some] > threat.eps).any():
            return
        step = _direction(model, target, some, points, threat) * space.scale * size[:, None]
        moved = points + _MOMENTUM * np.where(space.numbers, step, 0.0) + (1 - _MOMENTUM) * last
        moved = space.project(some, np.where(space.numbers, moved, points), box, threat.eps)
        last, points = np.nan_to_num(moved - points), moved
    _tried(target, threat, result, some, points)


def _tried(
    target: SearchTarget, threat: ThreatModel, result: SearchResult, some: "Rows", points: "Points"
) -> "NDArray[np.float64]":
    lead, wrong = target.ask(points, some)
    space = target.space
    result.felt[some[(lead != result.lead[some]) & space.permitted(some, points)]] = True
    held = wrong & space.feasible(some, points, threat.eps)
    result.note(space, some[held], points[held], threat.eps)
    return lead


def _direction(
    model: TorchModel, target: SearchTarget, some: "Rows", points: "Points", threat: ThreatModel
) -> "NDArray[np.float64]":
    """Where the lead of the right class falls fastest, in spreads: signs for L-inf, of length 1 for L2. 0 where unknown."""
    import numpy as np
    import torch

    frame = target.space.decode(points, some)
    rows = torch.from_numpy(np.array(frame, dtype=np.float32)).requires_grad_(True)
    target.asked += len(some)
    with torch.enable_grad():
        scores = model.logits(rows.clone())  # the model may change what it is given
        own = scores[torch.arange(len(some)), torch.from_numpy(target.labels[some])]
        others = scores.scatter(1, torch.from_numpy(target.labels[some])[:, None], float("-inf")).amax(dim=1)
        lost = (others - own).sum()
        (gradient,) = torch.autograd.grad(lost, rows)
    scaled: NDArray[np.float64] = (
        np.nan_to_num(gradient.double().cpu().numpy(), posinf=0.0, neginf=0.0) * target.space.scale
    )
    scaled = np.where(target.space.numbers, scaled, 0.0)
    scaled = _along_sums(target, scaled)
    if threat.norm == "Linf":
        signs: NDArray[np.float64] = np.asarray(np.sign(scaled))
        return signs
    length = np.sqrt(np.square(scaled).sum(axis=1, keepdims=True))
    unit: NDArray[np.float64] = np.asarray(scaled / np.maximum(length, 1e-300))
    return unit


def _along_sums(target: SearchTarget, scaled: "NDArray[np.float64]") -> "NDArray[np.float64]":
    """The part of each direction that keeps equal what must be equal, so that repair does not undo the step."""
    import numpy as np

    constraints = target.space.constraints
    if constraints is None:
        return scaled
    equal = np.isfinite(constraints.lower) & np.isfinite(constraints.upper)
    across = constraints.weights[equal] * np.where(target.space.numbers, target.space.scale, 0.0)
    if not across.any():
        return scaled
    kept = scaled - scaled @ np.linalg.pinv(across) @ across
    largest = np.abs(kept).max(axis=1, keepdims=True)
    along: NDArray[np.float64] = np.where(np.abs(kept) > _NOTHING * largest, kept, 0.0)
    return along
