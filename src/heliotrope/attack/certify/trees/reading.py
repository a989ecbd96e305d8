"""What the readers of tree models share: thresholds as pairs of neighbouring numbers."""

from typing import TYPE_CHECKING, Any

from heliotrope.attack.certify.nets.graph import NotModelled

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["MAX_NODES", "at_most", "in_class", "less_than", "numbers_of"]

MAX_NODES = 5_000_000
"""Of all trees together; a billion bytes of Python objects would be near."""


def at_most(thresholds: "Floats", *, single: bool) -> "tuple[Floats, Floats]":
    """Of x <= t leads left: the largest number that does, and the next one."""
    import numpy as np

    kind = np.float32 if single else np.float64
    with np.errstate(over="ignore"):
        below = thresholds.astype(kind)
    below = np.where(below.astype(np.float64) > thresholds, np.nextafter(below, kind(-np.inf)), below)
    above = np.nextafter(below, kind(np.inf))
    return below.astype(np.float64), above.astype(np.float64)


def less_than(thresholds: "Floats") -> "tuple[Floats, Floats]":
    """Of x < t leads left, t a float32."""
    import numpy as np

    above = thresholds.astype(np.float32)
    below = np.nextafter(above, np.float32(-np.inf))
    return below.astype(np.float64), above.astype(np.float64)


def in_class(values: "Floats", place: int, classes: int) -> "Floats":
    """Values of single scores as rows of classes, all others zero."""
    import numpy as np

    spread = np.zeros((len(values), classes))
    spread[:, place] = values
    return spread


def numbers_of(value: Any, kind: str, *, length: int | None = None) -> "NDArray[Any]":
    """A list of a document as an array. NotModelled when it is none of that length."""
    import numpy as np

    try:
        made: NDArray[Any] = np.asarray(value, dtype=kind)
    except (TypeError, ValueError, OverflowError):
        raise NotModelled("a tree holds something that is no number") from None
    if made.ndim != 1 or (length is not None and len(made) != length):
        raise NotModelled("a tree has lists of different lengths")
    return made
