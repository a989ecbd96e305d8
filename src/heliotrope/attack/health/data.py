"""Whether samples and stored inputs are what they should be."""

import io
from typing import TYPE_CHECKING

from heliotrope.attack.gradients.model import REDRAWS, REDRAWS_MISLED
from heliotrope.attack.health.examined import SCORE_TOLERANCE, Examined, as_float32
from heliotrope.attack.health.indicator import clearly_above
from heliotrope.core.predicates.behaviour import HealthIndicator
from heliotrope.subjects.balls import lengths_of

if TYPE_CHECKING:
    import torch

__all__ = ["eight_bit", "input_range", "perturbations"]

MAX_LOST_TO_EIGHT_BIT = 0.5
_NORM_TOLERANCE = 1e-6
_USED_RANGE = 0.05
_SINGLES = 20
"""Stored inputs that are asked about one by one."""
_SHARE = REDRAWS_MISLED / REDRAWS
_AGAIN = 60
"""Draws that a stored input of a random model is asked about again."""
_CHANCE = 0.001
"""That one of all stored inputs of a random model is called wrong although each misleads as often as it must."""


def input_range(examined: Examined) -> HealthIndicator:
    """Whether the data fill what was declared."""
    inputs, threat = examined.samples.inputs, examined.threat
    low, high = float(inputs.min()), float(inputs.max())
    lowest, highest = threat.box
    outside = low < as_float32(lowest) or high > as_float32(highest)
    used = (high - low) / (highest - lowest)
    return HealthIndicator(
        id="input-range",
        title="Inputs fill the declared range",
        state="failed" if outside else "warning" if used < _USED_RANGE else "ok",
        wanted=f"within {lowest:g} to {highest:g}, using at least {_USED_RANGE:.0%} of it",
        actual=f"{low:g} to {high:g}",
        explanation="A wrong range makes eps mean something else: the attack is then far too weak or far too strong.",
        applies="images and arrays",
        test=f"a value outside fails, less than {_USED_RANGE:.0%} of the range used warns",
        effect=used,
        consequence="invalidates",
        next_attack="declare the range in which the data are stored, then attack again",
    )


def perturbations(examined: Examined) -> HealthIndicator:
    """Whether the stored inputs keep every promise."""
    original, perturbed, labels, _ = _stored(examined.stored)
    threat, wrong = examined.threat, 0
    lowest, highest = (as_float32(bound) for bound in threat.box)
    size = examined.model.batch
    for begin in range(0, len(labels), size):
        part = slice(begin, begin + size)
        box = perturbed[part].flatten(1)
        fine = lengths_of(perturbed[part], original[part], threat) <= threat.eps * (1 + _NORM_TOLERANCE)
        fine &= (box >= lowest).all(dim=1) & (box <= highest).all(dim=1)
        fine &= _misleads(examined, perturbed[part], labels[part])
        for position in range(min(_SINGLES - begin, len(fine))):
            one = slice(begin + position, begin + position + 1)
            fine[position] &= _misleads(examined, perturbed[one], labels[one])[0]
        wrong += int((~fine).sum())
    return HealthIndicator(
        id="perturbations",
        title="Stored adversarial inputs hold when checked again",
        state="failed" if wrong else "ok" if len(labels) else "unknown",
        wanted=f"{threat.norm} norm at most {threat.eps:g}, within the range, misclassified",
        actual=f"{len(labels) - wrong} of {len(labels)} hold",
        explanation="The inputs are read back from the bytes that are kept, measured in double precision, and classified "
        f"again as the model is served: all in batches, the first {_SINGLES} also one by one.",
        applies="stored inputs",
        test="any that does not hold fails"
        + (
            f"; of a random model: misleads clearly less often than in {_SHARE:.0%} of {_AGAIN} further draws "
            f"(binomial, {_CHANCE:g} for all together)"
            if examined.model.random
            else ""
        ),
        effect=wrong / len(labels) if len(labels) else None,
        consequence="invalidates",
        next_attack="attack with a batch of one; see deterministic and batch-invariant",
    )


def eight_bit(examined: Examined) -> HealthIndicator | None:
    """Whether the stored inputs survive as 8-bit images; None where the samples are none."""
    if not examined.eight_bit:
        return None
    _, _, labels, pixels = _stored(examined.stored)
    assert pixels is not None
    low, high = examined.threat.box
    held = 0
    for begin in range(0, len(labels), examined.model.batch):
        part = slice(begin, begin + examined.model.batch)
        decoded = (pixels[part].float() * as_float32((high - low) / 255) + as_float32(low)).clamp(low, high)
        held += int(_misleads(examined, decoded, labels[part]).sum())
    lost = len(labels) - held
    return HealthIndicator(
        id="eight-bit",
        title="Adversarial inputs survive being stored as 8-bit images",
        state="unknown"
        if not len(labels)
        else "warning"
        if clearly_above(lost, len(labels), MAX_LOST_TO_EIGHT_BIT)
        else "ok",
        wanted=f"at most {MAX_LOST_TO_EIGHT_BIT:.0%} lost when values are rounded towards the original",
        actual=f"{held} of {len(labels)} still mislead",
        explanation="Whoever can only hand in image files is bound to 256 values. Changes that rounding undoes are no threat "
        "from there; the number counts them, as it should for whoever can hand in numbers.",
        applies="samples that lie on the grid of 8-bit images",
        test=f"warns if the exact 95 % interval of the share lost lies above {MAX_LOST_TO_EIGHT_BIT:.0%}",
        effect=lost / len(labels) if len(labels) else None,
        consequence="warns",
        next_attack="an eps that is a multiple of one 255th of the range",
    )


def _stored(data: bytes) -> "tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor | None]":
    import numpy as np
    import torch

    with np.load(io.BytesIO(data), allow_pickle=False) as stored:
        original, perturbed, labels = (torch.from_numpy(stored[key]) for key in ("original", "perturbed", "label"))
        pixels = torch.from_numpy(stored["perturbed_uint8"]) if "perturbed_uint8" in stored else None
    return original, perturbed, labels, pixels


def _misleads(examined: Examined, inputs: "torch.Tensor", labels: "torch.Tensor") -> "torch.Tensor":
    """Whether another class scores at least as high, up to rounding; of a random model, whether it does so nearly always.

    An input that misleads in nine draws of ten fails a second round of 18 in 20 every third time. So a random model's input
    is only refused if so few of further draws are hardly possible for one that does what it must.
    """
    if not examined.model.random:
        return _tops(examined.model.scores(inputs).cpu(), labels)
    import torch
    from scipy.special import bdtr

    hits = torch.zeros(len(labels), dtype=torch.float64)
    for _ in range(_AGAIN):
        hits += _tops(examined.model.one(inputs).cpu(), labels)
    stored = max(1, len(examined.result.broken_within(examined.threat.eps)))
    return torch.from_numpy(bdtr(hits.numpy(), _AGAIN, _SHARE) >= _CHANCE / stored)


def _tops(scores: "torch.Tensor", labels: "torch.Tensor") -> "torch.Tensor":
    import torch

    own = scores.gather(1, labels[:, None])
    other = scores.scatter(1, labels[:, None], -torch.inf).amax(dim=1, keepdim=True)
    return (other >= own - SCORE_TOLERANCE * scores.abs().amax(dim=1, keepdim=True))[:, 0]
