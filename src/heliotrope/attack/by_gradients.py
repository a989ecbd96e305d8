"""An attack along gradients from model and data to evidence: passes, rivals, curve, stored inputs, health."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from heliotrope.attack.gradients.approximation import approximated
from heliotrope.attack.gradients.campaign import GradientAttack, Method, apgd_passes, campaign, pgd_passes
from heliotrope.attack.gradients.curve import curve_radii, trace_curve
from heliotrope.attack.gradients.losses import MAX_TARGETS
from heliotrope.attack.gradients.model import GradientModel
from heliotrope.attack.health.answers import looks_random, probabilities
from heliotrope.attack.health.examined import FEW, Examined
from heliotrope.attack.health.indicator import health_verdict
from heliotrope.attack.health.report import examine
from heliotrope.attack.health.rivals import contest
from heliotrope.attack.interface import AttackResult, Samples
from heliotrope.attack.outcome import capped, conclude, ticker
from heliotrope.attack.pictures import on_eight_bit_grid, pack_samples, show_examples
from heliotrope.core.errors import InputError
from heliotrope.core.predicates.behaviour import CurvePoint, EvasionPredicate, ThreatModel
from heliotrope.core.runs import CheckResult
from heliotrope.engine.interface import RunContext, Task
from heliotrope.subjects.planning import ModelTask
from heliotrope.subjects.prepare import Prepared, batch_size
from heliotrope.subjects.sampling import choose_rows, sample_size
from heliotrope.subjects.statistics import exact_interval
from heliotrope.subjects.torch_model import approximation_of

__all__ = ["Usual", "attack_by_gradients", "effective_threat", "samples_of"]

_QUICK_DRAWS, _DRAWS = 4, 10
"""Of a random model, when none are configured."""


@dataclass(frozen=True, slots=True)
class Usual:
    """What a method takes when nothing is configured, by suite."""

    steps: int
    capped: int
    """Steps of suites that cap them."""
    targets: int | None = None


_PGD = Usual(steps=40, capped=20)
_APGD = Usual(steps=100, capped=50, targets=MAX_TARGETS)

_APGD_CAPPED_TARGETS = 3
_REPEATS, _CAPPED_REPEATS = 5, 2
"""Random starts of cross-entropy in each restart, in the suite deep and below."""

_APGD_CAPPED_SAMPLES = 500
"""Of suites below deep: 6 passes of 50 steps on 500 samples take less than a minute on small networks."""


def attack_by_gradients(task: Task, prepared: Prepared, context: RunContext, method: Method = "pgd") -> CheckResult:
    """What `evasion.pgd` and `evasion.apgd` do, for a model and data at hand."""
    parameters = prepared.parameters
    threat = effective_threat(parameters, method)
    samples = _samples(prepared, task.seed, method)
    with _approximated(prepared, Path(task.root)):
        model = _model(prepared, samples, task.seed, context)
        with _naming_rows(model, samples):
            threat, logged = _seen(model, samples, threat, parameters)
            passes, tick = _passes(parameters, threat, method), ticker(context, 0.0, 0.8, "attacking")
            result = campaign(model, samples, threat, passes, seed=task.seed, tick=tick)
        rivals = contest(model, samples, threat, result, seed=task.seed)
        trace_curve(model, samples, threat, result, tick=ticker(context, 0.8, 0.15, "drawing the curve"))
        stored = pack_samples(samples, threat, result)
        health = examine(
            Examined(
                model,
                samples,
                prepared.model.module,
                threat,
                result,
                stored,
                output=parameters.model.output or "logits",
                declared_accuracy=parameters.model.declared.clean_accuracy,
                method=method,
                rivals=rivals,
                logged=logged,
                eight_bit=on_eight_bit_grid(samples, threat),
            )
        )
        examples = show_examples(model, samples, threat, result, names=prepared.model.names, context=context)
    n, clean, robust = len(samples), result.right_at(0), result.right_at(threat.eps)
    predicate = EvasionPredicate(
        attack=method,
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
        forward_passes=model.cost.forward,
        gradient_passes=model.cost.gradient,
        examples=examples,
        samples=context.store(stored, "application/x-npz") if clean > robust else None,
        data=prepared.data.digests,
    )
    suite = parameters.suite or "standard"
    return conclude(task, prepared.model.digests, predicate, parameters.threat, suite=suite)


def effective_threat(parameters: ModelTask, method: Method = "pgd") -> ThreatModel:
    """The configured threat as it is carried out: small suites cap steps, restarts and targets."""
    declared, model = parameters.threat, parameters.model
    if declared is None or model.input is None:
        raise InputError(f"model {model.name!r} lacks a threat or input", hint="fill threat and input")
    usual = _APGD if method == "apgd" else _PGD
    whole = parameters.suite == "deep" if method == "apgd" else parameters.suite != "quick"
    wanted = declared.steps or usual.steps
    steps, restarts = capped(declared, "standard" if whole else "quick", usual=usual.steps, quick=usual.capped)
    size = (declared.step_size or 2.5 * declared.eps / wanted) * wanted / steps
    targets = usual.targets
    if targets is not None and not whole:
        targets = _APGD_CAPPED_TARGETS
    return ThreatModel(
        norm=declared.norm,
        eps=declared.eps,
        steps=steps,
        restarts=restarts,
        step_size=2 * declared.eps if method == "apgd" else size,
        input_low=model.input.range[0],
        input_high=model.input.range[1],
        channel_eps=declared.channel_eps,
        targets=targets,
        approximated=tuple(sorted(declared.approximate)),
    )


def samples_of(parameters: ModelTask, total: int, method: Method) -> int:
    """How many samples the method takes."""
    size = sample_size(parameters, total)
    return min(size, _APGD_CAPPED_SAMPLES) if method == "apgd" and parameters.suite != "deep" else size


def _samples(prepared: Prepared, seed: int, method: Method) -> Samples:
    """A seeded choice without replacement, in their order."""
    import torch

    total = len(prepared.data)
    rows = choose_rows(total, samples_of(prepared.parameters, total, method), seed)
    inputs, labels = torch.from_numpy(prepared.data.images[rows]), torch.from_numpy(prepared.data.labels[rows])
    return Samples(inputs, labels, tuple(rows.tolist()))


def _model(prepared: Prepared, samples: Samples, seed: int, context: RunContext) -> GradientModel:
    batch = batch_size(prepared.model, samples.inputs[0], context.limits.memory_bytes)
    return GradientModel(prepared.model.logits, batch=batch, seed=seed, device=prepared.model.device)


def _seen(
    model: GradientModel, samples: Samples, threat: ThreatModel, parameters: ModelTask
) -> tuple[ThreatModel, bool]:
    """What a first look shows: probabilities declared as logits are logged, a random model is averaged over draws."""
    import torch

    logged = parameters.model.output != "probabilities" and probabilities(model.one(samples.inputs[:FEW]))
    if logged:
        model.with_logits(lambda scores: scores.clamp_min(torch.finfo(scores.dtype).tiny).log())
    declared = parameters.threat.draws if parameters.threat is not None else None
    draws = declared or (_QUICK_DRAWS if parameters.suite == "quick" else _DRAWS)
    if draws > 1 and looks_random(model, samples.inputs)[0]:
        model.draws = draws
        threat = threat.model_copy(update={"draws": draws})
    if threat.targets is not None:
        others = model.one(samples.inputs[:1]).shape[1] - 1
        threat = threat.model_copy(update={"targets": min(threat.targets, others) if others > 1 else None})
    return threat, logged


def _passes(parameters: ModelTask, threat: ThreatModel, method: Method) -> tuple[GradientAttack, ...]:
    if method == "pgd":
        return pgd_passes(threat.restarts)
    classes = 2 if threat.targets is None else threat.targets + 1
    repeats = _REPEATS if parameters.suite == "deep" else _CAPPED_REPEATS
    return apgd_passes(classes, threat.restarts, targets=threat.targets or MAX_TARGETS, repeats=repeats)


@contextmanager
def _naming_rows(model: GradientModel, samples: Samples) -> Iterator[None]:
    """Add to an error of the model on which row it is raised, where it is raised on an unchanged one."""
    try:
        yield
    except InputError as error:
        row = _first_refused(model, samples)
        if row is None:
            raise
        raise InputError(f"{error.message}; first for row {row} of the data, unchanged", hint=error.hint) from None


def _first_refused(model: GradientModel, samples: Samples) -> int | None:
    """The first row that the model raises on, by halves; None if it takes all unchanged samples."""

    def refused(part: slice) -> bool:
        try:
            model.one(samples.inputs[part])
        except InputError:
            return True
        return False

    for begin in range(0, len(samples), model.batch):
        low, high = begin, min(begin + model.batch, len(samples))
        if not refused(slice(low, high)):
            continue
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if refused(slice(low, middle)) else (middle, high)
        return samples.rows[low] if refused(slice(low, high)) else None
    return None


@contextmanager
def _approximated(prepared: Prepared, root: Path) -> Iterator[None]:
    """Layers that the threat names get another way back."""
    declared = prepared.parameters.threat
    layers = {} if declared is None else declared.approximate
    functions = {name: None if how == "identity" else approximation_of(root, how) for name, how in layers.items()}
    with approximated(prepared.model.module, functions):
        yield


def _curve(threat: ThreatModel, result: AttackResult, n: int) -> tuple[CurvePoint, ...]:
    points = []
    for radius in curve_radii(threat):
        right = result.right_at(radius)
        points.append(CurvePoint(eps=radius, accuracy=right / n, n=n, interval=exact_interval(right, n)))
    return tuple(points)
