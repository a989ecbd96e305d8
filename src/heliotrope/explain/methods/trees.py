"""Shapley values of tree ensembles, exact and fast, by the shap library."""

import warnings
from typing import TYPE_CHECKING, Any

from heliotrope.core.errors import MissingExtraError
from heliotrope.explain.interface import Attribution
from heliotrope.subjects.inside import Inside

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from heliotrope.subjects.interface import Inputs

    Labels = NDArray[np.int64]

__all__ = ["NotTrees", "has_trees", "tree_shap"]

_TREES = ("sklearn.ensemble._forest", "sklearn.tree._classes", "sklearn.ensemble._gb")
_BOOSTED = frozenset({"xgboost", "lightgbm", "catboost"})


class NotTrees(Exception):  # noqa: N818 - not an error: another method is taken
    """The library cannot explain this ensemble; says why."""


def has_trees(inside: Inside | None) -> bool:
    """Whether the model itself is an ensemble of trees whose inputs are the features of the data."""
    if inside is None:
        return False
    return inside.kind in _BOOSTED or type(inside.native).__module__ in _TREES


def tree_shap(inside: Inside, inputs: "Inputs", targets: "Labels", classes: int) -> Attribution:
    """N x features: Shapley values along the paths of the trees; they add up to the margin.

    Source: Lundberg et al.: From local explanations to global understanding with explainable AI for trees (2020).
    Raises MissingExtraError without shap, NotTrees where shap does not take the model.
    """
    try:
        import shap
    except ImportError:
        raise MissingExtraError("shap", module="shap") from None
    import numpy as np

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            explainer = shap.TreeExplainer(inside.native)
            found = np.asarray(explainer.shap_values(inside.matrix(inputs), check_additivity=False), dtype=np.float64)
    except Exception as error:  # noqa: BLE001 - a foreign parser of foreign formats
        raise NotTrees(f"shap does not take this model: {type(error).__name__}") from None
    rows = np.arange(len(targets))
    expected = np.atleast_1d(np.asarray(explainer.expected_value, dtype=np.float64))
    if found.ndim == 3:
        values, base = found[rows, :, targets], expected[targets]
    else:  # one margin: that of the second class, or of a regression
        sign = np.where((targets == 0) & (classes == 2), -1.0, 1.0)
        values, base = found * sign[:, None], sign * expected[-1]
    margins = _margins(inside, inputs, targets, classes)
    scale = np.maximum(np.abs(margins - base), 0.1 * float(np.abs(margins - base).mean()) + 1e-12)
    residual = np.abs(values.sum(axis=1) - (margins - base)) / scale
    boosted = inside.kind in _BOOSTED or type(inside.native).__module__ == "sklearn.ensemble._gb"
    score = "value" if classes == 1 else "margin" if boosted else "probability"
    return Attribution(values, "tree-shap", "what the trees saw in training", score, residual, asked=len(targets))


def _margins(inside: Inside, inputs: "Inputs", targets: "Labels", classes: int) -> "NDArray[np.float64]":
    """Score of the target as the trees add it up: before the link function, for forests the probability."""
    import numpy as np

    matrix: Any = inside.matrix(inputs)
    if inside.kind == "lightgbm":
        raw = np.asarray(inside.native.predict(matrix, raw_score=True), dtype=np.float64)
    elif inside.kind == "catboost":
        raw = np.asarray(inside.native.predict(matrix, prediction_type="RawFormulaVal"), dtype=np.float64)
    elif inside.kind == "xgboost":
        import xgboost

        data = xgboost.DMatrix(
            matrix, feature_names=inside.native.feature_names, feature_types=inside.native.feature_types
        )
        raw = np.asarray(
            inside.native.predict(data, output_margin=True, iteration_range=inside.rounds), dtype=np.float64
        )
    else:
        model = inside.native
        boosted = type(model).__module__ == "sklearn.ensemble._gb"
        answer = model.predict if classes == 1 else model.decision_function if boosted else model.predict_proba
        raw = np.asarray(answer(matrix), dtype=np.float64)
    if raw.ndim == 2 and raw.shape[1] > 1:
        return np.asarray(raw[np.arange(len(targets)), targets])
    return np.asarray(raw.reshape(-1) * np.where((targets == 0) & (classes == 2), -1.0, 1.0))
