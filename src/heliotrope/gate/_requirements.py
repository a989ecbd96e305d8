"""Holding one requirement against the facts: three-valued, and unknown whenever something was not seen."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from heliotrope.core.assessments import RunEntry
from heliotrope.core.decisions import RuleState
from heliotrope.core.findings import at_least
from heliotrope.core.predicates.scan import SCAN_PREDICATE, FileReport, ScanPredicate
from heliotrope.core.records import Sha256
from heliotrope.core.subjects import Subject
from heliotrope.core.text import counted, printable, shorten
from heliotrope.gate.interface import Facts
from heliotrope.gate.policy import (
    CheckRequirement,
    ConcludedRequirement,
    EffectivePolicy,
    ExaminedRequirement,
    FilesRequirement,
    FindingsRequirement,
)

__all__ = [
    "CONCLUDED",
    "Held",
    "hold_check",
    "hold_concluded",
    "hold_examined",
    "hold_files",
    "hold_findings",
    "latest_run",
    "why_absent",
]

CONCLUDED = frozenset({"passed", "failed", "not_applicable"})

_LEFT_TO_A_LARGER_SUITE = ("skipped", "suite")
"""Outcome and code of what the chosen suite does not contain; a rule that rests on such a run still misses it."""


@dataclass(frozen=True, slots=True)
class Held:
    """What came of holding a requirement."""

    state: RuleState
    wanted: str
    actual: str
    reason: str = ""
    needs: tuple[str, ...] = ()
    evidence: tuple[Sha256, ...] = field(default=())
    metric: str | None = None
    lowest: float | None = None
    highest: float | None = None


def hold_examined(requirement: ExaminedRequirement, facts: Facts) -> Held:
    models = sum(1 for subject in facts.subjects if subject.kind in ("model", "endpoint"))
    scanned = _scanned(facts)
    judged = [report for _, reports in scanned for report in reports]
    wanted = f"at least {requirement.at_least} model file or configured model"
    actual = f"{counted(len(judged), 'judged file')}, {counted(models, 'configured model')}"
    state: RuleState = "pass" if len(judged) + models >= requirement.at_least else "unknown"
    reason = "" if state == "pass" else "nothing here was judged, so nothing can be allowed"
    return Held(state, wanted, actual, reason, (), tuple(entry for entry, _ in scanned))


def hold_check(requirement: CheckRequirement, facts: Facts, subject: Subject) -> Held:
    wanted = f"{requirement.check} passed"
    runs = [run for run in facts.runs if run.check == requirement.check and run.subject == subject.urn]
    if not runs:
        return Held("unknown", wanted, "it was not run", why_absent(requirement.check))
    run = runs[-1]
    states: dict[str, RuleState] = {"passed": "pass", "failed": "fail", "not_applicable": "not_applicable"}
    return Held(states.get(run.outcome, "unknown"), wanted, run.outcome, run.reason, run.needs, run.evidence)


def hold_concluded(_: ConcludedRequirement, facts: Facts) -> Held:
    wanted = "every check concluded"
    asked = [run for run in facts.runs if (run.outcome, run.code) != _LEFT_TO_A_LARGER_SUITE]
    open_runs = [run for run in asked if run.outcome not in CONCLUDED]
    if not asked:
        return Held("unknown", wanted, "no check ran", "nothing was looked at")
    if not open_runs:
        left = len(facts.runs) - len(asked)
        note = f"{counted(left, 'run')} left to a larger suite" if left else ""
        return Held("pass", wanted, f"all {len(asked)} runs concluded", note)
    named = "; ".join(f"{run.check}: {run.outcome}" for run in open_runs[:5])
    more = f" and {len(open_runs) - 5} more" if len(open_runs) > 5 else ""
    needs = tuple(dict.fromkeys(need for run in open_runs for need in run.needs))
    return Held("unknown", wanted, f"{len(open_runs)} of {len(asked)} runs did not conclude", f"{named}{more}", needs)


def hold_files(requirement: FilesRequirement, facts: Facts, subject: Subject) -> Held:
    wanted = f"verdict {' or '.join(requirement.accept)} for every model file"
    run = latest_run(facts, "scan.files", subject)
    if run is not None and run.outcome == "not_applicable":
        return Held("not_applicable", wanted, "no model file", run.reason, (), run.evidence)
    scanned = [(entry, reports) for entry, reports in _scanned(facts) if run is not None and entry in run.evidence]
    evidence = tuple(entry for entry, _ in scanned)
    if run is None or not scanned:
        reason = run.reason if run else why_absent("scan.files")
        return Held("unknown", wanted, "no inspection", reason, run.needs if run else ())
    reports = [report for _, found in scanned for report in found]
    fresh = [report for report in reports if not _all_known(report, facts.known_fingerprints)]
    bad = [report for report in fresh if report.verdict not in requirement.accept]
    proven = [report for report in bad if report.verdict in ("malicious", "suspicious")]
    known = len(reports) - len(fresh)
    note = f"{known} files whose findings the baseline knows are not counted" if known else ""
    if not bad:
        return Held("pass", wanted, f"{counted(len(reports), 'file')}, none worse", note, (), evidence)
    state: RuleState = "fail" if proven else "unknown"
    return Held(state, wanted, _name_files(proven or bad), note, (), evidence)


def hold_findings(requirement: FindingsRequirement, facts: Facts, effective: EffectivePolicy) -> Held:
    threshold = effective.fail_on or requirement.at_or_above
    wanted = f"at most {requirement.at_most} findings of severity {threshold} or worse"
    serious = [finding for finding in facts.findings if at_least(finding.severity, threshold)]
    fresh = [finding for finding in serious if finding.fingerprint not in facts.known_fingerprints]
    known = len(serious) - len(fresh)
    note = f"{known} findings of baseline {facts.baseline} are not counted" if known else ""
    evidence = tuple(dict.fromkeys(item for run in facts.runs for item in run.evidence))
    if len(fresh) > requirement.at_most:
        first = fresh[0]
        named = shorten(printable(first.message), 120)
        return Held("fail", wanted, f"{len(fresh)}, the first: {named}", note, (), evidence)
    blind = [run.check for run in facts.runs if run.outcome not in CONCLUDED]
    if not facts.runs or (blind and len(blind) == len(facts.runs)):
        return Held("unknown", wanted, "no check concluded", "nothing was looked at", (), evidence)
    return Held("pass", wanted, f"{len(fresh)}", note, (), evidence)


def why_absent(check: str) -> str:
    return f"the check {check} was not run"


def _scanned(facts: Facts) -> list[tuple[Sha256, tuple[FileReport, ...]]]:
    return [
        (entry.id, ScanPredicate.model_validate(entry.predicate).decided_files)
        for entry in facts.evidence
        if entry.predicate_type == SCAN_PREDICATE
    ]


def _all_known(report: FileReport, known: frozenset[str]) -> bool:
    """Whether the verdict rests on known findings alone. What could not be analysed is never known."""
    if report.incomplete or not report.findings or report.verdict not in ("malicious", "suspicious"):
        return False
    return all(finding.fingerprint in known for finding in report.findings)


def _name_files(reports: Iterable[FileReport]) -> str:
    listed = list(reports)
    named = ", ".join(f"{shorten(printable(report.path), 60)} is {report.verdict}" for report in listed[:3])
    return f"{named} and {len(listed) - 3} more" if len(listed) > 3 else named


def latest_run(facts: Facts, check: str, subject: Subject) -> RunEntry | None:
    """The last run of a check on a subject; `check` may be a wildcard.

    One that applied and that the suite contains comes before one that did not, or that is left to a larger suite.
    """
    runs = [run for run in facts.runs if fnmatchcase(run.check, check) and run.subject == subject.urn]
    asked = [run for run in runs if (run.outcome, run.code) != _LEFT_TO_A_LARGER_SUITE] or runs
    return next((run for run in reversed(asked) if run.outcome != "not_applicable"), asked[-1] if asked else None)
