"""What the values of an Arrow column are, before anyone says what they mean; and how missing values are written in text."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from heliotrope.core.errors import InputError
from heliotrope.core.text import printable, shorten
from heliotrope.subjects.tables._rows import named

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["MISSING_MARKS", "Kind", "kind_of", "label_text", "without_marks"]

Kind = Literal["whole", "real", "truth", "time", "words"]

MISSING_MARKS = frozenset(
    {
        "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA",
        "NULL", "NaN", "None", "n/a", "nan", "null",
    }
)  # fmt: skip
"""What pandas.read_csv takes for a missing value: models are trained on what it reads, so the same file means the same."""


def kind_of(name: str, type_: "pa.DataType") -> Kind:
    """InputError for columns that are no feature of any model here: lists, structs, bytes, durations."""
    import pyarrow as pa

    types = pa.types
    if types.is_dictionary(type_):
        return kind_of(name, type_.value_type)
    if types.is_boolean(type_):
        return "truth"
    if types.is_integer(type_):
        return "whole"
    if types.is_floating(type_) or types.is_decimal(type_) or types.is_null(type_):
        return "real"
    if types.is_string(type_) or types.is_large_string(type_) or types.is_string_view(type_):
        return "words"
    if types.is_date(type_) or types.is_timestamp(type_):
        return "time"
    raise InputError(
        f"column {named(name)} holds {shorten(printable(str(type_)), 80)} values, which are neither numbers nor text",
        hint="leave it out by naming the columns the model takes in data.evaluate.features, or convert it",
    )


def without_marks(array: "pa.Array", marks: Sequence[str]) -> "pa.Array":
    """A column of text with missing values where a mark stands."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.if_else(pc.is_in(array, value_set=pa.array(marks, array.type)), pa.scalar(None, array.type), array)


def label_text(value: object) -> str:
    """A value as one writes it as a name: 1 for 1.0, True for true."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
