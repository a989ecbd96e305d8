"""Evasion by gradients: the share of inputs that stay right when an attacker may change them a little."""

import math
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from heliotrope.attack._health import Examined, examine, health_verdict
from heliotrope.attack._pgd import curve_radii, pgd, trace_curve
from heliotrope.attack._pictures import pack_samples, show_examples
from heliotrope.attack.interface import AttackResult, Target, Tick
from heliotrope.attack.rules import ATTACK_UNSOUND, EVASION_POSSIBLE
from heliotrope.config.schema import ThreatConfig
from heliotrope.core.errors import InputError
from heliotrope.core.evidence import Blob, statement
from heliotrope.core.findings import Finding, Rule, fingerprint
from heliotrope.core.measurements import Measurement
from heliotrope.core.outcomes import Inconclusive, Passed
from heliotrope.core.predicates.behaviour import EVASION_PREDICATE, CurvePoint, EvasionPredicate, ThreatModel
from heliotrope.core.runs import CheckResult
from heliotrope.engine.interface import Planned, Project, RunContext, Task
from heliotrope.engine.registry import check
from heliotrope.subjects.planning import ModelTask, plan_models
from heliotrope.subjects.prepare import Prepared, batch_size, prepare
from heliotrope.subjects.sampling import choose_rows, sample_size
from heliotrope.subjects.statistics import exact_interval

__all__ = ["attack_by_gradients", "effective_threat", "evasion_pgd"]

_QUICK_STEPS = 20
_QUICK_RESTARTS = 1
_SECONDS_PER_PASS = 1.2e-4
"""Forward and backward of one sample through a network of 150,000 weights on one core."""

_PACKED_PIXELS = 3
"""Pixels for each byte of a compressed file of images."""

_START_SECONDS = 8.0
_UNKNOWN_ROWS = 10_000

_TICK_SECONDS = 0.25


def _plan(project: Project) -> Iterator[Planned]:
    for planned in plan_models(project, needs=("loader", "input", "output", "data.evaluate", "threat")):
        yield replace(planned, estimate_seconds=_estimate(planned))


@check(
    id="evasion.pgd",
    version="1",
    title="Accuracy under projected gradient descent",
    applies_to="model",
    parameters=ModelTask,
    plan=_plan,
    cost="quick",  # the quick suite runs it, with fewer samples, steps and restarts
    runs_project_code=True,
    extra="torch",
    modules=("torch", "numpy", "scipy", "safetensors", "PIL"),
)
def evasion_pgd(task: Task, context: RunContext) -> CheckResult:
    """Attack evaluation samples by PGD. Inconclusive when a health indicator failed; floors are for policy to set."""
    return attack_by_gradients(task, prepare(task), context)


def attack_by_gradients(task: Task, prepared: Prepared, context: RunContext) -> CheckResult:
    """What `evasion.pgd` does, for a model and data at hand."""
    threat = effective_threat(prepared.parameters)
    target = _target(prepared, task.seed, context)
    result = pgd(target, threat, seed=task.seed, tick=_ticker(context, 0.0, 0.8, "attacking"))
    trace_curve(target, threat, result, tick=_ticker(context, 0.8, 0.15, "drawing the curve"))
    stored = pack_samples(target, threat, result)
    health = examine(
        Examined(
            target,
            prepared.model.module,
            threat,
            result,
            stored,
            output=prepared.parameters.model.output or "logits",
            declared_accuracy=prepared.parameters.model.declared.clean_accuracy,
        )
    )
    n, clean, robust = len(target.labels), result.right_at(0), result.right_at(threat.eps)
    predicate = EvasionPredicate(
        attack="pgd",
        threat=threat,
        n=n,
        clean_correct=clean,
        broken=clean - robust,
        clean_accuracy=clean / n,
        clean_interval=exact_interval(clean, n),
        robust_accuracy=robust / n,
        robust_interval=exact_interval(robust, n),
        curve=_curve(threat, result, n),
        restarts=tuple(result.restarts),
        health=health,
        health_verdict=health_verdict(health),
        forward_passes=result.cost.forward,
        gradient_passes=result.cost.gradient,
        examples=show_examples(target, threat, result, prepared.model.names, context),
        samples=context.store(stored, "application/x-npz") if clean > robust else None,
        data=prepared.data.digests,
    )
    return _result(task, prepared, predicate)


def effective_threat(parameters: ModelTask) -> ThreatModel:
    """The configured threat as it is carried out: the quick suite caps steps at 20 and restarts at 1."""
    declared, model = parameters.threat, parameters.model
    if declared is None or model.input is None:
        raise InputError(f"model {model.name!r} lacks a threat or input", hint="fill threat and input")
    quick = parameters.suite == "quick"
    steps = min(declared.steps, _QUICK_STEPS) if quick else declared.steps
    size = (declared.step_size or 2.5 * declared.eps / declared.steps) * declared.steps / steps
    return ThreatModel(
        norm=declared.norm,
        eps=declared.eps,
        steps=steps,
        restarts=min(declared.restarts, _QUICK_RESTARTS) if quick else declared.restarts,
        step_size=size,
        input_low=model.input.range[0],
        input_high=model.input.range[1],
    )


def _target(prepared: Prepared, seed: int, context: RunContext) -> Target:
    """The samples to attack: a seeded choice without replacement, in their order."""
    import torch

    total = len(prepared.data)
    rows = choose_rows(total, sample_size(prepared.parameters, total), seed)
    images = torch.from_numpy(prepared.data.images[rows])
    return Target(
        logits=prepared.model.logits,
        images=images,
        labels=torch.from_numpy(prepared.data.labels[rows]),
        rows=tuple(rows.tolist()),
        batch=batch_size(prepared.model, images[0], context.limits.memory_bytes),
    )


def _curve(threat: ThreatModel, result: AttackResult, n: int) -> tuple[CurvePoint, ...]:
    points = []
    for radius in curve_radii(threat):
        right = result.right_at(radius)
        points.append(CurvePoint(eps=radius, accuracy=right / n, n=n, interval=exact_interval(right, n)))
    return tuple(points)


def _result(task: Task, prepared: Prepared, predicate: EvasionPredicate) -> CheckResult:
    threat, interval = predicate.threat, predicate.robust_interval
    number = (
        f"robust accuracy {100 * predicate.robust_accuracy:.2f} % "
        f"(95 % interval {100 * interval.low:.2f} to {100 * interval.high:.2f} %) "
        f"at {threat.norm} eps {threat.eps:g}, {threat.steps} steps x {threat.restarts}, n = {predicate.n}"
        f"{_capped(prepared.parameters.threat, threat)}"
    )
    findings = []
    if predicate.broken:
        message = f"{predicate.broken} of {predicate.clean_correct} correctly classified inputs were misled; {number}"
        findings.append(_finding(task, EVASION_POSSIBLE, message, threat))
    outcome: Passed | Inconclusive = Passed(reason=number)
    if predicate.health_verdict == "unsound":
        failed = [indicator for indicator in predicate.health if indicator.state == "failed"]
        reason = "; ".join(f"{indicator.title}: no ({indicator.actual})" for indicator in failed)
        outcome = Inconclusive(reason=f"the attack is unsound: {reason}; {number} must not be relied on")
        findings.insert(0, _finding(task, ATTACK_UNSOUND, reason, threat))
    elif predicate.health_verdict == "doubtful":
        doubts = [indicator.title for indicator in predicate.health if indicator.state == "warning"]
        outcome = Passed(reason=f"{number}; doubtful: not shown that: {'; '.join(doubts)}")
    blobs = [
        predicate.samples,
        *(blob for example in predicate.examples for blob in (example.original, example.perturbed, example.difference)),
    ]
    unique: dict[str, Blob] = {blob.sha256: blob for blob in blobs if blob is not None}
    return CheckResult(
        outcome=outcome,
        evidence=(statement(prepared.model.digests, EVASION_PREDICATE, predicate),),
        findings=tuple(findings),
        measurements=_measurements(task, predicate),
        blobs=tuple(unique.values()),
    )


def _capped(declared: ThreatConfig | None, carried_out: ThreatModel) -> str:
    if declared is None or (declared.steps, declared.restarts) == (carried_out.steps, carried_out.restarts):
        return ""
    return f" (quick suite; configured are {declared.steps} steps x {declared.restarts})"


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
                "norm": threat.norm,
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
        fingerprint=fingerprint(rule.id, task.subject.urn, f"{threat.norm} {threat.eps:g}"),
        fix=rule.fix,
        taxonomy=rule.taxonomy,
    )


def _ticker(context: RunContext, begin: float, length: float, text: str) -> Tick:
    """Progress a few times a second, never backwards."""
    furthest, said = 0.0, 0.0

    def tick(share: float) -> None:
        nonlocal furthest, said
        furthest = max(furthest, begin + length * share)
        if time.monotonic() - said >= _TICK_SECONDS:
            said = time.monotonic()
            context.progress(furthest, 1.0, text)

    return tick


def _estimate(planned: Planned) -> float:
    """Seconds on one core, guessed from file sizes; right within a factor of a few."""
    parameters = ModelTask.model_validate(planned.parameters.document())
    if parameters.threat is None or parameters.model.input is None or parameters.model.input.shape is None:
        return 0.0
    threat = effective_threat(parameters)
    images = next((planned.inputs[name] for name in ("images", "data") if name in planned.inputs), None)
    rows = max(100, int(_PACKED_PIXELS * _file_size(images) / math.prod(parameters.model.input.shape)))
    samples = sample_size(parameters, rows if _file_size(images) else _UNKNOWN_ROWS)
    passes = samples * threat.steps * threat.restarts
    return _START_SECONDS + passes * _SECONDS_PER_PASS * max(_file_size(planned.inputs.get("weights")) / 6e5, 0.2)


def _file_size(path: Path | None) -> int:
    return path.stat().st_size if path is not None and path.is_file() else 0
