"""Labelled data that a Python program has at hand: arrays in memory, frames as tables that are read like files."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from heliotrope.config.schema import InputConfig, ModelConfig
from heliotrope.core.errors import InputError, MissingExtraError
from heliotrope.core.records import sha256_hex
from heliotrope.core.text import printable
from heliotrope.subjects.data import checked_images
from heliotrope.subjects.images import ImageDataset
from heliotrope.subjects.interface import Dataset

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from heliotrope.subjects.interface import Inputs

__all__ = ["LiveData", "live_data"]

MAX_CLASSES = 10_000
"""Different answers; more are numbers, not classes."""


@dataclass(frozen=True, slots=True)
class LiveData:
    """Data as the checks see them, and the way back to what the program's own model takes."""

    dataset: Dataset
    names: tuple[str, ...]
    """Class names in the order of the outputs; empty for regression."""
    shape: tuple[int, ...] | None
    """Of one sample, for arrays."""
    as_given: "Callable[[Inputs], Any]"
    """Turns a batch of the checks into what the program hands to its model."""

    def first(self, rows: int) -> "Inputs":
        """The inputs of the first rows."""
        import numpy as np

        return self.dataset.take(np.arange(min(rows, len(self.dataset)), dtype=np.int64)).inputs


def live_data(
    inputs: object,
    answers: object,
    *,
    names: tuple[str, ...] | None,
    regression: bool,
    input_range: tuple[float, float],
) -> LiveData:
    """Check and arrange data. Arrays with one dimension for each sample are tables of numbers; more are images.

    `names` are the classes as far as they are known; else those of the answers, in their order. Raises InputError, or
    MissingExtraError without the libraries it takes.
    """
    try:
        import numpy as np
    except ImportError:
        raise MissingExtraError("data", module="numpy") from None
    given = _plain(answers).reshape(-1)
    found = () if regression else names or _distinct(given)
    if hasattr(inputs, "columns") and hasattr(inputs, "iloc"):
        return _of_frame(inputs, given, found)
    array = _plain(inputs)
    if array.ndim < 2 or array.dtype.kind not in "fiub":
        raise InputError(
            f"the inputs have the shape {list(array.shape)} and the type {printable(str(array.dtype))}, expected numbers, "
            "one row for each sample",
            hint="give an array n x ..., or a DataFrame",
        )
    if array.ndim == 2:
        return _of_matrix(array, given, found)
    if regression:
        raise InputError("regression on images is not supported", hint="give the features as a table")
    images = checked_images(array, InputConfig(shape=tuple(array.shape[1:]), range=input_range))
    indices = _indices(given, found, len(images))
    digests = {"images": sha256_hex(np.ascontiguousarray(images).tobytes()), "labels": sha256_hex(indices.tobytes())}
    dataset = ImageDataset(images, indices, digests)
    return LiveData(dataset, found, tuple(array.shape[1:]), lambda batch: batch)


def _plain(values: object) -> "NDArray[np.generic]":
    """As an array; of a tensor its values."""
    import numpy as np

    detach = getattr(values, "detach", None)
    array: NDArray[np.generic] = np.asarray(detach().cpu().numpy() if callable(detach) else values)
    return array


def _distinct(answers: "NDArray[np.generic]") -> tuple[str, ...]:
    """The classes among the answers; whole numbers from 0 name every number up to the largest."""
    import numpy as np

    different = np.unique(answers)
    if len(different) > MAX_CLASSES:
        raise InputError(
            f"there are {len(different)} different answers, more than {MAX_CLASSES} classes",
            hint="for numbers use regression=True",
        )
    if different.dtype.kind in "iu" and int(different[0]) >= 0 and int(different[-1]) < MAX_CLASSES:
        return tuple(str(label) for label in range(max(2, int(different[-1]) + 1)))
    return tuple(str(label) for label in different.tolist())


def _of_frame(frame: Any, answers: "NDArray[np.generic]", names: tuple[str, ...]) -> LiveData:
    """Batches go to the model with the types its frame had, as far as the values permit."""
    types = dict(zip((str(name) for name in frame.columns), frame.dtypes, strict=True))
    original = list(frame.columns)

    def as_given(batch: "pd.DataFrame") -> "pd.DataFrame":
        shaped = {name: _retyped(batch[name], wanted) for name, wanted in types.items()}
        restored = batch.assign(**shaped)
        restored.columns = original
        return restored

    return _table(frame, answers, names, as_given)


def _retyped(column: Any, wanted: Any) -> Any:
    try:
        return column.astype(wanted)
    except (TypeError, ValueError):
        return column  # as a whole number that an attack or a missing value has made a fraction


def _of_matrix(array: "NDArray[np.generic]", answers: "NDArray[np.generic]", names: tuple[str, ...]) -> LiveData:
    """A matrix of numbers is a table whose columns are called by their place."""
    import pandas as pd

    frame = pd.DataFrame(array, columns=[str(place) for place in range(array.shape[1])])

    def as_given(batch: "pd.DataFrame") -> "NDArray[np.generic]":
        matrix: NDArray[np.generic] = batch.to_numpy(dtype="float64")
        return matrix.astype(array.dtype) if array.dtype.kind == "f" else matrix

    return _table(frame, answers, names, as_given)


def _table(frame: Any, answers: Any, names: tuple[str, ...], as_given: "Callable[[Any], Any]") -> LiveData:
    from heliotrope.subjects.tables import open_frame

    reader = open_frame(frame, answers, model=ModelConfig(name="live", labels=names or None))
    return LiveData(reader.labelled(names), names, None, as_given)


def _indices(answers: "NDArray[np.generic]", names: tuple[str, ...], rows: int) -> "NDArray[np.int64]":
    import numpy as np

    if len(answers) != rows:
        raise InputError(f"there are {rows} inputs and {len(answers)} answers", hint="one answer for each input")
    places = {name: place for place, name in enumerate(names)}
    found = np.array([places.get(str(answer), -1) for answer in answers.tolist()], dtype=np.int64)
    if (found < 0).any() and answers.dtype.kind in "iu" and 0 <= int(answers.min()) <= int(answers.max()) < len(names):
        return answers.astype(np.int64)  # indices into classes that have other names
    if (found < 0).any():
        row = int((found < 0).argmax())
        raise InputError(
            f"row {row} has the answer {printable(str(answers[row]))!r}, which is no class of the model",
            hint="name every class by labels, in the order of the outputs",
        )
    return found
