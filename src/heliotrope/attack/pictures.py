"""The most instructive failures, as pictures, and all broken samples, as arrays. Equal input gives equal bytes."""

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from heliotrope.attack.attributed import wrong_answers_rest_on
from heliotrope.attack.gradients.model import GradientModel
from heliotrope.attack.interface import AttackResult, Samples
from heliotrope.core.evidence import Blob
from heliotrope.core.predicates.behaviour import AdversarialExample, ThreatModel
from heliotrope.engine.interface import RunContext
from heliotrope.subjects.balls import norms
from heliotrope.subjects.pictures import heat_png, image_png

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import torch
    from numpy.typing import NDArray

    Logits = Callable[[torch.Tensor], torch.Tensor]

__all__ = ["MAX_EXAMPLES", "MAX_STORED", "on_eight_bit_grid", "pack_samples", "show_examples", "show_picture"]

MAX_EXAMPLES = 8
MAX_STORED = 2000
"""Broken samples that are kept; the first ones by row."""

_GRID_TOLERANCE = 1e-3
"""In units of one 255th of the range: what rounding to float32 leaves."""

_GAIN = 10.0
_PNG = "image/png"


@dataclass(frozen=True, slots=True)
class _Failure:
    """A broken sample with what the model thinks of it."""

    position: int
    label: int
    prediction: int
    before: float
    """Confidence in the label, unperturbed."""
    after: float
    """Confidence in the wrong class, perturbed."""
    merit: float


def pack_samples(samples: Samples, threat: ThreatModel, result: AttackResult) -> bytes:
    """A compressed npz of the broken samples: index, label, original and perturbed; at most MAX_STORED.

    Where the samples lie on the grid of 8-bit images, also perturbed_uint8: the nearest pixels that are no farther from the
    original, so that norm and range are kept.
    """
    import numpy as np

    broken = result.broken_within(threat.eps)[:MAX_STORED]
    arrays = {
        "index": np.array([samples.rows[position] for position in broken.tolist()], dtype=np.int64),
        "label": samples.labels[broken].numpy(),
        "original": samples.inputs[broken].numpy(),
        "perturbed": result.adversarial[broken].numpy(),
    }
    if on_eight_bit_grid(samples, threat):
        arrays["perturbed_uint8"] = _pixels(arrays["original"], arrays["perturbed"], *threat.box)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def on_eight_bit_grid(samples: Samples, threat: ThreatModel) -> bool:
    """Whether every value is one of 256 over the range, as of images that were decoded from files."""
    low, high = threat.box
    if samples.inputs.ndim != 4:
        return False
    steps = (samples.inputs.double() - low) * (255 / (high - low))
    return bool(((steps - steps.round()).abs() < _GRID_TOLERANCE).all())


def _pixels(
    original: "NDArray[np.float32]", perturbed: "NDArray[np.float32]", low: float, high: float
) -> "NDArray[np.uint8]":
    import numpy as np

    scale = 255 / (high - low)
    base = np.rint((original.astype(np.float64) - low) * scale)
    change = (perturbed.astype(np.float64) - original) * scale
    moved = base + np.sign(change) * np.floor(np.abs(change) + _GRID_TOLERANCE)
    pixels: NDArray[np.uint8] = np.clip(moved, 0, 255).astype(np.uint8)
    return pixels


def show_examples(
    model: GradientModel,
    samples: Samples,
    threat: ThreatModel,
    result: AttackResult,
    *,
    names: tuple[str, ...],
    context: RunContext,
    logits: "Logits | None" = None,
) -> tuple[AdversarialExample, ...]:
    """Confident mistakes by small changes, each pair of classes once before any comes twice.

    `logits`: of a model that answers twice alike, to attribute what the wrong answers rest on; these passes are not counted.
    """
    examples = []
    chosen = _chosen(model, samples, threat, result)
    maps: list[NDArray[np.float64] | None] = [None] * len(chosen)
    if logits is not None and chosen:
        perturbed_inputs = result.adversarial[[failure.position for failure in chosen]]
        wrong = [failure.prediction for failure in chosen]
        maps = wrong_answers_rest_on(logits, perturbed_inputs, wrong, low=threat.box[0])
    for failure, sizes in zip(chosen, maps, strict=True):
        original, perturbed = samples.inputs[failure.position], result.adversarial[failure.position]
        change = (perturbed.double() - original.double())[None]
        low, high = threat.box
        example = AdversarialExample(
            index=samples.rows[failure.position],
            label=failure.label,
            label_name=names[failure.label],
            adversarial_prediction=failure.prediction,
            adversarial_name=names[failure.prediction],
            clean_confidence=failure.before,
            adversarial_confidence=failure.after,
            linf=float(norms(change, "Linf")[0]),
            l2=float(norms(change, "L2")[0]),
            original=_picture(original, low, high, context),
            perturbed=_picture(perturbed, low, high, context),
            difference=_picture(change[0] * _GAIN + (low + high) / 2, low, high, context),
            difference_gain=_GAIN,
            attribution=None if sizes is None else context.store(heat_png(sizes), _PNG),
        )
        examples.append(example)
    return tuple(examples)


def _chosen(model: GradientModel, samples: Samples, threat: ThreatModel, result: AttackResult) -> list[_Failure]:
    failures = sorted(_failures(model, samples, threat, result), key=lambda failure: (-failure.merit, failure.position))
    first: dict[tuple[int, int], _Failure] = {}
    for failure in failures:
        first.setdefault((failure.label, failure.prediction), failure)
    rest = [failure for failure in failures if first[failure.label, failure.prediction] is not failure]
    return [*first.values(), *rest][:MAX_EXAMPLES]


def _failures(model: GradientModel, samples: Samples, threat: ThreatModel, result: AttackResult) -> list[_Failure]:
    broken = result.broken_within(threat.eps)
    failures = []
    for begin in range(0, len(broken), model.batch):
        part = broken[begin : begin + model.batch]
        before = model.scores(samples.inputs[part]).cpu().softmax(dim=1)
        after = model.scores(result.adversarial[part]).cpu().softmax(dim=1)
        labels = samples.labels[part]
        confidence, prediction = after.scatter(1, labels[:, None], -1.0).max(dim=1)
        own = before.gather(1, labels[:, None])[:, 0]
        share = result.reach[part] / threat.eps
        merit = confidence.double() * (1 - share / 2)
        columns = (column.tolist() for column in (part, labels, prediction, own, confidence, merit))
        failures += [_Failure(*values) for values in zip(*columns, strict=True)]
    return failures


def _picture(values: "torch.Tensor", low: float, high: float, context: RunContext) -> Blob | None:
    return show_picture(values.double().numpy(), low, high, context)


def show_picture(values: "NDArray[np.floating]", low: float, high: float, context: RunContext) -> Blob | None:
    """A PNG of one image, C x H x W; None for what is no picture."""
    made = image_png(values, low, high)
    return context.store(made, _PNG) if made is not None else None
