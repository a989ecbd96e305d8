"""Parquet by row groups. What the footer promises is held against limits before anything is unpacked."""

import struct
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from heliotrope.core.errors import InputError
from heliotrope.core.text import printable, shorten
from heliotrope.subjects._files import show
from heliotrope.subjects.tables._file import TableFile
from heliotrope.subjects.tables._rows import MAX_COLUMNS, MAX_ROWS, chosen, named

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq
    from numpy.typing import NDArray

__all__ = ["MAX_CHUNK_BYTES", "MAX_FOOTER_BYTES", "MAX_ROW_GROUPS", "ParquetRows"]

MAX_FOOTER_BYTES = 64 * 2**20
"""The footer is read whole; that of 10,000 columns in 50 row groups takes some 40 MB."""

MAX_ROW_GROUPS = 100_000
"""Row groups of a file; writers make one for each hundred thousand rows or more."""

MAX_CHUNK_BYTES = 2**30
"""One column of one row group, unpacked: a page may be as large, and has to be held whole."""

_MAGIC = b"PAR1"
_ENCRYPTED = b"PARE"
_BUFFER = 2**18
_BATCH = 2**16
_EXPORT_HINT = "write it again, as with DataFrame.to_parquet"


class ParquetRows:
    """The columns of a parquet file. Text is read as dictionaries, so that one long text repeated often stays small."""

    textual = False

    def __init__(self, file: TableFile) -> None:
        self._file = file
        _check_frame(file)
        self._reader = self._guarded(lambda: _open(file, ()))
        metadata = self._reader.metadata
        if metadata.num_rows == 0:
            raise InputError(f"{show(file.path)} has no rows", hint="evaluate on at least one sample")
        self._limit("rows", metadata.num_rows, MAX_ROWS)
        self._limit("columns", metadata.num_columns, MAX_COLUMNS)
        self._limit("row groups", metadata.num_row_groups, MAX_ROW_GROUPS)
        self._groups = self._guarded(
            lambda: [metadata.row_group(index).num_rows for index in range(metadata.num_row_groups)]
        )
        if sum(self._groups) != metadata.num_rows or min(self._groups) < 0:
            raise self._damaged("the rows of its row groups do not add up")
        self._schema: pa.Schema = self._guarded(lambda: self._reader.schema_arrow)
        words = [field.name for field in self._schema if _is_text(field.type)]
        if words:
            self._reader = self._guarded(lambda: _open(file, words))

    @property
    def schema(self) -> "pa.Schema":
        return self._schema

    def stream(self, columns: Sequence[str], size: int) -> Iterator["pa.RecordBatch"]:
        return self._read(columns, size, range(len(self._groups)))

    def select(self, columns: Sequence[str], rows: "NDArray[np.int64]") -> Iterator["pa.RecordBatch"]:
        import numpy as np

        ends = np.cumsum(np.array(self._groups, dtype=np.int64))
        if len(rows) and rows[-1] >= ends[-1]:
            raise InputError(f"the table has {ends[-1]} rows, row {rows[-1]} was asked for")
        of_row = np.searchsorted(ends, rows, side="right")
        for group in np.unique(of_row):
            local = rows[of_row == group] - (ends[group] - self._groups[group])
            yield from chosen(self._read(columns, _BATCH, [int(group)]), local)

    def require_unchanged(self) -> None:
        self._file.require_unchanged()

    def close(self) -> None:
        self._reader.close()
        self._file.close()

    def _read(self, columns: Sequence[str], size: int, groups: Sequence[int]) -> Iterator["pa.RecordBatch"]:
        self._check_chunks(columns, groups)
        batches = self._guarded(
            lambda: self._reader.iter_batches(batch_size=size, row_groups=list(groups), columns=list(columns))
        )
        while True:
            batch = self._guarded(lambda: next(batches, None))
            if batch is None:
                return
            if batch.num_rows:
                kept = batch.select(list(columns))
                self._guarded(lambda: kept.validate(full=True))  # noqa: B023 - called at once
                yield _plain_strings(kept)

    def _check_chunks(self, columns: Sequence[str], groups: Sequence[int]) -> None:
        metadata, wanted = self._reader.metadata, set(columns)
        places = [index for index, column in enumerate(self._reader.schema) if column.path in wanted]
        for group in groups:
            row_group = metadata.row_group(group)
            for place in places:
                chunk = row_group.column(place)
                if not 0 <= chunk.total_uncompressed_size <= MAX_CHUNK_BYTES:
                    raise InputError(
                        f"{show(self._file.path)}: column {named(chunk.path_in_schema)} of row group {group} unpacks to"
                        f" {chunk.total_uncompressed_size} bytes, the limit is {MAX_CHUNK_BYTES}",
                        hint="write it with smaller row groups, as in to_parquet(..., row_group_size=100_000)",
                    )

    def _limit(self, what: str, count: int, limit: int) -> None:
        if not 0 < count <= limit:
            raise InputError(
                f"{show(self._file.path)} has {count} {what}, the limit is {limit}",
                hint="evaluate on a part of the data",
            )

    def _guarded(self, action: Callable[[], Any]) -> Any:
        """What Arrow says of a damaged file, as an InputError."""
        import pyarrow as pa

        try:
            return action()
        except (pa.ArrowException, OSError, ValueError, KeyError, TypeError, MemoryError) as error:
            raise self._damaged(shorten(printable(str(error).split("\n", 1)[0]), 200)) from None

    def _damaged(self, reason: str) -> InputError:
        return InputError(f"{show(self._file.path)} is no readable parquet file: {reason}", hint=_EXPORT_HINT)


def _check_frame(file: TableFile) -> None:
    head, tail = file.read(0, 4), file.read(max(0, file.size - 8), 8)
    where = show(file.path)
    if _ENCRYPTED in (head, tail[-4:]):
        raise InputError(f"{where} is encrypted", hint="decrypt it first")
    if head != _MAGIC or tail[-4:] != _MAGIC or file.size < 12:
        raise InputError(
            f"{where} is no parquet file, or a truncated one: it has to begin and end with PAR1", hint=_EXPORT_HINT
        )
    length = struct.unpack("<I", tail[:4])[0]
    if length > min(file.size - 12, MAX_FOOTER_BYTES):
        raise InputError(
            f"{where} claims a footer of {length} bytes in a file of {file.size}; the limit is {MAX_FOOTER_BYTES}",
            hint=_EXPORT_HINT,
        )


def _open(file: TableFile, words: Sequence[str]) -> "pq.ParquetFile":
    import pyarrow as pa
    import pyarrow.parquet as pq

    source = pa.PythonFile(file.stream(), mode="r")
    return pq.ParquetFile(source, read_dictionary=list(words), buffer_size=_BUFFER, pre_buffer=False)


def _is_text(type_: "pa.DataType") -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(type_) or pa.types.is_large_string(type_))


def _plain_strings(batch: "pa.RecordBatch") -> "pa.RecordBatch":
    """Views of strings as strings: many functions of Arrow know no views."""
    import pyarrow as pa

    if not any(pa.types.is_string_view(field.type) for field in batch.schema):
        return batch
    fields = [
        field.with_type(pa.large_string()) if pa.types.is_string_view(field.type) else field for field in batch.schema
    ]
    return batch.cast(pa.schema(fields))
