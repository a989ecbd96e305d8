"""What a bill of materials is drawn from, gathered by whoever knows project, evidence and ledger."""

from dataclasses import dataclass
from typing import Literal

from heliotrope.core.measurements import Measurement
from heliotrope.core.predicates.dependencies import DependenciesPredicate
from heliotrope.core.records import Sha256

__all__ = ["BomAssessment", "BomData", "BomEvidence", "BomFacts", "BomFile", "BomModel"]


@dataclass(frozen=True, slots=True)
class BomFile:
    """A file with the digest of its bytes."""

    path: str
    """Relative to the project."""
    sha256: Sha256
    size: int


@dataclass(frozen=True, slots=True)
class BomEvidence:
    """Evidence in the ledger, by its digest."""

    digest: Sha256
    kind: Literal["attestation", "static-analysis-report"]
    title: str


@dataclass(frozen=True, slots=True)
class BomData:
    """A data set: a file, several files that belong together, or a folder."""

    name: str
    """Its paths, which tell it from others."""
    declared: bool
    """Named by heliotrope.yaml; otherwise found by the names of its files."""
    files: tuple[BomFile, ...]
    tree: Sha256 | None = None
    """Of a folder: over paths, sizes and digests of all files."""


@dataclass(frozen=True, slots=True)
class BomModel:
    """A model, with what is declared of it and what was measured on exactly these bytes."""

    name: str
    declared: bool
    files: tuple[BomFile, ...]
    tree: Sha256 | None = None
    format: str | None = None
    task: str | None = None
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    data: tuple[tuple[str, str], ...] = ()
    """Role (train, evaluate) and name of each data set."""
    measurements: tuple[Measurement, ...] = ()
    evidence: tuple[BomEvidence, ...] = ()


@dataclass(frozen=True, slots=True)
class BomAssessment:
    """The assessment that measurements come from."""

    id: str
    finished_at: str
    verdict: str
    ledger_head: str | None


@dataclass(frozen=True, slots=True)
class BomFacts:
    """All of it. Nothing in a bill of materials comes from elsewhere."""

    project: str
    tool_version: str
    tree: Sha256 | None
    """Over the whole project."""
    models: tuple[BomModel, ...]
    data: tuple[BomData, ...]
    dependencies: DependenciesPredicate | None
    evidence: tuple[BomEvidence, ...] = ()
    """About the project as a whole."""
    assessment: BomAssessment | None = None
    missing: tuple[str, ...] = ()
    """What is not known, in sentences."""
    complete: bool = True
    """Whether everything that is there could be read."""
