"""How many rows a model may be asked about at once, and asking it about more."""

from collections.abc import Callable
from typing import TYPE_CHECKING, cast, overload

from heliotrope.core.errors import InternalError
from heliotrope.subjects.interface import Opened, Predictor
from heliotrope.subjects.prepare import MAX_BATCH, batch_size
from heliotrope.subjects.torch_model import TorchModel

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from heliotrope.subjects.interface import Inputs, Scores

    Array = NDArray[np.float32]
    Chosen = slice | NDArray[np.int64] | NDArray[np.bool_]

__all__ = ["MAX_TABLE_ROWS", "as_array", "as_table", "ask", "part_of", "rows_at_once"]

MAX_TABLE_ROWS = 65_536
"""Larger batches of a table gain nothing and cost memory: 26 MB for 50 columns of numbers."""

_BYTES_A_CELL = 64
"""A cell of a table as it passes through reader, frame, the library's own matrix and back; text takes more."""

_SHARE = 32
"""Of the memory limit: the rest is for the library, the model and what a check keeps."""


def rows_at_once(opened: Opened, memory_bytes: int) -> int:
    """At least one; for an endpoint what one request carries."""
    model, endpoint = opened.model, opened.parameters.model.endpoint
    if endpoint is not None:
        return endpoint.batch
    if opened.data.kind == "table":
        width = max(1, len(opened.data.columns))
        return max(1, min(MAX_TABLE_ROWS, memory_bytes // _SHARE // (_BYTES_A_CELL * width)))
    if isinstance(model, TorchModel):
        import numpy as np
        import torch

        first = opened.data.take(np.zeros(1, dtype=np.int64)).inputs
        return batch_size(model, torch.from_numpy(np.array(first, dtype=np.float32))[0], memory_bytes)
    return MAX_BATCH


def ask(model: Predictor, inputs: "Inputs", size: int, *, tick: Callable[[int], None] = lambda _done: None) -> "Scores":
    """Scores of any number of rows, at most `size` at once; `tick` hears how many are done. The inputs are not changed."""
    import numpy as np

    scores = []
    for begin in range(0, len(inputs), size):
        scores.append(model.scores(part_of(inputs, slice(begin, begin + size))))
        tick(min(begin + size, len(inputs)))
    return np.concatenate(scores) if scores else np.empty((0, model.classes))


@overload
def part_of(inputs: "pd.DataFrame", rows: "Chosen") -> "pd.DataFrame": ...


@overload
def part_of(inputs: "Array", rows: "Chosen") -> "Array": ...


@overload
def part_of(inputs: "Inputs", rows: "Chosen") -> "Inputs": ...


def part_of(inputs: "Inputs", rows: "Chosen") -> "Inputs":
    """Some rows of a batch, in the order of `rows`; a table is numbered anew."""
    if _is_table(inputs):
        return as_table(inputs).iloc[rows].reset_index(drop=True)
    return as_array(inputs)[rows]


def as_table(inputs: "Inputs") -> "pd.DataFrame":
    """The inputs of a data set of the kind table."""
    if not _is_table(inputs):
        raise InternalError("these inputs are no table")
    return cast("pd.DataFrame", inputs)


def as_array(inputs: "Inputs") -> "Array":
    """The inputs of a data set of any other kind."""
    if _is_table(inputs):
        raise InternalError("these inputs are a table")
    return cast("Array", inputs)


def _is_table(inputs: "Inputs") -> bool:
    """By what only a table has: pandas is not imported for models on arrays."""
    return hasattr(inputs, "iloc")
