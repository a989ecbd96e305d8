"""Earlier assessments: the baseline whose findings are known, and the difference to the last one."""

from heliotrope.core.assessments import Assessment, Difference, RunEntry
from heliotrope.core.errors import UsageError
from heliotrope.core.findings import Finding
from heliotrope.core.measurements import Measurement
from heliotrope.core.text import printable
from heliotrope.ledger.interface import Ledger

__all__ = ["difference", "known_fingerprints", "load_baseline", "previous_assessment"]


def previous_assessment(ledger: Ledger, target: str) -> Assessment | None:
    """The last assessment of the same target in this ledger."""
    found = ledger.latest("assessment", "target", target)
    return Assessment.model_validate_json(ledger.content(found.content_id)) if found else None


def load_baseline(ledger: Ledger, run: str, target: str, *, option: str = "--baseline") -> Assessment:
    """The assessment with that id, or the last one for "last"; `option` is what errors name."""
    if run == "last":
        previous = previous_assessment(ledger, target)
        if previous is None:
            raise UsageError(
                f"{option} last: there is no earlier assessment in this ledger",
                hint="run helio assess once before",
            )
        return previous
    found = ledger.latest("assessment", "assessment", run)
    if found is None:
        raise UsageError(
            f"{option} {printable(run)}: this ledger holds no assessment with that id",
            hint="the id stands in every report; 'last' takes the most recent one",
        )
    return Assessment.model_validate_json(ledger.content(found.content_id))


def known_fingerprints(baseline: Assessment | None) -> frozenset[str]:
    return frozenset(finding.fingerprint for finding in baseline.findings) if baseline else frozenset()


def difference(
    previous: Assessment,
    *,
    runs: tuple[RunEntry, ...],
    findings: tuple[Finding, ...],
    measurements: tuple[Measurement, ...],
) -> Difference:
    """What is new, what is gone, and which numbers moved. A finding is gone only if the check that found it looked again."""
    before = {finding.fingerprint for finding in previous.findings}
    now = {finding.fingerprint for finding in findings}
    looked = {(run.check, run.subject) for run in runs if run.outcome in ("passed", "failed", "not_applicable")}
    retested = {found for run in previous.runs if (run.check, run.subject) in looked for found in run.findings}
    old_values = {_key(item): item.value for item in previous.measurements}
    new_values = {_key(item): item.value for item in measurements}
    return Difference(
        previous=previous.id,
        previous_finished_at=previous.finished_at,
        new_findings=tuple(sorted(now - before)),
        fixed_findings=tuple(sorted((before & retested) - now)),
        verdict_before=previous.decision.verdict,
        measurements={
            key: (old_values.get(key), new_values.get(key))
            for key in sorted(old_values.keys() | new_values.keys())
            if old_values.get(key) != new_values.get(key)
        },
    )


def _key(measurement: Measurement) -> str:
    return f"{measurement.metric} of {measurement.subject}"
