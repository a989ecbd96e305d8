"""Whether the model answers as an attack must assume: alike when asked twice, in eval mode, whatever the batch, in logits."""

from typing import TYPE_CHECKING

from heliotrope.attack.health.examined import FEW, SCORE_TOLERANCE, Examined
from heliotrope.core.predicates.behaviour import HealthIndicator, HealthState

if TYPE_CHECKING:
    import torch

    from heliotrope.attack.gradients.model import GradientModel

__all__ = ["batch_invariant", "deterministic", "eval_mode", "looks_random", "output", "probabilities"]

_BATCH_TOLERANCE = 1e-3
"""Relative: kernels for other batch sizes round otherwise, half precision more so."""

_ALONE = 16


def looks_random(model: "GradientModel", inputs: "torch.Tensor") -> tuple[bool, float]:
    """Whether two equal batches are answered differently, and by how much scores differ."""
    few = inputs[:FEW]
    first, second = model.one(few), model.one(few)
    difference = float((first - second).abs().nan_to_num(0.0).max())
    scale = max(float(first.abs().nan_to_num(0.0, 0.0, 0.0).max()), 1e-12)
    return difference > SCORE_TOLERANCE * scale, difference


def probabilities(scores: "torch.Tensor") -> bool:
    """Whether every row is non-negative and sums to one."""
    return bool((scores >= 0).all()) and bool(((scores.sum(dim=1) - 1).abs() < 1e-3).all())


def deterministic(examined: Examined) -> HealthIndicator:
    """Asked twice."""
    random, difference = looks_random(examined.model, examined.samples.inputs)
    draws = examined.model.draws
    state: HealthState = "ok" if not random else "warning" if draws > 1 else "failed"
    actual = "equal" if difference == 0 else f"scores differ by up to {difference:.3g}"
    if random and draws > 1:
        actual += f"; averaged over {draws} draws, an error is one in 18 of 20 further draws"
    return HealthIndicator(
        id="deterministic",
        title="The model answers twice alike",
        state=state,
        wanted="equal scores for equal inputs",
        actual=actual,
        explanation="Of a random model each gradient is one guess among many: it must be averaged over draws (expectation over "
        "transformation), and an input misleads only if it does so nearly always.",
        applies="every model",
        test=f"relative difference of two answers above {SCORE_TOLERANCE:g}; without averaging it fails, with it it warns",
        effect=difference,
        consequence="invalidates",
        next_attack="set threat.draws (20 or more), or switch dropout and noise off in eval mode",
    )


def eval_mode(examined: Examined) -> HealthIndicator:
    """Dropout and batch statistics."""
    training = [name or "model" for name, module in examined.module.named_modules() if module.training]
    return HealthIndicator(
        id="eval-mode",
        title="The model is in eval mode",
        state="failed" if training else "ok",
        wanted="no part in training mode",
        actual=f"{len(training)} parts in training mode" if training else "all in eval mode",
        explanation="Dropout and batch statistics of training mode change the answer from batch to batch.",
        applies="torch modules",
        test="any part in training mode fails",
        effect=float(len(training)),
        consequence="invalidates",
        next_attack="call eval() in the loader and nowhere train() in forward, then attack again",
    )


def batch_invariant(examined: Examined) -> HealthIndicator:
    """Asked alone and in company."""
    import torch

    few = examined.samples.inputs[:_ALONE]
    together = examined.model.one(few)
    alone = torch.cat([examined.model.one(few[index : index + 1]) for index in range(len(few))])
    scale = max(float(together.abs().nan_to_num(0.0, 0.0, 0.0).max()), 1e-12)
    difference = float((together - alone).abs().nan_to_num(0.0).max()) / scale
    flipped = int((together.argmax(dim=1) != alone.argmax(dim=1)).sum())
    random = looks_random(examined.model, examined.samples.inputs)[0]
    state: HealthState = "unknown" if random else "failed" if flipped else "ok"
    if state == "ok" and difference > _BATCH_TOLERANCE:
        state = "warning"
    return HealthIndicator(
        id="batch-invariant",
        title="A sample alone is answered as in a batch",
        state=state,
        wanted=f"equal classes, scores within {_BATCH_TOLERANCE:g} of the largest",
        actual=f"{flipped} of {len(few)} classes differ, scores by up to {difference:.3g} of the largest",
        explanation="If company changes the answer, what breaks in a batch need not break alone, and the model is served "
        "otherwise than it is attacked.",
        applies="models that answer twice alike",
        test=f"another class fails; a relative difference above {_BATCH_TOLERANCE:g} warns",
        effect=difference,
        consequence="invalidates",
        next_attack="attack with a batch of one, or take what depends on the batch out of the model",
    )


def output(examined: Examined) -> HealthIndicator:
    """Probabilities where logits were declared: repaired by their logarithm."""
    return HealthIndicator(
        id="output",
        title="Outputs are what was declared",
        state="warning" if examined.logged else "ok",
        wanted=examined.output,
        actual="every row is non-negative and sums to one: their logarithm was attacked"
        if examined.logged
        else f"look like {examined.output}",
        explanation="Probabilities taken for logits flatten the loss and weaken the attack. Their logarithm does not, so the "
        "number holds; set output: probabilities all the same.",
        applies="models declared to return logits",
        test="rows of the first samples sum to one within 0.001",
        consequence="repaired",
    )
