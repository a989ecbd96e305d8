"""Evidence of a static inspection, and the document `helio scan --format json` prints (heliotrope.scan/v1)."""

from datetime import date
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, field_validator

from heliotrope.core.findings import Confidence, Fix, Location, Severity
from heliotrope.core.records import Record, Sha256

__all__ = [
    "SCAN_PREDICATE",
    "SCAN_SCHEMA",
    "VERDICTS",
    "AllowedUse",
    "FileDecision",
    "FileReport",
    "Incomplete",
    "ScanAllowance",
    "ScanAnalyser",
    "ScanDecision",
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

AllowedUse = Literal["call", "new", "build", "items", "append", "add"]
"""What a file may do with a global: call it (REDUCE), make an object of it (NEWOBJ), set the object's state (BUILD), put
items into it (SETITEM), append to it (APPEND), add to it (ADDITEMS)."""

_GLOBAL = r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)+(\.\*)?$"
"""At least a module and a name; a star stands for all names right in a module of a package, never for less."""

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
    uses: tuple[str, ...] = ()
    """What the file does with the global: in the words of AllowedUse, or dotted (reached through another object), append later (on an object that was put aside). Nobody can allow those."""
    why: str | None = None
    """Why it matters: one or two sentences."""
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
    supported: bool = True
    """Whether files of this format can be inspected."""
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


class ScanAllowance(Record):
    """A person vouches for a global of their own, for a reason and up to a day."""

    global_: Annotated[str, StringConstraints(pattern=_GLOBAL, max_length=250)] = Field(alias="global")
    """Its full name, as in mypackage.models.Net, or all names right in one module, as in mypackage.models.*"""
    uses: Annotated[tuple[AllowedUse, ...], Field(min_length=1)]
    """What files may do with it: call it, make objects of the class (new), set their state (build), put items into them."""
    reason: Annotated[str, StringConstraints(min_length=8, max_length=500)]
    """Why, for whoever reads the decision."""
    expires: Annotated[str, StringConstraints(pattern=r"^\d{4}-\d{2}-\d{2}$")]
    """The last day on which it counts, as in 2027-01-31."""

    @field_validator("expires")
    @classmethod
    def _is_a_day(cls, value: str) -> str:
        date.fromisoformat(value)
        return value

    def holds_on(self, day: date) -> bool:
        """Whether it counts on that day."""
        return date.fromisoformat(self.expires) >= day


class FileDecision(Record):
    """What a person's allowances make of one file."""

    path: str
    verdict: ScanVerdict
    """What is left of the raw verdict."""
    lifted: tuple[str, ...]
    """Fingerprints of the findings that do not count."""


class ScanDecision(Record):
    """What a person's allowances make of the raw verdict on one day. It never replaces the raw verdict."""

    decided_on: date
    """In UTC."""
    verdict: ScanVerdict
    files: tuple[FileDecision, ...] = ()
    """Those of which a finding was lifted."""
    applied: tuple[ScanAllowance, ...] = ()
    unused: tuple[ScanAllowance, ...] = ()
    """Nothing that was found needed them."""
    expired: tuple[ScanAllowance, ...] = ()
    """Their day has passed, so they were not applied."""


class ScanDocument(Record):
    """The whole result of a scan. All but the decision is a pure function of the bytes, the version and the shipped policy."""

    schema_: Literal["heliotrope.scan/v1"] = Field(default="heliotrope.scan/v1", alias="schema")
    tool: ScanTool
    verdict: ScanVerdict
    files: tuple[FileReport, ...]
    summary: ScanSummary
    decision: ScanDecision | None = None
    """None where a person has allowed nothing: the raw verdict decides."""

    @property
    def decided(self) -> ScanVerdict:
        """The verdict that decides."""
        return self.verdict if self.decision is None else self.decision.verdict


class ScanPredicate(Record):
    """Evidence about the scanned files, which are the statement's subjects."""

    tool: ScanTool
    verdict: ScanVerdict
    files: tuple[FileReport, ...]
    summary: ScanSummary
    decision: ScanDecision | None = None
    """None where a person has allowed nothing."""

    @property
    def decided_files(self) -> tuple[FileReport, ...]:
        """The files with the verdicts that decide."""
        if self.decision is None:
            return self.files
        decided = {item.path: item.verdict for item in self.decision.files}
        return tuple(
            report.model_copy(update={"verdict": decided[report.path]}) if report.path in decided else report
            for report in self.files
        )
