"""Fitting a CatBoost model anew, with the parameters that its file keeps."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from heliotrope.core.errors import InputError
from heliotrope.harden.tables.directions import in_order
from heliotrope.harden.tables.grids import tree_settings
from heliotrope.harden.tables.interface import Fitted, Front, Recipe, Setting, fitting, no_place
from heliotrope.subjects.inside import Inside

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from heliotrope.subjects.interface import Inputs

__all__ = ["CatboostRecipe", "catboost_recipe"]

_KEPT = frozenset(
    {
        "loss_function", "learning_rate", "depth", "max_depth", "l2_leaf_reg", "reg_lambda", "random_strength", "bagging_temperature",
        "bootstrap_type", "subsample", "rsm", "colsample_bylevel", "border_count", "max_bin", "grow_policy", "min_data_in_leaf",
        "min_child_samples", "max_leaves", "num_leaves", "leaf_estimation_method", "leaf_estimation_iterations", "one_hot_max_size",
        "boosting_type", "score_function", "class_weights", "auto_class_weights", "scale_pos_weight", "nan_mode", "random_seed",
        "random_state", "max_ctr_complexity", "model_size_reg", "simple_ctr", "combinations_ctr", "has_time", "boost_from_average",
        "langevin", "diffusion_temperature", "posterior_sampling", "fold_permutation_block", "feature_border_type", "eta",
        "monotone_constraints", "sampling_frequency", "leaf_estimation_backtracking", "text_processing",
    }
)  # fmt: skip
"""What makes the model. Files, logging, early stopping and devices are not among it."""


@dataclass(frozen=True, slots=True)
class CatboostRecipe:
    """A recipe for cbm files."""

    inside: Inside
    columns: tuple[str, ...]
    """Of the data, in the order of the model's features."""
    rounds: int
    parameters: Mapping[str, Any]
    folder: "Path"
    """Where the library, which writes models to files alone, may write one."""
    signs: Mapping[str, int]

    suffix = ".cbm"
    media_type = "application/x-catboost"

    @property
    def settings(self) -> dict[str, Setting]:
        known: dict[str, Setting] = {
            f"catboost.{key}": value
            for key, value in self.parameters.items()
            if isinstance(value, str | int | float | bool)
        }
        return {**known, "catboost.iterations": self.rounds, "refitted": "with the parameters that the file holds"}

    def fit(self, inputs: "Inputs", answers: "NDArray[np.int64]") -> Fitted:
        import catboost

        booster = self.inside.native
        parameters: dict[str, Any] = {
            **self.parameters,
            "iterations": self.rounds,
            "thread_count": self.inside.threads,
            "allow_writing_files": False,
            "verbose": False,
        }
        if self.signs:
            parameters["monotone_constraints"] = in_order(self.signs, self.columns)
        path = self.folder / "fitted.cbm"
        with fitting("CatBoost"):
            rows = catboost.Pool(
                self.inside.matrix(inputs),
                [booster.classes_[answer] for answer in answers.tolist()],
                cat_features=booster.get_cat_feature_indices() or None,
                text_features=booster.get_text_feature_indices() or None,
                feature_names=list(booster.feature_names_),
                thread_count=self.inside.threads,
            )
            fitted = catboost.CatBoost(parameters).fit(rows)
            fitted.save_model(str(path))
        return Fitted(path.read_bytes())

    def monotone(self, signs: Mapping[str, int]) -> Recipe:
        return replace(self, signs=dict(signs))

    def stricter(self, norm: str) -> tuple[tuple[str, Recipe], ...]:
        del norm
        own = {**self.parameters, "rounds": self.rounds}
        found = tree_settings(own, depth="depth", leaf=None, count="rounds")
        return tuple((said, self._with(dict(made))) for said, made in found)

    def behind(self, front: Front) -> Recipe:
        raise no_place("CatBoost", front.kind)

    def rounded(self) -> Recipe:
        raise no_place("CatBoost", "round")

    def _with(self, made: dict[str, Setting]) -> "CatboostRecipe":
        rounds = int(made.pop("rounds", self.rounds))
        return replace(self, rounds=rounds, parameters={**self.parameters, **made})


def catboost_recipe(
    inside: Inside, columns: tuple[str, ...], *, seed: int, parameters: Mapping[str, Setting], folder: "Path"
) -> CatboostRecipe:
    """`parameters`: set over what the file holds; `iterations` is the number of trees, else as many as there are."""
    booster = inside.native
    known = {key: value for key, value in booster.get_params().items() if key in _KEPT}
    whole = booster.get_all_params()
    known.setdefault("loss_function", whole.get("loss_function"))
    if not isinstance(known["loss_function"], str):
        raise InputError(
            "the model was trained with a loss of its own, which its file does not hold",
            hint="train it with a loss of the library, or harden it where it is trained",
        )
    if not {"learning_rate", "eta"} & known.keys():  # else the library would choose one for the number of rows
        known["learning_rate"] = whole["learning_rate"]
    if not {"depth", "max_depth"} & known.keys():
        known["depth"] = whole["depth"]
    if not {"random_seed", "random_state"} & known.keys():
        known["random_seed"] = whole.get("random_seed", seed)
    known["depth"] = known.pop("max_depth", known.get("depth"))
    rounds = int(parameters.get("iterations", booster.tree_count_))
    given = {key: value for key, value in parameters.items() if key != "iterations"}
    return CatboostRecipe(inside, columns, rounds, {**known, **given}, folder, {})
