"""Policy and facts in, a decision out: pure, so that a decision can be replayed byte for byte."""

from typing import assert_never

from heliotrope.core.decisions import Decision, PolicyReference, RuleResult, Verdict
from heliotrope.core.errors import ExitCode
from heliotrope.core.subjects import Subject
from heliotrope.gate._requirements import Held, hold_check, hold_concluded, hold_examined, hold_files, hold_findings
from heliotrope.gate._values import hold_evidence, hold_measurement
from heliotrope.gate.interface import Facts
from heliotrope.gate.policy import (
    CheckRequirement,
    ConcludedRequirement,
    EffectivePolicy,
    EvidenceRequirement,
    ExaminedRequirement,
    FilesRequirement,
    FindingsRequirement,
    MeasurementRequirement,
    PolicyRule,
)

__all__ = ["decide", "exit_code_of"]


def decide(effective: EffectivePolicy, reference: PolicyReference, facts: Facts) -> Decision:
    """Hold every rule against every subject it applies to. Any failure denies; any unknown asks for review."""
    results = tuple(
        _result(rule, subject, _hold(rule, subject, facts, effective))
        for rule in effective.policy.rules
        for subject in facts.subjects
        if _applies(rule, subject)
    )
    failed = [result for result in results if result.state == "fail"]
    unknown = [result for result in results if result.state == "unknown"]
    verdict: Verdict = "deny" if failed else "needs-review" if unknown or not results else "allow"
    return Decision(verdict=verdict, reason=_reason(failed, unknown, results), policy=reference, rules=results)


def _applies(rule: PolicyRule, subject: Subject) -> bool:
    """What is said of a model is said of an endpoint, too: it is a model that somebody else runs."""
    return rule.applies_to == ("model" if subject.kind == "endpoint" else subject.kind)


def exit_code_of(decision: Decision) -> ExitCode:
    """1 when a rule says no on evidence, 3 when only evidence is missing, 0 when everything allows."""
    if any(result.state == "fail" for result in decision.rules):
        return ExitCode.NO
    return ExitCode.PASS if decision.verdict == "allow" else ExitCode.INCONCLUSIVE


def _hold(rule: PolicyRule, subject: Subject, facts: Facts, effective: EffectivePolicy) -> Held:  # noqa: PLR0911
    requirement = rule.require
    match requirement:
        case ExaminedRequirement():
            return hold_examined(requirement, facts)
        case CheckRequirement():
            return hold_check(requirement, facts, subject)
        case ConcludedRequirement():
            return hold_concluded(requirement, facts)
        case FilesRequirement():
            return hold_files(requirement, facts, subject)
        case FindingsRequirement():
            return hold_findings(requirement, facts, effective)
        case MeasurementRequirement():
            return hold_measurement(requirement, facts, subject, effective)
        case EvidenceRequirement():
            return hold_evidence(requirement, facts, subject)
        case _:
            assert_never(requirement)


def _result(rule: PolicyRule, subject: Subject, held: Held) -> RuleResult:
    return RuleResult(
        rule=rule.id,
        title=rule.title,
        subject=subject.urn,
        wanted=held.wanted,
        actual=held.actual,
        state=held.state,
        reason=held.reason,
        needs=held.needs,
        remediation=rule.remediation if held.state == "fail" or (held.state == "unknown" and not held.needs) else "",
        evidence=held.evidence,
        metric=held.metric,
        lowest=held.lowest,
        highest=held.highest,
    )


def _reason(failed: list[RuleResult], unknown: list[RuleResult], results: tuple[RuleResult, ...]) -> str:
    if failed:
        return f"{failed[0].rule}: wanted {failed[0].wanted}, got {failed[0].actual}{_others(failed)}"
    if unknown:
        return f"{unknown[0].rule} is not known: {unknown[0].reason or unknown[0].actual}{_others(unknown)}"
    if not results:
        return "no rule of the policy applies to anything here"
    return f"all {len(results)} rules are satisfied"


def _others(results: list[RuleResult]) -> str:
    more = len(results) - 1
    return f" (and {more} more {'rule' if more == 1 else 'rules'})" if more else ""
