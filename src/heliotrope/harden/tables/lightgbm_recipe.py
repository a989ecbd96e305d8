"""Fitting a LightGBM model anew, with the parameters that its text keeps."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from heliotrope.core.errors import InputError
from heliotrope.harden.tables.booster_frames import with_categories
from heliotrope.harden.tables.directions import in_order
from heliotrope.harden.tables.grids import tree_settings
from heliotrope.harden.tables.interface import Fitted, Front, Recipe, Setting, fitting, no_place
from heliotrope.subjects.inside import Inside

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from heliotrope.subjects.interface import Inputs

__all__ = ["LightgbmRecipe", "lightgbm_recipe"]

_LEFT_OUT = frozenset(
    {
        "num_iterations", "num_threads", "num_machines", "local_listen_port", "time_out", "machines", "machine_list_filename",
        "early_stopping_round", "early_stopping_min_delta", "verbosity", "device_type", "gpu_platform_id", "gpu_device_id", "num_gpu",
        "gpu_use_dp", "forcedsplits_filename", "forcedbins_filename", "parser_config_file", "input_model", "output_model", "data",
        "valid", "initscore_filename", "categorical_feature", "label_column", "weight_column", "group_column", "ignore_column",
        "header", "two_round", "pre_partition", "tree_learner", "precise_float_parser", "histogram_pool_size", "force_col_wise",
        "force_row_wise", "deterministic", "monotone_constraints", "saved_feature_importance_type", "max_bin_by_feature",
        "feature_contri", "auc_mu_weights", "eval_at", "snapshot_freq",
    }
)  # fmt: skip
"""Of the machine, of files, or what is set here anew."""


@dataclass(frozen=True, slots=True)
class LightgbmRecipe:
    """A recipe for text files."""

    inside: Inside
    columns: tuple[str, ...]
    """Of the data, in the order of the model's features."""
    rounds: int
    parameters: Mapping[str, Any]
    signs: Mapping[str, int]

    suffix = ".lgb"
    media_type = "text/x-lightgbm"

    @property
    def settings(self) -> dict[str, Setting]:
        shown = ("objective", "learning_rate", "num_leaves", "max_depth", "min_data_in_leaf", "lambda_l1", "lambda_l2")
        known: dict[str, Setting] = {f"lightgbm.{key}": self.parameters[key] for key in shown if key in self.parameters}
        return {**known, "lightgbm.rounds": self.rounds, "refitted": "with the parameters that the file holds"}

    def fit(self, inputs: "Inputs", answers: "NDArray[np.int64]") -> Fitted:
        import lightgbm

        matrix, known = self.inside.matrix(inputs), self.inside.categories
        names: list[str] = self.inside.native.feature_name()
        parameters = {
            **self.parameters,
            "num_threads": self.inside.threads,
            "deterministic": True,
            "force_row_wise": True,
            "verbosity": -1,
        }
        if self.signs:
            parameters["monotone_constraints"] = in_order(self.signs, self.columns)
        rows: Any = matrix
        categorical: Any = sorted(known)
        if any(values is not None for values in known.values()):
            rows = with_categories(matrix, names, [known.get(place) for place in range(len(names))])
            categorical = [names[place] for place in sorted(known)]
        with fitting("LightGBM"):
            data = lightgbm.Dataset(
                rows, answers, feature_name=names, categorical_feature=categorical, params={"verbosity": -1}
            )
            fitted = lightgbm.train(parameters, data, num_boost_round=self.rounds)
            return Fitted(fitted.model_to_string(num_iteration=-1).encode())

    def monotone(self, signs: Mapping[str, int]) -> Recipe:
        return replace(self, signs=dict(signs))

    def stricter(self, norm: str) -> tuple[tuple[str, Recipe], ...]:
        del norm
        own = {**self.parameters, "rounds": self.rounds}
        found = tree_settings(own, depth="max_depth", leaf="min_data_in_leaf", count="rounds", ends="num_leaves")
        return tuple((said, self._with(dict(made))) for said, made in found)

    def behind(self, front: Front) -> Recipe:
        raise no_place("LightGBM", front.kind)

    def rounded(self) -> Recipe:
        raise no_place("LightGBM", "round")

    def _with(self, made: dict[str, Setting]) -> "LightgbmRecipe":
        rounds = int(made.pop("rounds", self.rounds))
        return replace(self, rounds=rounds, parameters={**self.parameters, **made})


def lightgbm_recipe(
    inside: Inside, columns: tuple[str, ...], *, seed: int, parameters: Mapping[str, Setting]
) -> LightgbmRecipe:
    """`parameters`: set over what the file holds, under the library's main names; `rounds` is the number of rounds."""
    booster = inside.native
    known = {key: value for key, value in booster.params.items() if key not in _LEFT_OUT}
    objective = str(known.get("objective", ""))
    if objective in ("", "none", "custom"):
        raise InputError(
            "the model was trained with an objective of its own, which its file does not hold",
            hint="train it with an objective of the library, or harden it where it is trained",
        )
    known.setdefault("seed", seed)
    own = booster.params.get("monotone_constraints")
    known |= {"monotone_constraints": own} if own else {}
    rounds = int(parameters.get("rounds", booster.current_iteration()))
    given = {key: value for key, value in parameters.items() if key != "rounds"}
    return LightgbmRecipe(inside, columns, rounds, {**known, **given}, {})
