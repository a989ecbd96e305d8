"""Fitting an XGBoost model anew. Its file keeps the trees and hardly any hyperparameter, so some are read off the trees."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from heliotrope.core.errors import InputError
from heliotrope.harden.tables.booster_frames import with_categories
from heliotrope.harden.tables.directions import in_order
from heliotrope.harden.tables.grids import PER_ROW, tree_settings
from heliotrope.harden.tables.interface import Fitted, Front, Recipe, Setting, fitting, no_place
from heliotrope.subjects.inside import Inside

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from heliotrope.subjects.interface import Inputs

__all__ = ["XgboostRecipe", "xgboost_recipe"]

_NOT_KEPT = (
    "subsample, colsample_*, min_child_weight, gamma, alpha, max_bin, grow_policy, scale_pos_weight of older files"
)
_AGREEMENT = 0.02
"""Relative: nodes whose sums say the same about a hyperparameter; the file rounds them to float32."""
_FEWEST_NODES = 3
_FIRST_TREES = 50


@dataclass(frozen=True, slots=True)
class XgboostRecipe:
    """A recipe for UBJSON files."""

    inside: Inside
    columns: tuple[str, ...]
    """Of the data, in the order of the model's features."""
    rounds: int
    parameters: Mapping[str, Setting]
    said: Mapping[str, Setting]
    signs: Mapping[str, int]

    suffix = ".ubj"
    media_type = "application/x-xgboost-ubj"

    @property
    def settings(self) -> dict[str, Setting]:
        return {**{f"xgboost.{key}": value for key, value in self.parameters.items()}, **self.said}

    def fit(self, inputs: "Inputs", answers: "NDArray[np.int64]") -> Fitted:
        import xgboost

        booster, matrix = self.inside.native, self.inside.matrix(inputs)
        known = self.inside.categories
        parameters: dict[str, Any] = {**self.parameters, "nthread": self.inside.threads, "verbosity": 0}
        if self.signs:
            signs = in_order(self.signs, self.columns)
            parameters["monotone_constraints"] = "(" + ",".join(map(str, signs)) + ")"
        with fitting("XGBoost"):
            if any(values is not None for values in known.values()):
                names = booster.feature_names
                frame = with_categories(matrix, names, [known.get(place) for place in range(len(names))])
                rows = xgboost.DMatrix(frame, answers, enable_categorical=True, nthread=self.inside.threads)
            else:
                rows = xgboost.DMatrix(
                    matrix,
                    answers,
                    feature_names=booster.feature_names,
                    feature_types=booster.feature_types,
                    enable_categorical=True,
                    nthread=self.inside.threads,
                )
            fitted = xgboost.train(parameters, rows, num_boost_round=self.rounds)
            return Fitted(bytes(fitted.save_raw("ubj")))

    def monotone(self, signs: Mapping[str, int]) -> Recipe:
        if self.parameters["booster"] == "gblinear":
            raise InputError(
                "a linear booster takes no monotone constraints", hint="take monotone out of harden.tables"
            )
        return replace(self, signs=dict(signs))

    def stricter(self, norm: str) -> tuple[tuple[str, Recipe], ...]:
        del norm
        if self.parameters["booster"] == "gblinear":
            raise InputError("there is no fixed grid for linear boosters", hint="take regularise out of harden.tables")
        own = {**self.parameters, "rounds": self.rounds}
        found = tree_settings(own, depth="max_depth", leaf="min_child_weight", count="rounds", per_row=PER_ROW)
        return tuple((said, self._with(dict(made))) for said, made in found)

    def behind(self, front: Front) -> Recipe:
        raise no_place("XGBoost", front.kind)

    def rounded(self) -> Recipe:
        raise no_place("XGBoost", "round")

    def _with(self, made: dict[str, Setting]) -> "XgboostRecipe":
        rounds = int(made.pop("rounds", self.rounds))
        return replace(self, rounds=rounds, parameters={**self.parameters, **made})


def xgboost_recipe(
    inside: Inside, columns: tuple[str, ...], *, seed: int, parameters: Mapping[str, Setting]
) -> XgboostRecipe:
    """What the file says and what its trees show, with the library's defaults for the rest.

    `parameters`: set over all of it; `rounds` among them is the number of rounds.
    """
    booster = inside.native
    learner = json.loads(booster.save_config())["learner"]
    objective, kind = str(learner["objective"]["name"]), str(learner["gradient_booster"]["name"])
    known: dict[str, Setting] = {"objective": objective, "booster": kind, "seed": seed}
    classes = int(learner["learner_model_param"]["num_class"])
    if classes > 1:
        known["num_class"] = classes
    weight = learner["objective"].get("reg_loss_param", {}).get("scale_pos_weight")
    if weight is not None:
        known["scale_pos_weight"] = float(weight)
    shown = ""
    if kind != "gblinear":
        trees = _trees(booster)
        known["max_depth"] = max((_depth(tree) for tree in trees), default=0) or 1
        parallel = int(learner["gradient_booster"].get("gbtree_model_param", {}).get("num_parallel_tree", 1))
        known |= {"num_parallel_tree": parallel} if parallel > 1 else {}
        read = _shrinkage(trees[:_FIRST_TREES])
        known |= read
        shown = ", ".join(["max_depth", *(name for name in ("eta", "lambda") if name in read)])
    rounds = int(parameters.get("rounds", inside.rounds[1] or booster.num_boosted_rounds()))
    given = {key: value for key, value in parameters.items() if key != "rounds"}
    missing = [] if {"eta", "learning_rate"} & {*known, *given} else ["eta"]
    missing += [] if {"lambda", "reg_lambda"} & {*known, *given} else ["lambda"]
    said: dict[str, Setting] = {
        "xgboost.rounds": rounds,
        "read off the trees": shown or "nothing",
        "not in the file": f"{', '.join([*missing, _NOT_KEPT])}: the library's defaults, or what harden.parameters says",
    }
    return XgboostRecipe(inside, columns, rounds, {**known, **given}, said, {})


def _trees(booster: Any) -> list[dict[str, Any]]:
    model: dict[str, Any] = json.loads(bytes(booster.save_raw("json")))["learner"]["gradient_booster"]
    found: list[dict[str, Any]] = model.get("model", model.get("gbtree", {}).get("model", {})).get("trees", [])
    return found


def _depth(tree: Mapping[str, Any]) -> int:
    left, right = tree["left_children"], tree["right_children"]
    deepest, pending = 0, [(0, 0)]
    while pending:
        node, depth = pending.pop()
        deepest = max(deepest, depth)
        if left[node] >= 0:
            pending += [(left[node], depth + 1), (right[node], depth + 1)]
    return deepest


def _shrinkage(trees: list[dict[str, Any]]) -> dict[str, Setting]:
    """Learning rate and L2 penalty, from the sums that every node keeps.

    A node's weight is -G / (H + lambda), its gradients G those of its children together. The weights of inner nodes stand in the file
    as they are, those of leaves times the learning rate. So inner nodes with inner children say lambda, those with two leaves then
    say eta. Neither is claimed unless the nodes agree: an L1 penalty, largest steps or constraints make them differ.
    """
    penalty = _agreed(_penalties(trees))
    if penalty is None:
        return {}
    found: dict[str, Setting] = {"lambda": penalty}
    rate = _agreed(_rates(trees, penalty))
    return found | ({"eta": rate} if rate is not None else {})


def _families(trees: list[dict[str, Any]]) -> Iterator[tuple[list[tuple[float, float]], int]]:
    """Weight and sum of second derivatives of a node and its two children, and how many of these are leaves."""
    for tree in trees:
        left, right = tree["left_children"], tree["right_children"]
        weights, sums = tree["base_weights"], tree["sum_hessian"]
        for node, child in enumerate(left):
            if child >= 0:
                places = (node, child, right[node])
                leaves = sum(left[place] < 0 for place in places[1:])
                yield [(float(weights[place]), float(sums[place])) for place in places], leaves


def _penalties(trees: list[dict[str, Any]]) -> list[float]:
    found = []
    for ((own, total), (one, first), (other, second)), leaves in _families(trees):
        apart = own - one - other
        if leaves == 0 and abs(apart) > 0.1 * (abs(one) + abs(other)):  # else rounding is all there is
            found.append((one * first + other * second - own * total) / apart)
    return found


def _rates(trees: list[dict[str, Any]], penalty: float) -> list[float]:
    found = []
    for ((own, total), (one, first), (other, second)), leaves in _families(trees):
        gradient = own * (total + penalty)
        if leaves == 2 and abs(gradient) > 0.1 * abs(own) * total and gradient != 0:
            found.append((one * (first + penalty) + other * (second + penalty)) / gradient)
    return found


def _agreed(values: list[float]) -> float | None:
    """The median, to three digits, where half of all values or more are within a fiftieth of it."""
    if len(values) < _FEWEST_NODES:
        return None
    values = sorted(values)
    middle = values[len(values) // 2]
    near = sum(abs(value - middle) <= _AGREEMENT * max(abs(middle), 0.1) for value in values)
    if middle < -_AGREEMENT or 2 * near < len(values):
        return None
    return float(f"{max(middle, 0.0):.3g}")
