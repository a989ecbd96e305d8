"""Evidence of what training and evaluation data have in common, and of features that say too much."""

from typing import Literal

from heliotrope.core.measurements import Interval
from heliotrope.core.records import Record, Sha256

__all__ = ["LEAKAGE_PREDICATE", "LeakagePredicate", "SingleFeature"]

LEAKAGE_PREDICATE = "urn:heliotrope:predicate:leakage:v1"


class SingleFeature(Record):
    """How well one feature alone gives the answer, by a rule learnt on training rows and tried on evaluation rows."""

    name: str
    metric: Literal["balanced_accuracy", "r2"]
    value: float


class LeakagePredicate(Record):
    """Rows that are in both sets, and features that should not be what they are."""

    evaluation_rows: int
    training_rows: int
    compared: int
    """Evaluation rows whose inputs were looked for among the training rows: all, or of very large data a part."""
    shared: int
    """Those that were found."""
    shared_with_answer: int
    """Those that were found with the same answer."""
    duplicate_share: float
    interval: Interval
    repeated_in_evaluation: float
    """Share of compared evaluation rows that repeat an earlier one."""
    repeated_in_training: float
    """The same of training rows: how often rows are equal without any leak."""
    columns: tuple[str, ...]
    """Features that were compared: those of both sets; empty for images and arrays."""
    constant: tuple[str, ...]
    identifiers: tuple[str, ...]
    single_features: tuple[SingleFeature, ...]
    """The best few, best first."""
    answers: int
    """Different answers in the evaluation data, counted up to 10,000."""
    data: dict[str, Sha256]
    """Digests of the data files; those of training data begin with train/."""
