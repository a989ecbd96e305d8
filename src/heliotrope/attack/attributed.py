"""What the wrong answer rests on, for the pictures of failures: integrated gradients, where Captum is installed."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from heliotrope.core.errors import HeliotropeError

if TYPE_CHECKING:
    import numpy as np
    import torch
    from captum.attr import IntegratedGradients
    from numpy.typing import NDArray

__all__ = ["wrong_answers_rest_on"]

_STEPS = 64
"""Enough for a picture; explain.attributions takes more until they add up."""


def wrong_answers_rest_on(
    logits: "Callable[[torch.Tensor], torch.Tensor]", inputs: "torch.Tensor", wrong: list[int], *, low: float
) -> "list[NDArray[np.float64] | None]":
    """For each of k perturbed images, k x C x H x W, an H x W map of the absolute attribution of its wrong class.

    None without Captum, for what is no image, and where there are no finite gradients: a picture is worth no error.
    Source: Sundararajan, Taly and Yan (2017), from an image that is `low` throughout.
    """
    nothing: list[NDArray[np.float64] | None] = [None] * len(inputs)
    if inputs.ndim != 4 or not len(inputs):
        return nothing
    try:
        from captum.attr import IntegratedGradients
    except ImportError:
        return nothing
    method = IntegratedGradients(lambda batch: logits(batch.clone()))  # a copy: a model may change what it is given
    return [_map(method, inputs[row : row + 1], label, low) for row, label in enumerate(wrong)]


def _map(method: "IntegratedGradients", image: "torch.Tensor", label: int, low: float) -> "NDArray[np.float64] | None":
    try:
        values = method.attribute(
            image.clone(), baselines=low, target=label, n_steps=_STEPS, internal_batch_size=_STEPS
        ).detach()
    except (
        HeliotropeError,
        RuntimeError,
        AssertionError,
    ):  # no gradients, no memory, or a model that takes one batch size
        return None
    sizes: NDArray[np.float64] = values.double().abs().sum(dim=1)[0].cpu().numpy()
    return sizes if bool(values.isfinite().all()) else None
