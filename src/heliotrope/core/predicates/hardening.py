"""Evidence of hardening: how a model was made more robust, and what it gained and lost by it on the same samples."""

from typing import Literal

from pydantic import Field

from heliotrope.core.evidence import Blob
from heliotrope.core.measurements import Interval
from heliotrope.core.predicates.behaviour import HealthIndicator, HealthVerdict, ThreatModel
from heliotrope.core.records import Record, Sha256

__all__ = [
    "HARDENING_PREDICATE",
    "HardenedSide",
    "HardeningPredicate",
    "HardeningVerdict",
    "PairedChange",
    "TrainingRound",
]

HARDENING_PREDICATE = "urn:heliotrope:predicate:hardening:v1"

HardeningVerdict = Literal["better", "no-better", "not-credited"]
"""better: the gain in robust accuracy is above zero beyond doubt, and clean accuracy paid no more for it than is allowed.
not-credited: the attack on one of the two models did not work, so that its number says nothing."""


class TrainingRound(Record):
    """One epoch, or one round of retraining, as judged on the part of the training data that is kept for it."""

    number: int
    """From 1."""
    loss: float | None = None
    """Mean of what was minimised; null where the library does not say."""
    eps: float
    """Radius it was trained at; it rises to that of the threat."""
    clean_accuracy: float
    robust_accuracy: float
    """Under a short attack: it chooses the round, and is no result."""
    seconds: float
    """CPU time."""
    note: str | None = None
    """Of tables: what was changed in it, for people."""


class HardenedSide(Record):
    """One of the two models on the held-out samples."""

    digests: dict[str, Sha256]
    clean_correct: int
    clean_accuracy: float
    clean_interval: Interval
    robust_correct: int
    robust_accuracy: float
    robust_interval: Interval
    certified: int | None = None
    """Samples that are proven right within the threat; null where nothing can be proven."""
    latency_ms: float
    """Median time of one answer about one sample."""
    health: tuple[HealthIndicator, ...]
    health_verdict: HealthVerdict
    forward_passes: int | None = None
    """What the attack cost; of models that are only asked: questions."""


class PairedChange(Record):
    """How a share changed between two models that were judged on the same samples."""

    gained: int
    """Samples that are right only afterwards."""
    lost: int
    """Samples that are right only before."""
    n: int
    change: float
    """(gained - lost) / n."""
    interval: Interval


class HardeningPredicate(Record):
    """What hardening did and what it is worth."""

    method: str
    """As in pgd, trades, fast, noise; of tables as in retrain+monotone."""
    settings: dict[str, str | float | int | bool]
    attack: str
    """Which attack judged both models, as in ensemble."""
    threat: ThreatModel
    training_rows: int
    validation_rows: int
    """Taken from the training data, to choose the round."""
    held_out_rows: int
    """Evaluation samples both models were judged on."""
    removed_rows: int
    """Rows left out of training because the same content is among the evaluation data."""
    rounds: tuple[TrainingRound, ...]
    chosen: int = Field(ge=0)
    """The round whose model is kept; 0: the model as it was, of tables refitted as it was."""
    stopped: str | None = None
    """Why training ended before its last round; null where it did not."""
    resumed: bool = False
    """Whether it went on from an earlier run that was stopped."""
    before: HardenedSide
    after: HardenedSide
    refitted: HardenedSide | None = None
    """Of tables: the original fitted anew on the training part without hardening it. What it gains is none of hardening's."""
    clean_change: PairedChange
    robust_change: PairedChange
    verdict: HardeningVerdict
    reason: str
    model: Blob | None
    """The hardened model, in the format of the original; null where none was kept."""
    data: dict[str, Sha256]
