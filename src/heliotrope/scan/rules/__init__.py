"""Every rule of the scanner. Severity decides the verdict: critical is malicious, high and medium are suspicious."""

from functools import cache

from heliotrope.core.findings import Rule, Severity
from heliotrope.core.predicates.scan import ScanVerdict
from heliotrope.scan.rules import archives, frameworks, keras, pickles, programs, repositories, tabular, weights

__all__ = ["RULES", "find_rule", "verdict_of"]

RULES: tuple[Rule, ...] = (
    *pickles.RULES,
    *archives.RULES,
    *weights.RULES,
    *frameworks.RULES,
    *keras.RULES,
    *programs.RULES,
    *repositories.RULES,
    *tabular.RULES,
)
"""In the order of the reference documentation. An id is also the anchor in docs/reference/rules.md."""


@cache
def _by_id() -> dict[str, Rule]:
    return {rule.id: rule for rule in RULES}


def find_rule(rule_id: str) -> Rule:
    """The rule of that id; KeyError when there is none, which is our own fault."""
    return _by_id()[rule_id]


def verdict_of(severity: Severity) -> ScanVerdict:
    """What a finding of that severity makes of a file."""
    if severity == "critical":
        return "malicious"
    return "suspicious" if severity in ("high", "medium") else "clean"
