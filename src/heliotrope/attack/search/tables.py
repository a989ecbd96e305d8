"""Tables as points for a search, and points as tables for the model."""

from typing import TYPE_CHECKING, Any

from heliotrope.attack.search.constraints import constrained_columns, constrained_space
from heliotrope.attack.search.space import CHOICE, FIXED, INTEGER, NUMBER, Space
from heliotrope.config.constraints import ConstraintsFile
from heliotrope.core.predicates.behaviour import ThreatModel
from heliotrope.subjects.batching import as_table
from heliotrope.subjects.interface import Column

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from heliotrope.attack.search.space import Points, Rows
    from heliotrope.subjects.interface import Inputs

__all__ = ["show_value", "table_space"]


def table_space(
    frame: "pd.DataFrame", columns: tuple[Column, ...], threat: ThreatModel, file: ConstraintsFile | None = None
) -> Space:
    """Numbers, integers, booleans and categories that are not immutable may change; texts, times and identifiers do not.

    `file`: what else a changed row must keep.
    A column whose spread is zero though it varies, as one that is mostly 0, counts in standard deviations of the sample.
    """
    import numpy as np

    if file is not None:
        columns = constrained_columns(columns, file)
    encoded = [_encode(frame[column.name], column) for column in columns]
    width = len(columns)
    kinds = np.array([_kind(column) for column in columns], dtype=np.int8)
    scale = np.zeros(width)
    low, high = np.full(width, -np.inf), np.full(width, np.inf)
    for index, column in enumerate(columns):
        if kinds[index] in (NUMBER, INTEGER):
            scale[index] = _scale(column, encoded[index][0])
            low[index] = -np.inf if column.low is None else column.low
            high[index] = np.inf if column.high is None else column.high
    codec = _Codec(frame, columns, kinds, tuple(labels for _, labels in encoded))
    space = Space(
        centres=np.stack([values for values, _ in encoded], axis=1),
        kinds=kinds,
        scale=scale,
        low=low,
        high=high,
        choices=tuple(_codes(column, labels) for column, (_, labels) in zip(columns, encoded, strict=True)),
        budget=threat.changed_categories or 0,
        norm=threat.norm,
        decode=codec.decode,
        encode=codec.encode,
        names=tuple(column.name for column in columns),
    )
    return space if file is None else constrained_space(space, frame, columns, file)


def show_value(frame: "pd.DataFrame", row: int, column: Column) -> str | float | bool:
    """A cell as reports show it."""
    import pandas as pd

    value: Any = frame[column.name].iloc[row]
    if pd.isna(value):
        return "missing"
    if column.type == "boolean":
        return bool(value)
    return float(value) if column.type in ("number", "integer") else str(value)


class _Codec:
    """From points back to the shape and types of the table they came from, and the other way round."""

    def __init__(
        self,
        frame: "pd.DataFrame",
        columns: tuple[Column, ...],
        kinds: "NDArray[np.int8]",
        labels: tuple[tuple[Any, ...], ...],
    ) -> None:
        self._frame, self._columns, self._kinds, self._labels = frame, columns, kinds, labels

    def encode(self, inputs: "Inputs", which: "Rows") -> "Points":
        import numpy as np

        frame = as_table(inputs)
        points = np.zeros((len(frame), len(self._columns)))
        for index, column in enumerate(self._columns):
            if self._kinds[index] == FIXED:
                before, now = self._frame[column.name].iloc[which].astype(object), frame[column.name].astype(object)
                same = (before.to_numpy() == now.to_numpy()) | (before.isna().to_numpy() & now.isna().to_numpy())
                points[:, index] = ~same.astype(bool)
            else:
                points[:, index] = _numbers(frame[column.name], column, self._labels[index])
        return points

    def decode(self, points: "Points", which: "Rows") -> "pd.DataFrame":
        import pandas as pd

        made: dict[str, Any] = {}
        for index, column in enumerate(self._columns):
            before = self._frame[column.name]
            if self._kinds[index] == FIXED:
                made[column.name] = before.iloc[which].array
            elif self._kinds[index] == CHOICE and not _is_boolean(column):
                made[column.name] = _labelled(points[:, index], self._labels[index], before)
            else:
                made[column.name] = points[:, index].astype(str(before.dtype))
        return pd.DataFrame(made, columns=list(self._frame.columns))


def _kind(column: Column) -> int:
    kinds = {"number": NUMBER, "integer": INTEGER, "boolean": CHOICE, "category": CHOICE}
    return FIXED if column.immutable else kinds.get(column.type, FIXED)


def _is_boolean(column: Column) -> bool:
    return column.type == "boolean"


def _encode(values: "pd.Series", column: Column) -> "tuple[NDArray[np.float64], tuple[Any, ...]]":
    """A column as float64 with missing as NaN, and the labels its codes stand for."""
    import numpy as np
    import pandas as pd

    if column.type == "category" and _kind(column) == CHOICE:
        known = list(values.cat.categories) if isinstance(values.dtype, pd.CategoricalDtype) else []
        seen = [value for value in values.dropna().unique() if value not in set(known)]
        labels = (*known, *seen, *(name for name in column.categories if name not in {*known, *seen}))
        return _numbers(values, column, labels), labels
    if _kind(column) == FIXED:
        return np.zeros(len(values)), ()
    return _numbers(values, column, ()), ()


def _numbers(values: "pd.Series", column: Column, labels: tuple[Any, ...]) -> "NDArray[np.float64]":
    """Codes of a category, else the values themselves."""
    import numpy as np
    import pandas as pd

    if column.type == "category":
        codes = pd.Categorical(values, categories=list(labels)).codes.astype(np.float64)
        return np.where(codes < 0, np.nan, codes)
    return values.to_numpy(dtype=np.float64, na_value=np.nan)


def _codes(column: Column, labels: tuple[Any, ...]) -> "NDArray[np.float64]":
    """Codes of what is valid: the column's categories, or both truth values."""
    import numpy as np

    if _kind(column) != CHOICE:
        return np.empty(0)
    if _is_boolean(column):
        return np.array([0.0, 1.0])
    valid = set(column.categories)
    return np.array([float(code) for code, label in enumerate(labels) if str(label) in valid])


def _labelled(codes: "Points", labels: tuple[Any, ...], before: "pd.Series") -> Any:
    """Codes as the column had them: the same categories in the same order where it had any."""
    import numpy as np
    import pandas as pd

    whole = np.where(np.isnan(codes), -1, codes).astype(np.int64)
    made = pd.Categorical.from_codes(whole, categories=pd.Index(labels))
    if isinstance(before.dtype, pd.CategoricalDtype):
        known = list(before.cat.categories)
        return made.set_categories(known, ordered=before.cat.ordered) if set(made.dropna()) <= set(known) else made
    return np.asarray(made, dtype=object)


def _scale(column: Column, values: "NDArray[np.float64]") -> float:
    import numpy as np

    if column.spread:
        return column.spread
    known = values[np.isfinite(values)]
    return float(known.std()) if len(known) else 0.0
