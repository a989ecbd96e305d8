"""Which column each input of an estimator follows, behind the steps of a scikit-learn pipeline, and rises with."""

from collections.abc import Callable, Sequence
from typing import Any

from heliotrope.core.errors import InputError
from heliotrope.core.text import printable, shorten

__all__ = ["followed_columns"]

Columns = list[str | None]

_RISING = frozenset(
    {
        "StandardScaler", "MinMaxScaler", "MaxAbsScaler", "RobustScaler", "PowerTransformer", "QuantileTransformer", "Binarizer",
        "ClipNumbers", "QuantiseNumbers",
    }
)  # fmt: skip
"""One output for each input, which never falls when it rises."""

_HINT = "put the numbers of the constraints file through scalers only, or take monotone out of harden.tables"


def followed_columns(steps: Sequence[Any], columns: Sequence[str], directed: frozenset[str]) -> Columns:
    """For each number that comes out of fitted steps the column it rises with; None for what follows no directed column.

    Raises InputError where a step does something else with a directed column: nothing could be promised then.
    """
    known: Columns = list(columns)
    for step in steps:
        known = _through(step, known, directed)
    lost = sorted(directed - {name for name in known if name is not None})
    if lost:
        raise InputError(
            f"column {printable(shorten(lost[0], 80))!r} has a direction and does not reach the estimator", hint=_HINT
        )
    return known


def _through(step: Any, columns: Columns, directed: frozenset[str]) -> Columns:
    if step is None or (isinstance(step, str) and step == "passthrough"):
        return columns
    kind = type(step).__name__
    if type(step).__module__.partition(".")[0] in ("sklearn", "heliotrope"):
        if kind in _RISING or (kind == "FunctionTransformer" and step.func is None):
            return columns
        if kind in _KNOWN:
            return _KNOWN[kind](step, columns, directed)
    touched = [name for name in columns if name in directed]
    if touched:
        raise InputError(
            f"{printable(shorten(kind, 60))} takes column {printable(shorten(str(touched[0]), 80))!r}, which has a direction, "
            "and is not known to rise with it",
            hint=_HINT,
        )
    own = getattr(step, "feature_names_in_", None)
    given = [f"x{place}" for place in range(len(columns))] if own is None else None
    return [None] * len(step.get_feature_names_out(given))


def _chosen(step: Any, columns: Columns, directed: frozenset[str]) -> Columns:
    del directed  # those that are not chosen are missed at the end
    return [name for name, kept in zip(columns, step.get_support().tolist(), strict=True) if kept]


def _in_a_row(step: Any, columns: Columns, directed: frozenset[str]) -> Columns:
    for _, inner in step.steps:
        columns = _through(inner, columns, directed)
    return columns


def _imputed(step: Any, columns: Columns, directed: frozenset[str]) -> Columns:
    """Columns that are missing throughout fall out; indicators of what was missing come behind."""
    import numpy as np

    empty = [
        not step.keep_empty_features and isinstance(value, float) and bool(np.isnan(value))
        for value in step.statistics_
    ]
    kept: Columns = [name for name, lost in zip(columns, empty, strict=True) if not lost]
    indicator = getattr(step, "indicator_", None)
    del directed  # an indicator says whether a number is there, not how large it is
    return kept + ([None] * len(indicator.features_) if indicator is not None else [])


def _side_by_side(step: Any, columns: Columns, directed: frozenset[str]) -> Columns:
    made: Columns = []
    names = [name if name is not None else f"\0{place}" for place, name in enumerate(columns)]
    for _, inner, chosen in step.transformers_:
        if isinstance(inner, str) and inner == "drop":
            continue
        made += _through(inner, [columns[place] for place in _places(chosen, names)], directed)
    return made


def _places(chosen: Any, names: list[str]) -> list[int]:
    """Places of what a ColumnTransformer takes: it keeps names, places, masks, slices or a single one of them."""
    import numpy as np

    if isinstance(chosen, slice):
        if isinstance(chosen.start, str) or isinstance(chosen.stop, str):
            first = names.index(chosen.start) if chosen.start is not None else 0
            last = names.index(chosen.stop) if chosen.stop is not None else len(names) - 1
            return list(range(first, last + 1))
        return list(range(len(names)))[chosen]
    listed = np.atleast_1d(np.asarray(chosen, dtype=object))
    if len(listed) == len(names) and all(isinstance(one, bool | np.bool_) for one in listed):
        return [place for place, taken in enumerate(listed) if taken]
    return [names.index(one) if isinstance(one, str) else range(len(names))[int(one)] for one in listed]


_KNOWN: dict[str, Callable[[Any, Columns, frozenset[str]], Columns]] = {
    "SimpleImputer": _imputed,
    "Pipeline": _in_a_row,
    "ColumnTransformer": _side_by_side,
    **dict.fromkeys(("VarianceThreshold", "SelectKBest", "SelectPercentile", "SelectFromModel"), _chosen),
}
