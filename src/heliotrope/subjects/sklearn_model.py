"""A scikit-learn model from skops, pickle or joblib: cleared by the scanner, then loaded from the very bytes that were cleared."""

import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from heliotrope.config.schema import ModelConfig, OutputKind
from heliotrope.core.errors import InputError, MissingExtraError
from heliotrope.core.text import printable, shorten
from heliotrope.engine.clearance import clear
from heliotrope.subjects._asking import AskedModel, calling_library, is_frame, tried, wants_values
from heliotrope.subjects._files import ReadFile, read_file, show
from heliotrope.subjects._matrices import arrangement, numbers, require_width
from heliotrope.subjects._pickles import load_cleared
from heliotrope.subjects._scores import class_name, hardened, one_hot

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from heliotrope.subjects.interface import Column, Inputs

__all__ = ["open_model"]

Method = Literal["predict_proba", "decision_function", "predict"]
_DEEPEST = 20
"""Pipelines inside of pipelines."""
_MINOR = re.compile(r"(\d+)\.(\d+)")


def open_model(
    model: ModelConfig,
    *,
    root: Path,
    probe: "Inputs",
    columns: "tuple[Column, ...]",  # noqa: ARG001 - the model's own encoders know what they take
    seed: int,  # noqa: ARG001 - nothing here is random
    expected: Mapping[str, str],
) -> AskedModel:
    """The adapter of the format sklearn.

    Scores are those of predict_proba, else decision_function, else one-hot rows of predict, or as `output` says. Columns
    are matched by name where the model was fitted on names. Raises InputError as well when the file is not clean, asks
    for more than its clearance names, or was written with another minor version of scikit-learn.
    """
    if model.path is None:
        raise InputError(f"model {model.name!r} has no path", hint="set path to the model file in heliotrope.yaml")
    try:
        import sklearn.exceptions  # noqa: F401 - before the file names it
    except ImportError:
        raise MissingExtraError("sklearn", module="sklearn") from None
    file = read_file(root / model.path, what="model", expected=expected.get("weights"))
    estimator = _load(file)
    classes = _classes(estimator, file)
    output, method = _reading(model, estimator, classes)
    layout = _layout(estimator, probe)
    ask = _Asking(estimator, method, layout, output, classes)
    return tried(
        model,
        format="sklearn",
        probe=probe,
        digests={model.path: file.sha256},
        output=output,
        ask=ask,
        names=classes or None,
    )


def _load(file: ReadFile) -> Any:
    from sklearn.exceptions import InconsistentVersionWarning

    clearance = clear(file.data, file.path.name)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with calling_library(f"opening {show(file.path)} as scikit-learn", opening=True):
            estimator = load_cleared(file.data, clearance)
    for entry in caught:
        if isinstance(entry.message, InconsistentVersionWarning):
            _require_version(entry.message, file)
    if not callable(getattr(estimator, "predict", None)):
        raise InputError(
            f"{show(file.path)} holds {printable(shorten(type(estimator).__name__, 80))}, which cannot predict",
            hint="save the fitted estimator or pipeline itself",
        )
    return estimator


def _require_version(warning: Any, file: ReadFile) -> None:
    """Patch releases keep the insides of estimators, minor ones do not: the answers could be others without an error."""
    written, here = str(warning.original_sklearn_version), str(warning.current_sklearn_version)
    old, new = _MINOR.match(written), _MINOR.match(here)
    if old is None or new is None or old.groups() != new.groups():
        raise InputError(
            f"{show(file.path)} was written with scikit-learn {printable(shorten(written, 40))}; here is {here}, "
            "which may answer otherwise",
            hint=f"install scikit-learn=={printable(shorten(written, 40))}, or export the model again with {here}",
        )


def _classes(estimator: Any, file: ReadFile) -> tuple[str, ...]:
    """Class names in the order of the outputs; empty for a regression."""
    known = getattr(estimator, "classes_", None)
    if known is None:
        return ()
    if isinstance(known, list) and any(hasattr(entry, "shape") and entry.shape for entry in known):
        raise InputError(
            f"{show(file.path)} answers several questions at once (classes for each of {len(known)} outputs)",
            hint="save one classifier for each question",
        )
    return tuple(class_name(label) for label in known)


def _reading(model: ModelConfig, estimator: Any, classes: tuple[str, ...]) -> tuple[OutputKind, Method]:
    """What the scores are, and which method gives them."""
    if wants_values(model):
        if classes:
            raise InputError(
                f"the task is regression, but the model is a classifier of {len(classes)} classes",
                hint="set task: tabular-classification",
            )
        return "values", "predict"
    if not classes:
        if model.task is None and model.output is None:
            return "values", "predict"
        raise InputError(
            "the task is classification, but the model knows no classes", hint="set task: tabular-regression"
        )
    offered: dict[OutputKind, Method] = {
        "probabilities": "predict_proba",
        "logits": "decision_function",
        "labels": "predict",
    }
    wanted: tuple[OutputKind, ...] = (model.output,) if model.output else ("probabilities", "logits", "labels")
    for output in wanted:
        if callable(getattr(estimator, offered[output], None)):
            return output, offered[output]
    raise InputError(
        f"output is {model.output}, but the model has no {offered[wanted[0]]}",
        hint="leave output out: then the best that the model offers is taken",
    )


Layout = Callable[["Inputs"], "NDArray[Any] | pd.DataFrame"]


def _layout(estimator: Any, probe: "Inputs") -> Layout:
    """How a batch becomes what the estimator was fitted on: a table by its names, or a matrix."""
    own = getattr(estimator, "feature_names_in_", None)
    features = getattr(estimator, "n_features_in_", None)
    if own is None and is_frame(probe) and len(probe.columns) == 1 and _reads_texts(estimator):
        return _texts
    width = len(probe.columns) if is_frame(probe) else int(probe.size // max(1, len(probe)))
    if own is None:
        if features is not None:
            require_width(width, int(features))
        return _matrix
    names = [str(name) for name in own]
    if not is_frame(probe):
        require_width(width, len(names))
        return lambda inputs: _named(numbers(inputs), names)
    order = arrangement(names, [str(name) for name in probe.columns])
    assert order is not None  # the model has names

    def table(inputs: "Inputs") -> "pd.DataFrame":
        assert is_frame(inputs)
        return _plain(inputs.iloc[:, order])

    return table


def _reads_texts(estimator: Any) -> bool:
    """Whether it begins with a vectoriser, which takes a list of texts and no table."""
    for _ in range(_DEEPEST):
        if callable(getattr(estimator, "build_analyzer", None)):
            return True
        parts = getattr(estimator, "steps", None) or getattr(estimator, "transformer_list", None)
        if not isinstance(parts, list) or not parts:
            return False
        estimator = parts[0][1]
    return False


def _texts(inputs: "Inputs") -> "NDArray[Any]":
    """One text for each row; a missing one is empty."""
    import numpy as np

    assert is_frame(inputs)
    column = inputs.iloc[:, 0].astype(object)
    return np.array(column.where(column.notna(), "").to_numpy(dtype=object))


def _matrix(inputs: "Inputs") -> "NDArray[Any]":
    """Numbers where all are such; else objects, as a pipeline that was fitted without names takes text."""
    import numpy as np

    if not is_frame(inputs) or all(kind.kind in "fiub" for kind in map(_numpy_kind, inputs.dtypes)):
        return numbers(inputs)
    return np.array(_plain(inputs).to_numpy(dtype=object))


def _numpy_kind(dtype: Any) -> Any:
    import numpy as np

    return dtype if isinstance(dtype, np.dtype) else np.dtype(object)


def _named(matrix: "NDArray[Any]", names: list[str]) -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame(matrix, columns=names)


def _plain(frame: "pd.DataFrame") -> "pd.DataFrame":
    """A copy with text as objects and NaN for what is missing, as tables of training mostly have it."""
    import numpy as np

    made = frame.copy(deep=True)
    for name, kind in frame.dtypes.items():
        if _numpy_kind(kind).kind not in "fiubM":
            column = frame[name].astype(object)
            made[name] = column.where(column.notna(), np.nan)
    return made


@dataclass(frozen=True, slots=True)
class _Asking:
    estimator: Any
    method: Method
    layout: Layout
    output: OutputKind
    classes: tuple[str, ...]

    def __call__(self, inputs: "Inputs") -> "NDArray[Any]":
        answer: Any = getattr(self.estimator, self.method)(self.layout(inputs))
        if isinstance(answer, list):
            raise InputError("the model answers several questions at once", hint="save one estimator for each")
        if self.output == "labels":
            if getattr(answer, "ndim", 1) != 1:
                return hardened(answer)
            return one_hot(answer, self.classes)
        scores: NDArray[Any] = answer
        return scores
