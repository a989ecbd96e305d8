"""An attack along gradients from model and data to evidence: passes, rivals, curve, stored inputs, health."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from heliotrope import __version__
from heliotrope.attack.ensemble.evaluating import Evaluation, evaluate
from heliotrope.attack.ensemble.presets import PRESETS, PresetName
from heliotrope.attack.ensemble.proving import certifier_of_module
from heliotrope.attack.gradients.approximation import approximated
from heliotrope.attack.gradients.campaign import campaign, pgd_passes
from heliotrope.attack.gradients.curve import curve_radii, trace_curve
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
from heliotrope.core.records import content_id
from heliotrope.core.runs import CheckResult
from heliotrope.engine.interface import RunContext, Task
from heliotrope.subjects.checkpoint import Checkpoint
from heliotrope.subjects.planning import ModelTask
from heliotrope.subjects.prepare import Prepared, batch_size
from heliotrope.subjects.sampling import choose_rows, sample_size
from heliotrope.subjects.statistics import exact_interval
from heliotrope.subjects.torch_model import approximation_of

if TYPE_CHECKING:
    import torch

__all__ = [
    "Measured",
    "Method",
    "attack_by_gradients",
    "effective_threat",
    "measure_by_gradients",
    "preset_of",
    "samples_of",
]

_QUICK_DRAWS, _DRAWS = 4, 10
"""Of a random model, when none are configured."""


Method = Literal["pgd", "ensemble"]

_PGD_STEPS, _PGD_QUICK_STEPS = 40, 20

_ENSEMBLE_SAMPLES = 500
"""Of suites below deep where no number is configured: the reference takes as many for a first look."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What came of an attack, sample by sample and as evidence."""

    predicate: EvasionPredicate
    samples: Samples
    result: AttackResult
    proven: "torch.Tensor | None"
    """Which samples are proven; None where none is."""


def attack_by_gradients(task: Task, prepared: Prepared, context: RunContext, method: Method = "pgd") -> CheckResult:
    """What `evasion.pgd` and `evasion.ensemble` do, for a model and data at hand."""
    parameters = prepared.parameters
    predicate = measure_by_gradients(task, prepared, context, method).predicate
    suite = parameters.suite or "standard"
    return conclude(task, prepared.model.digests, predicate, parameters.threat, suite=suite)


def measure_by_gradients(task: Task, prepared: Prepared, context: RunContext, method: Method) -> Measured:
    """Attack, let rivals try, look at the health of it all."""
    parameters = prepared.parameters
    threat = effective_threat(parameters, method)
    samples = _samples(prepared, task.seed, method)
    with _approximated(prepared, Path(task.root)):
        model = _model(prepared, samples, task.seed, context)
        with _naming_rows(model, samples):
            threat, logged = _seen(model, samples, threat, parameters)
            known = None
            if method == "ensemble":
                known = _ensemble(prepared, model, samples, threat, task=task, context=context)
                result = known.result
            else:
                tick = ticker(context, 0.0, 0.8, "attacking")
                result = campaign(model, samples, threat, pgd_passes(threat.restarts), seed=task.seed, tick=tick)
        rivals = contest(model, samples, threat, result, seed=task.seed, known=known.rivals if known else ())
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
        examples = show_examples(
            model,
            samples,
            threat,
            result,
            names=prepared.model.names,
            context=context,
            logits=None if model.random else prepared.model.logits,
        )
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
        certified=None if known is None or not known.certified else known.certified,
        unreached=None if known is None else known.unreached,
        proof=None if known is None else known.proof,
        forward_passes=model.cost.forward,
        gradient_passes=model.cost.gradient,
        examples=examples,
        samples=context.store(stored, "application/x-npz") if clean > robust else None,
        data=prepared.data.digests,
    )
    return Measured(predicate, samples, result, known.proven if predicate.certified and known is not None else None)


def effective_threat(parameters: ModelTask, method: Method = "pgd") -> ThreatModel:
    """The configured threat as it is carried out: small suites cap steps, restarts and targets."""
    declared, model = parameters.threat, parameters.model
    if declared is None or model.input is None:
        raise InputError(f"model {model.name!r} lacks a threat or input", hint="fill threat and input")
    ensemble = PRESETS[preset_of(parameters)]
    usual, most = (ensemble.steps, ensemble.steps) if method == "ensemble" else (_PGD_STEPS, _PGD_QUICK_STEPS)
    whole = parameters.suite == "deep" if method == "ensemble" else parameters.suite != "quick"
    wanted = declared.steps or usual
    steps, restarts = capped(declared, "standard" if whole else "quick", usual=usual, quick=most)
    size = (declared.step_size or 2.5 * declared.eps / wanted) * wanted / steps
    return ThreatModel(
        norm=declared.norm,
        eps=declared.eps,
        steps=steps,
        restarts=restarts,
        step_size=2 * declared.eps if method == "ensemble" else size,
        input_low=model.input.range[0],
        input_high=model.input.range[1],
        channel_eps=declared.channel_eps,
        targets=ensemble.targets if method == "ensemble" else None,
        queries=ensemble.queries if method == "ensemble" else None,
        approximated=tuple(sorted(declared.approximate)),
    )


def preset_of(parameters: ModelTask) -> PresetName:
    """The suite says how much is spent."""
    return parameters.suite or "standard"


def samples_of(parameters: ModelTask, total: int, method: Method) -> int:
    """How many samples the method takes."""
    size = sample_size(parameters, total)
    free = parameters.sample is None and parameters.suite != "deep"
    return min(size, _ENSEMBLE_SAMPLES) if method == "ensemble" and free else size


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


def _ensemble(
    prepared: Prepared, model: GradientModel, samples: Samples, threat: ThreatModel, *, task: Task, context: RunContext
) -> Evaluation:
    certifier, no_proof = certifier_of_module(prepared, model, samples)
    tick = ticker(context, 0.0, 0.8, "attacking")
    return evaluate(
        model,
        samples,
        threat,
        preset=preset_of(prepared.parameters),
        seed=task.seed,
        certifier=certifier,
        checkpoint=_checkpoint(prepared, samples, threat, task),
        no_proof=no_proof,
        said=tick,
    )


def _checkpoint(prepared: Prepared, samples: Samples, threat: ThreatModel, task: Task) -> Checkpoint | None:
    """Where the state of a run that may be stopped is kept, with all that it depends on."""
    if task.unfinished is None:
        return None
    folder = Path(task.unfinished)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None  # a folder that cannot be written is told of when results are to be kept
    identity = {f"model {name}": digest for name, digest in prepared.model.digests.items()}
    identity |= {f"data {name}": digest for name, digest in prepared.data.digests.items()}
    identity |= {"threat": content_id(threat), "samples": content_id({"rows": list(samples.rows)})}
    identity |= {"seed": str(task.seed), "preset": preset_of(prepared.parameters), "version": __version__}
    return Checkpoint(folder / "ensemble", identity)


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
