"""Category columns as the codes a model was trained on. Codes that nobody wrote down are never guessed."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from heliotrope.core.errors import InputError
from heliotrope.core.text import printable
from heliotrope.subjects._scores import class_name

if TYPE_CHECKING:
    import pandas as pd

    from heliotrope.subjects.interface import Column

__all__ = ["coded", "is_category"]


def coded(
    frame: "pd.DataFrame", coders: Mapping[str, Sequence[Any] | None], columns: "tuple[Column, ...]"
) -> "pd.DataFrame":
    """The table with codes in place of categories, in the columns that `coders` names.

    A coder lists the categories in the order of their codes; None where the model keeps no list: then the categories
    that heliotrope.yaml declares stand for it, in their order. What is missing or in no list is NaN, as libraries take
    categories they were not trained on. Numbers are codes already, unless the model's list says which values they code.
    """
    declared = {column.name: column.categories for column in columns if column.declared and column.categories}
    changed = {}
    for name, known in coders.items():
        values = frame[name]
        if known is None and not is_category(values):
            continue
        order = known if known is not None else declared.get(name)
        if order is None:
            raise InputError(
                f"column {printable(name)!r} holds categories, and the model does not keep the order of their codes",
                hint=f"list them in the order of training under input.columns.{printable(name)}.categories",
            )
        changed[name] = _codes(values, order)
    return frame.assign(**changed) if changed else frame


def is_category(values: "pd.Series[Any]") -> bool:
    """Whether a column holds text, as categories do, not numbers."""
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    return not (is_numeric_dtype(values.dtype) or is_bool_dtype(values.dtype))


def _codes(values: "pd.Series[Any]", order: Sequence[Any]) -> "pd.Series[Any]":
    import numpy as np

    codes = {class_name(category): float(code) for code, category in enumerate(order)}
    if values.dtype == "category":
        of_own = np.array([*(codes.get(class_name(own), np.nan) for own in values.cat.categories), np.nan])
        return values.__class__(of_own[values.cat.codes.to_numpy()], index=values.index)
    present = values.notna().to_numpy()
    numbered = [
        codes.get(class_name(value), np.nan) if there else np.nan for value, there in zip(values, present, strict=True)
    ]
    return values.__class__(numbered, index=values.index, dtype=np.float64)
