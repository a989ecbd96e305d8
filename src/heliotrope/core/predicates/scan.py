"""Evidence of a static inspection, and the document `helio scan --format json` prints (heliotrope.scan/v1)."""

from typing import Literal

from pydantic import Field

from heliotrope.core.findings import Confidence, Fix, Location, Severity
from heliotrope.core.records import Record, Sha256

__all__ = [
    "SCAN_PREDICATE",
    "SCAN_SCHEMA",
    "VERDICTS",
    "FileReport",
    "Incomplete",
    "ScanAnalyser",
    "ScanDocument",
    "ScanFinding",
    "ScanPredicate",
    "ScanSummary",
    "ScanTool",
    "ScanVerdict",
    "worst_verdict",
]

SCAN_PREDICATE = "urn:heliotrope:predicate:scan:v1"
SCAN_SCHEMA = "heliotrope.scan/v1"

ScanVerdict = Literal["malicious", "suspicious", "incomplete", "unsupported", "clean"]

VERDICTS: tuple[ScanVerdict, ...] = ("malicious", "suspicious", "incomplete", "unsupported", "clean")
"""Worst first."""


def worst_verdict(verdicts: tuple[ScanVerdict, ...]) -> ScanVerdict:
    """The worst of several; clean for none."""
    return min(verdicts, key=VERDICTS.index, default="clean")


class ScanFinding(Record):
    """One (rule, global) of one file, however often it occurs."""

    rule: str
    severity: Severity
    confidence: Confidence
    fingerprint: str
    message: str
    global_: str | None = Field(default=None, alias="global")
    """The imported name, as in posix.system."""
    count: int = 1
    locations: tuple[Location, ...] = ()
    """The first few places."""
    taxonomy: tuple[str, ...] = ()
    fix: Fix | None = None


class Incomplete(Record):
    """What could not be analysed, and which limit or defect stopped it."""

    reason: str
    limit: str | None = None
    """Name of the limit that was reached, as in max_opcodes."""
    location: Location | None = None


class FileReport(Record):
    """What is known about the bytes of one file."""

    path: str
    sha256: Sha256 | None
    """Null when the file could not be read."""
    size: int | None
    format: str
    """As in pickle, torch-zip, torch-legacy, safetensors, npz, unknown."""
    verdict: ScanVerdict
    findings: tuple[ScanFinding, ...] = ()
    incomplete: tuple[Incomplete, ...] = ()


class ScanAnalyser(Record):
    """An analyser of another package that took part because it was named."""

    id: str
    version: str


class ScanTool(Record):
    """Which scanner under which shipped policy."""

    version: str
    policy_digest: Sha256
    """Of the shipped policy; with third-party analysers, of that and their ids and versions."""
    name: Literal["heliotrope"] = "heliotrope"
    analysers: tuple[ScanAnalyser, ...] = ()
    """Third-party analysers that were on; none unless they were named."""


class ScanSummary(Record):
    """Counts over a scan."""

    files_seen: int
    files_judged: int
    not_judged: int
    """Files inside folders that are no model, data or configuration of a model."""
    bytes_judged: int
    verdicts: dict[str, int]
    findings: dict[str, int]
    """By severity."""


class ScanDocument(Record):
    """The whole result of a scan; a pure function of the bytes, the version and the shipped policy."""

    schema_: Literal["heliotrope.scan/v1"] = Field(default="heliotrope.scan/v1", alias="schema")
    tool: ScanTool
    verdict: ScanVerdict
    files: tuple[FileReport, ...]
    summary: ScanSummary


class ScanPredicate(Record):
    """Evidence about the scanned files, which are the statement's subjects."""

    tool: ScanTool
    verdict: ScanVerdict
    files: tuple[FileReport, ...]
    summary: ScanSummary
