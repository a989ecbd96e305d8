"""Fitting a scikit-learn estimator or pipeline anew: a clone of what the file holds, with its own hyperparameters."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from heliotrope.core.errors import InputError, MissingExtraError
from heliotrope.core.text import printable, shorten
from heliotrope.harden.tables.directions import in_order
from heliotrope.harden.tables.grids import PENALTIES, PER_ROW, tree_settings
from heliotrope.harden.tables.interface import Fitted, Front, Recipe, Setting, fitting
from heliotrope.harden.tables.rising import followed_columns
from heliotrope.subjects.inside import Inside

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from heliotrope.subjects.interface import Inputs

__all__ = ["SklearnRecipe", "sklearn_recipe"]

_LINEAR_ITERATIONS = 5000
_TREES = {
    "max_depth": ("max_depth", "min_samples_leaf", "n_estimators", None, 1.0),
    "max_iter": ("max_depth", "min_samples_leaf", "max_iter", None, 1.0),
    "xgboost": ("max_depth", "min_child_weight", "n_estimators", None, PER_ROW),
    "lightgbm": ("max_depth", "min_child_samples", "n_estimators", "num_leaves", 1.0),
    "catboost": ("depth", None, "iterations", None, 1.0),
}
"""Names of depth, leaf, number of trees and number of leaves, and how a leaf counts a row; by library or by parameter."""


@dataclass(frozen=True, slots=True)
class SklearnRecipe:
    """A recipe for skops files."""

    estimator: Any
    """Unfitted."""
    inside: Inside
    classes: "NDArray[Any]"
    columns: tuple[str, ...]
    """As the estimator was fitted on them: names, or what stands at each place of a matrix."""
    named: bool
    fronts: tuple[Front, ...] = ()
    signs: Mapping[str, int] = field(default_factory=dict)
    digits: int | None = None
    said: Mapping[str, Setting] = field(default_factory=dict)

    suffix = ".skops"
    media_type = "application/x-skops"

    @property
    def settings(self) -> dict[str, Setting]:
        return dict(self.said)

    def fit(self, inputs: "Inputs", answers: "NDArray[np.int64]") -> Fitted:
        from sklearn.base import clone
        from sklearn.pipeline import Pipeline

        what = printable(shorten(type(self.estimator).__name__, 60))
        with fitting(what), warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            matrix, labels = self.inside.matrix(inputs), self.classes[answers]
            model = clone(self.estimator)
            if self.fronts:
                steps = list(model.steps) if isinstance(model, Pipeline) else [("model", model)]
                front = [(one.kind, self._transformer(one)) for one in self.fronts]
                model = Pipeline([*front, *steps])
            if self.signs:
                self._constrain(model, matrix, labels)
            model.fit(matrix, labels)
        said = tuple(dict.fromkeys(type(one.message).__name__ for one in caught))
        bare = None
        if self.digits is not None or self.fronts:
            bare = _written(_without(model, len(self.fronts)))
        return Fitted(_written(self._rounded(model) if self.digits is not None else model), bare, said)

    def monotone(self, signs: Mapping[str, int]) -> Recipe:
        final = _final(self.estimator)
        if _monotone_key(final) is None:
            raise InputError(
                f"{printable(shorten(type(final).__name__, 60))} takes no monotone constraints",
                hint="take monotone out of harden.tables; HistGradientBoosting, trees, forests and boosters take them",
            )
        return replace(self, signs=dict(signs))

    def stricter(self, norm: str) -> tuple[tuple[str, Recipe], ...]:
        return tuple((said, self._with(made)) for said, made in _stricter(_final(self.estimator), norm))

    def behind(self, front: Front) -> Recipe:
        return replace(self, fronts=(*self.fronts, front))

    def rounded(self) -> Recipe:
        if self.inside.method == "predict":
            raise InputError(
                "the model answers with classes alone, so there is nothing to round",
                hint="take round out of harden.tables",
            )
        return replace(self, digits=2)

    def _with(self, made: Mapping[str, Any]) -> "SklearnRecipe":
        from sklearn.base import clone

        changed = clone(self.estimator)
        with fitting("parameters"):
            _final(changed).set_params(**made)
        return replace(self, estimator=changed)

    def _transformer(self, front: Front) -> Any:
        from heliotrope.harden.tables.transformers import ClipNumbers, QuantiseNumbers

        columns: list[Any] = [name for name in front.numbers if name in self.columns] or list(self.columns)
        place = {name: index for index, name in enumerate(front.numbers)}
        chosen = [place.get(name, 0) if front.numbers else index for index, name in enumerate(columns)]
        shown = columns if self.named else [self.columns.index(name) for name in columns]
        if front.kind == "clip":
            return ClipNumbers(shown, [front.low[one] for one in chosen], [front.high[one] for one in chosen])
        return QuantiseNumbers(shown, [front.step[one] for one in chosen])

    def _constrain(self, model: Any, matrix: Any, labels: Any) -> None:
        """Give the last estimator a sign for each of its inputs; the steps in front of it are fitted to see which these are."""
        from sklearn.base import clone
        from sklearn.pipeline import Pipeline

        steps: list[Any] = []
        final = model
        while isinstance(final, Pipeline):
            steps += [step for _, step in final.steps[:-1]]
            final = final.steps[-1][1]
        fitted = []
        for step in steps:
            if step in (None, "passthrough"):
                continue
            one = clone(step)
            matrix = one.fit_transform(matrix, labels)
            fitted.append(one)
        columns = followed_columns(fitted, self.columns, frozenset(self.signs))
        key = _monotone_key(final)
        signs = in_order(self.signs, columns)
        final.set_params(**{str(key): tuple(signs) if key == "monotone_constraints" else signs})

    def _rounded(self, model: Any) -> Any:
        """Around what is already fitted: fitting it again would give the same."""
        from sklearn.base import clone

        from heliotrope.harden.tables.transformers import RoundedClassifier

        around = RoundedClassifier(clone(model), digits=self.digits or 2)
        around.estimator_ = model
        return around


def sklearn_recipe(
    inside: Inside, columns: tuple[str, ...], *, seed: int, parameters: Mapping[str, Setting]
) -> SklearnRecipe:
    """What the file holds, unfitted. `columns`: those of the data, in order; `parameters`: set over its own.

    Whatever draws at random and has no seed gets the task's.
    """
    from sklearn.base import clone

    native = inside.native
    with fitting("a copy of the model"):
        estimator = clone(native)
        unseeded = {key: seed for key, value in estimator.get_params().items() if value is None and _is_seed(key)}
        estimator.set_params(**unseeded)
        estimator.set_params(**parameters)
    own = getattr(native, "feature_names_in_", None)
    said: dict[str, Setting] = {"refitted": "with the hyperparameters that the file holds"}
    if parameters:
        said["refitted"] = "with the hyperparameters that the file holds, less those of harden.parameters"
    if unseeded:
        said["seeded"] = ", ".join(sorted(unseeded))
    names = columns if own is None else tuple(str(name) for name in own)
    return SklearnRecipe(estimator, inside, native.classes_, names, own is not None, said=said)


def _is_seed(key: str) -> bool:
    return key == "random_state" or key.endswith("__random_state")


def _final(estimator: Any) -> Any:
    while hasattr(estimator, "steps"):
        estimator = estimator.steps[-1][1]
    return estimator


def _without(model: Any, fronts: int) -> Any:
    from sklearn.pipeline import Pipeline

    if not fronts:
        return model
    steps = model.steps[fronts:]
    return steps[0][1] if len(steps) == 1 else Pipeline(steps)


def _root(estimator: Any) -> str:
    return type(estimator).__module__.partition(".")[0]


def _monotone_key(final: Any) -> str | None:
    if "monotonic_cst" in final.get_params(deep=False):
        return "monotonic_cst"
    return "monotone_constraints" if _root(final) in ("xgboost", "lightgbm", "catboost") else None


def _stricter(final: Any, norm: str) -> tuple[tuple[str, dict[str, Setting]], ...]:
    own = final.get_params(deep=False)
    kind = type(final).__name__
    if _root(final) == "sklearn" and kind in _PENALISED:
        return _penalties(kind, own, norm)
    names = _TREES.get(_root(final))
    if names is None and _root(final) == "sklearn" and {"max_depth", "min_samples_leaf"} <= own.keys():
        names = _TREES["max_iter" if "max_iter" in own else "max_depth"]
    if names is None:
        raise InputError(
            f"there is no fixed grid of stricter settings for {printable(shorten(kind, 60))}",
            hint="take regularise out of harden.tables, or set harden.parameters",
        )
    depth, leaf, count, ends, per_row = names
    return tree_settings(own, depth=depth, leaf=leaf, count=count, ends=ends, per_row=per_row)


_PENALISED = frozenset({"LogisticRegression", "LinearSVC", "SGDClassifier", "Perceptron", "RidgeClassifier"})


def _penalties(kind: str, own: Mapping[str, Any], norm: str) -> tuple[tuple[str, dict[str, Setting]], ...]:
    """Along the dual norm: under L-inf the margin falls by eps times the L1 norm of the weights, under L2 by eps times their L2 norm."""
    l1 = norm == "Linf"
    name = "L1" if l1 else "L2"
    base: dict[str, Setting] = {}
    if kind == "LogisticRegression":
        base = {"l1_ratio": 1.0, "solver": "liblinear"} if l1 else {"l1_ratio": 0.0}
        base["max_iter"] = max(int(own["max_iter"]), _LINEAR_ITERATIONS)
    elif kind == "LinearSVC":
        base = {"penalty": "l1", "dual": False, "loss": "squared_hinge"} if l1 else {"penalty": "l2"}
        base["max_iter"] = max(int(own["max_iter"]), _LINEAR_ITERATIONS)
    elif kind == "RidgeClassifier":
        if l1:
            raise InputError(
                "RidgeClassifier has an L2 penalty only, which does not fit an Linf threat",
                hint="train a LogisticRegression or SGDClassifier, or take regularise out of harden.tables",
            )
    else:
        base = {"penalty": "l1" if l1 else "l2"}
    found = []
    for times in PENALTIES:
        made: dict[str, Setting] = (
            {"C": float(own["C"]) / times} if "C" in own else {"alpha": float(own["alpha"]) * times}
        )
        found.append((f"{name} penalty, {next(iter(made))} = {next(iter(made.values())):g}", base | made))
    return tuple(found)


def _written(model: Any) -> bytes:
    try:
        import skops.io
    except ImportError:
        raise MissingExtraError("sklearn", module="skops") from None
    with fitting("and writing the model as skops"):
        data: bytes = skops.io.dumps(model)
    return data
