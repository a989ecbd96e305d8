"""Evidence of how a model behaves: clean performance, and evasion under a threat."""

from typing import Literal

from pydantic import Field

from heliotrope.core.evidence import Blob
from heliotrope.core.measurements import Interval
from heliotrope.core.records import Record, Sha256

__all__ = [
    "EVASION_PREDICATE",
    "PERFORMANCE_PREDICATE",
    "AdversarialExample",
    "ClassPerformance",
    "CurvePoint",
    "EvasionPredicate",
    "HealthIndicator",
    "HealthState",
    "HealthVerdict",
    "Norm",
    "PerformancePredicate",
    "RestartResult",
    "ThreatModel",
]

PERFORMANCE_PREDICATE = "urn:heliotrope:predicate:performance:v1"
EVASION_PREDICATE = "urn:heliotrope:predicate:evasion:v1"

Norm = Literal["Linf", "L2"]
HealthState = Literal["ok", "warning", "failed", "unknown"]
HealthVerdict = Literal["sound", "doubtful", "unsound"]


class ClassPerformance(Record):
    """Accuracy on the samples of one class."""

    label: int
    name: str
    n: int
    correct: int


class PerformancePredicate(Record):
    """Accuracy on unperturbed data."""

    n: int
    correct: int
    accuracy: float
    interval: Interval
    classes: tuple[ClassPerformance, ...]
    data: dict[str, Sha256]
    """Digests of the data files."""


class ThreatModel(Record):
    """What the attacker may do: change each input by at most eps in the norm, staying in the declared range.

    eps is in the units of the declared input range.
    """

    norm: Norm
    eps: float = Field(gt=0)
    steps: int = Field(ge=1)
    restarts: int = Field(ge=1)
    step_size: float = Field(gt=0)
    input_low: float
    input_high: float


class CurvePoint(Record):
    """Accuracy under attack at one perturbation size."""

    eps: float
    accuracy: float
    n: int
    interval: Interval


class HealthIndicator(Record):
    """One sign of whether the attack itself worked."""

    id: str
    title: str
    state: HealthState
    wanted: str
    actual: str
    explanation: str


class RestartResult(Record):
    """How many samples were attacked in a restart and how many of them broke."""

    restart: int
    attacked: int
    broken: int


class AdversarialExample(Record):
    """A failure worth looking at. Pictures are PNG blobs; the difference is amplified and centred on grey."""

    index: int
    """Row in the evaluation data."""
    label: int
    label_name: str
    adversarial_prediction: int
    adversarial_name: str
    clean_confidence: float
    adversarial_confidence: float
    linf: float
    l2: float
    original: Blob | None
    perturbed: Blob | None
    difference: Blob | None
    difference_gain: float = 10.0


class EvasionPredicate(Record):
    """Accuracy under a gradient attack, with all that is needed to judge the number."""

    attack: str
    """As in pgd."""
    threat: ThreatModel
    n: int
    clean_correct: int
    broken: int
    """Samples that were classified correctly and are not under attack."""
    clean_accuracy: float
    clean_interval: Interval
    robust_accuracy: float
    """Share of all n that is right both clean and under every restart: the pointwise worst case."""
    robust_interval: Interval
    curve: tuple[CurvePoint, ...]
    restarts: tuple[RestartResult, ...]
    health: tuple[HealthIndicator, ...]
    health_verdict: HealthVerdict
    """sound: all ok or unknown; doubtful: a warning; unsound: one failed, the number must not be relied on."""
    forward_passes: int
    """Samples sent forward, summed over batches."""
    gradient_passes: int
    examples: tuple[AdversarialExample, ...]
    samples: Blob | None
    """Compressed npz with the broken inputs: index, label, original and perturbed."""
    data: dict[str, Sha256]
