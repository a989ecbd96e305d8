"""Every attack in turn on what still stands, with a proof in between where that pays."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from heliotrope.attack.certify.interface import Budget as ProofBudget
from heliotrope.attack.certify.interface import Certifier, Region
from heliotrope.attack.certify.probe import probe
from heliotrope.attack.ensemble.presets import PresetName, square_of, white_box_of
from heliotrope.attack.gradients.campaign import Campaign, Pass
from heliotrope.attack.gradients.model import GradientModel
from heliotrope.attack.health.examined import Rival
from heliotrope.attack.interface import AttackResult, Budget, Samples, part_of
from heliotrope.core.predicates.behaviour import ThreatModel
from heliotrope.subjects.checkpoint import Checkpoint

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
    checkpoint: Checkpoint | None = None,
    said: Said = lambda _share, _text: None,
) -> Evaluation:
    """Attack every sample until it breaks, is proven, or all stages are through.

    A sample leaves when a changed input misleads the model in a batch of one. `certifier`: what may prove; None with
    `no_proof`, the reason. `forwards`: passes that each sample may cost; where that ends depends on neither batch nor
    threads, and what it did not reach is counted. `checkpoint`: where the state is kept after each stage, and taken up
    from; a run that goes on ends as one that was not interrupted. With equal seed and budget the verdicts are equal.
    """
    classes = int(model.one(samples.inputs[:1]).shape[1]) if len(samples) else 2
    white = white_box_of(preset, classes, threat.restarts, steps=threat.steps, draws=model.draws)
    square = square_of(preset, threat.restarts, model.draws)
    run = Campaign(model, samples, threat, seed=seed, ranks=max(one.rank for one in white), alone=True)
    stages = _Stages(run, (*white, *square), forwards, said, checkpoint)
    stages.take_up()
    stages.run(_CHEAP)
    if stages.proof is None:
        stages.proof = no_proof
        if certifier is not None:
            stages.proof = _prove(run, certifier, threat, seconds=stages.seconds, stages=stages)
        stages.keep()
    stages.run(len(white))
    if stages.left is None:
        stages.left = len(run.standing())
        stages.keep()
    stages.run(len(white) + len(square))
    asked = stages.left if stages.complete else 0
    broken = stages.left - len(run.standing()) if asked else 0
    rival = Rival("black-box", asked, broken, sum(one.queries for one in square), included=True)
    unreached = 0 if stages.complete else len(run.standing())
    return Evaluation(run.closed(), run.proven, unreached, run.unconfirmed, (rival,), stages.proof)


class _Stages:
    """All passes in order, within a budget; what is said meanwhile, and what is kept after each."""

    def __init__(
        self,
        run: Campaign,
        passes: "tuple[Pass, ...]",
        forwards: int | None,
        said: Said,
        checkpoint: Checkpoint | None,
    ) -> None:
        self._run, self._passes, self._forwards, self._said = run, passes, forwards, said
        self._checkpoint = checkpoint
        self.proof: str | None = None
        """What came of trying to prove; None before."""
        self.left: int | None = None
        """How many samples gradients left; None before."""
        self.seconds = 0.0
        """CPU time of the passes so far."""

    def _cost(self, one: "Pass") -> int:
        return ((one.steps or self._run.threat.steps) + 1) * self._run.model.draws

    def _spent(self, count: int) -> int:
        """What a standing sample has cost after so many passes."""
        return sum(self._cost(one) for one in self._passes[:count])

    @property
    def complete(self) -> bool:
        """Whether the budget sufficed for all passes."""
        return self._forwards is None or self._spent(len(self._passes)) <= self._forwards

    @property
    def remaining(self) -> int:
        """Forward passes that a standing sample would still cost, all stages together."""
        return max(1, self._spent(len(self._passes)) - self._spent(self._run.done))

    def run(self, until: int) -> None:
        """Passes up to a count; those that were run already, or that the budget leaves nothing for, are left out."""
        whole = max(1, self._spent(len(self._passes)))
        while self._run.done < until:
            one, spent = self._passes[self._run.done], self._spent(self._run.done)
            left = None if self._forwards is None else self._forwards - spent
            if left is not None and left < 2 * self._run.model.draws:
                return
            began = time.process_time()
            tick = part_of(self._say, spent / whole, self._cost(one) / whole)
            self._run.run(one, budget=Budget(forwards=left), tick=tick)
            self.seconds += time.process_time() - began
            self.keep()

    def take_up(self) -> None:
        """Go on from what an earlier run kept, if it did."""
        known = self._checkpoint.load() if self._checkpoint is not None else None
        if known is None:
            return
        facts, arrays = known
        self.proof, self.left, self.seconds = facts["proof"], facts["left"], facts["seconds"]
        self._run.take_up(facts, arrays, self._passes[: facts["done"]])

    def keep(self) -> None:
        """Note where the run stands."""
        if self._checkpoint is not None:
            facts, arrays = self._run.kept()
            self._checkpoint.save(
                facts | {"done": self._run.done, "proof": self.proof, "left": self.left, "seconds": self.seconds},
                arrays,
            )

    def _say(self, share: float) -> None:
        """The bound so far."""
        n, standing = len(self._run.samples), len(self._run.standing())
        proven = int(self._run.proven.sum())
        self._said(min(share, 1.0), f"robust <= {(standing + proven) / max(n, 1):.1%}, {standing} open")


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
