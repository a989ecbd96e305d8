"""What the gate is given to decide on: evidence and outcomes, never the checks themselves."""

from dataclasses import dataclass

from heliotrope.core.assessments import EvidenceEntry, RunEntry
from heliotrope.core.findings import Finding
from heliotrope.core.measurements import Measurement
from heliotrope.core.records import Sha256
from heliotrope.core.subjects import Subject

__all__ = ["Facts", "Observed"]


@dataclass(frozen=True, slots=True)
class Observed:
    """A measurement, the run it came from and the evidence under it."""

    measurement: Measurement
    run: RunEntry
    evidence: tuple[Sha256, ...]


@dataclass(frozen=True, slots=True)
class Facts:
    """All that was learned about a project in one assessment."""

    subjects: tuple[Subject, ...]
    runs: tuple[RunEntry, ...]
    observed: tuple[Observed, ...]
    findings: tuple[Finding, ...]
    evidence: tuple[EvidenceEntry, ...]
    known_fingerprints: frozenset[str] = frozenset()
    """Findings of the baseline: accepted as known, they do not count again."""
    baseline: str | None = None
