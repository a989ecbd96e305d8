"""Evidence that a new version of a model withstands what misled an earlier one."""

from heliotrope.core.measurements import Interval
from heliotrope.core.records import Record, Sha256

__all__ = ["COUNTEREXAMPLES_PREDICATE", "CaseManifest", "CaseSource", "CounterexamplesPredicate"]

COUNTEREXAMPLES_PREDICATE = "urn:heliotrope:predicate:counterexamples:v1"


class CaseSource(Record):
    """One attack's stored inputs."""

    evidence: Sha256
    samples: Sha256
    media_type: str
    attack: str
    digests: tuple[Sha256, ...]
    """Of the model it was held against."""
    found: str
    """When, RFC 3339 in UTC."""


class CaseManifest(Record):
    """What the ledger knows of counterexamples of one model, as it is handed to the check."""

    sources: tuple[CaseSource, ...] = ()
    """The newest first."""
    left_out: int = 0
    """Older ones that are not looked at."""
    held: tuple[str, ...] = ()
    """Ids of the cases that some version withstood."""


class CounterexamplesPredicate(Record):
    """Inputs that misled earlier versions, put to this one."""

    n: int
    """Different inputs."""
    versions: int
    """How many earlier versions they misled."""
    attacks: dict[str, int]
    """Inputs by the attack that found them."""
    survived: int
    accuracy: float
    """survived / n."""
    interval: Interval
    known_held: int
    """Cases that a version before this one withstood."""
    regressed: tuple[str, ...]
    """Ids of those of them that mislead this version again."""
    regressed_rows: tuple[int, ...]
    """Where they stand in the evaluation data, at most 50."""
    held: tuple[str, ...]
    """Ids of all cases that this version or an earlier one withstood: later ones must."""
    sources: tuple[Sha256, ...]
    """Evidence they come from."""
    left_out: int
