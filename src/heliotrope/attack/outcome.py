"""What follows from an attack, whatever kind it was: its outcome, findings and measurements. And progress on the way there."""

import time
from typing import Protocol

from heliotrope.attack.rules import ATTACK_UNSOUND, EVASION_POSSIBLE
from heliotrope.config.schema import Suite, ThreatConfig
from heliotrope.core.evidence import Blob, statement
from heliotrope.core.findings import Finding, Rule, fingerprint
from heliotrope.core.measurements import Measurement
from heliotrope.core.outcomes import Inconclusive, Passed
from heliotrope.core.predicates.behaviour import EVASION_PREDICATE, EvasionPredicate, ThreatModel
from heliotrope.core.runs import CheckResult
from heliotrope.engine.interface import RunContext, Task

__all__ = ["Ticker", "capped", "conclude", "ticker"]


class Ticker(Protocol):
    """Progress: the share of the work done, in [0, 1], and what is known so far."""

    def __call__(self, share: float, bound: str = "", /) -> None: ...


_QUICK_RESTARTS = 1
_TICK_SECONDS = 0.25


def capped(declared: ThreatConfig, suite: Suite | None, *, usual: int, quick: int) -> tuple[int, int]:
    """Steps and restarts as they are carried out: `usual` steps if none are declared; the quick suite caps both."""
    steps = declared.steps or usual
    if suite != "quick":
        return steps, declared.restarts
    return min(steps, quick), min(declared.restarts, _QUICK_RESTARTS)


def conclude(
    task: Task,
    digests: dict[str, str],
    predicate: EvasionPredicate,
    declared: ThreatConfig | None,
    note: str = "",
    *,
    suite: Suite = "quick",
    possible: Rule = EVASION_POSSIBLE,
) -> CheckResult:
    """Outcome, findings and measurements of an attack; `note` is added to its number.

    Robust accuracy never stands alone: clean accuracy and what is known of the attack's health stand beside it. `suite` is
    named where it capped what is configured; `possible` is the rule of what was found.
    """
    threat, interval = predicate.threat, predicate.robust_interval
    number = (
        f"robust accuracy {100 * predicate.robust_accuracy:.2f} % "
        f"(95 % interval {100 * interval.low:.2f} to {100 * interval.high:.2f} %) "
        f"at {_bounds(threat)} x {threat.restarts}{_details(threat)}, "
        f"n = {predicate.n}{_capped(declared, threat, suite)}{_proven(predicate)}{note}; clean accuracy {100 * predicate.clean_accuracy:.2f} %, "
        f"attack {predicate.health_verdict}"
    )
    findings = []
    if predicate.broken:
        message = f"{predicate.broken} of {predicate.clean_correct} correctly classified inputs were misled; {number}"
        findings.append(_finding(task, possible, message, threat))
    outcome: Passed | Inconclusive = Passed(reason=number)
    if predicate.health_verdict == "unsound":
        failed = [indicator for indicator in predicate.health if indicator.state == "failed"]
        reason = "; ".join(f"{indicator.title}: no ({indicator.actual})" for indicator in failed)
        following = [indicator.next_attack for indicator in failed if indicator.next_attack is not None]
        if following:
            reason += f"; next: {'; '.join(dict.fromkeys(following))}"
        outcome = Inconclusive(reason=f"the attack is unsound: {reason}; {number} must not be relied on")
        findings.insert(0, _finding(task, ATTACK_UNSOUND, reason, threat))
    elif predicate.health_verdict == "doubtful":
        doubts = [indicator.title for indicator in predicate.health if indicator.state == "warning"]
        outcome = Passed(reason=f"{number}; doubtful: not shown that: {'; '.join(doubts)}")
    blobs = [
        predicate.samples,
        *(
            blob
            for example in predicate.examples
            for blob in (example.original, example.perturbed, example.difference, example.attribution)
        ),
    ]
    unique: dict[str, Blob] = {blob.sha256: blob for blob in blobs if blob is not None}
    return CheckResult(
        outcome=outcome,
        evidence=(statement(digests, EVASION_PREDICATE, predicate),),
        findings=tuple(findings),
        measurements=_measurements(task, predicate),
        blobs=tuple(unique.values()),
    )


def _bounds(threat: ThreatModel) -> str:
    if threat.kind == "text" and threat.characters is not None:
        return f"up to {threat.eps:g} words and {threat.characters:.3g} of the characters, {threat.steps} questions"
    return f"{threat.norm} eps {threat.eps:g}, {threat.steps} steps"


def _key(threat: ThreatModel) -> str:
    """What tells findings under one threat from those under another."""
    return (
        f"text {threat.eps:g} {threat.characters:g}"
        if threat.characters is not None
        else f"{threat.norm} {threat.eps:g}"
    )


def _details(threat: ThreatModel) -> str:
    """What else belongs to the threat, where it does."""
    said = [f"channels {', '.join(f'{eps:g}' for eps in threat.channel_eps)}"] if threat.channel_eps else []
    said += [f"{threat.targets} targets"] if threat.targets is not None else []
    said += [f"{threat.queries} questions"] if threat.queries is not None else []
    said += [f"by {', '.join(threat.edits)}"] if threat.edits else []
    said += [f"{threat.draws} draws"] if threat.draws is not None else []
    said += [f"way back approximated for {', '.join(threat.approximated)}"] if threat.approximated else []
    return "".join(f", {item}" for item in said)


def _proven(predicate: EvasionPredicate) -> str:
    """What is proven, and what the budget did not reach, where an attack says so."""
    said = ""
    if predicate.certified is not None:
        said += f", {100 * predicate.certified / predicate.n:.2f} % proven"
    if predicate.unreached:
        said += f", {100 * predicate.unreached / predicate.n:.2f} % undecided because the budget ended"
    return said


def _capped(declared: ThreatConfig | None, carried_out: ThreatModel, suite: Suite) -> str:
    if declared is None:
        return ""
    steps = declared.steps or carried_out.steps
    if (steps, declared.restarts) == (carried_out.steps, carried_out.restarts):
        return ""
    return f" ({suite} suite; configured are {steps} steps x {declared.restarts})"


def _measurements(task: Task, predicate: EvasionPredicate) -> tuple[Measurement, ...]:
    """Robust accuracy has no value when the attack was unsound: nothing may be decided on it."""
    threat = predicate.threat
    unsound = predicate.health_verdict == "unsound"
    return (
        Measurement(
            metric="robust_accuracy",
            value=None if unsound else predicate.robust_accuracy,
            undefined_reason="the attack was unsound: see its health indicators" if unsound else None,
            n=predicate.n,
            interval=None if unsound else predicate.robust_interval,
            direction="higher",
            subject=task.subject.urn,
            conditions={
                "norm": "edits" if threat.kind == "text" else threat.norm,
                "eps": threat.eps,
                "steps": threat.steps,
                "restarts": threat.restarts,
            },
        ),
        Measurement(
            metric="clean_accuracy_attacked_sample",
            value=predicate.clean_accuracy,
            n=predicate.n,
            interval=predicate.clean_interval,
            direction="higher",
            subject=task.subject.urn,
        ),
    )


def _finding(task: Task, rule: Rule, message: str, threat: ThreatModel) -> Finding:
    return Finding(
        rule=rule.id,
        severity=rule.severity,
        confidence="high",
        message=message,
        subject=task.subject.urn,
        fingerprint=fingerprint(rule.id, task.subject.urn, _key(threat)),
        fix=rule.fix,
        taxonomy=rule.taxonomy,
    )


def ticker(context: RunContext, begin: float, length: float, text: str) -> "Ticker":
    """Progress a few times a second, never backwards. A second argument says what is known so far."""
    furthest, said = 0.0, 0.0

    def tick(share: float, bound: str = "") -> None:
        nonlocal furthest, said
        furthest = max(furthest, begin + length * share)
        if time.monotonic() - said >= _TICK_SECONDS:
            said = time.monotonic()
            context.progress(furthest, 1.0, f"{text}: {bound}" if bound else text)

    return tick
