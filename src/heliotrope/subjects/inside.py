"""What an opened model is made of, for checks that prove rather than ask. Nothing is loaded that was not loaded to be asked."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from heliotrope.subjects._asking import threads
from heliotrope.subjects._files import read_file
from heliotrope.subjects.interface import Opened
from heliotrope.subjects.torch_model import TorchModel

if TYPE_CHECKING:
    from heliotrope.subjects.interface import Inputs

__all__ = ["Inside", "look_inside"]

Kind = Literal["torch", "onnx", "sklearn", "xgboost", "lightgbm", "catboost"]
_KINDS: dict[str, Kind] = {kind: kind for kind in ("torch", "onnx", "sklearn", "xgboost", "lightgbm", "catboost")}


@dataclass(frozen=True, slots=True)
class Inside:
    """The object of the library behind a model, and how a batch becomes what that object takes."""

    kind: Kind
    native: Any
    """A module, an estimator, a booster, or the bytes of an ONNX file."""
    matrix: "Callable[[Inputs], Any]"
    """For networks the identity: normalisation is a matter of the configuration."""
    rounds: tuple[int, int] = (0, 0)
    """XGBoost: first and last round that answer; (0, 0): all."""
    margins: bool = False
    """The answers are scores before the library's link function."""
    method: str = ""
    """scikit-learn: which method answers."""
    categories: "Mapping[int, Sequence[Any] | None]" = field(default_factory=dict)
    """XGBoost and LightGBM: features that are categories, by their place in the matrix, with the values that the model lists in the
    order of their codes; None where it lists none."""
    threads: int = 1
    """How many the library may use."""


def look_inside(opened: Opened) -> Inside | None:
    """None where a model is known by its answers alone: an endpoint, or a function of a program."""
    model: Any = opened.model
    kind = _KINDS.get(model.format)
    if isinstance(model, TorchModel):
        return Inside("torch", model.module, _same)
    asking = getattr(model, "ask", None)
    if kind is None or asking is None or type(asking).__name__ != "_Asking":
        return None
    makers: dict[str, Callable[[], Inside]] = {
        "sklearn": lambda: Inside("sklearn", asking.estimator, asking.layout, method=asking.method),
        "xgboost": lambda: Inside(
            "xgboost",
            asking.booster,
            asking.matrix,
            rounds=asking.trees,
            margins=asking.margins,
            categories=_xgboost_categories(asking.booster),
            threads=threads(),
        ),
        "lightgbm": lambda: Inside(
            "lightgbm",
            asking.booster,
            asking.layout.matrix,
            margins=asking.raw,
            categories=_lightgbm_categories(asking.layout, opened),
            threads=threads(),
        ),
        "catboost": lambda: Inside(
            "catboost",
            asking.booster,
            asking.layout.table,
            margins=asking.kind == "RawFormulaVal",
            threads=threads(),
        ),
        "onnx": lambda: _onnx(opened),
    }
    return makers[kind]() if kind in makers else None


def _xgboost_categories(booster: Any) -> "dict[int, Sequence[Any] | None]":
    from heliotrope.subjects.xgboost_model import categories_of

    known = categories_of(booster)
    return {
        place: known[place] if known else None
        for place, kind in enumerate(booster.feature_types or ())
        if kind == "c"
    }  # fmt: skip


def _lightgbm_categories(layout: Any, opened: Opened) -> "dict[int, Sequence[Any] | None]":
    names = [column.name for column in opened.data.columns]
    return {
        feature: layout.coders[names[place]]
        for feature, place in enumerate(layout.order)
        if names[place] in layout.coders
    }


def _onnx(opened: Opened) -> Inside:
    path = opened.parameters.model.path
    assert path is not None  # it was opened from there
    file = read_file(Path(opened.task.root) / path, what="model", expected=opened.model.digests.get(path))
    return Inside("onnx", file.data, _same)


def _same(inputs: "Inputs") -> Any:
    return inputs
