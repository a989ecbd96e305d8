"""Rows that mislead one model, tried on another: an attack on a model must not be beaten by what was found on its relatives.

Rounded or quantised answers leave a search without a sense of direction; the same model without them has one, and answers alike.
Whatever is carried over counts, whoever found it; where it finds clearly more than the attack left, the attack did not work
(Carlini et al., On evaluating adversarial robustness, 2019).
"""

from dataclasses import replace
from typing import TYPE_CHECKING

from heliotrope.core.predicates.behaviour import HealthIndicator, HealthState
from heliotrope.subjects.interface import Opened
from heliotrope.subjects.judging import Judgement
from heliotrope.subjects.statistics import exact_interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["TOLERATED", "carried_over"]

TOLERATED = 0.02
"""Share of survivors that rows of other models may break: a strong attack misses one in fifty by chance. As attacks have it."""


def carried_over(opened: Opened, judged: Judgement, sources: dict[str, Judgement]) -> Judgement:
    """The judgement with what rows of other models break taken off, and an indicator of how much that was.

    `sources`: judgements of other models on the same samples under the same threat, by what people call the models.
    """
    import numpy as np

    broken = np.zeros(len(judged.rows), dtype=bool)
    tried = np.zeros(len(judged.rows), dtype=bool)
    won: dict[str, int] = {}
    for name, source in sources.items():
        one, other = _misled_by(opened, judged, source)
        won[name] = int((one & ~broken).sum())
        broken, tried = broken | one, tried | other
    indicator = _indicator(int(broken.sum()), int(tried.sum()), won)
    verdict = judged.health_verdict
    if indicator.state == "failed":
        verdict = "unsound"
    elif indicator.state == "warning" and verdict == "sound":
        verdict = "doubtful"
    return replace(
        judged, robust=judged.robust & ~broken, health=(*judged.health, indicator), health_verdict=verdict,
        asked=judged.asked + int(tried.sum()),
    )  # fmt: skip


def _misled_by(opened: Opened, judged: Judgement, source: Judgement) -> "tuple[NDArray[np.bool_], NDArray[np.bool_]]":
    """Which survivors fall to rows of another model, and which were tried."""
    import numpy as np

    broken, tried = np.zeros(len(judged.rows), dtype=bool), np.zeros(len(judged.rows), dtype=bool)
    if source.misled is None or not len(source.misled):
        return broken, tried
    place = {row: position for position, row in enumerate(judged.rows.tolist())}
    places = np.array([place.get(row, -1) for row in source.misled.rows.tolist()], dtype=np.int64)
    wrong = opened.model.scores(source.misled.inputs).argmax(axis=1) != source.misled.answers
    standing = (places >= 0) & judged.robust[places]
    tried[places[standing]] = True
    broken[places[standing & wrong]] = True
    return broken, tried


def _indicator(broken: int, tried: int, won: dict[str, int]) -> HealthIndicator:
    state: HealthState = "unknown"
    if tried:
        state = "warning" if broken else "ok"
        if exact_interval(broken, tried).low > TOLERATED:
            state = "failed"
    by = "; ".join(f"{count} by rows of {name}" for name, count in won.items() if count)
    return HealthIndicator(
        id="transfer",
        title="Changes carried over from elsewhere do not find more",
        state=state,
        wanted=f"no more than {TOLERATED:.0%} of survivors broken by rows that mislead a related model",
        actual=f"{broken} of {tried} survivors broken" + (f": {by}" if by else ""),
        explanation="Rows that mislead the original, the model refitted alone, or the same model without what clips, quantises or rounds "
        "around it were tried on this one. If they win, its answers hide the way to the error, and the error is still there.",
        applies="every table that is hardened",
        test=f"fails if the exact 95 % interval of the share lies above {TOLERATED:.0%}; any warns, and is part of the number",
        effect=broken / tried if tried else None,
        consequence="invalidates",
        next_attack="more threat.steps and restarts; take out what rounds or quantises",
    )
