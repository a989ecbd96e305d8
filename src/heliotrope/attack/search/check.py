"""The share of inputs that stay right when an attacker may change them a little and can only ask: no gradients needed."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from heliotrope.attack.health.indicator import health_verdict
from heliotrope.attack.outcome import capped, conclude, ticker
from heliotrope.attack.search.evidence import choose_examples, pack, show
from heliotrope.attack.search.evolution import evolve
from heliotrope.attack.search.health import Searched, examine_search
from heliotrope.attack.search.searching import CURVE_FRACTIONS, SearchResult, SearchTarget, search, sparsify
from heliotrope.attack.search.slopes import ascend
from heliotrope.attack.search.space import Space, array_space
from heliotrope.attack.search.tables import table_space
from heliotrope.attack.search.trees import read_trees
from heliotrope.config.constraints import ConstraintsFile, load_constraints
from heliotrope.config.loader import Loaded
from heliotrope.config.schema import ModelConfig
from heliotrope.core.errors import InputError
from heliotrope.core.outcomes import Inconclusive, NotApplicable
from heliotrope.core.predicates.behaviour import CurvePoint, EvasionPredicate, ThreatModel
from heliotrope.core.runs import CheckResult
from heliotrope.engine.interface import RunContext
from heliotrope.subjects.batching import as_array, as_table, rows_at_once
from heliotrope.subjects.checking import model_check
from heliotrope.subjects.formats import format_of
from heliotrope.subjects.interface import Batch, Opened
from heliotrope.subjects.planning import is_table
from heliotrope.subjects.sampling import choose_rows, sample_size
from heliotrope.subjects.statistics import exact_interval
from heliotrope.subjects.torch_model import TorchModel

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Attacked", "Found", "attack_by_search", "evasion_search", "measure_by_search", "threat_of"]

_QUESTIONS_A_VALUE = 10
"""Of each attempt on a sample, for every value that may change: a gradient says in one step what a question says of one."""

_FEWEST_QUESTIONS, _MOST_QUESTIONS = 100, 1000
_QUICK_QUESTIONS = 100

_REQUESTS = 0.6
"""Share of an endpoint's budget that the attack may use; the rest is for health, curve and retries."""

_FURTHER_REQUESTS = 60
"""Requests for each batch beyond steps x restarts: a smaller change, the curve, the indicators."""


def _not_for(model: ModelConfig) -> NotApplicable | None:
    """Regressions have no class to leave; images of torch models are attacked along their gradients, which is stronger."""
    if model.task == "tabular-regression":
        return NotApplicable(
            reason="a regression has no classes, so none can be mistaken for another",
            facts=(f"task of {model.name} is tabular-regression",),
        )
    if model.task == "text-classification":
        return NotApplicable(
            reason="evasion.text attacks texts; this search leaves them alone",
            facts=(f"task of {model.name} is text-classification",),
        )
    descriptor, source = format_of(model), model.data.evaluate
    if descriptor is not None and descriptor.format == "torch" and source is not None and not is_table(source):
        return NotApplicable(
            reason="evasion.pgd attacks this model along its gradients, which finds more",
            facts=(f"format of {model.name} is torch", "data.evaluate is no table"),
        )
    return None


@model_check(
    id="evasion.search",
    version="1",
    title="Accuracy under a search without gradients",
    needs=("loader", "input", "output", "data.evaluate", "threat"),
    estimate=15.0,
    excludes=_not_for,
)
def evasion_search(opened: Opened, context: RunContext) -> CheckResult:
    """Attack evaluation samples by asking. Inconclusive when a health indicator failed; floors are for policy to set."""
    found = measure_by_search(opened, context)
    if isinstance(found, Inconclusive):
        return CheckResult(outcome=found)
    return conclude(opened.task, opened.model.digests, found.predicate, opened.parameters.threat, found.note)


@dataclass(frozen=True, slots=True)
class Found:
    """What came of a search, sample by sample and as evidence."""

    predicate: EvasionPredicate
    rows: "NDArray[np.int64]"
    """Which rows of the data were attacked; those that break the constraints themselves are not."""
    result: SearchResult
    note: str
    target: SearchTarget


@dataclass(frozen=True, slots=True)
class Attacked:
    """Samples under attack, before anything is said about them."""

    target: SearchTarget
    threat: ThreatModel
    result: SearchResult
    batch: Batch
    file: Loaded[ConstraintsFile] | None
    note: str


def attack_by_search(
    opened: Opened, context: RunContext, threat: ThreatModel, *, share: float = 0.9
) -> Attacked | Inconclusive:
    """Attack, and let the other attacks that suit the model try. `share`: of the progress that this is."""
    file = _constraints(opened)
    batch, note = _sample(opened, threat)
    batch, left_out = _keeping(opened, batch, threat, file)
    if not len(batch):
        reason = f"no sample keeps the constraints itself{left_out}: correct the constraints or the data"
        return Inconclusive(reason=reason)
    target = _target(opened, batch, threat, context, file)
    result = search(target, threat, seed=opened.task.seed, tick=ticker(context, 0.0, 0.78 * share, "searching"))
    if isinstance(opened.model, TorchModel):
        left_out += f"; gradients misled {ascend(opened.model, target, threat, result, seed=opened.task.seed)} more"
    if file is not None and opened.parameters.model.endpoint is None:
        further = evolve(target, threat, result, seed=opened.task.seed)
        left_out += f"; crossing rows misled {further} more"
    tick = ticker(context, 0.78 * share, 0.22 * share, "reading the trees")
    note += left_out + read_trees(opened, target, threat, result, tick=tick)
    return Attacked(target, threat, result, batch, file, note)


def measure_by_search(opened: Opened, context: RunContext) -> Found | Inconclusive:
    """Attack, let the other attacks that suit the model try, look at the health of it all."""
    attacked = attack_by_search(opened, context, threat_of(opened))
    if isinstance(attacked, Inconclusive):
        return attacked
    target, threat, result, batch, file = (
        attacked.target, attacked.threat, attacked.result, attacked.batch, attacked.file,
    )  # fmt: skip
    shown = choose_examples(target, threat, result)
    columns = opened.data.columns
    if columns:
        sparsify(target, shown, result)
    packed = pack(target, threat, result, columns)
    context.progress(0.95, 1.0, "checking the attack")
    health = examine_search(
        Searched(
            target,
            threat,
            result,
            packed.which,
            packed.read_back,
            output=opened.model.output,
            declared_accuracy=opened.parameters.model.declared.clean_accuracy,
            seed=opened.task.seed,
        )
    )
    n, clean, robust = len(batch), result.right_at(0), result.right_at(threat.eps)
    predicate = EvasionPredicate(
        attack="search",
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
        examples=show(target, threat, result, shown, names=opened.model.names, columns=columns, context=context),
        forward_passes=target.asked,
        gradient_passes=0,
        samples=context.store(packed.data, packed.media_type) if clean > robust else None,
        data=opened.data.digests | ({"constraints": file.digest} if file is not None else {}),
    )
    return Found(predicate, batch.rows, result, attacked.note, target)


def threat_of(opened: Opened) -> ThreatModel:
    """The configured threat as it is carried out on this subject."""
    declared, model = opened.parameters.threat, opened.parameters.model
    if declared is None:
        raise InputError(f"model {model.name!r} lacks a threat", hint="fill threat, as in threat: {eps: 0.5}")
    steps, restarts = capped(declared, opened.parameters.suite, usual=_usual_questions(opened), quick=_QUICK_QUESTIONS)
    table = opened.data.kind == "table"
    if not table and model.input is None:
        raise InputError(f"model {model.name!r} lacks input", hint="fill input, as in input: {shape: [1, 28, 28]}")
    low, high = (None, None) if table or model.input is None else model.input.range
    return ThreatModel(
        norm=declared.norm,
        eps=declared.eps,
        steps=steps,
        restarts=restarts,
        step_size=declared.eps,  # every step goes to an end of what is allowed
        input_low=low,
        input_high=high,
        changed_categories=declared.changed_categories if table else None,
    )


def _usual_questions(opened: Opened) -> int:
    """Of each attempt, when no steps are configured."""
    shape = opened.parameters.model.input.shape if opened.parameters.model.input is not None else None
    width = len(opened.data.columns) or math.prod(shape or (1,))
    return min(_MOST_QUESTIONS, max(_FEWEST_QUESTIONS, _QUESTIONS_A_VALUE * width))


def _sample(opened: Opened, threat: ThreatModel) -> tuple[Batch, str]:
    """A seeded choice of rows; of an endpoint no more than its budget permits, which is said."""
    total = len(opened.data)
    size, note = sample_size(opened.parameters, total), ""
    endpoint = opened.parameters.model.endpoint
    if endpoint is not None:
        each = threat.steps * threat.restarts + _FURTHER_REQUESTS
        affordable = int(_REQUESTS * endpoint.budget / each) * endpoint.batch
        if affordable < endpoint.batch:
            raise InputError(
                f"endpoint.budget of {endpoint.budget} requests does not suffice for {threat.steps} steps x {threat.restarts}",
                hint=f"set endpoint.budget to {int(each / _REQUESTS) + 1} or more, or fewer steps and restarts",
            )
        if affordable < size:
            size, note = affordable, f" (as many samples as endpoint.budget permits, not {size})"
    return opened.data.take(choose_rows(total, size, opened.task.seed)), note


def _constraints(opened: Opened) -> Loaded[ConstraintsFile] | None:
    """The file that the model's data names; InputError when it changed since the run was planned."""
    name = opened.parameters.model.data.constraints
    if name is None:
        return None
    if opened.data.kind != "table":
        raise InputError("data.constraints is for tables", hint="take it out: images and arrays have none")
    loaded = load_constraints(Path(opened.task.root) / name)
    expected = opened.task.inputs.get("constraints")
    if expected is not None and expected != loaded.digest:
        raise InputError(f"{name} changed while the check was waiting", hint="run again")
    return loaded


def _keeping(
    opened: Opened, batch: Batch, threat: ThreatModel, file: Loaded[ConstraintsFile] | None
) -> tuple[Batch, str]:
    """The samples that keep the constraints as they are; the others are counted and said, never attacked."""
    import numpy as np

    if file is None:
        return batch, ""
    space = _space(opened, batch, threat, file)
    assert space.constraints is not None
    broken = space.constraints.broken_by(np.arange(len(batch)), space.centres)
    out = np.zeros(len(batch), dtype=bool)
    for mask in broken.values():
        out |= mask
    if not out.any():
        return batch, ""
    kept = (~out).nonzero()[0]
    worst = max(broken, key=lambda text: int(broken[text].sum()))
    note = f" ({int(out.sum())} of {len(batch)} samples break the constraints themselves and were left out; most often: {worst})"
    return Batch(as_table(batch.inputs).iloc[kept].reset_index(drop=True), batch.answers[kept], batch.rows[kept]), note


def _target(
    opened: Opened, batch: Batch, threat: ThreatModel, context: RunContext, file: Loaded[ConstraintsFile] | None
) -> SearchTarget:
    return SearchTarget(
        scores=opened.model.scores,
        space=_space(opened, batch, threat, file),
        labels=batch.answers.astype("int64"),
        rows=batch.rows,
        batch=rows_at_once(opened, context.limits.memory_bytes),
        classes=opened.model.classes,
    )


def _space(opened: Opened, batch: Batch, threat: ThreatModel, file: Loaded[ConstraintsFile] | None) -> Space:
    if opened.data.kind == "table":
        value = file.value if file is not None else None
        return table_space(as_table(batch.inputs), opened.data.columns, threat, value)
    return array_space(as_array(batch.inputs), threat)


def _curve(threat: ThreatModel, result: SearchResult, n: int) -> tuple[CurvePoint, ...]:
    points = []
    for fraction in CURVE_FRACTIONS:
        radius = threat.eps if fraction == 1 else float(f"{fraction * threat.eps:.12g}")
        right = result.right_at(radius)
        points.append(CurvePoint(eps=radius, accuracy=right / n, n=n, interval=exact_interval(right, n)))
    return tuple(points)
