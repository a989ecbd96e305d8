"""What the checks that harden share: progress by parts, and what they return."""

from pathlib import Path

from heliotrope.core.evidence import Blob, statement
from heliotrope.core.findings import Finding, fingerprint
from heliotrope.core.measurements import Interval, Measurement
from heliotrope.core.outcomes import Failed, Inconclusive, Outcome, Passed
from heliotrope.core.predicates.hardening import HARDENING_PREDICATE, HardeningPredicate, PairedChange
from heliotrope.core.runs import CheckResult
from heliotrope.engine.interface import Limits, RunContext
from heliotrope.harden.rules import GAIN_NOT_CREDITED
from heliotrope.subjects.interface import Opened

__all__ = ["PartOfRun", "concluded"]


class PartOfRun:
    """A RunContext whose progress is a part of the whole."""

    def __init__(self, context: RunContext, begin: float, end: float, what: str) -> None:
        """`begin` and `end`: shares of the whole; `what`: said in front of what the part says."""
        self._context, self._begin, self._end, self._what = context, begin, end, what

    @property
    def limits(self) -> Limits:
        return self._context.limits

    @property
    def workdir(self) -> Path:
        return self._context.workdir

    def store(self, data: bytes, media_type: str) -> Blob:
        """As the whole does."""
        return self._context.store(data, media_type)

    def progress(self, done: float, total: float, text: str = "") -> None:
        """As a part of the whole."""
        share = self._begin + (self._end - self._begin) * done / max(total, 1e-9)
        self._context.progress(share, 1.0, f"{self._what}: {text}" if text else self._what)


def concluded(opened: Opened, predicate: HardeningPredicate, blobs: tuple[Blob, ...]) -> CheckResult:
    """Passed where the model is better, failed where it is not, inconclusive where the attack did not work."""
    findings: tuple[Finding, ...] = ()
    outcome: Outcome = Passed(reason=predicate.reason)
    if predicate.verdict == "no-better":
        outcome = Failed(reason=f"not better: {predicate.reason}")
    elif predicate.verdict == "not-credited":
        outcome = Inconclusive(reason=f"not credited: {predicate.reason}")
        findings = (_finding(opened, predicate),)
    credited = predicate.verdict != "not-credited"
    unique = {blob.sha256: blob for blob in (*blobs, *((predicate.model,) if predicate.model else ()))}
    return CheckResult(
        outcome=outcome,
        evidence=(statement(opened.model.digests, HARDENING_PREDICATE, predicate),),
        findings=findings,
        measurements=(
            _measured(opened, "robust_accuracy_gain", predicate.robust_change, credited=credited),
            _measured(opened, "clean_accuracy_gain", predicate.clean_change, credited=True),
        ),
        blobs=tuple(unique.values()),
    )


def _measured(opened: Opened, metric: str, change: PairedChange, *, credited: bool) -> Measurement:
    return Measurement(
        metric=metric,
        value=100 * change.change if credited else None,
        undefined_reason=None if credited else "the attack on one of the two models did not work",
        n=change.n,
        interval=_hundredfold(change.interval) if credited else None,
        direction="higher",
        unit="points",
        subject=opened.task.subject.urn,
    )


def _hundredfold(interval: Interval) -> Interval:
    return interval.model_copy(update={"low": 100 * interval.low, "high": 100 * interval.high})


def _finding(opened: Opened, predicate: HardeningPredicate) -> Finding:
    urn = opened.task.subject.urn
    return Finding(
        rule=GAIN_NOT_CREDITED.id,
        severity=GAIN_NOT_CREDITED.severity,
        confidence="high",
        message=predicate.reason,
        subject=urn,
        fingerprint=fingerprint(GAIN_NOT_CREDITED.id, urn, predicate.method),
        fix=GAIN_NOT_CREDITED.fix,
        taxonomy=GAIN_NOT_CREDITED.taxonomy,
    )
