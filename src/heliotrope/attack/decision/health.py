"""Signs of whether an attack that sees classes alone worked."""

from typing import TYPE_CHECKING

from heliotrope.attack.health.indicator import sample_size
from heliotrope.attack.search.health import Searched, examine_questions
from heliotrope.core.predicates.behaviour import HealthIndicator, HealthState

if TYPE_CHECKING:
    from heliotrope.attack.decision.interface import BoundaryState

__all__ = ["examine_boundary"]

MAX_LOST = 0.1
"""Share of right samples for which no misleading input at all may be known."""

MAX_LATE = 0.01
"""Share of samples that may have broken with the last quarter of their questions."""

_CLOSER = 0.9
"""A median distance that shrank to no more than this share of the first says that the estimates point nowhere."""

_FEW = 5


def examine_boundary(searched: Searched, state: "BoundaryState") -> tuple[HealthIndicator, ...]:
    """Every indicator, in the order in which they should be read."""
    labels = searched.target.labels
    size = sample_size(len(labels), len(set(labels.tolist())))
    return (*examine_questions(searched), size, _reached(state), _closing(state), _late(searched, state))


def _reached(state: "BoundaryState") -> HealthIndicator:
    import numpy as np

    right = int((state.reach > 0).sum())
    lost = int(np.isinf(state.reach).sum())
    failed = lost > MAX_LOST * right
    return HealthIndicator(
        id="large-eps",
        title="Every sample can be misled by some change",
        state="unknown" if not right else "failed" if failed else "ok",
        wanted=f"at most {MAX_LOST:.0%} of the right samples without a misleading input at any distance",
        actual=f"{lost} of {right} without",
        explanation="The attack walks along the boundary between classes and needs a point beyond it: samples of other classes "
        "are taken, else noise. A model that names one class for everything has no boundary, and is not robust.",
        applies="attacks along the boundary",
        test=f"share above {MAX_LOST:.0%} fails",
        effect=lost / right if right else None,
        consequence="invalidates",
        next_attack="evaluate on samples of every class, or attack along gradients",
    )


def _closing(state: "BoundaryState") -> HealthIndicator:
    """On the median over samples that had a point to start from."""
    import numpy as np

    some = np.isfinite(state.begun) & (state.begun > 0)
    ratio = float(np.median(state.reach[some] / state.begun[some])) if some.any() else 1.0
    health: HealthState = "unknown"
    if int(some.sum()) >= _FEW:
        health = "warning" if ratio > _CLOSER else "ok"
    return HealthIndicator(
        id="distance-falls",
        title="The attack comes nearer with its questions",
        state=health,
        wanted=f"a median distance of at most {_CLOSER:.0%} of that at the start",
        actual=f"{ratio:.1%} of it, in {state.round} rounds",
        explanation="Where the answers around a point say nothing of the way across the boundary, as for answers at random, the "
        "distance stays, and the smallest change known says little of the model.",
        applies="attacks along the boundary on at least five samples",
        test=f"median of end over start above {_CLOSER:.0%} warns",
        effect=ratio,
        consequence="warns",
        next_attack="more questions (suite deep), or evasion.search where scores can be had",
    )


def _late(searched: Searched, state: "BoundaryState") -> HealthIndicator:
    n = len(searched.target.labels)
    share = state.late / n
    return HealthIndicator(
        id="more-steps",
        title="More questions no longer help",
        state="warning" if share > MAX_LATE else "ok",
        wanted=f"at most {MAX_LATE:.0%} of samples come within eps in the last quarter of their questions",
        actual=f"{state.late} of {n}",
        explanation="While samples still fall, the true robust accuracy is lower than what is reported.",
        applies="attacks along the boundary",
        test=f"share of all samples above {MAX_LATE:.0%}",
        effect=share,
        consequence="warns",
        next_attack="the suite deep, which asks more",
    )
