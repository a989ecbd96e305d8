"""Whether the attack gains from what it is allowed: more of the same must break more, and almost anything nearly all."""

from heliotrope.attack.gradients.curve import short_attack
from heliotrope.attack.health.examined import FEW, Examined
from heliotrope.attack.health.indicator import clearly_above
from heliotrope.core.predicates.behaviour import HealthIndicator, HealthState

__all__ = ["large_eps", "monotone"]

MAX_SURVIVORS = 0.1
"""Share of samples that may survive when almost any input is allowed."""

MAX_LOST = 0.2
"""Share of broken samples that an attack from the input may miss when it is allowed half as much again."""

_WIDER = 1.5
_LARGE_STEPS = 20


def monotone(examined: Examined) -> HealthIndicator:
    """Whether what breaks at eps breaks at a larger size, without being told how."""
    result, threat = examined.result, examined.threat
    chosen = result.broken_within(threat.eps)[:FEW]
    found = short_attack(
        examined.model,
        examined.samples,
        threat,
        chosen,
        radius=_WIDER * threat.eps,
        steps=_LARGE_STEPS,
        origin=examined.samples.inputs,
    )
    lost = len(chosen) - int(found.broken.sum())
    state: HealthState = "unknown"
    if len(chosen):
        state = "warning" if clearly_above(lost, len(chosen), MAX_LOST) else "ok"
    return HealthIndicator(
        id="monotone",
        title="A larger perturbation breaks no less",
        state=state,
        wanted=f"at most {MAX_LOST:.0%} of what broke survives {_WIDER:g} times eps",
        actual=f"{lost} of {len(chosen)} survive {_LARGE_STEPS} steps from the input",
        explanation="Whatever is possible within eps is possible within more. An attack that loses it on the way is led "
        "astray by the model's gradients.",
        applies=f"up to {FEW} samples that broke",
        test=f"warns if the exact 95 % interval of the share lies above {MAX_LOST:.0%}",
        effect=lost / len(chosen) if len(chosen) else None,
        consequence="warns",
        next_attack="more restarts from random points, or attack without gradients",
    )


def large_eps(examined: Examined) -> HealthIndicator:
    """Half the range in every value turns any image into grey: whatever survives that, the attack cannot see."""
    threat = examined.threat
    low, high = threat.box
    radius = max((high - low) / 2, threat.eps)
    if threat.norm == "L2":
        radius = max((high - low) / 2 * examined.samples.inputs[0].numel() ** 0.5, threat.eps)
    chosen = (examined.result.reach > 0).nonzero()[:FEW, 0]
    found = short_attack(
        examined.model,
        examined.samples,
        threat,
        chosen,
        radius=radius,
        steps=_LARGE_STEPS,
        origin=examined.samples.inputs,
    )
    survivors = len(chosen) - int(found.broken.sum())
    state: HealthState = "unknown"
    if len(chosen):
        state = "warning" if survivors > MAX_SURVIVORS * len(chosen) else "ok"
    return HealthIndicator(
        id="large-eps",
        title="The attack breaks the model when almost anything is allowed",
        state=state,
        wanted=f"at most {MAX_SURVIVORS:.0%} survive {threat.norm} eps {radius:g} in {_LARGE_STEPS} steps",
        actual=f"{survivors} of {len(chosen)} survive",
        explanation="At this size every image can be turned into plain grey. An attack that still fails is not following the "
        "model.",
        applies=f"up to {FEW} samples that are right",
        test=f"a share above {MAX_SURVIVORS:.0%} warns",
        effect=survivors / len(chosen) if len(chosen) else None,
        consequence="warns",
        next_attack="look at gradients and loss-rising; attack without gradients",
    )
