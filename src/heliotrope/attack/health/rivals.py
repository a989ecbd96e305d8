"""Attacks that know less and must not win: random points, questions alone, and changes carried over from elsewhere.

If one of them breaks what survived an attack along gradients, the gradients led nowhere (Athalye, Carlini, Wagner:
Obfuscated gradients give a false sense of security, 2018; Carlini et al.: On evaluating adversarial robustness, 2019).
"""

import math
from typing import TYPE_CHECKING

from heliotrope.attack.gradients.batches import in_batches
from heliotrope.attack.gradients.losses import ranked_targets
from heliotrope.attack.gradients.model import GradientModel
from heliotrope.attack.health.examined import FEW, Rival
from heliotrope.attack.health.indicator import clearly_above
from heliotrope.attack.interface import AttackResult, Samples
from heliotrope.core.predicates.behaviour import HealthIndicator, HealthState, RestartResult, ThreatModel
from heliotrope.subjects.balls import Ball, ball_around, lengths_of

if TYPE_CHECKING:
    import numpy as np
    import torch


__all__ = ["contest", "rival_indicator"]

TOLERATED = 0.02
"""Share of survivors that a weaker attack may break: a strong attack misses one in fifty by chance."""

_CORNERS = 12
_QUESTIONS = 50
_TARGETS = 3
_DONORS = 4
_FITTED = 500
"""Samples that the surrogate is fitted on, at most."""

_RIDGE = 1e-2
_STREAM = 77
"""Keeps the random numbers of this module apart from those of restarts."""


def contest(
    model: GradientModel,
    samples: Samples,
    threat: ThreatModel,
    result: AttackResult,
    *,
    seed: int,
    known: tuple[Rival, ...] = (),
) -> tuple[Rival, ...]:
    """Let each rival try up to 50 survivors. What one finds is entered into the result: it holds whoever found it.

    `known`: rivals that were part of the attack itself; they are not asked again.
    """
    before = result.right_at(threat.eps)
    asked = known or (_questions(model, samples, threat, result, seed),)
    rivals = (*asked, _transfer(model, samples, threat, result))
    broken = before - result.right_at(threat.eps)
    if broken:
        entry = RestartResult(restart=len(result.restarts), attacked=before, broken=broken, attack="rivals")
        result.restarts.append(entry)
    return rivals


def rival_indicator(rival: Rival) -> HealthIndicator:
    """Whether the rival won."""
    state: HealthState = "unknown"
    if rival.asked:
        state = "warning" if rival.broken else "ok"
        if not rival.included and clearly_above(rival.broken, rival.asked, TOLERATED):
            state = "failed"
    title = {
        "black-box": "Random points and questions alone do not find more",
        "transfer": "Changes carried over from elsewhere do not find more",
    }[rival.name]
    return HealthIndicator(
        id=rival.name,
        title=title,
        state=state,
        wanted=f"no more than {TOLERATED:.0%} of survivors broken by {rival.questions} questions each",
        actual=f"{rival.broken} of {rival.asked} survivors broken",
        explanation="Who follows the gradient knows more than who does not. If the weaker attack wins, the gradient is masked "
        "(quantised, saturated or random layers), and robust accuracy is far below what is reported.",
        applies="all samples that gradients left" if rival.included else f"up to {FEW} samples that survived",
        test="any warns: what it broke is part of the number"
        if rival.included
        else f"fails if the exact 95 % interval of the share lies above {TOLERATED:.0%}; any warns",
        effect=rival.broken / rival.asked if rival.asked else None,
        consequence="warns" if rival.included else "invalidates",
        next_attack="more questions: the suite deep; or name the layer that hides the gradient under threat.approximate"
        if rival.included
        else "name the layer that hides the gradient under threat.approximate, or attack without gradients",
    )


def _questions(model: GradientModel, samples: Samples, threat: ThreatModel, result: AttackResult, seed: int) -> Rival:
    """Random corners of the ball, then squares that are kept while the lead of the right class falls (Square attack)."""
    chosen = result.standing()[:FEW]

    def work(part: slice) -> "torch.Tensor":
        some = samples.select(chosen[part]).on(model.device)
        ball = ball_around(some.inputs, threat, threat.eps)
        hunt = _Hunt(model, some, ball, threat, seed)
        for _ in range(_CORNERS):
            hunt.ask(hunt.corner())
        for asked in range(_QUESTIONS):
            hunt.ask(hunt.square(asked / _QUESTIONS))
        _enter(result, samples, threat, chosen[part], hunt)
        return hunt.broken.cpu()

    broken = _count(in_batches(model, len(chosen), work))
    return Rival("black-box", len(chosen), broken, _CORNERS + _QUESTIONS)


def _transfer(model: GradientModel, samples: Samples, threat: ThreatModel, result: AttackResult) -> Rival:
    """Gradients of a linear surrogate that was fitted to the scores, and changes that broke other samples of the class."""
    chosen = result.standing()[:FEW]
    if not len(chosen):
        return Rival("transfer", 0, 0, 0)
    weight = _surrogate(model, samples)
    targets = min(_TARGETS, weight.shape[1] - 1)
    donors = result.broken_within(threat.eps)

    def work(part: slice) -> "torch.Tensor":
        which = chosen[part]
        some = samples.select(which).on(model.device)
        ball = ball_around(some.inputs, threat, threat.eps)
        hunt = _Hunt(model, some, ball, threat, 0)
        ranked = ranked_targets(model.scores(some.inputs), some.labels, targets)
        for place in range(targets):
            way = (weight[:, ranked[:, place]] - weight[:, some.labels]).T.reshape(some.inputs.shape)
            hunt.ask(ball.step(some.inputs, way, threat.eps))
        for place in range(_DONORS):
            change = _donated(samples, result, donors, which, place).to(model.device)
            hunt.ask(ball.project(some.inputs + change))
        _enter(result, samples, threat, which, hunt)
        return hunt.broken.cpu()

    broken = _count(in_batches(model, len(chosen), work))
    return Rival("transfer", len(chosen), broken, targets + _DONORS)


class _Hunt:
    """The best point of each sample so far, by questions alone."""

    def __init__(self, model: GradientModel, samples: Samples, ball: Ball, threat: ThreatModel, seed: int) -> None:
        import numpy as np
        import torch

        self._model, self._samples, self._ball, self._threat = model, samples, ball, threat
        self._sources = [np.random.default_rng([seed, _STREAM, row]) for row in samples.rows]
        self.broken = torch.zeros(len(samples), dtype=torch.bool, device=model.device)
        self.found = samples.inputs.clone()
        self._lead = torch.full((len(samples),), math.inf, device=model.device)
        self._pattern = torch.zeros_like(samples.inputs)
        self._tried = self._pattern

    def ask(self, points: "torch.Tensor") -> None:
        """One question for each sample that stands."""
        alive = (~self.broken).nonzero()[:, 0]
        if not len(alive):
            return
        scores = self._model.scores(points[alive])
        labels = self._samples.labels[alive]
        wrong = self._model.misled(points[alive], scores, labels)
        own = scores.gather(1, labels[:, None])
        lead = (own - scores.scatter(1, labels[:, None], -math.inf).amax(dim=1, keepdim=True))[:, 0].float()
        nearer = alive[lead < self._lead[alive]]
        self._pattern[nearer] = self._tried[nearer]
        self._lead[alive] = self._lead[alive].fmin(lead)
        self.broken[alive[wrong]] = True
        self.found[alive[wrong]] = points[alive[wrong]]

    def corner(self) -> "torch.Tensor":
        """A random corner of the ball; every other one in stripes, which networks dislike more than noise."""
        import numpy as np
        import torch

        shape = tuple(self._samples.inputs.shape[1:])
        signs = np.empty((len(self._samples), *shape), dtype=np.float32)
        for position, source in enumerate(self._sources):
            striped = len(shape) == 3 and source.random() < 0.5
            drawn = (shape[0], 1, shape[2]) if striped else shape
            signs[position] = source.integers(0, 2, drawn) * 2.0 - 1.0
        self._tried = torch.from_numpy(signs).to(self._model.device)
        return self._point(self._tried)

    def square(self, spent: float) -> "torch.Tensor":
        """The best pattern with one block of values set to one sign; blocks shrink with what is spent."""
        self._tried = self._pattern.clone()
        shape = tuple(self._samples.inputs.shape[1:])
        for position, source in enumerate(self._sources):
            block = _block(shape, source, 0.3 * (1 - spent) ** 2)
            self._tried[position][block] = float(source.integers(0, 2) * 2 - 1)
        return self._point(self._tried)

    def _point(self, pattern: "torch.Tensor") -> "torch.Tensor":
        return self._ball.project(self._samples.inputs + self._threat.eps * pattern)


def _block(shape: tuple[int, ...], source: "np.random.Generator", share: float) -> tuple[slice, ...]:
    """Of images a square over one channel or all, else a run of values."""
    if len(shape) != 3:
        length = max(1, round(share * shape[-1]))
        begin = int(source.integers(0, shape[-1] - length + 1))
        return (*[slice(None)] * (len(shape) - 1), slice(begin, begin + length))
    side = max(1, round(math.sqrt(share * shape[1] * shape[2])))
    high, wide = min(side, shape[1]), min(side, shape[2])
    top, left = int(source.integers(0, shape[1] - high + 1)), int(source.integers(0, shape[2] - wide + 1))
    channel = int(source.integers(0, shape[0]))
    return slice(channel, channel + 1), slice(top, top + high), slice(left, left + wide)


def _surrogate(model: GradientModel, samples: Samples) -> "torch.Tensor":
    """Weights (values x classes) of the ridge regression of scores on inputs, in its dual form."""
    import torch

    some = samples.inputs[:_FITTED]
    scores = torch.cat(in_batches(model, len(some), lambda part: model.scores(some[part]).double().cpu()))
    flat = some.flatten(1).double()
    flat = flat - flat.mean(dim=0)
    scores = scores.nan_to_num(0.0, 0.0, 0.0)
    scores = scores - scores.mean(dim=0)
    kernel = flat @ flat.T
    kernel.diagonal().add_(_RIDGE * float(kernel.diagonal().mean()) + 1e-12)
    weight: torch.Tensor = (flat.T @ torch.linalg.solve(kernel, scores)).float()
    return weight.to(model.device)


def _donated(
    samples: Samples, result: AttackResult, donors: "torch.Tensor", which: "torch.Tensor", place: int
) -> "torch.Tensor":
    """For each sample the change that broke another one, of its own class where there is one; zero where none broke."""
    import torch

    changes = torch.zeros_like(samples.inputs[which])
    if not len(donors):
        return changes
    labels = samples.labels[donors]
    for position, label in enumerate(samples.labels[which].tolist()):
        alike = donors[labels == label]
        pool = alike if len(alike) else donors
        donor = int(pool[place % len(pool)])
        changes[position] = result.adversarial[donor] - samples.inputs[donor]
    return changes


def _enter(result: AttackResult, samples: Samples, threat: ThreatModel, which: "torch.Tensor", hunt: _Hunt) -> None:
    broken = hunt.broken.cpu()
    inputs = hunt.found.cpu()[broken]
    which = which[broken]
    result.note(which, inputs, lengths_of(inputs, samples.inputs[which], threat))


def _count(parts: "list[torch.Tensor]") -> int:
    return sum(int(part.sum()) for part in parts)
