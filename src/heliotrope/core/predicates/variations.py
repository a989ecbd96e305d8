"""Evidence of accuracy under changes that no norm bounds sample by sample: turned and moved, one pattern for all, a patch."""

from typing import Annotated, Literal

from pydantic import Field

from heliotrope.core.evidence import Blob
from heliotrope.core.measurements import Interval
from heliotrope.core.predicates.behaviour import HealthIndicator, HealthVerdict
from heliotrope.core.records import Record, Sha256

__all__ = ["VARIATION_PREDICATE", "VariationPoint", "VariationPredicate"]

VARIATION_PREDICATE = "urn:heliotrope:predicate:variation:v1"


class VariationPoint(Record):
    """Accuracy under one variation alone, as a rotation by -30 degrees or the same place with noise."""

    name: str
    right: int
    n: int
    interval: Interval


class VariationPredicate(Record):
    """Accuracy under a family of variations, with all that is needed to judge the number."""

    attack: Literal["geometry", "universal", "patch"]
    allowed: dict[str, str | float | int]
    """What the attacker may do, as in {"degrees": 30, "shift": 3}."""
    n: int
    """Samples it is measured on; none of them was seen while a pattern was made."""
    fitted: int = 0
    """Further samples by which a pattern was made; 0 where there is none."""
    clean_correct: int
    clean_accuracy: float
    clean_interval: Interval
    held: int
    """Samples that are right by themselves and under every variation that was tried."""
    accuracy: float
    interval: Interval
    points: tuple[VariationPoint, ...]
    health: Annotated[tuple[HealthIndicator, ...], Field(min_length=1)]
    health_verdict: HealthVerdict
    asked: int
    """Samples sent forward."""
    samples: Blob | None
    """Compressed npz: index, label, original and perturbed, with the variation's own numbers; null where nothing broke."""
    pictures: tuple[Blob, ...] = ()
    """PNG: of a pattern the pattern itself, else some of the broken inputs."""
    data: dict[str, Sha256]
