"""Images and maps as PNG, for evidence. Equal values give equal bytes."""

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["heat_png", "image_png"]

_PALE, _DEEP = (250.0, 247.0, 253.0), (76.0, 20.0, 128.0)
"""Colours of nothing and of the most: violet, readable on light and dark pages and in grey."""


def image_png(values: "NDArray[np.floating]", low: float, high: float) -> bytes | None:
    """One image, C x H x W, whose values from `low` to `high` become 0 to 255; None for what is no picture."""
    import numpy as np

    if values.ndim != 3 or values.shape[0] not in {1, 3}:
        return None
    scaled = np.rint(((values.astype(np.float64) - low) / (high - low)).clip(0, 1) * 255).astype(np.uint8)
    return _png(scaled[0] if len(scaled) == 1 else scaled.transpose(1, 2, 0))


def heat_png(values: "NDArray[np.floating]") -> bytes:
    """An H x W map of sizes, pale at 0 and violet at its largest value; of nothing, pale throughout."""
    import numpy as np

    largest = float(values.max()) if values.size else 0.0
    share = np.clip(values / largest, 0, 1) if largest > 0 else np.zeros(values.shape)
    pale, deep = np.array(_PALE), np.array(_DEEP)
    return _png(np.rint(pale + share[..., None] * (deep - pale)).astype(np.uint8))


def _png(pixels: "NDArray[np.uint8]") -> bytes:
    import numpy as np
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
