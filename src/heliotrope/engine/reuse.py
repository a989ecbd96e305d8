"""Taking over evidence of an earlier run instead of running again.

Only from a ledger of one's own, only when check version, parameters, inputs and seed are equal, only when young enough, and
only when every record and blob it rests on is still there unchanged.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import ValidationError

from heliotrope.core.errors import LedgerError
from heliotrope.core.evidence import Statement
from heliotrope.core.findings import Finding
from heliotrope.core.records import Sha256
from heliotrope.core.runs import CheckResult, Run
from heliotrope.ledger.interface import Blobs, Ledger, LedgerTampered

__all__ = ["Reusable", "ReusePolicy", "find_reusable"]

_CONCLUSIVE = frozenset({"passed", "failed", "not_applicable"})


@dataclass(frozen=True, slots=True)
class ReusePolicy:
    """Whether and for how long evidence may be taken over."""

    allowed: bool
    maximum_age: timedelta


@dataclass(frozen=True, slots=True)
class Reusable:
    """An earlier run with all that it found."""

    id: str
    run: Run
    result: CheckResult


def find_reusable(ledger: Ledger, blobs: Blobs, key: Sha256, policy: ReusePolicy, *, now: datetime) -> Reusable | None:
    """The newest run that may stand in, or None."""
    if not policy.allowed:
        return None
    found = ledger.latest("run", "reuse", key)
    if found is None:
        return None
    age = now - datetime.fromisoformat(found.time)
    if age > policy.maximum_age or age < timedelta(0):
        return None
    try:
        run = Run.model_validate_json(ledger.content(found.content_id))
        if run.outcome.state not in _CONCLUSIVE or run.reuse_key != key:
            return None
        for blob in run.blobs:
            blobs.get(blob.sha256)
        result = CheckResult(
            outcome=run.outcome,
            evidence=tuple(Statement.model_validate_json(ledger.content(item)) for item in run.evidence),
            findings=tuple(Finding.model_validate_json(ledger.content(item)) for item in run.findings),
            measurements=run.measurements,
            blobs=run.blobs,
        )
    except LedgerTampered:
        raise
    except (LedgerError, ValidationError):
        return None  # written by another version, or a blob is gone: run again
    return Reusable(found.id, run, result)
