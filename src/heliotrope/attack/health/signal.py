"""Whether there was a gradient to follow, and whether following it led up."""

from heliotrope.attack.health.examined import Examined
from heliotrope.attack.health.indicator import clearly_above
from heliotrope.core.predicates.behaviour import HealthIndicator, HealthState

__all__ = ["converged", "finite", "gradients", "rising", "scale"]

MAX_GRADIENTLESS = 0.1
"""Share of samples without a usable gradient above which the attack counts as blind."""

MAX_UNRISEN = 0.1
MAX_STRANGE = 0.1
MAX_LATE = 0.01

_APPROXIMATE = "name the layer that stops the gradient under threat.approximate, or attack without gradients"


def gradients(examined: Examined) -> HealthIndicator:
    """Zero or NaN gradients."""
    attacked, useless = examined.result.attacked, examined.result.gradientless
    state: HealthState = "unknown"
    if attacked:
        state = "failed" if useless >= MAX_GRADIENTLESS * attacked else "warning" if useless else "ok"
    return HealthIndicator(
        id="gradients",
        title="Gradients are there to follow",
        state=state,
        wanted=f"fewer than {MAX_GRADIENTLESS:.0%} of samples without a gradient of any loss",
        actual=f"{useless} of {attacked} zero or not finite",
        explanation="Where the gradient vanishes, as behind quantisation, a gradient attack stands still and the model only "
        "looks robust.",
        applies="samples that are right to begin with",
        test=f"fails at a share of {MAX_GRADIENTLESS:.0%}; any warns",
        effect=useless / attacked if attacked else None,
        consequence="invalidates",
        next_attack=_APPROXIMATE,
    )


def scale(examined: Examined) -> HealthIndicator:
    """Logits so large or small that plain cross-entropy fails: repaired by scaling them."""
    attacked, scaled = examined.result.attacked, examined.result.rescaled
    return HealthIndicator(
        id="scale",
        title="Cross-entropy can be followed",
        state="ok" if attacked else "unknown",
        wanted="logits neither so large nor so small that cross-entropy has no gradient in float32",
        actual=f"{scaled} of {attacked} had logits of such a scale; they were scaled, so the number holds"
        if scaled
        else f"0 of {attacked} had to be scaled",
        explanation="With logits times 1000 the gradient of cross-entropy is zero in float32, and attacks that follow it report "
        "a model that they never attacked. The direction is the same for scaled logits, and the gradient is there.",
        applies="passes that climb cross-entropy",
        test="lead of the right class above 20, or all logits within 1",
        effect=scaled / attacked if attacked else None,
        consequence="repaired",
    )


def rising(examined: Examined) -> HealthIndicator:
    """Whether the loss rose."""
    standing, flat = examined.result.survived, examined.result.unrisen
    state: HealthState = "unknown"
    if standing:
        state = "failed" if clearly_above(flat, standing, MAX_UNRISEN) else "warning" if flat else "ok"
    return HealthIndicator(
        id="loss-rising",
        title="The loss rises while it is climbed",
        state=state,
        wanted=f"at most {MAX_UNRISEN:.0%} of survivors whose loss never rose above its start",
        actual=f"{flat} of {standing} never rose",
        explanation="A gradient that points nowhere does not raise the loss: the samples survived because the attack stood "
        "still.",
        applies="samples that survived",
        test=f"fails if the exact 95 % interval of the share lies above {MAX_UNRISEN:.0%}; any warns",
        effect=flat / standing if standing else None,
        consequence="invalidates",
        next_attack=_APPROXIMATE,
    )


def finite(examined: Examined) -> HealthIndicator:
    """NaN and infinite scores."""
    n, strange = len(examined.samples), examined.result.strange
    state: HealthState = "failed" if clearly_above(strange, n, MAX_STRANGE) else "warning" if strange else "ok"
    return HealthIndicator(
        id="finite",
        title="Scores are finite",
        state=state,
        wanted="no score that is NaN or infinite, at the samples or near them",
        actual=f"{strange} of {n} samples met one",
        explanation="A score that is no number is no answer: it is never counted as an error, so the model may look robust "
        "where it breaks down.",
        applies="every attack",
        test=f"fails if the exact 95 % interval of the share lies above {MAX_STRANGE:.0%}; any warns",
        effect=strange / n,
        consequence="invalidates",
        next_attack="find the operation that overflows or divides by zero, then attack again",
    )


def converged(examined: Examined) -> HealthIndicator:
    """Whether more steps would still help."""
    n, late = len(examined.samples), examined.result.late
    return HealthIndicator(
        id="converged",
        title="More steps no longer help",
        state="warning" if clearly_above(late, n, MAX_LATE) else "ok",
        wanted=f"at most {MAX_LATE:.0%} of samples break in the last quarter of the steps",
        actual=f"{late} of {n} broke so late",
        explanation="If samples still break near the last step, more steps break more of them: the true robust accuracy is "
        "lower than reported.",
        applies="every attack in steps",
        test=f"warns if the exact 95 % interval of the share lies above {MAX_LATE:.0%}",
        effect=late / n,
        consequence="warns",
        next_attack="twice the steps, or the suite deep",
    )
