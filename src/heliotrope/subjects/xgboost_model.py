"""An XGBoost model from its own JSON or UBJSON, from verified bytes in memory."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heliotrope.config.schema import ModelConfig, OutputKind
from heliotrope.core.errors import InputError, MissingExtraError
from heliotrope.core.text import printable
from heliotrope.subjects._asking import AskedModel, calling_library, is_frame, threads, tried, wants_values
from heliotrope.subjects._categories import coded
from heliotrope.subjects._files import ReadFile, read_file, show
from heliotrope.subjects._matrices import arrangement, numbers, require_width
from heliotrope.subjects._scores import hardened, one_hot, softmax
from heliotrope.subjects._ubjson import require_whole_ubjson

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from heliotrope.subjects.interface import Column, Inputs

__all__ = ["categories_of", "open_model"]

_AFTER_BRACE_IN_JSON = frozenset({b'"', b" ", b"\n", b"\r", b"\t", b"}"})


def open_model(
    model: ModelConfig,
    *,
    root: Path,
    probe: "Inputs",
    columns: "tuple[Column, ...]",
    seed: int,  # noqa: ARG001 - nothing here is random
    expected: Mapping[str, str],
) -> AskedModel:
    """The adapter of the format xgboost.

    Columns are matched by name where the model knows names, else by position. Missing values are NaN; no base margin is
    given. A model that stopped early and was saved by the scikit-learn interface answers with its best iteration, as
    that interface does; every other one with all trees.
    """
    if model.path is None:
        raise InputError(f"model {model.name!r} has no path", hint="set path to the model file in heliotrope.yaml")
    file = read_file(root / model.path, what="model", expected=expected.get("weights"))
    booster = _load(file)
    learner = json.loads(booster.save_config())["learner"]
    objective = str(learner["objective"]["name"])
    output, margins, finish = _reading(model, objective, int(learner["learner_model_param"]["num_class"]))
    ask = _Asking(booster, _matrix(booster, probe, columns), margins, _trees(booster), finish)
    return tried(model, format="xgboost", probe=probe, digests={model.path: file.sha256}, output=output, ask=ask)


def _load(file: ReadFile) -> Any:
    try:
        import xgboost
    except ImportError:
        raise MissingExtraError("xgboost", module="xgboost") from None
    if not file.data.lstrip()[:1] == b"{":
        raise InputError(
            f"{show(file.path)} is neither JSON nor UBJSON of XGBoost",
            hint="write it with booster.save_model('model.ubj'); the binary format of old versions and pickles are not read",
        )
    if file.data[1:2] not in _AFTER_BRACE_IN_JSON:
        require_whole_ubjson(file.data, show(file.path))
    booster = xgboost.Booster()
    with calling_library(f"opening {show(file.path)} as XGBoost", opening=True):
        booster.load_model(bytearray(file.data))
        booster.set_param({"nthread": threads(), "device": "cpu"})
    return booster


Finish = Callable[["NDArray[Any]"], "NDArray[Any]"]


def _reading(model: ModelConfig, objective: str, classes: int) -> tuple[OutputKind, bool, Finish]:
    """What the scores are, whether they come from margins, and what is made of the library's answer."""
    regression, declared = wants_values(model), model.output
    classifies = objective.startswith(("binary:", "multi:")) or classes > 1
    asked = model.task is not None or declared is not None
    if regression or not (classifies or asked):
        if classifies:
            raise InputError(
                f"the task is regression, but the model has the objective {printable(objective)}",
                hint="set task: tabular-classification",
            )
        return "values", False, _same
    if not classifies and objective != "reg:logistic" and declared != "logits":
        raise InputError(
            f"the task is classification, but the model has the objective {printable(objective)}",
            hint="set task: tabular-regression, or output: logits if it was trained with an objective of its own",
        )
    if objective == "binary:hinge":
        return "labels", False, lambda answer: one_hot(answer, ("0", "1"))
    if declared == "logits":
        return "logits", True, _same
    if objective in ("multi:softmax", "binary:logitraw"):
        finish: Finish = softmax if objective == "multi:softmax" else _sigmoid
        return (declared or "probabilities"), True, finish if declared != "labels" else lambda it: hardened(finish(it))
    if declared == "labels":
        return "labels", False, hardened
    return "probabilities", False, _same


def _same(answer: "NDArray[Any]") -> "NDArray[Any]":
    return answer


def _sigmoid(logits: "NDArray[Any]") -> "NDArray[Any]":
    from scipy.special import expit

    probabilities: NDArray[Any] = expit(logits)
    return probabilities


def _trees(booster: Any) -> tuple[int, int]:
    best = booster.attr("best_iteration")
    if booster.attr("scikit_learn") is None or best is None or not best.isdigit():
        return 0, 0
    return 0, int(best) + 1


def _matrix(booster: Any, probe: "Inputs", columns: "tuple[Column, ...]") -> "Callable[[Inputs], NDArray[Any]]":
    """How a batch becomes the n x features float32 that the model was trained on; categories are codes."""
    own: list[str] | None = booster.feature_names
    features = int(booster.num_features())
    if not is_frame(probe):
        require_width(int(probe.size // max(1, len(probe))), features)
        return lambda inputs: numbers(inputs, "float32")
    names = [str(name) for name in probe.columns]
    places = arrangement(own, names)
    require_width(len(names), features)
    order = places if places is not None else list(range(features))
    types = booster.feature_types or ["float"] * features
    stored = categories_of(booster)
    coders = {
        names[place]: stored[position] if stored else None
        for position, place in enumerate(order)
        if types[position] == "c"
    }

    def matrix(inputs: "Inputs") -> "NDArray[Any]":
        assert is_frame(inputs)
        return numbers(coded(inputs.iloc[:, order], coders, columns), "float32")

    return matrix


def categories_of(booster: Any) -> list[list[Any] | None]:
    """By feature, in the order of their codes; empty when the model was written by a version that did not keep them."""
    if not hasattr(booster, "get_categories"):
        return []
    kept = booster.get_categories(export_to_arrow=True)
    if kept.empty():
        return []
    return [None if values is None else values.to_pylist() for _, values in kept.to_arrow()]


@dataclass(frozen=True, slots=True)
class _Asking:
    booster: Any
    matrix: "Callable[[Inputs], NDArray[Any]]"
    margins: bool
    trees: tuple[int, int]
    finish: Finish

    def __call__(self, inputs: "Inputs") -> "NDArray[Any]":
        import xgboost

        rows = xgboost.DMatrix(
            self.matrix(inputs),
            feature_names=self.booster.feature_names,
            feature_types=self.booster.feature_types,
            enable_categorical=True,
            nthread=threads(),
        )
        answer = self.booster.predict(
            rows, output_margin=self.margins, iteration_range=self.trees, strict_shape=False, validate_features=True
        )
        return self.finish(answer)
