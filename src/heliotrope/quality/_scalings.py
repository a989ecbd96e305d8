"""Scalings of inputs that are common elsewhere: if one of them helps much, the declared one is probably wrong."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from heliotrope.config.schema import NormalisationConfig
from heliotrope.subjects.interface import Column

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    Images = NDArray[np.float32]

__all__ = ["image_scalings", "table_scalings"]

_STATISTICS = {
    1: ("MNIST mean and deviation", (0.1307,), (0.3081,)),
    3: ("ImageNet mean and deviation", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}
"""By channels, of values in 0 to 1. Sources: the training recipes of the torch and torchvision examples."""


def image_scalings(
    images: "Images", low: float, high: float, normalisation: NormalisationConfig | str
) -> "Iterator[tuple[str, Images]]":
    """Name and inputs as the model would get them. Plain arrays have no channels."""
    import numpy as np

    unit = (images - low) / (high - low)
    if (low, high) != (0, 1):
        yield "0 to 1", unit
    if (low, high) != (0, 255):
        yield "0 to 255", unit * 255
    if (low, high) != (-1, 1):
        yield "-1 to 1", unit * 2 - 1
    yield "inverted", low + high - images
    channels = images.shape[1] if images.ndim == 4 else 0
    if channels in _STATISTICS:
        name, mean, deviation = _STATISTICS[channels]
        yield name, ((unit - _by_channel(mean)) / _by_channel(deviation)).astype(np.float32)
    if channels == 3:
        yield "channels reversed", np.ascontiguousarray(images[:, ::-1])
    if isinstance(normalisation, NormalisationConfig):
        undone = images * _by_channel(normalisation.std) + _by_channel(normalisation.mean)
        yield "without the declared normalisation", undone.astype(np.float32)


def table_scalings(frame: "pd.DataFrame", columns: tuple[Column, ...]) -> "Iterator[tuple[str, pd.DataFrame]]":
    """All numbers by mean and deviation, or to 0 to 1, as pipelines do that were left out."""
    names = [column.name for column in columns if column.type in ("number", "integer")]
    if not names:
        return
    numbers = frame[names].astype("float64")
    span = (numbers.max() - numbers.min()).replace(0.0, 1.0)
    deviation = numbers.std(ddof=0).replace(0.0, 1.0)
    for name, scaled in (
        ("mean 0 and deviation 1", (numbers - numbers.mean()) / deviation),
        ("0 to 1", (numbers - numbers.min()) / span),
    ):
        changed = frame.copy()
        changed[names] = scaled
        yield name, changed


def _by_channel(values: tuple[float, ...]) -> "NDArray[np.float32]":
    import numpy as np

    return np.array(values, dtype=np.float32).reshape(1, -1, 1, 1)
