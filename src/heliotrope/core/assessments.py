"""The document `helio assess --format json` prints (heliotrope.assessment/v1); every report is drawn from it alone."""

from typing import Any, Literal

from pydantic import Field

from heliotrope.core.decisions import Decision
from heliotrope.core.findings import Finding
from heliotrope.core.measurements import Measurement
from heliotrope.core.outcomes import OutcomeState
from heliotrope.core.records import Record, Sha256
from heliotrope.core.runs import Cost
from heliotrope.core.subjects import Subject

__all__ = [
    "ASSESSMENT_SCHEMA",
    "Assessment",
    "Difference",
    "EvidenceEntry",
    "LedgerReference",
    "ProjectReference",
    "RunEntry",
    "Tool",
]

ASSESSMENT_SCHEMA = "heliotrope.assessment/v1"


class Tool(Record):
    """Which Heliotrope produced this, under which policy."""

    version: str
    policy_digest: Sha256
    name: Literal["heliotrope"] = "heliotrope"


class ProjectReference(Record):
    """What was assessed."""

    name: str
    path: str
    """The folder, as it was named on the command line."""
    configuration: str | None
    """Path of heliotrope.yaml relative to the folder; null for a static assessment without one."""


class RunEntry(Record):
    """One run of a check, flattened for readers."""

    id: str
    check: str
    version: str
    title: str
    subject: str
    outcome: OutcomeState
    reason: str
    code: str | None = None
    """For skipped and error: the kind, as in missing_extra or timeout."""
    needs: tuple[str, ...] = ()
    evidence: tuple[Sha256, ...] = ()
    findings: tuple[str, ...] = ()
    """Fingerprints of what it found."""
    inputs: dict[str, Sha256] = {}
    parameters_digest: Sha256
    seed: int
    environment: dict[str, str] = {}
    cost: Cost
    reused_from: str | None = None
    """Id of the earlier run whose evidence was taken over."""


class EvidenceEntry(Record):
    """A piece of evidence under its content id."""

    id: Sha256
    predicate_type: str
    subject: dict[str, Sha256]
    predicate: dict[str, Any]


class LedgerReference(Record):
    """Where it is recorded. Keep the head: with it, later truncation or rewriting shows."""

    location: str
    head: str | None
    """`<number of records>:<sha256>`; null when nothing was recorded."""


class Difference(Record):
    """What changed against an earlier assessment."""

    previous: str
    """Its id."""
    previous_finished_at: str
    new_findings: tuple[str, ...]
    """Fingerprints."""
    fixed_findings: tuple[str, ...]
    verdict_before: str
    measurements: dict[str, tuple[float | None, float | None]]
    """Metric and subject to (before, now), where it changed."""


class Assessment(Record):
    """The whole of one assessment."""

    schema_: Literal["heliotrope.assessment/v1"] = Field(default="heliotrope.assessment/v1", alias="schema")
    id: str
    tool: Tool
    project: ProjectReference
    suite: str
    started_at: str
    finished_at: str
    subjects: tuple[Subject, ...]
    runs: tuple[RunEntry, ...]
    measurements: tuple[Measurement, ...]
    findings: tuple[Finding, ...]
    evidence: tuple[EvidenceEntry, ...]
    decision: Decision
    exit_code: int
    ledger: LedgerReference
    baseline: str | None = None
    """Id of the assessment whose findings were accepted as known."""
    difference: Difference | None = None
