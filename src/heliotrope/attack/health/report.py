"""Every indicator of a gradient attack."""

from heliotrope.attack.health import answers, data, signal, strength
from heliotrope.attack.health.examined import Examined
from heliotrope.attack.health.indicator import clean_accuracy, sample_size, saturated
from heliotrope.attack.health.rivals import rival_indicator
from heliotrope.core.predicates.behaviour import HealthIndicator, RestartResult

__all__ = ["examine"]


def examine(examined: Examined) -> tuple[HealthIndicator, ...]:
    """In the order in which they should be read."""
    n, labels = len(examined.samples), examined.samples.labels
    indicators = (
        clean_accuracy(n, examined.result.right_at(0), examined.declared_accuracy),
        sample_size(n, len(set(labels.tolist()))),
        signal.gradients(examined),
        signal.scale(examined),
        signal.rising(examined),
        signal.finite(examined),
        data.input_range(examined),
        data.perturbations(examined),
        data.eight_bit(examined),
        answers.deterministic(examined),
        answers.eval_mode(examined),
        answers.batch_invariant(examined),
        answers.output(examined),
        *(rival_indicator(rival) for rival in examined.rivals),
        strength.monotone(examined),
        strength.large_eps(examined),
        signal.converged(examined),
        saturated(_passes(examined), n),
    )
    return tuple(indicator for indicator in indicators if indicator is not None)


def _passes(examined: Examined) -> tuple[RestartResult, ...]:
    """Those that repeat each other: restarts of PGD, passes of Auto-PGD with their own starts and losses. Questions alone are a rival."""
    count = examined.threat.restarts if examined.method == "pgd" else examined.result.tries
    return tuple(one for one in examined.result.restarts[:count] if one.attack != "square")
