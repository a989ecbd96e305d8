"""Rows of a table as the model takes them: a data frame of its columns, each of one type in every batch."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from heliotrope.subjects.interface import Column
from heliotrope.subjects.tables._convert import codes, integers, numbers, objects, times, truths
from heliotrope.subjects.tables._kinds import Kind, without_marks
from heliotrope.subjects.tables._plan import Plan
from heliotrope.subjects.tables._types import in_order
from heliotrope.subjects.tables._watch import ColumnProfile

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    from numpy.typing import NDArray

__all__ = ["Feature", "Features"]


@dataclass(frozen=True, slots=True)
class Feature:
    """One column and how it is converted."""

    column: Column
    kind: Kind
    """What its values are; of an identifier numbers or texts."""
    gaps: bool
    """Whether a value is missing anywhere: then whole numbers and truth values are float64 in every batch."""
    marks: tuple[str, ...] | None
    places: dict[str, int]
    """Of a category: its values in the order of their codes."""

    @classmethod
    def of(cls, column: Column, profile: ColumnProfile, plan: Plan) -> "Feature":
        places = {text: place for place, text in enumerate(in_order(column.categories))}
        return cls(column, profile.kind, profile.missing > 0, plan.marks, places)

    def values(self, array: "pa.Array", rows: "NDArray[np.int64]") -> "NDArray[np.generic] | pd.Categorical[Any]":
        import numpy as np
        import pandas as pd

        name = self.column.name
        if self.marks is not None:
            array = without_marks(array, self.marks)
        if self.column.type == "category":
            return pd.Categorical.from_codes(
                codes(name, array, rows, self.places), categories=pd.Index(list(self.places))
            )
        match self.kind:
            case "words":
                return objects(array)
            case "time":
                return times(name, array, rows)
            case "truth":
                known = truths(name, array, rows)
                return known.astype(np.float64) if self.gaps else known
            case "whole" if not self.gaps:
                return integers(name, array, rows)
            case _:
                return numbers(name, array, rows)


@dataclass(frozen=True, slots=True)
class Features:
    """The columns of a model's input in its order."""

    parts: tuple[Feature, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(part.column.name for part in self.parts)

    @property
    def columns(self) -> tuple[Column, ...]:
        return tuple(part.column for part in self.parts)

    def frame(self, batch: "pa.RecordBatch", rows: "NDArray[np.int64]") -> "pd.DataFrame":
        """The columns of some rows."""
        import pandas as pd

        series = {}
        for part in self.parts:
            values = part.values(batch.column(part.column.name), rows)
            dtype = object if part.kind == "words" and part.column.type != "category" else None
            series[part.column.name] = pd.Series(values, dtype=dtype, copy=False)
        return pd.DataFrame(series, columns=list(series), copy=False)
