"""Holding requirements on measured values and on fields of evidence."""

import math
from collections.abc import Iterable
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

from heliotrope.core.assessments import EvidenceEntry, RunEntry
from heliotrope.core.decisions import RuleState
from heliotrope.core.measurements import Measurement
from heliotrope.core.subjects import Subject
from heliotrope.core.text import printable, shorten
from heliotrope.gate._requirements import CONCLUDED, Held, latest_run, why_absent
from heliotrope.gate.interface import Facts, Observed
from heliotrope.gate.policy import EffectivePolicy, EvidenceRequirement, MeasurementRequirement

__all__ = ["hold_evidence", "hold_measurement"]

_WORSE: tuple[RuleState, ...] = ("not_applicable", "pass", "unknown", "fail")


def hold_measurement(
    requirement: MeasurementRequirement, facts: Facts, subject: Subject, effective: EffectivePolicy
) -> Held:
    """A value is good when its whole interval is, bad when none of it is, and unknown across the limit."""
    requirement = _as_measured(requirement, facts, subject)
    low, high = _limits(requirement, effective)
    held = _hold_limits(requirement, facts, subject, low, high)
    return replace(held, metric=requirement.metric, lowest=low, highest=high)


def _as_measured(requirement: MeasurementRequirement, facts: Facts, subject: Subject) -> MeasurementRequirement:
    """With the first alternative that was measured in place of a metric that was not; its limit is its floor alone."""
    measured = {item.measurement.metric for item in _observed(facts, subject)}
    if requirement.metric in measured:
        return requirement
    other = next((metric for metric in requirement.alternatives if metric in measured), None)
    if other is None:
        return requirement
    return requirement.model_copy(update={"metric": other, "at_least": None, "at_most": None})


def _observed(facts: Facts, subject: Subject) -> Iterable[Observed]:
    return (item for item in facts.observed if item.measurement.subject == subject.urn and item.run in facts.runs)


def _hold_limits(  # noqa: PLR0911 - one return for each way it can end
    requirement: MeasurementRequirement, facts: Facts, subject: Subject, low: float | None, high: float | None
) -> Held:
    metric = requirement.metric
    run = latest_run(facts, requirement.check, subject)
    seen = _worst(item for item in _observed(facts, subject) if item.measurement.metric == metric)
    actual = _show(seen.measurement) if seen else "not measured"
    evidence = seen.evidence if seen else (run.evidence if run else ())
    if seen is None and run is not None and run.outcome == "not_applicable":
        return Held("not_applicable", f"{metric} is good enough", "not applicable", run.reason, (), run.evidence)
    if low is None and high is None:
        key = f"gates.floors.{metric}"
        return Held("unknown", f"a floor for {metric}", actual, f"no floor is set: fill {key}", (key,), evidence)
    wanted = f"{metric} {'≥' if low is not None else '≤'} {low if low is not None else high:g}"
    if seen is None or seen.measurement.value is None:
        return Held("unknown", wanted, actual, *_absent(run, requirement.check), evidence)
    good, bad = _compare(seen.measurement, low, high, by_interval=requirement.judge == "interval")
    if bad:
        return Held("fail", wanted, actual, "", (), evidence)
    if good and seen.run.outcome in CONCLUDED:
        return Held("pass", wanted, actual, "", (), evidence)
    if good:
        reason = f"the run that measured it did not conclude: {seen.run.reason}"
        return Held("unknown", wanted, actual, reason, seen.run.needs, evidence)
    reason = "the confidence interval lies on both sides of the limit: take a larger sample"
    return Held("unknown", wanted, actual, reason, ("sample",), evidence)


def hold_evidence(requirement: EvidenceRequirement, facts: Facts, subject: Subject) -> Held:
    """A field of all evidence of that type that runs of these checks on this subject produced; see `by_lowest`."""
    wanted = f"{requirement.field} {_show_test(requirement)}"
    run = latest_run(facts, requirement.check, subject)
    found = [
        (entry, one)
        for one in facts.runs
        if one.subject == subject.urn and fnmatchcase(one.check, requirement.check)
        for entry in facts.evidence
        if entry.predicate_type == requirement.predicate and entry.id in one.evidence
    ]
    if found:
        lowest = _lowest(found, requirement)
        held = [_hold_entry(requirement, entry, one, wanted) for entry, one in lowest or found]
        choose = min if lowest else max
        return choose(held, key=lambda one: _WORSE.index(one.state))
    if run is not None and run.outcome == "not_applicable":
        return Held("not_applicable", wanted, "not applicable", run.reason, (), run.evidence)
    return Held("unknown", wanted, "no evidence", *_absent(run, requirement.check), run.evidence if run else ())


def _lowest(
    found: list[tuple[EvidenceEntry, RunEntry]], requirement: EvidenceRequirement
) -> list[tuple[EvidenceEntry, RunEntry]] | None:
    """Those that decide by their number; None where that is not asked for, or one has no number: it might be the lowest."""
    if requirement.by_lowest is None:
        return None
    values = [_field(entry.predicate, requirement.by_lowest) for entry, _ in found]
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return None
    lowest = limit = min(values)
    if requirement.within is not None:
        ends = [
            _field(entry.predicate, f"{requirement.within}.high")
            for (entry, _), value in zip(found, values, strict=True)
            if value == lowest
        ]
        limit = min((end for end in ends if isinstance(end, int | float)), default=lowest)
    return [one for one, value in zip(found, values, strict=True) if value <= limit]


def _hold_entry(requirement: EvidenceRequirement, entry: EvidenceEntry, run: RunEntry, wanted: str) -> Held:
    value = _field(entry.predicate, requirement.field)
    shown = shorten(printable(str(value)), 80)
    if value is None or isinstance(value, dict | list):
        return Held("unknown", wanted, shown, f"the evidence has no value at {requirement.field}", (), (entry.id,))
    if value in requirement.unknown_if:
        return Held("unknown", wanted, shown, f"{run.check}: {run.reason}", run.needs, (entry.id,))
    state = _test(requirement, value)
    return Held("unknown" if state is None else "pass" if state else "fail", wanted, shown, "", (), (entry.id,))


def _worst(items: Iterable[Observed]) -> Observed | None:
    """Of several measurements of one metric the worst: what any of them shows holds. One without a value is worst."""
    found = list(items)

    def goodness(item: Observed) -> float:
        value = item.measurement.value
        if value is None:
            return -math.inf
        return value if item.measurement.direction == "higher" else -value

    return min(reversed(found), key=goodness, default=None)


def _limits(requirement: MeasurementRequirement, effective: EffectivePolicy) -> tuple[float | None, float | None]:
    """Lowest and highest acceptable value; the stricter of policy and floor."""
    if requirement.at_most is not None:
        return None, requirement.at_most
    candidates = [
        value for value in (requirement.at_least, effective.floors.get(requirement.metric)) if value is not None
    ]
    return (max(candidates) if candidates else None), None


def _compare(
    measurement: Measurement, low: float | None, high: float | None, *, by_interval: bool
) -> tuple[bool, bool]:
    value = measurement.value if measurement.value is not None else float("nan")
    bottom = top = value
    if by_interval and measurement.interval is not None:
        bottom, top = measurement.interval.low, measurement.interval.high
    if low is not None:
        return bottom >= low, top < low
    if high is not None:
        return top <= high, bottom > high
    return False, False


def _absent(run: RunEntry | None, check: str) -> tuple[str, tuple[str, ...]]:
    return (run.reason or run.outcome, run.needs) if run else (why_absent(check), ())


def _show(measurement: Measurement) -> str:
    if measurement.value is None:
        return measurement.undefined_reason or "undefined"
    interval = measurement.interval
    span = f" [{interval.low:.4f}, {interval.high:.4f}]" if interval else ""
    return f"{measurement.value:.4f}{span}, n = {measurement.n}"


def _show_test(requirement: EvidenceRequirement) -> str:
    if requirement.one_of is not None:
        return "is " + " or ".join(str(value) for value in requirement.one_of)
    limits = [("≥", requirement.at_least), ("≤", requirement.at_most)]
    return " and ".join(f"{sign} {value:g}" for sign, value in limits if value is not None)


def _test(requirement: EvidenceRequirement, value: Any) -> bool | None:
    """None when the value is not of a kind that can be compared."""
    if requirement.one_of is not None:
        return value in requirement.one_of
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    above = requirement.at_least is None or value >= requirement.at_least
    below = requirement.at_most is None or value <= requirement.at_most
    return above and below


def _field(predicate: dict[str, Any], path: str) -> Any:
    value: Any = predicate
    for part in path.split("."):
        if not isinstance(value, dict):
            return None
        value = value.get(part)
    return value
