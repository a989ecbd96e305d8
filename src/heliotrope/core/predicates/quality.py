"""Evidence of how a model copes with ordinary faults, how steady its answers are, and what they cost."""

from typing import Literal

from heliotrope.core.measurements import Interval
from heliotrope.core.records import Record, Sha256

__all__ = [
    "CORRUPTIONS_PREDICATE",
    "COST_PREDICATE",
    "DETERMINISM_PREDICATE",
    "INPUTS_PREDICATE",
    "MISSING_VALUES_PREDICATE",
    "CorruptionsPredicate",
    "CostPredicate",
    "DeterminismPredicate",
    "Faulted",
    "Goodness",
    "InputScaling",
    "InputsPredicate",
    "Latency",
    "MissingValuesPredicate",
    "OddInput",
    "QualityMetric",
    "Repetition",
    "SeenRange",
]

CORRUPTIONS_PREDICATE = "urn:heliotrope:predicate:corruptions:v1"
MISSING_VALUES_PREDICATE = "urn:heliotrope:predicate:missing-values:v1"
INPUTS_PREDICATE = "urn:heliotrope:predicate:inputs:v1"
DETERMINISM_PREDICATE = "urn:heliotrope:predicate:determinism:v1"
COST_PREDICATE = "urn:heliotrope:predicate:cost:v1"

QualityMetric = Literal["accuracy", "mean_absolute_error"]
"""Accuracy of a classifier, higher is better; mean absolute error of a regression, lower is better."""


class Goodness(Record):
    """How good the answers on some inputs are."""

    n: int
    value: float
    interval: Interval | None
    """Clopper-Pearson for accuracy, Student's t for errors; null for fewer than two errors."""


class Faulted(Record):
    """What a fault of one kind and severity does."""

    fault: str
    """As in noise, blur, unit-mistake, or the feature that is missing."""
    severity: str
    """What the fault was, for people, as in "deviation 0.1" or "x 10"."""
    level: int
    """1 is mild; larger is worse."""
    goodness: Goodness | None
    """Null when the model did not answer."""
    changed: float | None
    """Share of answers that are not those on clean inputs; of a regression, those that moved by more than 1 % of the target's
    deviation."""
    raised: str | None = None
    """What the model said instead of answering."""


class CorruptionsPredicate(Record):
    """Quality under plain faults of the inputs: nobody attacks, something upstream is wrong."""

    metric: QualityMetric
    clean: Goodness
    faults: tuple[Faulted, ...]
    """By fault, mild to severe."""
    worst: Goodness | None
    worst_fault: str | None
    mean: Goodness | None
    """Over the faults that were answered, each counting the same."""
    data: dict[str, Sha256]


class MissingValuesPredicate(Record):
    """Quality when values are missing."""

    metric: QualityMetric
    clean: Goodness
    features: tuple[Faulted, ...]
    """Each feature missing in every row, the one that costs most first."""
    random: tuple[Faulted, ...]
    """A share of all cells missing at random."""
    skipped: int = 0
    """Features beyond the limit of one run, which were not tried."""
    data: dict[str, Sha256]


class SeenRange(Record):
    """Declared and seen values of one feature or channel."""

    name: str
    declared_low: float | None
    declared_high: float | None
    low: float | None
    high: float | None
    outside: int
    """Values that lie outside the declared range."""
    constant: bool


class InputScaling(Record):
    """Quality if the inputs were scaled as is common elsewhere."""

    name: str
    """As in divided by 255."""
    goodness: Goodness | None
    raised: str | None = None


class OddInput(Record):
    """What comes back for inputs that no one should send."""

    name: str
    """As in nan or out-of-range."""
    behaviour: Literal["raised", "answered", "not-finite"]
    detail: str


class InputsPredicate(Record):
    """Whether inputs and outputs are what is declared."""

    metric: QualityMetric
    clean: Goodness
    ranges: tuple[SeenRange, ...]
    scalings: tuple[InputScaling, ...]
    odd_inputs: tuple[OddInput, ...]
    output_declared: str
    output_seen: str
    """What the scores look like: probabilities, logits, labels or values."""
    data: dict[str, Sha256]


class Repetition(Record):
    """The same inputs asked again in another way."""

    name: str
    """As in again, reversed or one-by-one."""
    rows: int
    changed: int
    """Rows whose class differs; of a regression, whose answer differs by more than rounding."""
    difference: float
    """Largest difference of a score, relative to the largest score."""


class DeterminismPredicate(Record):
    """Whether equal inputs get equal answers."""

    n: int
    repetitions: tuple[Repetition, ...]
    data: dict[str, Sha256]


class Latency(Record):
    """How long answers take, model warm, in this process or over the wire."""

    batch: int
    """Rows asked at once."""
    repetitions: int
    median_seconds: float
    """Of one row."""
    p95_seconds: float
    """Of one row, 95th percentile over the repetitions."""
    cpu_seconds: float | None
    """Mean CPU time of this process for one row; null for an endpoint, whose work is done elsewhere."""


class CostPredicate(Record):
    """What an answer costs and what the model weighs. Times depend on the machine: compare them on one."""

    latencies: tuple[Latency, ...]
    size_bytes: int | None
    """Of the model's files; null for an endpoint."""
    parameters: int | None
    """Trainable values, where the library says it."""
    data: dict[str, Sha256]
