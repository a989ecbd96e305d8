"""Every attack in turn on what still stands, with a proof in between where that pays."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from heliotrope.attack.certify.interface import Budget as ProofBudget
from heliotrope.attack.certify.interface import Certifier, Region
from heliotrope.attack.certify.probe import probe
from heliotrope.attack.ensemble.presets import PRESETS, PresetName, square_of, white_box_of
from heliotrope.attack.gradients.campaign import Campaign, Pass
from heliotrope.attack.gradients.model import GradientModel
from heliotrope.attack.health.examined import Rival
from heliotrope.attack.interface import AttackResult, Budget, Samples
from heliotrope.core.predicates.behaviour import ThreatModel

if TYPE_CHECKING:
    import torch

__all__ = ["Evaluation", "Said", "evaluate"]

Said = Callable[[float, str], None]
"""Progress: the share of the work done, and the current bound in words."""

_CHEAP = 2
"""Passes before a proof is tried: the look and one climb of cross-entropy."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What is known of each sample."""

    result: AttackResult
    proven: "torch.Tensor"
    """Samples of which a certificate says that nothing within the threat breaks them."""
    unreached: int
    """Samples that stand and were not given all stages, because the budget was spent."""
    unconfirmed: int
    """Changed inputs that misled in a batch and not alone."""
    rivals: tuple[Rival, ...]
    """What questions alone broke of what gradients had left."""
    proof: str
    """What came of trying to prove."""

    @property
    def certified(self) -> int:
        """How many samples are proven."""
        return int(self.proven.sum())


def evaluate(
    model: GradientModel,
    samples: Samples,
    threat: ThreatModel,
    *,
    preset: PresetName = "standard",
    seed: int = 0,
    certifier: Certifier | None = None,
    no_proof: str = "not asked for",
    forwards: int | None = None,
    said: Said = lambda _share, _text: None,
) -> Evaluation:
    """Attack every sample until it breaks, is proven, or all stages are through.

    A sample leaves when a changed input misleads the model in a batch of one. `certifier`: what may prove; None with
    `no_proof`, the reason. `forwards`: passes that each sample may cost; where that ends depends on neither batch nor
    threads, and what it did not reach is counted. With equal seed and budget the verdicts are equal.
    """
    classes = int(model.one(samples.inputs[:1]).shape[1]) if len(samples) else 2
    white, square = white_box_of(preset, classes, threat.restarts), square_of(preset, threat.restarts, model.draws)
    run = Campaign(model, samples, threat, seed=seed, ranks=max(one.rank for one in white), alone=True)
    stages = _Stages(run, forwards, PRESETS[preset].forwards(threat.steps, threat.restarts, classes=classes), said)
    begin = time.process_time()
    stages.run(white[:_CHEAP])
    if certifier is not None:
        no_proof = _prove(run, certifier, threat, seconds=(time.process_time() - begin), stages=stages)
    stages.run(white[_CHEAP:])
    left = len(run.standing())
    stages.run(square)
    broken, asked = left - len(run.standing()), min(left, left if stages.complete else 0)
    rival = Rival("black-box", asked, broken if asked else 0, sum(one.queries for one in square), included=True)
    unreached = 0 if stages.complete else len(run.standing())
    return Evaluation(run.closed(), run.proven, unreached, run.unconfirmed, (rival,), no_proof)


class _Stages:
    """Passes within a budget, and what to say meanwhile."""

    def __init__(self, run: Campaign, forwards: int | None, whole: int, said: Said) -> None:
        self._run, self._left, self._whole, self._said = run, forwards, whole, said
        self._done = 0
        self.complete = True

    @property
    def remaining(self) -> int:
        """Forward passes that a standing sample would still cost, all stages together."""
        return max(1, self._whole - self._done)

    def run(self, passes: "tuple[Pass, ...]") -> None:
        for one in passes:
            wanted = ((one.steps or self._run.threat.steps) + 1) * self._run.model.draws
            if self._left is not None and self._left < 2 * self._run.model.draws:
                self.complete = False
                return
            budget = Budget(forwards=self._left)
            begin, length = self._done / self._whole, wanted / self._whole
            self._run.run(one, budget=budget, tick=lambda share, b=begin, n=length: self.say(min(1.0, b + n * share)))  # type: ignore[misc]
            self._done += wanted
            if self._left is not None:
                self.complete = self.complete and self._left >= wanted
                self._left = max(0, self._left - wanted)

    def say(self, share: float) -> None:
        """The bound so far."""
        n, standing = len(self._run.samples), len(self._run.standing())
        proven = int(self._run.proven.sum())
        self._said(share, f"robust <= {(standing + proven) / max(n, 1):.1%}, {standing} open")


def _prove(run: Campaign, certifier: Certifier, threat: ThreatModel, *, seconds: float, stages: _Stages) -> str:
    """Try a few; where that pays, all that still stand. Proven samples need no attack."""
    standing = run.standing()
    if not len(standing):
        return "nothing was left to prove"
    inputs = run.samples.inputs[standing].numpy()
    labels = run.samples.labels[standing].numpy()
    region = _region(threat, inputs.shape)
    each = seconds / max(1, run.model.cost.forward) * stages.remaining
    worth = probe(certifier, inputs, labels, region, attack_seconds=each)
    if not worth.pays:
        return f"not worth it: {worth.reason}"
    known = certifier.certify(inputs, labels, region, ProofBudget(attack=False))
    certified = [verdict == "certified" for verdict in known.verdicts]
    for position, sure in zip(standing.tolist(), certified, strict=True):
        run.proven[position] = sure
    return f"{sum(certified)} of {len(certified)} proven by {certifier.method}"


def _region(threat: ThreatModel, shape: tuple[int, ...]) -> Region:
    import numpy as np

    low, high = threat.box
    if threat.channel_eps is None:
        return Region(threat.norm, threat.eps, low, high)
    shares = np.asarray([eps / threat.eps for eps in threat.channel_eps]).reshape(-1, *[1] * (len(shape) - 2))
    return Region(threat.norm, threat.eps, low, high, np.broadcast_to(shares, shape[1:]).astype(np.float64))
