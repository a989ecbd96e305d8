"""What stands around a hardened scikit-learn model: plain estimators that skops writes and the scan's policy has reviewed.

This module is imported by files of models, so names and attributes in it are kept.
"""

from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin, clone
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import validate_data

__all__ = ["ClipNumbers", "QuantiseNumbers", "RoundedClassifier"]


class _OfNumbers(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Changes some columns of a table, or of a matrix, and leaves the others as they are."""

    columns: Any
    """Names, or places of a matrix."""

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: N803 - as scikit-learn calls them
        """Learns nothing but the names of the columns: all values were given."""
        validate_data(self, X, skip_check_array=True)
        return self

    def transform(self, X: Any) -> Any:  # noqa: N803 - as scikit-learn calls it
        """A copy with the columns changed. Missing values stay missing, text stays text."""
        validate_data(self, X, reset=False, skip_check_array=True)
        if isinstance(X, pd.DataFrame):
            changed = {
                name: self._of_table(X[name], place)
                for place, name in enumerate(self.columns)
                if name in X.columns and X[name].dtype.kind in "iuf"
            }
            return X.assign(**changed)
        made = np.array(X)
        for place, column in enumerate(self.columns):
            made[:, column] = self._changed(np.asarray(made[:, column], dtype=np.float64), place)
        return made

    def get_feature_names_out(self, input_features: Any = None) -> Any:
        """Those that came in."""
        own = getattr(self, "feature_names_in_", input_features)
        return np.asarray(own, dtype=object)

    def _of_table(self, values: "pd.Series[Any]", place: int) -> "pd.Series[Any]":
        changed = self._changed(values.to_numpy(dtype=np.float64, na_value=np.nan), place)
        whole = values.dtype.kind in "iu" and bool((changed == np.rint(changed)).all())
        return pd.Series(changed.astype(str(values.dtype)) if whole else changed, index=values.index)

    def _changed(self, values: Any, place: int) -> Any:
        raise NotImplementedError


class ClipNumbers(_OfNumbers):
    """Values below `low` become `low`, above `high` `high`, by column."""

    def __init__(self, columns: Any, low: Any, high: Any) -> None:
        self.columns = columns
        self.low = low
        self.high = high

    def _changed(self, values: Any, place: int) -> Any:
        return np.clip(values, self.low[place], self.high[place])


class QuantiseNumbers(_OfNumbers):
    """Values go to the nearest multiple of `step`, by column; a step of 0 leaves a column alone."""

    def __init__(self, columns: Any, step: Any) -> None:
        self.columns = columns
        self.step = step

    def _changed(self, values: Any, place: int) -> Any:
        step = self.step[place]
        return values if step == 0 else np.rint(values / step) * step


def _offers(name: str) -> Any:
    def check(self: "RoundedClassifier") -> bool:
        return hasattr(getattr(self, "estimator_", self.estimator), name)

    return check


class RoundedClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A classifier whose scores are rounded. Probabilities still sum to 1: what rounding adds or takes is the likeliest class's.

    It hides how near a change comes to another answer and changes no answer but by ties.
    """

    def __init__(self, estimator: Any, digits: int = 2) -> None:
        self.estimator = estimator
        self.digits = digits

    def fit(self, X: Any, y: Any) -> Self:  # noqa: N803 - as scikit-learn calls it
        """Fits a copy of the estimator."""
        self.estimator_ = clone(self.estimator).fit(X, y)
        return self

    @property
    def classes_(self) -> Any:
        return self.estimator_.classes_

    @property
    def n_features_in_(self) -> Any:
        return self.estimator_.n_features_in_

    @property
    def feature_names_in_(self) -> Any:
        return self.estimator_.feature_names_in_

    def predict(self, X: Any) -> Any:  # noqa: N803 - as scikit-learn calls it
        """The class of the highest rounded score."""
        if hasattr(self.estimator_, "predict_proba"):
            return self.classes_[self.predict_proba(X).argmax(axis=1)]
        scores = self.decision_function(X)
        return self.classes_[scores.argmax(axis=1) if scores.ndim > 1 else (scores > 0).astype(int)]

    @available_if(_offers("predict_proba"))  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> Any:  # noqa: N803 - as scikit-learn calls it
        exact = self.estimator_.predict_proba(X)
        rounded = np.round(exact, self.digits)
        rounded[np.arange(len(rounded)), exact.argmax(axis=1)] += 1 - rounded.sum(axis=1)
        return rounded

    @available_if(_offers("decision_function"))  # type: ignore[untyped-decorator]
    def decision_function(self, X: Any) -> Any:  # noqa: N803 - as scikit-learn calls it
        return np.round(self.estimator_.decision_function(X), self.digits)
