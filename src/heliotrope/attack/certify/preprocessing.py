"""What stands in front of an estimator in a scikit-learn pipeline, where every output follows one number, and rises with it.

Then the ends of a box of inputs become the ends of a box of outputs, whatever the steps do inside and however they round: the
steps themselves are asked for both ends. Categories are fixed while a box is looked at, so encoders of categories may be there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from heliotrope.attack.certify.nets.graph import NotModelled
from heliotrope.core.text import printable, shorten

__all__ = ["Stages", "stages_of"]

_RISING = frozenset(
    {
        "sklearn.preprocessing._data.StandardScaler", "sklearn.preprocessing._data.MinMaxScaler",
        "sklearn.preprocessing._data.MaxAbsScaler", "sklearn.preprocessing._data.RobustScaler",
        "sklearn.preprocessing._data.Binarizer", "sklearn.impute._base.SimpleImputer",
        "sklearn.feature_selection._variance_threshold.VarianceThreshold",
        "sklearn.feature_selection._univariate_selection.SelectKBest",
        "sklearn.feature_selection._univariate_selection.SelectPercentile",
        "heliotrope.harden.tables.transformers.ClipNumbers", "heliotrope.harden.tables.transformers.QuantiseNumbers",
    }
)  # fmt: skip
_OF_CATEGORIES = frozenset(
    {
        "sklearn.preprocessing._encoders.OneHotEncoder", "sklearn.preprocessing._encoders.OrdinalEncoder",
        "sklearn.preprocessing._target_encoder.TargetEncoder",
    }
)  # fmt: skip
_PIPELINE, _UNION = "sklearn.pipeline.Pipeline", "sklearn.pipeline.FeatureUnion"
_NESTED = frozenset({_PIPELINE, _UNION, "sklearn.compose._column_transformer.ColumnTransformer"})
_MAX_NESTING = 10

Columns = Sequence[str] | None


@dataclass(frozen=True, slots=True)
class Stages:
    """A pipeline taken apart."""

    steps: tuple[Any, ...]
    final: Any
    """The estimator behind them."""

    def transform(self, inputs: Any) -> Any:
        for step in self.steps:
            inputs = step.transform(inputs)
        return inputs.toarray() if hasattr(inputs, "toarray") else inputs


def stages_of(estimator: Any, *, numbers: frozenset[str], columns: Sequence[str]) -> Stages:
    """Steps that rise in each number, and what follows. `numbers`: columns that may move; `columns`: all, in order.

    NotModelled for a step that mixes columns, falls, or takes a moving number for a category.
    """
    if _kind(estimator) != _PIPELINE:
        return Stages((), estimator)
    *steps, final = (step for _, step in estimator.steps)
    kept = tuple(step for step in steps if step not in (None, "passthrough"))
    known: Columns = columns
    for step in kept:
        known = _require_rising(step, numbers, known, 0)
    if _kind(final) == _PIPELINE:
        raise NotModelled("a pipeline ends in a pipeline")
    return Stages(kept, final)


def _kind(step: Any) -> str:
    return f"{type(step).__module__}.{type(step).__qualname__}"


def _require_rising(step: Any, numbers: frozenset[str], columns: Columns, depth: int) -> Columns:
    """What comes out, by name; None where that is no longer known, and so no category can be told from a number."""
    kind, shown = _kind(step), printable(shorten(type(step).__name__, 60))
    if depth > _MAX_NESTING:
        raise NotModelled("its steps are nested too deeply")
    if _is_nothing(step):
        return columns
    if kind in _RISING:
        same = kind.startswith(("sklearn.preprocessing", "heliotrope.")) or (
            kind.endswith("SimpleImputer") and not step.add_indicator
        )
        return columns if same else None
    if kind in _OF_CATEGORIES:
        if columns is None or any(name in numbers for name in columns):
            raise NotModelled(f"{shown} takes numbers that may change for categories")
        return None
    if kind in _NESTED:
        return _within(step, kind, numbers, columns, depth)
    raise NotModelled(f"{shown} is no step that is known to rise with each number")


def _is_nothing(step: Any) -> bool:
    if isinstance(step, str):
        return step in ("passthrough", "drop")
    identity = "sklearn.preprocessing._function_transformer.FunctionTransformer"
    return step is None or (_kind(step) == identity and step.func is None)


def _within(step: Any, kind: str, numbers: frozenset[str], columns: Columns, depth: int) -> Columns:
    """Steps that are made of steps."""
    if kind == _PIPELINE:
        for _, inner in step.steps:
            columns = _require_rising(inner, numbers, columns, depth + 1)
        return columns
    if kind == _UNION:
        for _, inner in step.transformer_list:
            _require_rising(inner, numbers, columns, depth + 1)
        return None
    if columns is None:
        raise NotModelled("columns are chosen by name after other steps")
    for _, inner, chosen in step.transformers_:
        _require_rising(inner, numbers, _chosen(chosen, columns), depth + 1)
    return None


def _chosen(chosen: Any, columns: Sequence[str]) -> list[str]:
    import numpy as np

    if isinstance(chosen, str):
        return [chosen]
    if isinstance(chosen, slice):
        if any(isinstance(end, str) for end in (chosen.start, chosen.stop)):
            raise NotModelled("columns are chosen by a range of names")
        return list(columns[chosen])
    listed = np.asarray(chosen)
    if listed.dtype == bool:
        return [name for name, taken in zip(columns, listed.tolist(), strict=True) if taken]
    return [columns[one] if isinstance(one, int) else str(one) for one in listed.tolist()]
