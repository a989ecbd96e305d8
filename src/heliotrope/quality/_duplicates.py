"""Rows that are equal to others, by a hash of each row, in memory bounded whatever the data."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from heliotrope.subjects.interface import Dataset

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

__all__ = ["MAX_HASHED_ROWS", "Duplicates", "find_duplicates"]

MAX_HASHED_ROWS = 2**24
"""Hashes that are kept of a data set, 128 MiB; of a larger one those are kept whose hash is divisible by a number."""

_BATCH_CELLS = 2**20
_MULTIPLIER = 0x9E3779B97F4A7C15
"""Of 64-bit hashes that are combined in order: 2**64 divided by the golden ratio, odd."""


@dataclass(frozen=True, slots=True)
class Duplicates:
    """How many of the compared rows are equal to others."""

    compared: int
    shared: int
    shared_with_answer: int
    repeated_in_evaluation: float
    repeated_in_training: float


def find_duplicates(
    training: Dataset, evaluation: Dataset, columns: Sequence[str], tick: Callable[[int, int], None]
) -> Duplicates:
    """Compare the inputs of all rows in the given columns (of images all values), and then their answers.

    Two different rows have equal hashes with a chance of 2**-64: of 10 million by 10 million rows one in 200,000 data sets.
    """
    import numpy as np

    total = len(training) + len(evaluation)
    part = np.uint64(max(1, -(-max(len(training), len(evaluation)) // MAX_HASHED_ROWS)))
    known, known_answered = _hashes(training, columns, part, lambda done: tick(done, total))
    asked, asked_answered = _hashes(evaluation, columns, part, lambda done: tick(len(training) + done, total))
    known.sort()
    known_answered.sort()
    return Duplicates(
        compared=len(asked),
        shared=_found(asked, known),
        shared_with_answer=_found(asked_answered, known_answered),
        repeated_in_evaluation=_repeated(asked),
        repeated_in_training=_repeated(known),
    )


def _hashes(
    data: Dataset, columns: Sequence[str], part: "np.uint64", tick: Callable[[int], None]
) -> tuple["NDArray[np.uint64]", "NDArray[np.uint64]"]:
    """Of each row the hash of its inputs, and that of inputs and answer."""
    import numpy as np

    inputs, answered, done = [], [], 0
    for batch in data.batches(max(1, _BATCH_CELLS // max(1, len(columns) or _values(data)))):
        hashed = _row_hashes(batch.inputs, columns)
        answers = _mixed(batch.answers.astype(np.float64).view(np.uint64))
        kept = hashed % part == 0
        inputs.append(hashed[kept])
        answered.append((hashed * np.uint64(_MULTIPLIER) + answers)[kept])
        done += len(batch)
        tick(done)
    return np.concatenate(inputs), np.concatenate(answered)


def _values(data: Dataset) -> int:
    import numpy as np

    return int(np.size(data.take(np.zeros(1, dtype=np.int64)).inputs))


def _row_hashes(inputs: "NDArray[np.float32] | pd.DataFrame", columns: Sequence[str]) -> "NDArray[np.uint64]":
    import numpy as np
    import pandas as pd

    if isinstance(inputs, pd.DataFrame):
        hashed = np.zeros(len(inputs), dtype=np.uint64)
        for name in columns:
            hashed = hashed * np.uint64(_MULTIPLIER) + _column_hashes(inputs[name])
        return _mixed(hashed)
    flat = np.ascontiguousarray(inputs.reshape(len(inputs), -1) + np.float32(0))  # -0 is 0
    digests = b"".join(hashlib.blake2b(row.tobytes(), digest_size=8).digest() for row in flat)
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)


def _column_hashes(column: "pd.Series[Any]") -> "NDArray[np.uint64]":
    """Equal values have equal hashes whatever type a set keeps them in: 1 and 1.0, a category and a text."""
    import numpy as np
    import pandas as pd

    if isinstance(column.dtype, pd.CategoricalDtype) or column.dtype == object:
        texts = column.astype(object).where(column.notna(), "\0missing").to_numpy(dtype=object)
        hashed: NDArray[np.uint64] = pd.util.hash_array(texts)
        return hashed
    if column.dtype.kind == "M":
        return _mixed(column.to_numpy().view(np.uint64))
    numbers = column.to_numpy(dtype=np.float64) + 0.0  # -0 is 0
    numbers[np.isnan(numbers)] = np.nan  # one NaN of many
    return _mixed(numbers.view(np.uint64))


def _mixed(values: "NDArray[np.uint64]") -> "NDArray[np.uint64]":
    """The finaliser of splitmix64 (Steele, Lea and Flood 2014): every bit of the result depends on all bits."""
    import numpy as np

    mixed = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def _found(asked: "NDArray[np.uint64]", known: "NDArray[np.uint64]") -> int:
    """How many are among the sorted ones."""
    import numpy as np

    if not len(known):
        return 0
    places = np.minimum(np.searchsorted(known, asked), len(known) - 1)
    return int((known[places] == asked).sum())


def _repeated(hashes: "NDArray[np.uint64]") -> float:
    import numpy as np

    return 1 - len(np.unique(hashes)) / len(hashes) if len(hashes) else 0.0
