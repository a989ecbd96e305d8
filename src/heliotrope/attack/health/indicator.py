"""What all indicators share: the test behind a state, the verdict over all of them, and those that fit any attack."""

from collections.abc import Iterable

from heliotrope.core.predicates.behaviour import HealthIndicator, HealthState, HealthVerdict, RestartResult
from heliotrope.subjects.statistics import exact_interval

__all__ = ["MAX_LAST_RESTART", "clean_accuracy", "clearly_above", "health_verdict", "sample_size", "saturated"]

MAX_LAST_RESTART = 0.01
"""Share of samples that the last restart may still break; more means that further restarts would help."""

FEWEST_SAMPLES = 10
"""With fewer, the exact interval of a share spans a third of all values at least."""


def clearly_above(hits: int, n: int, tolerated: float) -> bool:
    """Whether a share lies above what is tolerated even at the lower end of its exact 95 % interval."""
    return exact_interval(hits, n).low > tolerated


def health_verdict(indicators: Iterable[HealthIndicator]) -> HealthVerdict:
    """Unsound if one failed, doubtful on a warning, else sound."""
    states = {indicator.state for indicator in indicators}
    return "unsound" if "failed" in states else "doubtful" if "warning" in states else "sound"


def clean_accuracy(n: int, correct: int, declared: float | None) -> HealthIndicator:
    """Whether the attacked sample is classified as the team says of all."""
    usual, wide = exact_interval(correct, n), exact_interval(correct, n, 0.999)
    state: HealthState = "unknown"
    if declared is not None:
        state = "ok" if usual.low <= declared <= usual.high else "warning"
        state = state if wide.low <= declared <= wide.high else "failed"
    return HealthIndicator(
        id="clean-accuracy",
        title="Clean accuracy is as declared",
        state=state,
        wanted="not declared" if declared is None else f"{declared:.4f} within the interval of what is measured",
        actual=f"{correct / n:.4f}, 95 % interval {usual.low:.4f} to {usual.high:.4f}, n = {n}",
        explanation="A model that does not reach its own clean accuracy is fed wrongly, or is not the one declared. "
        "Outside the 95 % interval is a warning, outside the 99.9 % interval a failure.",
        applies="models with declared.clean_accuracy",
        test="exact (Clopper-Pearson) interval of the share, 95 % and 99.9 %",
        effect=None if declared is None else correct / n - declared,
        consequence="invalidates",
        next_attack="correct range, normalisation, labels or the declared value, then attack again",
    )


def sample_size(n: int, classes: int) -> HealthIndicator:
    """Whether there is enough to say anything."""
    state: HealthState = "failed" if n < FEWEST_SAMPLES else "warning" if classes < 2 else "ok"
    return HealthIndicator(
        id="sample",
        title="There are enough samples of more than one class",
        state=state,
        wanted=f"at least {FEWEST_SAMPLES} samples and two classes",
        actual=f"{n} samples of {classes} classes",
        explanation="A share of a handful says nothing, and a model that knows one answer alone cannot be told from a "
        "robust one by samples of that class.",
        applies="every attack",
        test=f"n below {FEWEST_SAMPLES} fails, a single class warns",
        effect=float(n),
        consequence="invalidates",
        next_attack="evaluate on more samples of every class",
    )


def saturated(restarts: tuple[RestartResult, ...], n: int) -> HealthIndicator:
    """Whether the last of several restarts, or of several passes with other losses and starts, still found much."""
    last = restarts[-1].broken / n
    state: HealthState = "unknown" if len(restarts) < 2 else "warning" if last > MAX_LAST_RESTART else "ok"
    return HealthIndicator(
        id="saturated",
        title="More restarts no longer help",
        state=state,
        wanted=f"the last of several restarts breaks at most {MAX_LAST_RESTART:.0%}",
        actual=f"restart {len(restarts)} of {len(restarts)} broke {last:.2%}",
        explanation="If every restart still breaks more, the true robust accuracy is lower than reported.",
        applies="attacks with more than one restart",
        test=f"share of all samples above {MAX_LAST_RESTART:.0%}",
        effect=last,
        consequence="warns",
        next_attack="more restarts, or the suite deep",
    )
