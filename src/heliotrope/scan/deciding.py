"""The decision: what a person's own allowances make of a raw verdict on a given day.

The raw verdict stays as it is. Only findings that say "nobody vouches for this" are lifted, and only where the file does no
more with the global than was allowed. What the shipped policy knows to be dangerous, reached through another module, or
harmless only with certain arguments, is nobody's to allow.
"""

from collections.abc import Sequence
from datetime import date

from heliotrope.core.errors import ConfigError
from heliotrope.core.predicates.scan import (
    FileDecision,
    FileReport,
    ScanAllowance,
    ScanDecision,
    ScanDocument,
    ScanFinding,
    ScanVerdict,
    worst_verdict,
)
from heliotrope.scan.policy import shipped_policy
from heliotrope.scan.rules import verdict_of

__all__ = ["LIFTED_RULES", "decide", "require_allowable"]

LIFTED_RULES = frozenset({"pickle-unknown-call", "pickle-unknown-state", "pickle-unknown-import"})
"""All other findings stay, whatever is allowed."""

_IMPORT = "pickle-unknown-import"


def require_allowable(allowances: Sequence[ScanAllowance]) -> None:
    """ConfigError for an allowance of something that nobody may allow."""
    for allowance in allowances:
        why = _refusal(allowance)
        if why:
            raise ConfigError(f"scan.allow: {allowance.global_} cannot be allowed: {why}", hint="remove the entry")


def _refusal(allowance: ScanAllowance) -> str:
    """Why a name cannot be allowed. A name with dots may be split anywhere, so every split is looked up."""
    parts = allowance.global_.split(".")
    if parts[-1] == "*":
        if "call" in allowance.uses:
            return "a module holds functions that it imported, so each function to be called must be named"
        parts[-1] = "_"
    policy = shipped_policy()
    entry = policy.lookup(".".join(parts[:-1]), parts[-1])
    if entry.kind == "dangerous":
        return f"it {entry.reason}"
    if entry.shape:
        return "it is harmless with certain arguments only, which the shipped policy checks"
    for split in range(1, len(parts) - 1):
        reached = policy.lookup(".".join(parts[:split]), ".".join(parts[split:]))
        if reached.kind == "dangerous":
            return f"it {reached.reason}"
    return ""


def decide(document: ScanDocument, allowances: Sequence[ScanAllowance], today: date) -> ScanDocument:
    """The document with the decision of that day; as it is when nothing is allowed. ConfigError as `require_allowable`."""
    if not allowances:
        return document
    require_allowable(allowances)
    expired = tuple(item for item in allowances if not item.holds_on(today))
    valid = [item for item in allowances if item.holds_on(today)]
    used: set[str] = set()
    decisions = [(report, _decided(report, valid, used)) for report in document.files]
    verdicts = tuple(report.verdict if made is None else made.verdict for report, made in decisions)
    decision = ScanDecision(
        decided_on=today,
        verdict=worst_verdict(verdicts),
        files=tuple(made for _, made in decisions if made is not None),
        applied=tuple(item for item in valid if item.global_ in used),
        unused=tuple(item for item in valid if item.global_ not in used),
        expired=expired,
    )
    return document.model_copy(update={"decision": decision})


def _decided(report: FileReport, valid: Sequence[ScanAllowance], used: set[str]) -> FileDecision | None:
    """The decision on a file; None where nothing is lifted."""
    lifted = []
    for finding in report.findings:
        allowing = next((item for item in valid if _covers(item, finding)), None)
        if allowing is not None:
            used.add(allowing.global_)
            lifted.append(finding.fingerprint)
    if not lifted:
        return None
    verdicts: list[ScanVerdict] = [
        verdict_of(finding.severity) for finding in report.findings if finding.fingerprint not in lifted
    ]
    if report.incomplete:
        verdicts.append("incomplete")
    if not report.supported:
        verdicts.append("unsupported")
    return FileDecision(path=report.path, verdict=worst_verdict(tuple(verdicts)), lifted=tuple(lifted))


def _covers(allowance: ScanAllowance, finding: ScanFinding) -> bool:
    if finding.rule not in LIFTED_RULES or finding.global_ is None:
        return False
    allowed = allowance.global_
    module, _, _ = finding.global_.rpartition(".")
    if finding.global_ != allowed and not (allowed.endswith(".*") and module == allowed.removesuffix(".*")):
        return False
    known = bool(finding.uses) or finding.rule == _IMPORT
    return known and set(finding.uses) <= set(allowance.uses)
