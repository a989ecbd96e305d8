"""One execution of a check."""

from heliotrope.core.evidence import Blob, Statement
from heliotrope.core.findings import Finding
from heliotrope.core.measurements import Measurement
from heliotrope.core.outcomes import Outcome
from heliotrope.core.records import Record, Sha256

__all__ = ["CheckResult", "Cost", "Run"]


class Cost(Record):
    """What a run took; not part of what it found."""

    wall_seconds: float
    cpu_seconds: float
    peak_memory_bytes: int | None = None


class CheckResult(Record):
    """What a check returns. It writes nothing; the engine's runner does."""

    outcome: Outcome
    evidence: tuple[Statement, ...] = ()
    findings: tuple[Finding, ...] = ()
    measurements: tuple[Measurement, ...] = ()
    blobs: tuple[Blob, ...] = ()


class Run(Record):
    """A check run on a subject, with all that is needed to say whether it would come out the same again."""

    check: str
    version: str
    subject: str
    parameters_digest: Sha256
    inputs: dict[str, Sha256]
    """Digests of what was examined, by name."""
    seed: int
    environment: dict[str, str]
    """Facts of the process it ran in: Python, platform, isolation, versions of libraries that matter."""
    outcome: Outcome
    evidence: tuple[Sha256, ...]
    findings: tuple[Sha256, ...]
    measurements: tuple[Measurement, ...]
    blobs: tuple[Blob, ...]
    cost: Cost
    reuse_key: Sha256
    """Digest of check, version, parameters, inputs and seed: equal keys mean the evidence may be reused."""
