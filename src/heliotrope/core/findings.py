"""Problems: what is wrong, where, how sure we are, and what to do."""

from typing import Literal

from heliotrope.core.records import Record, content_id

__all__ = ["SEVERITIES", "Confidence", "Finding", "Fix", "Location", "Rule", "Severity", "at_least", "fingerprint"]

Severity = Literal["critical", "high", "medium", "low", "info"]
Confidence = Literal["high", "medium", "low"]

SEVERITIES: tuple[Severity, ...] = ("critical", "high", "medium", "low", "info")
"""Worst first."""


def at_least(severity: Severity, threshold: Severity) -> bool:
    """Whether a severity is as bad as the threshold or worse."""
    return SEVERITIES.index(severity) <= SEVERITIES.index(threshold)


class Fix(Record):
    """Advice. A safe fix cannot change what the model computes; an unsafe one may."""

    text: str
    safe: bool = False


class Location(Record):
    """A place in a file: an archive member and a byte offset, or a line of text."""

    path: str | None = None
    member: str | None = None
    offset: int | None = None
    line: int | None = None


class Rule(Record):
    """The static part of a kind of finding; its id is also the anchor in docs/reference/rules.md."""

    id: str
    """Kebab case, as in pickle-dangerous-call."""
    title: str
    severity: Severity
    help: str
    """Why it matters: one or two sentences."""
    fix: Fix
    taxonomy: tuple[str, ...] = ()
    """Ids of the pinned catalogue: MITRE ATLAS, OWASP, CWE, CVE."""


class Finding(Record):
    """A problem of one subject. Its state over time is a projection of events, never a field."""

    rule: str
    severity: Severity
    confidence: Confidence
    message: str
    subject: str
    """URN of the subject, or the path of a file scanned on its own."""
    fingerprint: str
    count: int = 1
    locations: tuple[Location, ...] = ()
    fix: Fix | None = None
    taxonomy: tuple[str, ...] = ()


def fingerprint(rule: str, lineage: str, location: str) -> str:
    """The identity of a finding from run to run: rule, lineage of the subject, and normalised location (no offsets)."""
    return content_id({"rule": rule, "lineage": lineage, "location": location})[:32]
