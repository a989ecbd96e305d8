"""Attributions of torch networks along gradients: integrated gradients by Captum, and plain saliency."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from heliotrope.core.errors import InputError, MissingExtraError
from heliotrope.explain.interface import TOLERANCE, Attribution

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Images = NDArray[np.float32]
    Labels = NDArray[np.int64]
    Logits = Callable[[torch.Tensor], torch.Tensor]

__all__ = ["STEPS", "integrated_gradients", "saliency"]

STEPS = (16, 64, 256, 1024)
"""Tried in turn on the samples whose attributions do not yet add up."""

_SMALL = 0.1
"""Of the mean difference of scores: below it an error is taken relative to this, or it would mean nothing."""


def integrated_gradients(
    logits: "Logits",
    inputs: "Images",
    targets: "Labels",
    *,
    baseline: float = 0.0,
    batch: int = 64,
    tolerance: float = TOLERANCE,
    steps: tuple[int, ...] = STEPS,
) -> Attribution:
    """Gradients along the straight line from a uniform baseline, by Gauss-Legendre quadrature.

    Takes more steps for samples whose completeness error is not below `tolerance`; the error that is left is told.
    Source: Sundararajan, Taly and Yan: Axiomatic attribution for deep networks (2017). Raises MissingExtraError without Captum.
    """
    try:
        from captum.attr import IntegratedGradients
    except ImportError:
        raise MissingExtraError("explain", module="captum") from None
    import numpy as np
    import torch

    values = np.zeros(inputs.shape, dtype=np.float64)
    error = np.full(len(inputs), np.inf)
    difference = _differences(logits, inputs, targets, baseline, batch)
    scale = np.maximum(np.abs(difference), max(_SMALL * float(np.abs(difference).mean()), 1e-12))
    method, asked, used = IntegratedGradients(logits), 2 * len(inputs), 0
    open_ = np.arange(len(inputs))
    for count in steps:
        if not len(open_):
            break
        used = count
        for begin in range(0, len(open_), batch):
            rows = open_[begin : begin + batch]
            batch_inputs, chosen = torch.from_numpy(inputs[rows].copy()), torch.from_numpy(targets[rows])
            found = method.attribute(
                batch_inputs,
                baselines=baseline,
                target=chosen,
                n_steps=count,
                internal_batch_size=max(batch, len(rows)),
            )
            values[rows] = found.detach().double().cpu().numpy()
            asked += count * len(rows)
        error[open_] = np.abs(_sums(values[open_]) - difference[open_]) / scale[open_]
        open_ = open_[~(error[open_] < tolerance)]
    _require_finite(values)
    return Attribution(values, "integrated-gradients", f"every value {baseline:g}", "logit", error, used, asked)


def saliency(logits: "Logits", inputs: "Images", targets: "Labels", *, batch: int = 64) -> Attribution:
    """The gradient of the score at the input. Source: Simonyan, Vedaldi and Zisserman (2013)."""
    import numpy as np
    import torch

    parts = []
    for begin in range(0, len(inputs), batch):
        part = torch.from_numpy(inputs[begin : begin + batch].copy()).requires_grad_(True)
        scores = logits(part)
        chosen = scores.gather(1, torch.from_numpy(targets[begin : begin + batch]).to(scores.device)[:, None])
        (gradient,) = torch.autograd.grad(chosen.sum(), part)
        parts.append(gradient.double().cpu().numpy())
    values = np.concatenate(parts) if parts else np.zeros(inputs.shape)
    _require_finite(values)
    return Attribution(values, "saliency", "none: the slope at the input", "logit", asked=len(inputs))


def _differences(logits: "Logits", inputs: "Images", targets: "Labels", baseline: float, batch: int) -> "Floats":
    import numpy as np
    import torch

    parts = []
    with torch.no_grad():
        empty = logits(torch.full((1, *inputs.shape[1:]), baseline)).double().cpu().numpy()[0]
        for begin in range(0, len(inputs), batch):
            rows = slice(begin, begin + batch)
            scores = logits(torch.from_numpy(inputs[rows].copy())).double().cpu().numpy()
            with np.errstate(invalid="ignore"):  # what is not finite is told by `_require_finite`
                parts.append(scores[np.arange(len(scores)), targets[rows]] - empty[targets[rows]])
    return np.concatenate(parts) if parts else np.zeros(0)


def _sums(values: "Floats") -> "Floats":
    sums: Floats = values.sum(axis=tuple(range(1, values.ndim)))
    return sums


def _require_finite(values: "Floats") -> None:
    import numpy as np

    if not np.isfinite(values).all():
        raise InputError(
            "gradients of the model are NaN or infinite", hint="evasion.pgd says where; occlusion needs no gradients"
        )
