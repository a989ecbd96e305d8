"""What a table file gives, whatever its format: named columns in Arrow batches, as often as wanted."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from heliotrope.core.errors import InputError
from heliotrope.core.text import printable, shorten

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

__all__ = ["MAX_CELL_BYTES", "MAX_COLUMNS", "MAX_ROWS", "Rows", "chosen", "named", "regular"]

MAX_COLUMNS = 10_000
"""Wider tables are matrices: npz holds them better, and each column costs some 10 kB to look at."""

MAX_ROWS = 2**31
"""A file of a few bytes can claim more rows than anyone waits for."""

MAX_CELL_BYTES = 2**20
"""One text of a table, 1 MiB: longer ones are documents, and a dictionary could repeat them at no cost to its maker."""


class Rows(Protocol):
    """An open table. Errors of the file are InputErrors."""

    @property
    def schema(self) -> "pa.Schema":
        """All columns. Of csv everything is text, an empty field included."""

    @property
    def textual(self) -> bool:
        """Whether values are written as text, so that types and missing values are to be told from it."""

    def stream(self, columns: Sequence[str], size: int) -> Iterator["pa.RecordBatch"]:
        """These columns of every row, about `size` rows at once."""

    def select(self, columns: Sequence[str], rows: "NDArray[np.int64]") -> Iterator["pa.RecordBatch"]:
        """These columns of rows that rise; reads no further than it must."""

    def require_unchanged(self) -> None: ...

    def close(self) -> None: ...


def named(name: str) -> str:
    """A column's name, safe to print."""
    return repr(shorten(printable(name), 80))


def regular(batches: Iterator["pa.RecordBatch"], size: int) -> Iterator["pa.RecordBatch"]:
    """The same rows in batches of exactly `size`, the last one shorter."""
    import pyarrow as pa

    held: list[pa.RecordBatch] = []
    count = 0
    for batch in batches:
        rest = batch
        while count + rest.num_rows >= size:
            held.append(rest.slice(0, size - count))
            rest = rest.slice(size - count)
            yield _joined(held)
            held, count = [], 0
        if rest.num_rows:
            held.append(rest)
            count += rest.num_rows
    if held:
        yield _joined(held)


def chosen(batches: Iterator["pa.RecordBatch"], rows: "NDArray[np.int64]") -> Iterator["pa.RecordBatch"]:
    """Of batches that begin at row 0 those rows, which rise; ends with the last of them."""
    import numpy as np
    import pyarrow as pa

    start = taken = 0
    for batch in batches:
        end = taken + int(np.searchsorted(rows[taken:], start + batch.num_rows))
        if end > taken:
            yield batch.take(pa.array(rows[taken:end] - start))
        start, taken = start + batch.num_rows, end
        if taken == len(rows):
            return
    if taken < len(rows):
        raise InputError(f"the table has {start} rows, row {rows[taken]} was asked for")


def _joined(batches: list["pa.RecordBatch"]) -> "pa.RecordBatch":
    import pyarrow as pa

    if len(batches) == 1:
        return batches[0]
    table = pa.Table.from_batches(batches).unify_dictionaries().combine_chunks()
    return table.to_batches()[0]
