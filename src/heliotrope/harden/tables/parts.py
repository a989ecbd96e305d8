"""Some rows of a data set as one of its own, and rows put together."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from heliotrope.subjects.batching import as_array, as_table, part_of
from heliotrope.subjects.interface import Batch, Column, Dataset, DatasetKind

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from heliotrope.subjects.interface import Inputs

__all__ = ["Part", "Rows", "stacked"]


@dataclass(frozen=True, slots=True)
class Part:
    """A Dataset of some rows of another, numbered anew. What is known of the columns is known from the whole."""

    whole: Dataset
    chosen: "NDArray[np.int64]"
    """Rising."""

    @property
    def kind(self) -> DatasetKind:
        return self.whole.kind

    @property
    def columns(self) -> tuple[Column, ...]:
        return self.whole.columns

    @property
    def digests(self) -> dict[str, str]:
        return self.whole.digests

    def __len__(self) -> int:
        return len(self.chosen)

    def batches(self, size: int) -> Iterator[Batch]:
        import numpy as np

        for begin in range(0, len(self), size):
            yield self.take(np.arange(begin, min(begin + size, len(self)), dtype=np.int64))

    def take(self, rows: "NDArray[np.int64]") -> Batch:
        taken = self.whole.take(self.chosen[rows])
        return Batch(taken.inputs, taken.answers, rows)

    def close(self) -> None:
        """The whole is closed by whoever opened it."""


@dataclass(frozen=True, slots=True)
class Rows:
    """What a model is fitted on."""

    inputs: "Inputs"
    answers: "NDArray[np.int64]"

    def __len__(self) -> int:
        return len(self.answers)

    def with_more(self, more: Batch) -> "Rows":
        """These and those that were found."""
        import numpy as np

        answers = np.concatenate([self.answers, more.answers.astype(np.int64)])
        return Rows(stacked(self.inputs, more.inputs), answers)


def stacked(one: "Inputs", other: "Inputs") -> "Inputs":
    """Two batches of the same columns in one; columns keep their types and categories."""
    import numpy as np

    if not len(other):
        return one
    if not hasattr(one, "iloc"):
        return np.concatenate([as_array(one), as_array(other)])
    import pandas as pd

    first, second = as_table(one), as_table(other)
    made = {}
    for name in first.columns:
        before, after = first[name], second[name]
        if isinstance(before.dtype, pd.CategoricalDtype):
            known = list(before.cat.categories)
            added = [value for value in after.dropna().unique() if value not in set(known)]
            kind = pd.CategoricalDtype([*known, *added], ordered=before.cat.ordered)
            before, after = before.astype(kind), after.astype(kind)
        elif before.dtype != after.dtype and before.dtype == object:
            after = after.astype(object)
        made[name] = pd.concat([before, after], ignore_index=True)
    return part_of(pd.DataFrame(made), slice(None))
