"""Which columns of a table are looked at, and as what, before its first row is read."""

import difflib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from heliotrope.config.schema import ColumnConfig, ColumnType, DataSource
from heliotrope.core.errors import InputError
from heliotrope.subjects.tables._kinds import MISSING_MARKS, Kind
from heliotrope.subjects.tables._rows import named

__all__ = ["ChosenColumns", "Plan", "choose_columns", "plan_column"]

_SHOWN = 8
_KIND_OF: dict[ColumnType, Kind] = {
    "number": "real",
    "integer": "whole",
    "boolean": "truth",
    "datetime": "time",
    "category": "words",
    "text": "words",
}


@dataclass(frozen=True, slots=True)
class ChosenColumns:
    """The target, and the columns that may be features."""

    target: str
    features: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """How a column is read."""

    type: ColumnType | None
    """As declared; None: to be inferred."""
    marks: tuple[str, ...] | None
    """What stands for a missing value; None where the file itself says it."""

    @property
    def kind(self) -> Kind | None:
        return _KIND_OF.get(self.type) if self.type is not None else None


def choose_columns(
    there: Sequence[str], source: DataSource, declared: Mapping[str, ColumnConfig], *, where: str
) -> ChosenColumns:
    """The columns that heliotrope.yaml names, else all but the target. InputError for one that is not there."""
    double = next((name for name, count in Counter(there).items() if count > 1), None)
    if double is not None:
        raise InputError(f"{where} has two columns named {named(double)}", hint="rename one of them")
    if source.target is None:
        raise InputError(
            f"nothing says which column of {where} holds the right answer", hint=f"set target; {_columns(there)}"
        )
    for key, wanted in (
        ("target", (source.target,)),
        ("features", source.features or ()),
        ("input.columns", tuple(declared)),
    ):
        lacking = next((name for name in wanted if name not in there), None)
        if lacking is not None:
            close = difflib.get_close_matches(lacking, there, n=1)
            hint = f"did you mean {named(close[0])}?" if close else _columns(there)
            raise InputError(f"{where} has no column {named(lacking)}, which {key} names", hint=hint)
    features = source.features or tuple(name for name in there if name != source.target)
    if source.target in features:
        raise InputError(
            f"column {named(source.target)} is both target and feature", hint="take the target out of features"
        )
    twice = next((name for name, count in Counter(features).items() if count > 1), None)
    if twice is not None:
        raise InputError(f"features names column {named(twice)} twice", hint="name it once")
    return ChosenColumns(source.target, features)


def plan_column(config: ColumnConfig | None, *, textual: bool, text_task: bool, named_feature: bool) -> Plan:
    """A column by what is declared of it. What a text model is said to take is text, and there only nothing is missing."""
    categories = config.categories if config is not None and config.categories else ()
    type_ = config.type if config is not None else None
    type_ = type_ or ("category" if categories else "text" if text_task and named_feature else None)
    if not textual:
        return Plan(type_, None)
    literal = type_ == "text" or (type_ is None and text_task)
    return Plan(type_, ("",) if literal else tuple(sorted(MISSING_MARKS - set(categories))))


def _columns(there: Sequence[str]) -> str:
    shown = ", ".join(named(name) for name in there[:_SHOWN])
    return f"the columns are {shown}" + (f" and {len(there) - _SHOWN} more" if len(there) > _SHOWN else "")
