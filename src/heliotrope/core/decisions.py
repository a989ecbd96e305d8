"""What policy makes of evidence, rule by rule."""

from typing import Literal

from heliotrope.core.records import Record, Sha256

__all__ = ["Decision", "PolicyReference", "RuleResult", "RuleState", "Verdict"]

Verdict = Literal["allow", "deny", "needs-review"]
RuleState = Literal["pass", "fail", "unknown", "not_applicable"]


class RuleResult(Record):
    """One rule held against the evidence. Unknown never counts as a pass."""

    rule: str
    title: str
    subject: str
    """URN of the subject it was held against."""
    wanted: str
    actual: str
    state: RuleState
    reason: str = ""
    """Why it is unknown, or what the comparison rests on."""
    needs: tuple[str, ...] = ()
    """Keys or options that would make an unknown known."""
    remediation: str = ""
    metric: str | None = None
    """What was measured, for a rule on a measurement."""
    lowest: float | None = None
    """The lowest acceptable value of that metric."""
    highest: float | None = None
    evidence: tuple[Sha256, ...] = ()


class PolicyReference(Record):
    """Which policy decided, and how it differs from the one shipped."""

    name: str
    source: str
    """"built-in", or the path of the file."""
    digest: Sha256
    differences: tuple[str, ...] = ()
    """What differs from the default policy, a line each."""


class Decision(Record):
    """Policy digest and evidence ids in, a verdict out; replayable."""

    verdict: Verdict
    reason: str
    """One sentence: the first thing that stands in the way, or that nothing does."""
    policy: PolicyReference
    rules: tuple[RuleResult, ...]
