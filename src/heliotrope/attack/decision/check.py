"""The smallest change that misleads a model of which nothing but the class is seen: labels, rounded scores, endpoints."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from heliotrope import __version__
from heliotrope.attack.decision.health import examine_boundary
from heliotrope.attack.decision.hopskipjump import HopSkipJump
from heliotrope.attack.decision.interface import BoundaryState
from heliotrope.attack.health.indicator import health_verdict
from heliotrope.attack.outcome import conclude, ticker
from heliotrope.attack.search.evidence import choose_examples, pack, show
from heliotrope.attack.search.health import Searched
from heliotrope.attack.search.searching import CURVE_FRACTIONS, SearchResult, SearchTarget
from heliotrope.attack.search.space import array_space
from heliotrope.config.schema import ModelConfig, Suite
from heliotrope.core.errors import InputError
from heliotrope.core.measurements import Measurement
from heliotrope.core.outcomes import Errored, NotApplicable
from heliotrope.core.predicates.behaviour import CurvePoint, EvasionPredicate, RestartResult, ThreatModel
from heliotrope.core.records import content_id
from heliotrope.core.runs import CheckResult
from heliotrope.engine.interface import RunContext
from heliotrope.subjects.batching import as_array, rows_at_once
from heliotrope.subjects.checking import model_check
from heliotrope.subjects.checkpoint import Checkpoint
from heliotrope.subjects.interface import Opened
from heliotrope.subjects.planning import is_table
from heliotrope.subjects.sampling import choose_rows, sample_size
from heliotrope.subjects.statistics import exact_interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["evasion_boundary", "no_images", "no_table"]


@dataclass(frozen=True, slots=True)
class _Effort:
    samples: int
    questions: int


_EFFORT: dict[Suite, _Effort] = {
    "quick": _Effort(50, 300),
    "standard": _Effort(100, 1_000),
    "deep": _Effort(500, 5_000),
}
"""By suite: the paper reports at 1,000, 5,000 and more questions."""

_REQUESTS = 0.6
"""Share of an endpoint's budget that the attack may use; the rest is for health, half-filled requests and retries."""


def no_images(model: ModelConfig) -> NotApplicable | None:
    """Tables and regressions are none of the objects of attacks on arrays."""
    if model.task == "tabular-regression":
        return NotApplicable(
            reason="a regression has no classes, so none can be mistaken for another",
            facts=(f"task of {model.name} is tabular-regression",),
        )
    source = model.data.evaluate
    if source is not None and is_table(source):
        return NotApplicable(
            reason="tables are attacked by evasion.search, which knows types, ranges and categories",
            facts=("data.evaluate is a table",),
        )
    return None


@model_check(
    id="evasion.boundary",
    version="1",
    title="Smallest changes found by classes alone",
    needs=("loader", "input", "output", "data.evaluate", "threat"),
    cost="standard",
    estimate=60.0,
    excludes=no_images,
)
def evasion_boundary(opened: Opened, context: RunContext) -> CheckResult:
    """Walk along the boundary between classes (HopSkipJump); only the class that the model names is looked at.

    The standard suite takes at most 100 samples at 1,000 questions each, the deep suite 500 at 5,000; of an endpoint as many
    samples as its budget permits. Inconclusive when a health indicator failed; an endpoint that stops answering ends the run
    as unavailable, with what is known so far, and the next run goes on from the last whole round.
    """
    if opened.data.kind == "table":
        return CheckResult(outcome=no_table())
    effort = _EFFORT[opened.parameters.suite or "standard"]
    threat = _threat(opened, effort.questions)
    target, note = _target(opened, threat, effort, context)
    seed = opened.task.seed
    kept = _Kept(opened, target, threat)
    try:
        state = HopSkipJump(effort.questions)(
            target,
            threat,
            seed=seed,
            state=kept.load(),
            after=kept.save,
            tick=ticker(context, 0.0, 0.9, "walking along the boundary"),
        )
        return _concluded(opened, context, target, threat, state=state, note=note)
    except InputError as error:
        if opened.parameters.model.endpoint is None:
            raise
        return CheckResult(outcome=Errored(kind="unavailable", reason=kept.partial(error)))


def no_table() -> NotApplicable:
    """What a check of arrays says of an opened table."""
    return NotApplicable(
        reason="tables are attacked by evasion.search, which knows types, ranges and categories",
        facts=("the data are a table",),
    )


class _Kept:
    """The state after the last whole round: in memory, and in a file where the run may be stopped."""

    def __init__(self, opened: Opened, target: SearchTarget, threat: ThreatModel) -> None:
        self.last: BoundaryState | None = None
        self._target, self._threat = target, threat
        self._file: Checkpoint | None = None
        if opened.task.unfinished is None:
            return
        folder = Path(opened.task.unfinished)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            return  # a folder that cannot be written is told of when results are to be kept
        identity = {f"model {name}": digest for name, digest in opened.model.digests.items()}
        identity |= {f"data {name}": digest for name, digest in opened.data.digests.items()}
        identity |= {"threat": content_id(threat), "samples": content_id({"rows": target.rows.tolist()})}
        identity |= {"seed": str(opened.task.seed), "version": __version__}
        self._file = Checkpoint(folder / "boundary", identity)

    def load(self) -> BoundaryState | None:
        """Where an earlier run stood."""
        kept = self._file.load() if self._file is not None else None
        if kept is None:
            return None
        facts, arrays = kept
        self._target.asked = int(facts["sent"])
        self.last = BoundaryState.of(facts, arrays)
        return self.last

    def save(self, state: BoundaryState) -> None:
        self.last = state
        if self._file is not None:
            facts, arrays = state.kept()
            self._file.save(facts | {"sent": self._target.asked}, arrays)

    def partial(self, error: InputError) -> str:
        """What is known although the endpoint stopped answering."""
        if self.last is None:
            return f"stopped before anything was found: {error.reason()}"
        n, eps = len(self.last.reach), self._threat.eps
        broken = int(((self.last.reach > 0) & (self.last.reach <= eps)).sum())
        going = " and is kept: run again to go on from there" if self._file is not None else ""
        return (
            f"stopped after {int(self.last.asked.max())} of {self._threat.steps} questions for each sample: {error.reason()}; "
            f"at least {broken} of {n} samples break within {self._threat.norm} {eps:g} so far, not checked again. "
            f"The state after {self.last.round} rounds is partial{going}"
        )


def _threat(opened: Opened, questions: int) -> ThreatModel:
    declared, model = opened.parameters.threat, opened.parameters.model
    if declared is None or model.input is None:
        raise InputError(f"model {model.name!r} lacks a threat or input", hint="fill threat and input")
    if declared.channel_eps is not None:
        raise InputError(
            "threat.channel_eps is for attacks along gradients", hint="skip evasion.boundary, or take channel_eps out"
        )
    return ThreatModel(
        norm=declared.norm,
        eps=declared.eps,
        steps=questions,
        restarts=1,
        step_size=declared.eps,
        input_low=model.input.range[0],
        input_high=model.input.range[1],
    )


def _target(opened: Opened, threat: ThreatModel, effort: _Effort, context: RunContext) -> tuple[SearchTarget, str]:
    """A seeded choice of samples, no more than the suite and an endpoint's budget permit."""
    total = len(opened.data)
    size, note = min(sample_size(opened.parameters, total), effort.samples), ""
    endpoint = opened.parameters.model.endpoint
    if endpoint is not None:
        affordable = int(_REQUESTS * endpoint.budget * endpoint.batch / effort.questions)
        if affordable < 1:
            raise InputError(
                f"endpoint.budget of {endpoint.budget} requests does not suffice for {effort.questions} questions about one sample",
                hint="raise endpoint.budget or endpoint.batch",
            )
        if affordable < size:
            size, note = affordable, f" (as many samples as endpoint.budget permits, not {size})"
    batch = opened.data.take(choose_rows(total, size, opened.task.seed))
    target = SearchTarget(
        scores=opened.model.scores,
        space=array_space(as_array(batch.inputs), threat),
        labels=batch.answers.astype("int64"),
        rows=batch.rows,
        batch=rows_at_once(opened, context.limits.memory_bytes),
        classes=opened.model.classes,
    )
    return target, note


def _concluded(
    opened: Opened, context: RunContext, target: SearchTarget, threat: ThreatModel, *, state: BoundaryState, note: str
) -> CheckResult:
    result = _result(target, threat, state)
    questions = int(state.asked.sum())
    shown = choose_examples(target, threat, result)
    packed = pack(target, threat, result, ())
    context.progress(0.95, 1.0, "checking the attack")
    searched = Searched(
        target,
        threat,
        result,
        packed.which,
        packed.read_back,
        output=opened.model.output,
        declared_accuracy=opened.parameters.model.declared.clean_accuracy,
        seed=opened.task.seed,
    )
    health = examine_boundary(searched, state)
    n, clean, robust = len(target.labels), result.right_at(0), result.right_at(threat.eps)
    predicate = EvasionPredicate(
        attack="boundary",
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
        examples=show(target, threat, result, shown, names=opened.model.names, columns=(), context=context),
        forward_passes=target.asked,
        gradient_passes=0,
        samples=context.store(packed.data, packed.media_type) if clean > robust else None,
        data=opened.data.digests,
    )
    distances = _finite(state)
    middle = _median(distances)
    said = f"; median smallest change {middle:.4g}" if middle is not None else ""
    note += f"{said}, {questions / n:.0f} questions a sample; classes alone were looked at, other attacks may find more"
    concluded = conclude(opened.task, opened.model.digests, predicate, None, note)
    distance = Measurement(
        metric="median_smallest_change",
        value=middle,
        undefined_reason=None if middle is not None else "no misleading input is known for half of the right samples",
        n=len(distances),
        direction="higher",
        subject=opened.task.subject.urn,
        conditions={"norm": threat.norm, "questions": threat.steps},
    )
    return concluded.model_copy(update={"measurements": (*concluded.measurements, distance)})


def _finite(state: BoundaryState) -> "NDArray[np.float64]":
    """Distances of the samples that are right by themselves; infinite where nothing is known."""
    right: NDArray[np.float64] = state.reach[state.reach > 0]
    return right


def _median(distances: "NDArray[np.float64]") -> float | None:
    import numpy as np

    if not len(distances):
        return None
    middle = float(np.sort(distances)[len(distances) // 2])
    return middle if np.isfinite(middle) else None


def _result(target: SearchTarget, threat: ThreatModel, state: BoundaryState) -> SearchResult:
    """In the shape in which evidence is made; what is out of eps counts for the curve alone."""
    import numpy as np

    right = int((state.reach > 0).sum())
    broken = int(((state.reach > 0) & (state.reach <= threat.eps)).sum())
    return SearchResult(
        reach=state.reach,
        adversarial=state.best,
        lead=np.zeros(len(target.labels)),
        felt=np.zeros(len(target.labels), dtype=bool),
        restarts=[RestartResult(restart=0, attacked=right, broken=broken, attack="hopskipjump")],
        attacked=right,
    )


def _curve(threat: ThreatModel, result: SearchResult, n: int) -> tuple[CurvePoint, ...]:
    """Also beyond eps: the smallest change is known of every sample."""
    points = []
    for fraction in (*CURVE_FRACTIONS, *_FURTHER):
        radius = threat.eps if fraction == 1 else float(f"{fraction * threat.eps:.12g}")
        right = result.right_at(radius)
        points.append(CurvePoint(eps=radius, accuracy=right / n, n=n, interval=exact_interval(right, n)))
    return tuple(points)


_FURTHER = (3.0, 5.0, 8.0)
