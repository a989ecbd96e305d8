"""Evasion by gradients: the share of inputs that stay right when an attacker may change them a little."""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from heliotrope.attack._health import Examined, examine
from heliotrope.attack._indicators import health_verdict
from heliotrope.attack._outcome import capped, conclude, ticker
from heliotrope.attack._pgd import curve_radii, pgd, trace_curve
from heliotrope.attack._pictures import pack_samples, show_examples
from heliotrope.attack.certify.checks import certificate_bounds, certificate_properties, certificate_smoothing
from heliotrope.attack.interface import AttackResult, Target
from heliotrope.attack.search import evasion_search
from heliotrope.core.errors import InputError
from heliotrope.core.outcomes import NotApplicable
from heliotrope.core.predicates.behaviour import CurvePoint, EvasionPredicate, ThreatModel
from heliotrope.core.runs import CheckResult
from heliotrope.engine.interface import Planned, Project, RunContext, Task
from heliotrope.engine.registry import check
from heliotrope.subjects.planning import ModelTask, is_table, plan_models
from heliotrope.subjects.prepare import Prepared, batch_size, prepare
from heliotrope.subjects.sampling import choose_rows, sample_size
from heliotrope.subjects.statistics import exact_interval

__all__ = [
    "attack_by_gradients",
    "certificate_bounds",
    "certificate_properties",
    "certificate_smoothing",
    "effective_threat",
    "evasion_pgd",
    "evasion_search",
]

_SECONDS_PER_PASS = 1.2e-4
"""Forward and backward of one sample through a network of 150,000 weights on one core."""

_PACKED_PIXELS = 3
"""Pixels for each byte of a compressed file of images."""

_START_SECONDS = 8.0

USUAL_STEPS = 40
"""Along the gradient, when none are configured."""

_QUICK_STEPS = 20
_UNKNOWN_ROWS = 10_000


_ON_TABLES = NotApplicable(
    reason="tables are attacked by evasion.search, which knows types, ranges and categories",
    facts=("data.evaluate is a table",),
)


def _plan(project: Project) -> Iterator[Planned]:
    for planned in plan_models(project, needs=("loader", "input", "output", "data.evaluate", "threat")):
        source = ModelTask.model_validate(planned.parameters.document()).model.data.evaluate
        outcome = _ON_TABLES if source is not None and is_table(source) else None
        yield replace(planned, estimate_seconds=_estimate(planned), outcome=outcome)


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
    result = pgd(target, threat, seed=task.seed, tick=ticker(context, 0.0, 0.8, "attacking"))
    trace_curve(target, threat, result, tick=ticker(context, 0.8, 0.15, "drawing the curve"))
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
    return conclude(task, prepared.model.digests, predicate, prepared.parameters.threat)


def effective_threat(parameters: ModelTask) -> ThreatModel:
    """The configured threat as it is carried out: the quick suite caps steps at 20 and restarts at 1."""
    declared, model = parameters.threat, parameters.model
    if declared is None or model.input is None:
        raise InputError(f"model {model.name!r} lacks a threat or input", hint="fill threat and input")
    usual = declared.steps or USUAL_STEPS
    steps, restarts = capped(declared, parameters.suite, usual=usual, quick=_QUICK_STEPS)
    size = (declared.step_size or 2.5 * declared.eps / usual) * usual / steps
    return ThreatModel(
        norm=declared.norm,
        eps=declared.eps,
        steps=steps,
        restarts=restarts,
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
