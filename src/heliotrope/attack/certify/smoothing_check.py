"""certificate.smoothing: what the votes over noisy copies prove, for models that are used that way."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from heliotrope.attack.certify._evidence import histogram
from heliotrope.attack.certify._planning import plan_certificates
from heliotrope.attack.certify.smoothing import ABSTAINED, Smoothed, Smoothing, linf_radius, smooth
from heliotrope.attack.outcome import ticker
from heliotrope.config.schema import ModelConfig, SmoothingConfig, ThreatConfig
from heliotrope.core.errors import InputError
from heliotrope.core.evidence import statement
from heliotrope.core.measurements import Measurement
from heliotrope.core.outcomes import NotApplicable, Passed
from heliotrope.core.predicates.certificates import SMOOTHING_PREDICATE, SmoothingPredicate
from heliotrope.core.runs import CheckResult
from heliotrope.engine.interface import Planned, Project, RunContext, Task
from heliotrope.engine.registry import check
from heliotrope.subjects.batching import as_array, rows_at_once
from heliotrope.subjects.interface import Opened
from heliotrope.subjects.opening import open_subject
from heliotrope.subjects.planning import ModelTask, Need
from heliotrope.subjects.sampling import choose_rows
from heliotrope.subjects.statistics import exact_interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Voted", "certificate_smoothing", "smooth_opened", "vote"]

_SECONDS = 60.0


def _is_smoothed(model: ModelConfig) -> bool:
    return model.smoothing is not None


def _plan(project: Project) -> Iterator[Planned]:
    needs: tuple[Need, ...] = ("loader", "input", "output", "data.evaluate", "threat")
    yield from plan_certificates(project, needs=needs, estimate=_SECONDS, wanted=_is_smoothed, keeps=("smoothing",))


@check(
    id="certificate.smoothing",
    version="1",
    title="Accuracy that votes over noisy copies prove",
    applies_to="model",
    parameters=ModelTask,
    plan=_plan,
    cost="standard",
)
def certificate_smoothing(task: Task, context: RunContext) -> CheckResult:
    """Certify evaluation samples by votes. Passed whatever the share: floors are for policy."""
    with open_subject(task) as opened:
        return smooth_opened(opened, context)


@dataclass(frozen=True, slots=True)
class Voted:
    """What the votes say of each sample."""

    smoothing: SmoothingConfig
    threat: ThreatConfig
    rows: "NDArray[np.int64]"
    found: Smoothed
    right: "NDArray[np.bool_]"
    """Whether the votes name the right class."""
    certified: "NDArray[np.bool_]"
    """Whether they do so for every change within the threat."""


def vote(opened: Opened, context: RunContext, *, sample: int | None = None) -> Voted:
    """Count votes over noisy copies of at most so many samples; None: as many as smoothing says.

    Raises InputError where the model does not vote, or is one of tables.
    """
    model, threat = opened.parameters.model, opened.parameters.threat
    declared = model.smoothing
    if declared is None or threat is None:
        raise InputError(f"model {model.name!r} lacks smoothing or a threat", hint="fill smoothing and threat")
    batch = opened.data.take(choose_rows(len(opened.data), sample or declared.sample, opened.task.seed))
    inputs, labels = as_array(batch.inputs), batch.answers.astype("int64")
    smoothing = Smoothing(
        sigma=declared.sigma,
        votes=declared.votes,
        selection=declared.selection,
        alpha=declared.alpha,
        batch=rows_at_once(opened, context.limits.memory_bytes),
    )
    tick = ticker(context, 0.0, 1.0, "counting votes")
    found = smooth(opened.model.scores, inputs, smoothing, seed=opened.task.seed, rows=batch.rows, tick=tick)
    right = found.prediction == labels
    reach = found.radius if threat.norm == "L2" else linf_radius(found.radius, inputs[0].size)
    return Voted(declared, threat, batch.rows, found, right, right & (reach >= threat.eps))


def smooth_opened(opened: Opened, context: RunContext) -> CheckResult:
    """What `certificate.smoothing` does, for a model and data at hand."""
    if opened.data.kind == "table":
        fact = "data.evaluate is a table, whose columns have no common scale for noise"
        return CheckResult(outcome=NotApplicable(reason="noise is added to images and plain arrays", facts=(fact,)))
    voted = vote(opened, context)
    declared, threat, found, right = voted.smoothing, voted.threat, voted.found, voted.right
    n, certified = len(right), int(voted.certified.sum())
    interval = exact_interval(certified, n)
    predicate = SmoothingPredicate(
        sigma=declared.sigma,
        votes=declared.votes,
        selection=declared.selection,
        alpha=declared.alpha,
        norm=threat.norm,
        eps=threat.eps,
        n=n,
        correct=int(right.sum()),
        abstained=int((found.prediction == ABSTAINED).sum()),
        certified=certified,
        certified_accuracy=certified / n,
        certified_interval=interval,
        radii=histogram(found.radius[right].tolist(), declared.sigma),
        asked=found.asked,
        data=opened.data.digests,
    )
    reason = (
        f"by votes, certified accuracy {100 * certified / n:.2f} % (95 % interval {100 * interval.low:.2f} to "
        f"{100 * interval.high:.2f} %) at {threat.norm} eps {threat.eps:g}, sigma {declared.sigma:g}, n = {n}; each "
        f"certificate holds with probability {1 - declared.alpha:g}; {predicate.abstained} abstained"
    )
    return CheckResult(
        outcome=Passed(reason=reason),
        evidence=(statement(opened.model.digests, SMOOTHING_PREDICATE, predicate),),
        measurements=(
            Measurement(
                metric="certified_accuracy_smoothed",
                value=certified / n,
                n=n,
                interval=interval,
                direction="higher",
                subject=opened.task.subject.urn,
                conditions={"norm": threat.norm, "eps": threat.eps, "sigma": declared.sigma, "alpha": declared.alpha},
            ),
        ),
    )
