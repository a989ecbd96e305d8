"""One pass over a table: what each column holds, its extremes, a sample of its values and how often its texts occur.

Memory is bounded whatever the file: texts are counted up to a limit, and percentiles rest on a sample of rows that
depends on the number of rows alone, not on the batches they came in.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from heliotrope.core.errors import InputError
from heliotrope.subjects.tables._answers import AnswerColumn
from heliotrope.subjects.tables._plan import Plan
from heliotrope.subjects.tables._rows import Rows
from heliotrope.subjects.tables._watch import ColumnProfile, Watcher

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["MAX_SAMPLED_ROWS", "RowSample", "TableProfile", "profile_table"]

MAX_SAMPLED_ROWS = 2**16
"""Rows that percentiles rest on: they are then right to a fifth of a percentage point of rank."""

_SAMPLED_CELLS = 2**23
"""Of all columns together: 64 MiB of numbers."""

_BATCH_CELLS = 2**21


@dataclass(frozen=True, slots=True)
class TableProfile:
    """All columns that were looked at, and how many rows there are."""

    rows: int
    columns: dict[str, ColumnProfile]


class RowSample:
    """The rows with the smallest keys, where a row's key is a hash of its number."""

    def __init__(self, size: int) -> None:
        import numpy as np

        self._size = size
        self._keys: NDArray[np.uint64] = np.empty(0, dtype=np.uint64)
        self._limit = np.uint64(2**64 - 1)

    def offer(self, start: int, count: int) -> tuple["NDArray[np.int64]", "NDArray[np.bool_] | None"]:
        """Which of these rows to add, by their place, and then which of all that were added to keep (None: all)."""
        import numpy as np

        keys = _mixed(np.arange(start, start + count, dtype=np.uint64))
        added = np.flatnonzero(keys <= self._limit).astype(np.int64)
        self._keys = np.concatenate([self._keys, keys[added]])
        if len(self._keys) <= 2 * self._size:
            return added, None
        return added, self.close()

    def close(self) -> "NDArray[np.bool_]":
        """Which of all that were added to keep in the end."""
        import numpy as np

        if len(self._keys) > self._size:
            self._limit = np.partition(self._keys, self._size - 1)[self._size - 1]
        keep: NDArray[np.bool_] = self._keys <= self._limit
        self._keys = self._keys[keep]
        return keep


def profile_table(rows: Rows, plans: Mapping[str, Plan], target: AnswerColumn) -> TableProfile:
    """Look at every row of these columns, and at the answers beside them."""
    names = tuple(plans)
    watchers = {
        name: Watcher(name, rows.schema.field(name).type, wanted=plan.kind, marks=plan.marks)
        for name, plan in plans.items()
    }
    sample = RowSample(max(1000, min(MAX_SAMPLED_ROWS, _SAMPLED_CELLS // max(1, len(names)))))
    start = 0
    for batch in rows.stream((*names, target.name), max(1, _BATCH_CELLS // (len(names) + 1))):
        added, kept = sample.offer(start, batch.num_rows)
        for name, watcher in watchers.items():
            watcher.see(start, batch.column(name), added)
            if kept is not None:
                watcher.keep(kept)
        target.see(start, batch.column(target.name))
        start += batch.num_rows
    if start == 0:
        raise InputError("the table has no rows", hint="evaluate on at least one sample")
    kept = sample.close()
    for watcher in watchers.values():
        watcher.keep(kept)
    rows.require_unchanged()
    return TableProfile(start, {name: watcher.close() for name, watcher in watchers.items()})


def _mixed(values: "NDArray[np.uint64]") -> "NDArray[np.uint64]":
    """Splitmix64: equal rows get equal keys, neighbours get unrelated ones. Source: Steele, Lea and Flood (2014)."""
    import numpy as np

    mixed = values + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
