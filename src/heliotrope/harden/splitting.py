"""Which rows are trained on, which choose the round, and which judge: no content is in two of them."""

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from heliotrope.core.errors import InputError
from heliotrope.subjects.interface import Dataset, Opened

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from heliotrope.subjects.interface import Inputs

__all__ = ["HELD_OUT", "Split", "held_out_size", "split"]

HELD_OUT = 1000
"""Samples that judge, where there are so many: an interval is then at most 6.3 points wide."""

_FEWEST = 20
"""Rows of a part below which nothing can be chosen or learnt."""

_CHUNK = 4096
_STREAM = 71


@dataclass(frozen=True, slots=True)
class Split:
    """Rows of the training data, by what they are for."""

    train: "NDArray[np.int64]"
    validate: "NDArray[np.int64]"
    removed: int
    """Rows that are in neither: their content is among the evaluation data, or in the other part."""


def split(training: Dataset, evaluation: Dataset, *, share: float, seed: int) -> Split:
    """Take out what is also among the evaluation data, and keep a share to validate on. Equal contents stay together.

    Raises InputError where too little is left.
    """
    import numpy as np

    judged = set(_digests(evaluation))
    own = _digests(training)
    groups: dict[bytes, list[int]] = {}
    removed = 0
    for row, digest in enumerate(own):
        if digest in judged:
            removed += 1
        else:
            groups.setdefault(digest, []).append(row)
    contents = list(groups.values())
    order = np.random.default_rng([seed, _STREAM]).permutation(len(contents))
    kept = sum(len(rows) for rows in contents)
    validate: list[int] = []
    train: list[int] = []
    for position in order.tolist():
        (validate if len(validate) < share * kept else train).extend(contents[position])
    if len(validate) < _FEWEST or len(train) < _FEWEST:
        raise InputError(
            f"of {len(own)} training rows {removed} are also among the evaluation data; {len(train)} are left to train on and "
            f"{len(validate)} to validate on, at least {_FEWEST} of each are needed",
            hint="give more training data, or a larger harden.validation",
        )
    return Split(np.sort(np.array(train, dtype=np.int64)), np.sort(np.array(validate, dtype=np.int64)), removed)


def held_out_size(opened: Opened) -> int:
    """How many evaluation samples judge: as many as configured, at least 1,000 where there are so many; all in the suite deep."""
    sample = opened.parameters.sample
    most = max(HELD_OUT, sample) if isinstance(sample, int) else len(opened.data)
    if sample is None and opened.parameters.suite != "deep":
        most = min(most, HELD_OUT)
    return most


def _digests(data: Dataset) -> list[bytes]:
    """One for each row, of its features alone: the same input with another answer is the same input."""
    found: list[bytes] = []
    for batch in data.batches(_CHUNK):
        found.extend(_of_inputs(batch.inputs))
    return found


def _of_inputs(inputs: "Inputs") -> "list[bytes]":
    import numpy as np

    if isinstance(inputs, np.ndarray):
        return [hashlib.sha256(np.ascontiguousarray(row).tobytes()).digest() for row in inputs]
    columns = [inputs[name].astype(object).tolist() for name in inputs.columns]
    return [hashlib.sha256(repr(tuple(_plain(v) for v in row)).encode()).digest() for row in zip(*columns, strict=True)]


def _plain(value: object) -> object:
    """Numbers alike whatever type a column has; everything missing alike."""
    if value is None or value != value:  # noqa: PLR0124 - NaN
        return None
    return float(value) if isinstance(value, int | float) else str(value)
