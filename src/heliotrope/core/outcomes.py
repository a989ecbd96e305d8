"""What came of running a check. A check that could not look has a type of its own and never reads as a pass."""

from typing import Annotated, Literal

from pydantic import Field

from heliotrope.core.records import Record

__all__ = [
    "ErrorKind",
    "Errored",
    "Failed",
    "Inconclusive",
    "NotApplicable",
    "Outcome",
    "OutcomeState",
    "Passed",
    "SkipReason",
    "Skipped",
]

OutcomeState = Literal["passed", "failed", "inconclusive", "skipped", "not_applicable", "error"]
SkipReason = Literal["missing_extra", "deselected", "cancelled", "suite"]
ErrorKind = Literal["exception", "crashed", "timeout", "memory", "protocol", "cancelled", "unavailable"]


class Passed(Record):
    """The check looked and found nothing against the subject."""

    state: Literal["passed"] = "passed"
    reason: str = ""


class Failed(Record):
    """The check looked and found something against the subject."""

    state: Literal["failed"] = "failed"
    reason: str


class Inconclusive(Record):
    """The check lacks a fact, consent or certainty; `needs` names the keys or options that would settle it."""

    state: Literal["inconclusive"] = "inconclusive"
    reason: str
    needs: tuple[str, ...] = ()


class Skipped(Record):
    """The check did not run."""

    state: Literal["skipped"] = "skipped"
    code: SkipReason
    reason: str


class NotApplicable(Record):
    """Observed facts prove that the check has no object here; without facts it cannot be constructed."""

    state: Literal["not_applicable"] = "not_applicable"
    reason: str
    facts: Annotated[tuple[str, ...], Field(min_length=1)]


class Errored(Record):
    """The check broke: nothing is known."""

    state: Literal["error"] = "error"
    kind: ErrorKind
    reason: str


Outcome = Annotated[Passed | Failed | Inconclusive | Skipped | NotApplicable | Errored, Field(discriminator="state")]
