"""A table opened: its features found in one pass, its rows given as often as wanted."""

import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from heliotrope.config.schema import DataSource, ModelConfig
from heliotrope.core.errors import InputError, MissingExtraError
from heliotrope.core.text import shorten
from heliotrope.subjects._files import show
from heliotrope.subjects.interface import Batch, Column, DatasetKind
from heliotrope.subjects.tables._answers import AnswerColumn, ClassAnswers, NumberAnswers
from heliotrope.subjects.tables._csv import CsvRows
from heliotrope.subjects.tables._features import Feature, Features
from heliotrope.subjects.tables._file import TableFile
from heliotrope.subjects.tables._kinds import kind_of
from heliotrope.subjects.tables._parquet import ParquetRows
from heliotrope.subjects.tables._plan import choose_columns, plan_column
from heliotrope.subjects.tables._profile import profile_table
from heliotrope.subjects.tables._rows import Rows, named, regular
from heliotrope.subjects.tables._types import column_of

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    from numpy.typing import NDArray

__all__ = ["MAX_KEPT_CELLS", "TableDataset", "TableReader", "open_table", "read_rows"]

MAX_KEPT_CELLS = 2**21
"""A table of at most so many cells is kept in memory, 16 MB of numbers; a larger one, or texts, are read again each time."""


def open_table(source: DataSource, *, model: ModelConfig, root: Path, expected: Mapping[str, str]) -> "TableReader":
    """Open a csv, tsv or parquet file and look at every row of it once.

    `expected` maps input names to the SHA-256 their bytes must have. Raises InputError for whatever is wrong with the
    file, a column or a row, MissingExtraError without pandas and pyarrow.
    """
    for module in ("pandas", "pyarrow"):
        if importlib.util.find_spec(module) is None:
            raise MissingExtraError("data", module=module)
    path = root / str(source.path)
    file = TableFile.open(path, what="data", expected=expected.get("data"))
    try:
        return read_rows(_rows_of(file), source, model, where=show(file.path), digests={"data": file.sha256})
    except BaseException:
        file.close()
        raise


def _rows_of(file: TableFile) -> Rows:
    match file.path.suffix.lower():
        case ".parquet":
            return ParquetRows(file)
        case ".tsv":
            return CsvRows(file, delimiter="\t")
        case _:
            return CsvRows(file)


def read_rows(
    rows: Rows, source: DataSource, model: ModelConfig, *, where: str, digests: dict[str, str]
) -> "TableReader":
    """Look at every row once. `where` names the table in errors."""
    declared = model.input.columns if model.input is not None else {}
    chosen = choose_columns(rows.schema.names, source, declared, where=where)
    if kind_of(chosen.target, rows.schema.field(chosen.target).type) == "time":
        raise InputError(
            f"column {named(chosen.target)} holds dates, which are no answers of a model",
            hint="name another column under target",
        )
    text_task, named_features = model.task == "text-classification", source.features is not None
    plans = {
        name: plan_column(declared.get(name), textual=rows.textual, text_task=text_task, named_feature=named_features)
        for name in chosen.features
    }
    answers = AnswerColumn(chosen.target, rows.textual, model.labels or ())
    profile = profile_table(rows, plans, answers)
    columns = []
    for name, plan in plans.items():
        seen = profile.columns[name]
        if text_task and not named_features and seen.kind != "words":
            continue
        columns.append(column_of(seen, declared.get(name), plan.type or ("text" if text_task else None)))
    if not named_features:
        columns = [column for column in columns if column.type != "identifier"]
    _require_columns(columns, where, text_task=text_task)
    parts = tuple(Feature.of(column, profile.columns[column.name], plans[column.name]) for column in columns)
    return TableReader(rows, Features(parts), answers, profile.rows, digests)


def _require_columns(columns: Sequence[Column], where: str, *, text_task: bool) -> None:
    if not columns:
        raise InputError(
            f"{where} has no column left to give to the model besides the target and identifiers",
            hint="name the columns the model takes in data.evaluate.features",
        )
    if text_task and len(columns) > 1:
        raise InputError(
            f"a text-classification model takes one column of text, here are {len(columns)}: "
            + shorten(", ".join(named(column.name) for column in columns), 200),
            hint="name it in data.evaluate.features",
        )


@dataclass(frozen=True, slots=True)
class TableReader:
    """A table whose answers await the names of the classes."""

    rows: Rows
    features: Features
    answers: AnswerColumn
    count: int
    digests: dict[str, str]

    @property
    def columns(self) -> tuple[Column, ...]:
        return self.features.columns

    def probe(self, rows: int) -> "pd.DataFrame":
        import numpy as np

        wanted = np.arange(min(rows, self.count), dtype=np.int64)
        batch = next(regular(self.rows.select(self.features.names, wanted), max(1, len(wanted))))
        return self.features.frame(batch, wanted)

    def answer_names(self) -> tuple[str, ...]:
        return self.answers.names()

    def labelled(self, names: tuple[str, ...]) -> "TableDataset":
        reading = self.answers.classes(names) if names else NumberAnswers(self.answers)
        return TableDataset(self, reading)

    def close(self) -> None:
        self.rows.close()


class TableDataset:
    """Labelled rows, streamed from the file; a small table is kept once it was read."""

    def __init__(self, reader: TableReader, answers: ClassAnswers | NumberAnswers) -> None:
        self._reader = reader
        self._answers = answers
        self._names = (*reader.features.names, answers.column.name)
        self._kept: Batch | None = None
        long = any(part.kind == "words" and part.column.type != "category" for part in reader.features.parts)
        if reader.count * len(self._names) <= MAX_KEPT_CELLS and not long:
            self._kept = next(self._streamed(reader.count))

    @property
    def kind(self) -> DatasetKind:
        return "table"

    @property
    def columns(self) -> tuple[Column, ...]:
        return self._reader.columns

    @property
    def digests(self) -> dict[str, str]:
        return self._reader.digests

    def __len__(self) -> int:
        return self._reader.count

    def batches(self, size: int) -> Iterator[Batch]:
        import numpy as np

        if self._kept is None:
            yield from self._streamed(size)
            return
        for start in range(0, len(self), size):
            yield self.take(np.arange(start, min(start + size, len(self)), dtype=np.int64))

    def take(self, rows: "NDArray[np.int64]") -> Batch:
        import pandas as pd

        if self._kept is not None:
            inputs = self._kept.inputs
            assert isinstance(inputs, pd.DataFrame)
            return Batch(inputs.iloc[rows].reset_index(drop=True), self._kept.answers[rows], rows)
        with self._unchanged():
            batches = regular(self._reader.rows.select(self._names, rows), max(1, len(rows)))
            return self._batch(next(batches), rows)

    def close(self) -> None:
        self._reader.close()

    def _streamed(self, size: int) -> Iterator[Batch]:
        import numpy as np

        start = 0
        with self._unchanged():
            for batch in regular(self._reader.rows.stream(self._names, size), size):
                rows = np.arange(start, start + batch.num_rows, dtype=np.int64)
                start += batch.num_rows
                yield self._batch(batch, rows)

    @contextmanager
    def _unchanged(self) -> Iterator[None]:
        """What was read is what was hashed, or an InputError that says so before any other."""
        try:
            yield
        except InputError:
            self._reader.rows.require_unchanged()
            raise
        self._reader.rows.require_unchanged()

    def _batch(self, batch: "pa.RecordBatch", rows: "NDArray[np.int64]") -> Batch:
        answers = self._answers.read(batch.column(self._answers.column.name), rows)
        return Batch(self._reader.features.frame(batch, rows), answers, rows)
