"""certificate.bounds: the share of samples that no attack within the threat can mislead, proven."""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from heliotrope.attack.certify._evidence import conclude
from heliotrope.attack.certify._planning import plan_certificates
from heliotrope.attack.certify._service import require_same_answers
from heliotrope.attack.certify.boxes import BoxDecider, NetworkBoxes
from heliotrope.attack.certify.interface import Budget, Region
from heliotrope.attack.certify.nets.graph import NotModelled
from heliotrope.attack.certify.opening import boxes_of
from heliotrope.attack.certify.preprocessing import stages_of
from heliotrope.attack.certify.probe import PROBED
from heliotrope.attack.certify.tables import TableCertifier
from heliotrope.attack.outcome import ticker
from heliotrope.attack.search.space import Space, array_space
from heliotrope.attack.search.tables import table_space
from heliotrope.config.schema import ModelConfig, NormalisationConfig
from heliotrope.core.errors import InputError
from heliotrope.core.outcomes import NotApplicable
from heliotrope.core.predicates.behaviour import ThreatModel
from heliotrope.core.runs import CheckResult
from heliotrope.engine.interface import Planned, Project, RunContext, Task
from heliotrope.engine.registry import check
from heliotrope.subjects.batching import as_array, as_table
from heliotrope.subjects.formats import format_of
from heliotrope.subjects.inside import Inside, look_inside
from heliotrope.subjects.interface import Batch, Opened
from heliotrope.subjects.opening import open_subject
from heliotrope.subjects.planning import ModelTask, Need
from heliotrope.subjects.sampling import choose_rows, sample_size

if TYPE_CHECKING:
    from heliotrope.attack.certify.nets.certifier import NetworkCertifier

__all__ = ["by_boxes", "certificate_bounds", "certify_opened"]

_NODES = 200
"""Parts for each sample. Of trees and small networks that decides most; a program may spend more."""

_CAPPED_SAMPLES = 1000
"""Of networks in suites below deep: 10,000 samples of two convolutions take six minutes."""

_RADII_SAMPLES, _RADII_HALVINGS, _RADII_NODES = 64, 8, 50
_SECONDS = 20.0


def _has_inside(model: ModelConfig) -> bool:
    descriptor = format_of(model)
    return descriptor is None or descriptor.format != "endpoint"


def _plan(project: Project) -> Iterator[Planned]:
    needs: tuple[Need, ...] = ("loader", "input", "output", "data.evaluate", "threat")
    yield from plan_certificates(project, needs=needs, estimate=_SECONDS, wanted=_has_inside)


@check(
    id="certificate.bounds",
    version="1",
    title="Accuracy that no attack within the threat can lower",
    applies_to="model",
    parameters=ModelTask,
    plan=_plan,
    cost="standard",
)
def certificate_bounds(task: Task, context: RunContext) -> CheckResult:
    """Prove evaluation samples right for every input within the threat. Passed whatever the share: floors are for policy."""
    with open_subject(task) as opened:
        return certify_opened(opened, context)


def certify_opened(opened: Opened, context: RunContext) -> CheckResult:
    """What `certificate.bounds` does, for a model and data at hand."""
    inside = look_inside(opened)
    if inside is None:
        return _not_modelled(opened, "the model is known by its answers alone")
    try:
        return _certified(opened, inside, context)
    except NotModelled as fact:
        return _not_modelled(opened, str(fact))


def _not_modelled(opened: Opened, fact: str) -> CheckResult:
    return CheckResult(
        outcome=NotApplicable(
            reason=f"nothing can be proven of {opened.parameters.model.name}: {fact}",
            facts=(f"{opened.model.format}: {fact}",),
        )
    )


def _certified(opened: Opened, inside: Inside, context: RunContext) -> CheckResult:
    threat = _threat(opened)
    total = len(opened.data)
    size = sample_size(opened.parameters, total)
    network = inside.kind in ("torch", "onnx") and opened.data.kind != "table"
    if network and opened.parameters.suite != "deep":
        size = min(size, _CAPPED_SAMPLES)
    batch = opened.data.take(choose_rows(total, size, opened.task.seed))
    tick = ticker(context, 0.0, 1.0, "proving")
    if network:
        return _by_network(opened, inside, threat, batch, context)
    space = _space(opened, threat, batch)
    certifier = by_boxes(opened, inside, space)
    certifier.require_agreement(choose_rows(len(batch), 64, opened.task.seed))
    labels = batch.answers.astype("int64")
    known = certifier.certify(labels, threat.eps, Budget(nodes=_NODES), tick)
    few = choose_rows(len(batch), _RADII_SAMPLES, opened.task.seed)
    part = replace(certifier, space=_space(opened, threat, _part(batch, few)))
    radii = part.certify(labels[few], threat.eps, Budget(nodes=_RADII_NODES, radii=_RADII_HALVINGS))
    known.radius[few], known.nodes = radii.radius, known.nodes + radii.nodes
    return conclude(
        opened, threat, batch, known, context, method=certifier.method, assumptions=certifier.assumptions, space=space
    )


def _part(batch: Batch, rows: "object") -> Batch:
    from heliotrope.subjects.batching import part_of

    return Batch(part_of(batch.inputs, rows), batch.answers[rows], batch.rows[rows])  # type: ignore[call-overload]


def _threat(opened: Opened) -> ThreatModel:
    declared, model = opened.parameters.threat, opened.parameters.model
    table = opened.data.kind == "table"
    if declared is None or (not table and model.input is None):
        raise InputError(f"model {model.name!r} lacks a threat or input", hint="fill threat and input")
    low, high = (None, None) if table or model.input is None else model.input.range
    return ThreatModel(
        norm=declared.norm,
        eps=declared.eps,
        steps=1,  # of no meaning here: nothing is attempted, all is counted in
        restarts=1,
        step_size=declared.eps,
        input_low=low,
        input_high=high,
        changed_categories=declared.changed_categories if table else None,
    )


def _space(opened: Opened, threat: ThreatModel, batch: Batch) -> Space:
    if opened.data.kind == "table":
        return table_space(as_table(batch.inputs), opened.data.columns, threat)
    return array_space(as_array(batch.inputs), threat)


def by_boxes(opened: Opened, inside: Inside, space: Space) -> TableCertifier:
    """What decides the rows of a space, for a model at hand. NotModelled with the part that is not known."""
    matrix, native = inside.matrix, inside.native
    decider: BoxDecider
    if inside.kind == "torch":
        import torch

        from heliotrope.attack.certify.nets.from_torch import from_torch

        network = from_torch(native, torch.zeros(len(opened.data.columns)))
        probabilities = opened.parameters.model.output == "probabilities"
        if network.ties or probabilities:
            raise NotModelled("a network on a table that ends in a softmax")
        return TableCertifier(space, matrix, opened.model.scores, NetworkBoxes(network, lambda scores: scores))
    if inside.kind == "onnx":
        raise NotModelled("ONNX models on tables are not read")
    if inside.kind == "sklearn":
        moving = frozenset(name for name, number in zip(space.names, space.numbers.tolist(), strict=False) if number)
        names = space.names or tuple(f"value {place}" for place in range(space.centres.shape[1]))
        stages = stages_of(native, numbers=moving if space.names else frozenset(names), columns=names)
        decider = boxes_of("sklearn", stages.final, method=inside.method)
        if stages.steps:
            return TableCertifier(
                space, lambda inputs: stages.transform(inside.matrix(inputs)), opened.model.scores, decider
            )
    else:
        decider = boxes_of(inside.kind, native, margins=inside.margins, rounds=inside.rounds)
    return TableCertifier(space, matrix, opened.model.scores, decider)


def _by_network(opened: Opened, inside: Inside, threat: ThreatModel, batch: Batch, context: RunContext) -> CheckResult:
    """Networks on images and plain arrays. Where a few samples prove nothing, the others are not tried."""
    certifier = _network(opened, inside, batch)
    inputs, labels = as_array(batch.inputs), batch.answers.astype("int64")
    low, high = threat.box
    region = Region(threat.norm, threat.eps, low, high)
    require_same_answers(certifier, inputs[:64])
    note = ""
    few = certifier.certify(inputs[:PROBED], labels[:PROBED], region, Budget(steps=0, attack=False))
    if len(batch) > PROBED and not few.count("certified"):
        batch = _part(batch, slice(0, PROBED))
        inputs, labels = inputs[:PROBED], labels[:PROBED]
        note = f" (bounds alone prove nothing of the first {PROBED} samples, so no more were tried)"
    known = certifier.certify(inputs, labels, region, Budget(nodes=_NODES), ticker(context, 0.0, 0.9, "proving"))
    part = choose_rows(len(batch), _RADII_SAMPLES, opened.task.seed)
    context.progress(0.9, 1.0, "radii")
    radii = certifier.certify(inputs[part], labels[part], region, Budget(steps=0, attack=False, radii=_RADII_HALVINGS))
    known.radius[part] = radii.radius
    return conclude(
        opened, threat, batch, known, context, method=certifier.method, assumptions=certifier.assumptions, note=note
    )


def _network(opened: Opened, inside: Inside, batch: Batch) -> "NetworkCertifier":
    import torch

    from heliotrope.attack.certify.nets.certifier import NetworkCertifier

    sample = as_array(batch.inputs)[0]
    declared = opened.parameters.model.normalisation
    normalise = (declared.mean, declared.std) if isinstance(declared, NormalisationConfig) else None
    if opened.model.output == "labels":
        raise NotModelled("the model answers with the class alone")
    if inside.kind == "torch":
        from heliotrope.attack.certify.nets.from_torch import from_torch

        network = from_torch(inside.native, torch.from_numpy(sample.copy()), normalise=normalise)
        if opened.parameters.model.output == "probabilities" and not network.ties:
            raise NotModelled("the model makes probabilities by something other than a softmax at its end")
    else:
        from heliotrope.attack.certify.nets.from_onnx import from_onnx

        network = from_onnx(inside.native, normalise=normalise, shape=tuple(sample.shape))
    widest = max(math.prod(node.shape) for node in network.nodes)
    return NetworkCertifier(network, opened.model.scores, batch=max(1, min(64, 4_000_000 // widest)))
