"""The standard attacks as judges: for those who change a model and must be told, sample by sample, what that is worth."""

from dataclasses import replace
from typing import TYPE_CHECKING

from heliotrope.attack.by_gradients import measure_by_gradients
from heliotrope.attack.certify.smoothing_check import vote
from heliotrope.attack.search.check import measure_by_search
from heliotrope.attack.search.misleading import mislead_by_search, rows_as_changed
from heliotrope.core.errors import InputError
from heliotrope.core.outcomes import Inconclusive
from heliotrope.core.predicates.behaviour import EvasionPredicate, ThreatModel
from heliotrope.engine.interface import RunContext
from heliotrope.subjects.interface import Opened
from heliotrope.subjects.judging import Judgement, judges, misleaders
from heliotrope.subjects.prepare import prepared_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["judge_by_gradients", "judge_by_search", "judge_by_votes"]


def judge_by_gradients(opened: Opened, context: RunContext, *, sample: int) -> Judgement:
    """The ensemble on a torch model on images or arrays."""
    import numpy as np

    prepared = prepared_of(_sampled(opened, sample))
    found = measure_by_gradients(opened.task, prepared, context, "ensemble")
    reach = found.result.reach.numpy()
    proven = None if found.proven is None else found.proven.cpu().numpy()
    rows = np.asarray(found.samples.rows, dtype=np.int64)
    return _judgement(found.predicate, rows, reach, proven)


def judge_by_search(opened: Opened, context: RunContext, *, sample: int) -> Judgement:
    """The search that asks, and reads trees and slopes where there are some, on a model of any format."""
    found = measure_by_search(_sampled(opened, sample), context)
    if isinstance(found, Inconclusive):
        raise InputError(found.reason, hint="correct the constraints or the data")
    judged = _judgement(found.predicate, found.rows, found.result.reach, None)
    which = found.result.broken(found.predicate.threat.eps)
    return replace(judged, misled=rows_as_changed(found.target, which, found.result.adversarial[which]))


def judge_by_votes(opened: Opened, context: RunContext, *, sample: int) -> Judgement:
    """What the votes over noisy copies prove: nothing is attacked, so that there is no attack that could have failed."""
    smoothing = opened.parameters.model.smoothing
    voted = vote(opened, context, sample=sample if smoothing is None else min(sample, smoothing.sample))
    threat, (low, high) = voted.threat, _range(opened)
    carried = ThreatModel(
        norm=threat.norm, eps=threat.eps, steps=1, restarts=1, step_size=threat.eps, input_low=low, input_high=high
    )
    return Judgement(
        attack="smoothing",
        threat=carried,
        rows=voted.rows,
        clean=voted.right,
        robust=voted.certified,
        proven=voted.certified,
        health=(),
        health_verdict="sound",
        asked=voted.found.asked,
    )


def _range(opened: Opened) -> tuple[float | None, float | None]:
    declared = opened.parameters.model.input
    return (None, None) if declared is None else declared.range


def _sampled(opened: Opened, sample: int) -> Opened:
    return replace(opened, parameters=opened.parameters.model_copy(update={"sample": sample}))


def _judgement(
    predicate: EvasionPredicate,
    rows: "NDArray[np.int64]",
    reach: "NDArray[np.float64]",
    proven: "NDArray[np.bool_] | None",
) -> Judgement:
    return Judgement(
        attack=predicate.attack,
        threat=predicate.threat,
        rows=rows,
        clean=reach > 0,
        robust=reach > predicate.threat.eps,
        proven=proven,
        health=predicate.health,
        health_verdict=predicate.health_verdict,
        asked=predicate.forward_passes,
        blobs=tuple(
            blob
            for blob in (
                predicate.samples,
                *(one for e in predicate.examples for one in (e.original, e.perturbed, e.difference)),
            )
            if blob is not None
        ),
    )


judges("gradients", judge_by_gradients)
judges("search", judge_by_search)
judges("votes", judge_by_votes)
misleaders("search", mislead_by_search)
