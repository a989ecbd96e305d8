"""A DataFrame in memory, read like a file."""

import hashlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from heliotrope.config.schema import DataSource, ModelConfig
from heliotrope.core.errors import InputError, MissingExtraError
from heliotrope.core.text import printable, shorten
from heliotrope.subjects.tables._reader import TableReader, read_rows
from heliotrope.subjects.tables._rows import chosen

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    from numpy.typing import NDArray

__all__ = ["open_frame"]

_ANSWER = "answer"


def open_frame(frame: "pd.DataFrame", answers: "NDArray[np.generic]", *, model: ModelConfig) -> TableReader:
    """A frame of features and one answer for each row. All columns are features. Raises InputError, MissingExtraError."""
    try:
        import pyarrow as pa
    except ImportError:
        raise MissingExtraError("data", module="pyarrow") from None
    names = [str(name) for name in frame.columns]
    if len(set(names)) != len(names):
        double = next(name for name in names if names.count(name) > 1)
        raise InputError(f"two columns are called {printable(double)!r}", hint="give every column a name of its own")
    if len(frame) != len(answers):
        raise InputError(f"there are {len(frame)} rows and {len(answers)} answers", hint="one answer for each row")
    target = _ANSWER
    while target in names:
        target += "_"
    try:
        table = pa.Table.from_pandas(frame.set_axis(names, axis=1), preserve_index=False)
        table = table.append_column(target, pa.array(answers)).combine_chunks()
    except (pa.ArrowException, TypeError, ValueError) as error:
        reason = shorten(printable(str(error).partition("\n")[0]), 200)
        raise InputError(
            f"the frame cannot be read: {reason}", hint="columns hold numbers, truth values, dates, texts or categories"
        ) from None
    source = DataSource(path="frame", target=target, features=tuple(names))
    return read_rows(_FrameRows(table), source, model, where="the frame", digests={"data": _digest(table)})


class _FrameRows:
    """Rows of an Arrow table in memory."""

    textual = False

    def __init__(self, table: "pa.Table") -> None:
        self._table = table

    @property
    def schema(self) -> "pa.Schema":
        return self._table.schema

    def stream(self, columns: Sequence[str], size: int) -> Iterator["pa.RecordBatch"]:
        return iter(self._table.select(list(columns)).to_batches(max_chunksize=size))

    def select(self, columns: Sequence[str], rows: "NDArray[np.int64]") -> Iterator["pa.RecordBatch"]:
        return chosen(self.stream(columns, 2**16), rows)

    def require_unchanged(self) -> None:
        """Nobody else has it."""

    def close(self) -> None:
        """Nothing is held open."""


def _digest(table: "pa.Table") -> str:
    """SHA-256 over the table as an Arrow stream without metadata: names, types and values."""
    import pyarrow as pa

    sink = _Hash()
    with pa.ipc.new_stream(pa.PythonFile(sink, mode="w"), table.schema.remove_metadata()) as writer:
        writer.write_table(table.replace_schema_metadata(None), max_chunksize=2**16)
    return sink.digest.hexdigest()


class _Hash:
    """A file that keeps no more than the digest of what is written."""

    closed = False

    def __init__(self) -> None:
        self.digest = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        return len(data)

    def writable(self) -> bool:
        return True

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """Nothing is held open."""
