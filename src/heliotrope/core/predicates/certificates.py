"""Evidence of what is proven about a model: certificates of samples, votes of a smoothed classifier, properties."""

from typing import Literal

from pydantic import Field

from heliotrope.core.evidence import Blob
from heliotrope.core.measurements import Interval
from heliotrope.core.predicates.behaviour import Norm
from heliotrope.core.records import Record, Sha256

__all__ = [
    "CERTIFICATE_PREDICATE",
    "PROPERTIES_PREDICATE",
    "SMOOTHING_PREDICATE",
    "CertificatePredicate",
    "MethodCount",
    "PropertiesPredicate",
    "PropertyResult",
    "RadiusBin",
    "SmoothingPredicate",
]

CERTIFICATE_PREDICATE = "urn:heliotrope:predicate:certificate:v1"
SMOOTHING_PREDICATE = "urn:heliotrope:predicate:smoothing:v1"
PROPERTIES_PREDICATE = "urn:heliotrope:predicate:properties:v1"


class RadiusBin(Record):
    """How many samples have a certified radius from `low` up to, but not including, `high`."""

    low: float
    high: float | None
    """Null: no upper end."""
    count: int


class MethodCount(Record):
    """How many samples a step of the method decided."""

    method: str
    count: int


class CertificatePredicate(Record):
    """Samples that are proven right for every input within the threat; those that are not; and those that nothing decided."""

    method: str
    """As in linear-exact, trees-exact or crown (linear bounds, carried back)."""
    norm: Norm
    eps: float = Field(gt=0)
    """In the units of the input range; of tables in spreads of each column."""
    input_low: float | None = None
    input_high: float | None = None
    changed_categories: int | None = None
    n: int
    clean_correct: int
    certified: int
    broken: int
    """Right by itself, and misled by an input of the threat on which the model was asked."""
    undecided: int
    certified_accuracy: float
    """Share of all n that is certified: a lower bound of accuracy under any attack within the threat."""
    certified_interval: Interval
    robust_at_most: float
    """Share of all n that is not broken: an upper bound."""
    steps: tuple[MethodCount, ...]
    nodes: int
    """Parts that branch and bound looked at, summed over samples."""
    radii: tuple[RadiusBin, ...]
    """Certified radii of `radii_n` samples that are right, in the units of eps; those that are wrong have none."""
    radii_n: int
    assumptions: tuple[str, ...]
    """What the proof takes for granted."""
    samples: Blob | None
    """The broken inputs. Compressed npz: index, label, original, perturbed; of tables parquet, as evasion keeps it."""
    data: dict[str, Sha256]


class SmoothingPredicate(Record):
    """Accuracy of the classifier that votes over noisy copies, within radii that the votes prove."""

    sigma: float
    votes: int
    selection: int
    alpha: float
    """Probability that the radius of one sample is wrong."""
    norm: Norm
    eps: float
    """Of the threat; for Linf a sample counts when its Euclidean radius holds the box."""
    n: int
    correct: int
    abstained: int
    certified: int
    """Right, with a radius that covers the threat."""
    certified_accuracy: float
    certified_interval: Interval
    """Of the sample; each certificate is wrong with a probability of alpha on top."""
    radii: tuple[RadiusBin, ...]
    """Euclidean radii of the samples that are right."""
    asked: int
    data: dict[str, Sha256]


class PropertyResult(Record):
    """One property in VNN-LIB."""

    path: str
    sha256: Sha256
    verdict: Literal["holds", "violated", "undecided"]
    cases: int
    nodes: int
    inputs: tuple[float, ...] = ()
    """Of the counterexample, where it has at most 64 values; the model was asked about it in float32."""
    outputs: tuple[float, ...] = ()
    example: Blob | None = None
    """The counterexample as npy."""


class PropertiesPredicate(Record):
    """Properties that must hold for every input within their bounds."""

    results: tuple[PropertyResult, ...]
    assumptions: tuple[str, ...]
