"""Attacks and proofs alone: a part of an assessment, recorded like one, with an answer of its own."""

from fnmatch import fnmatchcase

from heliotrope.core.assessments import Assessment, RunEntry
from heliotrope.core.decisions import RuleResult

__all__ = ["ATTACKS", "attack_exit_code", "attack_rules", "attack_runs"]

ATTACKS = ("evasion.*", "certificate.*")
"""What belongs to an attack, as patterns of check ids."""

_METRICS = ("robust_accuracy", "certified_accuracy")
_RULES = ("attack-sound",)


def attack_runs(assessment: Assessment) -> tuple[RunEntry, ...]:
    """Runs of attacks and proofs, without those that were not asked for."""
    return tuple(
        run
        for run in assessment.runs
        if any(fnmatchcase(run.check, pattern) for pattern in ATTACKS) and run.code != "deselected"
    )


def attack_rules(assessment: Assessment) -> tuple[RuleResult, ...]:
    """Rules of the policy on what attacks measure, for models that were attacked."""
    subjects = {run.subject for run in attack_runs(assessment)}
    return tuple(
        rule
        for rule in assessment.decision.rules
        if rule.subject in subjects and (rule.metric in _METRICS or rule.rule in _RULES)
    )


def attack_exit_code(assessment: Assessment) -> int:
    """1: a floor is not reached. 3: an attack or proof did not conclude, a floor is not decided, or nothing was attacked."""
    runs, rules = attack_runs(assessment), attack_rules(assessment)
    if any(rule.state == "fail" for rule in rules):
        return 1
    concluded = [run for run in runs if run.outcome in ("passed", "failed")]
    open_ = [
        run
        for run in runs
        if run.outcome in ("inconclusive", "error") or (run.outcome == "skipped" and run.code != "suite")
    ]
    if open_ or not concluded or any(rule.state == "unknown" and rule.metric in _METRICS for rule in rules):
        return 3
    return 0
