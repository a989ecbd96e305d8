"""A CatBoost model from its own binary format, from verified bytes in memory."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heliotrope.config.schema import ModelConfig, OutputKind
from heliotrope.core.errors import InputError, MissingExtraError
from heliotrope.core.text import printable, shorten
from heliotrope.subjects._asking import AskedModel, calling_library, is_frame, threads, tried, wants_values
from heliotrope.subjects._categories import is_category
from heliotrope.subjects._files import ReadFile, read_file, show
from heliotrope.subjects._matrices import arrangement, numbers, require_width
from heliotrope.subjects._scores import class_name, hardened

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from heliotrope.subjects.interface import Column, Inputs

__all__ = ["open_model"]

_MAGIC = b"CBM1"
_SEPARATE = frozenset({"MultiClassOneVsAll", "MultiLogloss", "MultiCrossEntropy"})
"""Losses of one binary decision for each class, whose answers do not sum to one."""


def open_model(
    model: ModelConfig,
    *,
    root: Path,
    probe: "Inputs",
    columns: "tuple[Column, ...]",  # noqa: ARG001 - categories are text here, in no order
    seed: int,  # noqa: ARG001 - nothing here is random
    expected: Mapping[str, str],
) -> AskedModel:
    """The adapter of the format catboost.

    Categorical features are given as text, or as whole numbers where the column holds such, and text features as text.
    Columns are matched by name where the model was trained on names. A missing category is an error: the library takes
    none, and by which word it was replaced in training is nowhere written down.
    """
    if model.path is None:
        raise InputError(f"model {model.name!r} has no path", hint="set path to the cbm file in heliotrope.yaml")
    file = read_file(root / model.path, what="model", expected=expected.get("weights"))
    booster = _load(file)
    names = tuple(class_name(label) for label in booster.classes_)
    loss = str(booster.get_all_params().get("loss_function", "")).partition(":")[0]
    output, kind = _reading(model, names, loss)
    ask = _Asking(booster, _Layout.of(booster, probe), kind, output == "labels")
    return tried(
        model,
        format="catboost",
        probe=probe,
        digests={model.path: file.sha256},
        output=output,
        ask=ask,
        names=names or None,
    )


def _load(file: ReadFile) -> Any:
    try:
        import catboost
    except ImportError:
        raise MissingExtraError("catboost", module="catboost") from None
    if not file.data.startswith(_MAGIC):
        raise InputError(
            f"{show(file.path)} is no binary model of CatBoost", hint="write it with model.save_model('model.cbm')"
        )
    booster = catboost.CatBoost()
    with calling_library(f"opening {show(file.path)} as CatBoost", opening=True):
        booster.load_model(blob=file.data)
    return booster


def _reading(model: ModelConfig, names: tuple[str, ...], loss: str) -> tuple[OutputKind, str]:
    """What the scores are, and which of the library's predictions they come from."""
    regression = wants_values(model)
    if regression and names:
        raise InputError(
            f"the task is regression, but the model is a classifier of {len(names)} classes",
            hint="set task: tabular-classification",
        )
    if not names:
        if not regression and (model.task is not None or model.output is not None):
            raise InputError(
                f"the task is classification, but the model knows no classes (loss {printable(shorten(loss, 40))})",
                hint="set task: tabular-regression",
            )
        return "values", "Exponent" if loss in ("Poisson", "Tweedie") else "RawFormulaVal"
    separate = loss in _SEPARATE
    if separate and model.output == "probabilities":
        raise InputError(f"answers of the loss {loss} are no probabilities that sum to 1", hint="set output: logits")
    if model.output == "labels":
        return "labels", "Probability"
    if separate or model.output == "logits":
        return "logits", "RawFormulaVal"
    return "probabilities", "Probability"


@dataclass(frozen=True, slots=True)
class _Layout:
    """How a batch becomes the table that the model was trained on."""

    order: list[int]
    """Places of the features among the columns of a table; empty for arrays."""
    names: list[str]
    categories: frozenset[int]
    texts: frozenset[int]

    @classmethod
    def of(cls, booster: Any, probe: "Inputs") -> "_Layout":
        own: list[str] = list(booster.feature_names_)
        categories = frozenset(booster.get_cat_feature_indices())
        texts = frozenset(booster.get_text_feature_indices())
        if booster.get_embedding_feature_indices():
            raise InputError("the model takes embeddings, which no table holds", hint="export a model without them")
        if not is_frame(probe):
            if categories or texts:
                raise InputError(
                    "the model takes categories or text, the data are an array of numbers",
                    hint="give a table: csv or parquet",
                )
            require_width(int(probe.size // max(1, len(probe))), len(own))
            return cls([], own, categories, texts)
        given = [str(name) for name in probe.columns]
        require_width(len(given), len(own))
        by_position = own == [str(index) for index in range(len(own))]
        order = arrangement(None if by_position else own, given) or list(range(len(own)))
        return cls(order, own, categories, texts)

    def table(self, inputs: "Inputs") -> "pd.DataFrame | NDArray[Any]":
        """Numbers as float64, categories and text as str or int. InputError for what the library would not take."""
        if not is_frame(inputs) or not (self.categories or self.texts):
            chosen = inputs.iloc[:, self.order] if is_frame(inputs) else inputs
            return numbers(chosen)
        import pandas as pd

        made = {}
        for position, place in enumerate(self.order):
            column = inputs.iloc[:, place]
            if position in self.categories or position in self.texts:
                made[self.names[position]] = _words(column, text=position in self.texts)
            else:
                made[self.names[position]] = pd.Series(numbers(column.to_frame())[:, 0])
        return pd.DataFrame(made)


def _words(column: "pd.Series[Any]", *, text: bool) -> "pd.Series[Any]":
    import pandas as pd

    name = printable(str(column.name))
    kind = "text" if text else "category"
    if bool(column.isna().any()):
        raise InputError(
            f"column {name!r} lacks values, and CatBoost takes no missing {kind}",
            hint="fill them in the data with the word that was used in training",
        )
    if is_category(column):
        return pd.Series([str(value) for value in column], dtype=object)
    if column.dtype.kind == "f" and not bool((column % 1 == 0).all()):
        raise InputError(
            f"column {name!r} holds fractions, the model takes it as a {kind}",
            hint=f"declare it under input.columns.{name}: {{type: category}}",
        )
    words = column if column.dtype.kind == "b" else column.astype("int64")
    return pd.Series(words.to_numpy(), dtype=object)


@dataclass(frozen=True, slots=True)
class _Asking:
    booster: Any
    layout: _Layout
    kind: str
    labels: bool

    def __call__(self, inputs: "Inputs") -> "NDArray[Any]":
        import catboost

        layout = self.layout
        rows = catboost.Pool(
            layout.table(inputs),
            cat_features=sorted(layout.categories) or None,
            text_features=sorted(layout.texts) or None,
            feature_names=layout.names,
            thread_count=threads(),
        )
        answer: NDArray[Any] = self.booster.predict(rows, prediction_type=self.kind, thread_count=threads())
        return hardened(answer) if self.labels else answer
