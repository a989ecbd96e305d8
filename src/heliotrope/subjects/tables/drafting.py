"""What a table itself says of changes that keep its rows valid: whole numbers, one-hot groups, sums that always hold.

A draft for people to read: what holds on every row that was looked at need not hold on all.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

__all__ = ["DRAFTED_ROWS", "ColumnFacts", "Sum", "TableFacts", "table_facts"]

DRAFTED_ROWS = 5000
"""The first rows of the table, which are looked at."""

_FEWEST_ROWS = 20
_MOST_COLUMNS = 60
"""Numbers among which sums are looked for; each pair is compared with each column."""

_LONGEST_LINE = 2**20
_MOST_BYTES = 64 * 2**20
_TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True)
class ColumnFacts:
    name: str
    kind: str
    """number, integer, boolean, time, text or identifier."""
    low: float | None = None
    high: float | None = None
    whole: bool = False
    """Whole numbers that are kept as numbers with decimals."""
    missing: bool = False


@dataclass(frozen=True, slots=True)
class Sum:
    """total = parts, on every row."""

    total: str
    parts: tuple[str, ...]
    tolerance: float


@dataclass(frozen=True, slots=True)
class TableFacts:
    rows: int
    columns: tuple[ColumnFacts, ...]
    groups: tuple[tuple[str, ...], ...]
    sums: tuple[Sum, ...]


def table_facts(path: Path, *, leave_out: frozenset[str] = frozenset()) -> TableFacts | None:
    """Facts of the first rows of a csv, tsv or parquet file; None when it is too small, too large or cannot be read as such.

    `leave_out`: lower-case names of columns that are answers, which take part in nothing.
    """
    frame = _read(path)
    if frame is None or len(frame) < _FEWEST_ROWS or not frame.columns.is_unique:
        return None
    frame = frame[[name for name in frame.columns if str(name).lower() not in leave_out]]
    columns = tuple(_facts(str(name), frame[name]) for name in frame.columns)
    groups = _groups(frame)
    grouped = {name for group in groups for name in group}
    numbers = [one.name for one in columns if one.kind in ("number", "integer") and not one.missing]
    usable = [name for name in numbers if name not in grouped and frame[name].nunique() > 2]
    return TableFacts(len(frame), columns, groups, _sums(frame, usable[:_MOST_COLUMNS]))


def _read(path: Path) -> "pd.DataFrame | None":
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        if path.suffix.lower() == ".parquet":
            with pq.ParquetFile(path) as file:
                if file.metadata.num_row_groups and file.metadata.row_group(0).total_byte_size > _MOST_BYTES:
                    return None
                batch = next(file.iter_batches(batch_size=DRAFTED_ROWS), None)
            return None if batch is None else pd.DataFrame(batch.to_pandas())
        with path.open(encoding="utf-8-sig") as text:
            head = text.readline(_LONGEST_LINE)
        if len(head) >= _LONGEST_LINE:
            return None
        delimiter = "\t" if path.suffix.lower() == ".tsv" else max(",;\t", key=head.count)
        return pd.read_csv(path, sep=delimiter, nrows=DRAFTED_ROWS, encoding="utf-8-sig")
    except (OSError, ValueError, pa.ArrowException):  # parser errors of pandas are ValueErrors
        return None


def _facts(name: str, values: "pd.Series") -> ColumnFacts:
    import numpy as np
    import pandas as pd

    missing = bool(values.isna().any())
    if pd.api.types.is_bool_dtype(values.dtype):
        return ColumnFacts(name, "boolean", missing=missing)
    if not pd.api.types.is_numeric_dtype(values.dtype):
        if pd.api.types.is_datetime64_any_dtype(values.dtype):
            return ColumnFacts(name, "time", missing=missing)
        return ColumnFacts(name, "identifier" if values.is_unique else "text", missing=missing)
    known = values.dropna().to_numpy(dtype=np.float64)
    known = known[np.isfinite(known)]
    if not len(known):
        return ColumnFacts(name, "number", missing=missing)
    whole = bool((known == np.rint(known)).all())
    if whole and values.is_unique and (np.ptp(known) == len(known) - 1 or name.lower().endswith("id")):
        return ColumnFacts(name, "identifier")
    stored_whole = pd.api.types.is_integer_dtype(values.dtype)
    kind = "integer" if whole else "number"
    return ColumnFacts(
        name, kind, float(known.min()), float(known.max()), whole=whole and not stored_whole, missing=missing
    )


def _groups(frame: "pd.DataFrame") -> tuple[tuple[str, ...], ...]:
    """Columns of 0 and 1 with one beginning before the last _, = or . of which exactly one is 1 on every row."""
    import pandas as pd

    starts: dict[str, list[str]] = {}
    for name in map(str, frame.columns):
        values = frame[name]
        if not pd.api.types.is_numeric_dtype(values.dtype) or not values.isin([0, 1]).all():
            continue
        cut = max(name.rfind(mark) for mark in "_=.")
        if cut > 0:
            starts.setdefault(name[:cut], []).append(name)
    return tuple(
        tuple(names) for names in starts.values() if len(names) > 1 and bool((frame[names].sum(axis=1) == 1).all())
    )


def _sums(frame: "pd.DataFrame", names: list[str]) -> tuple[Sum, ...]:
    """Columns that are the sum of two others on every row, or of three where there are few."""
    import itertools

    import numpy as np

    if len(names) < 3:
        return ()
    values = frame[names].to_numpy(dtype=np.float64)
    tolerance = _TOLERANCE * np.maximum(1.0, np.abs(values).max(axis=0))
    found: list[Sum] = []
    explained: set[str] = set()
    for size in (2, 3) if len(names) <= 20 else (2,):
        for parts in itertools.combinations(range(len(names)), size):
            total = values[:, list(parts)].sum(axis=1)
            for place in _equal(values, total, tolerance):
                if place not in parts and names[place] not in explained:
                    explained.add(names[place])
                    found.append(Sum(names[place], tuple(names[part] for part in parts), float(tolerance[place])))
    return tuple(found)


def _equal(values: "NDArray[np.float64]", total: "NDArray[np.float64]", tolerance: "NDArray[np.float64]") -> list[int]:
    """Columns that equal a sum on every row; a few rows rule most of them out."""
    import numpy as np

    likely = np.flatnonzero((np.abs(values[:8] - total[:8, None]) <= tolerance).all(axis=0))
    return [int(one) for one in likely if bool((np.abs(values[:, one] - total) <= tolerance[one]).all())]
