"""Plain arrays of numbers with their answers: samples of any shape that are no images, as in [30] or [24, 3]."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from heliotrope.config.schema import DataSource, InputConfig
from heliotrope.core.errors import InputError, MissingExtraError
from heliotrope.core.text import printable
from heliotrope.subjects.data import read_parts, require_range, require_size, whole_labels

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from heliotrope.subjects.interface import Answers

__all__ = ["LabelledArrays", "load_arrays"]


@dataclass(frozen=True, slots=True)
class LabelledArrays:
    """Samples in the declared range with their answers, and the digests of the files they came from."""

    values: "NDArray[np.float32]"
    """N x sample shape."""
    answers: "Answers"
    """Class indices, int64; of a regression float64."""
    digests: dict[str, str]
    """SHA-256 by name: images and labels, or data."""


def load_arrays(
    source: DataSource, *, root: Path, declared: InputConfig, regression: bool, expected: Mapping[str, str]
) -> LabelledArrays:
    """Read npz, npy or idx arrays; nothing is scaled or rearranged. Raises InputError or MissingExtraError."""
    try:
        import numpy as np
    except ImportError:
        raise MissingExtraError("data", module="numpy") from None
    values, answers, digests = read_parts(source, root, None, None, expected)
    shape = declared.shape or ()
    if values.shape[1:] != shape:
        raise InputError(
            f"the arrays have the shape {list(values.shape)}, expected N x {' x '.join(map(str, shape))}",
            hint=f"correct input.shape, or store values.reshape(-1, {', '.join(map(str, shape))})",
        )
    require_size(values, "arrays")
    require_range(values, *declared.range, what="arrays")
    checked = _numbers(answers, len(values)) if regression else whole_labels(answers, len(values))
    low, high = (np.float32(limit) for limit in declared.range)
    exact = np.clip(values.astype(np.float32), low, high)  # rounding to float32 may leave the range by an ulp
    return LabelledArrays(np.ascontiguousarray(exact), checked, digests)


def _numbers(answers: "NDArray[np.generic]", rows: int) -> "NDArray[np.float64]":
    import numpy as np

    if answers.ndim == 2 and answers.shape[1] == 1:
        answers = answers[:, 0]
    if answers.shape != (rows,):
        raise InputError(
            f"the answers have the shape {list(answers.shape)}, expected {rows} numbers",
            hint="store one number for each sample, in the same order",
        )
    if answers.dtype.kind not in "iuf":
        raise InputError(f"the answers have the type {printable(str(answers.dtype))}", hint="store them as float64")
    numbers = answers.astype(np.float64)
    broken = ~np.isfinite(numbers)
    if broken.any():
        raise InputError(
            f"row {int(broken.argmax())} has no finite answer ({int(broken.sum())} rows in all)",
            hint="remove or repair these rows",
        )
    return numbers
