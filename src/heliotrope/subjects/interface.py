"""The types every dynamic check meets: a model that can be asked, data to ask it about, and both together.

A model is asked in batches and answers with scores, whatever library or host it lives in. Data come in batches from the
first row to the last, as often as wanted, without being held in memory whole where the format permits.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Protocol, Self

from heliotrope.config.schema import ColumnType, OutputKind
from heliotrope.engine.interface import Task
from heliotrope.subjects.planning import ModelTask

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    Inputs = NDArray[np.float32] | pd.DataFrame
    Answers = NDArray[np.int64] | NDArray[np.float64]
    Scores = NDArray[np.float64]


__all__ = ["Batch", "Column", "Dataset", "DatasetKind", "Opened", "Predictor"]

DatasetKind = Literal["images", "table"]


@dataclass(frozen=True, slots=True)
class Column:
    """One feature of a table."""

    name: str
    type: ColumnType
    unit: str | None = None
    low: float | None = None
    """Lowest value of a valid input: as declared, else as seen."""
    high: float | None = None
    """Highest value of a valid input: as declared, else as seen."""
    spread: float | None = None
    """Of numbers: half the distance between the 16th and the 84th percentile seen, one deviation of a normal; the unit of eps."""
    categories: tuple[str, ...] = ()
    """Valid categories: as declared, else as seen, most frequent first."""
    missing: bool = False
    """Whether a valid input may lack it."""
    immutable: bool = False
    declared: bool = False
    """Whether heliotrope.yaml says so; else it was inferred from the data."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Some rows with their right answers."""

    inputs: "Inputs"
    """Images or plain arrays: float32, n x sample shape, in the declared range. Tables: a DataFrame of the feature columns
    in the model's order; numbers float64 or int64, booleans bool, categories and text str or Categorical, missing NaN."""
    answers: "Answers"
    """Classification: n class indices, int64. Regression: n float64."""
    rows: "NDArray[np.int64]"
    """Where each sample stands in the data."""

    def __len__(self) -> int:
        return len(self.rows)


class Dataset(Protocol):
    """Labelled samples. Iterating twice gives the same batches. Raises InputError for whatever is wrong with the data."""

    @property
    def kind(self) -> DatasetKind: ...

    @property
    def columns(self) -> tuple[Column, ...]:
        """The features of a table; empty for images."""

    @property
    def digests(self) -> dict[str, str]:
        """SHA-256 of the files by their part, as in data, images, labels; of the bytes that are used."""

    def __len__(self) -> int: ...

    def batches(self, size: int) -> Iterator[Batch]:
        """All rows in order, at most `size` at once; memory stays bounded by the batch."""

    def take(self, rows: "NDArray[np.int64]") -> Batch:
        """These rows, which must rise, in one batch."""

    def close(self) -> None: ...


class Predictor(Protocol):
    """A model that can be asked. Never changes its inputs; equal inputs give equal scores, or determinism is a finding."""

    @property
    def format(self) -> str:
        """As in onnx or xgboost."""

    @property
    def classes(self) -> int:
        """Outputs of a classifier; 1 for regression."""

    @property
    def names(self) -> tuple[str, ...]:
        """Class names in the order of the outputs; empty for regression."""

    @property
    def output(self) -> OutputKind:
        """What the scores are. `labels`: one-hot rows, the model says no more."""

    @property
    def digests(self) -> dict[str, str]:
        """SHA-256 of the model's files by their path in the project; for an endpoint of its address and metadata."""

    def scores(self, inputs: "Inputs") -> "Scores":
        """N x classes, float64, finite; regression: n x 1. Raises InputError when the model fails or answers otherwise."""

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Opened:
    """A model with its data, ready to be asked. Closing it gives back files, sessions and connections."""

    task: Task
    parameters: ModelTask
    model: Predictor
    data: Dataset
    train: Dataset | None = None
    """Only for checks that asked for it."""
    previous: Predictor | None = None
    """An earlier version, for checks that asked for it and where one is named."""
    reference: Dataset | None = None
    """Data of an earlier time, for checks that asked for it and where they are named."""

    def close(self) -> None:
        for part in (self.model, self.data, self.train, self.previous, self.reference):
            if part is not None:
                part.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
