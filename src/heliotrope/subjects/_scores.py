"""Answers of a model as scores: n x classes, float64, finite. What is not that is an error that says what it is instead."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from heliotrope.config.schema import OutputKind
from heliotrope.core.errors import InputError
from heliotrope.core.text import printable, shorten

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from heliotrope.subjects.interface import Scores

__all__ = ["ROW_SUM_TOLERANCE", "checked_scores", "class_name", "hardened", "one_hot", "softmax"]

ROW_SUM_TOLERANCE = 1e-3
"""A softmax in float16 is off by less."""

_NEGATIVE_TOLERANCE = 1e-6
"""Rounding of a probability of zero in float32."""


def checked_scores(answer: Any, *, rows: int, output: OutputKind, classes: int | None = None) -> "Scores":
    """An answer as N x classes; one column of a binary classifier becomes two: 1 - p and p, or 0 and the logit.

    Regression: n x 1. Raises InputError unless the answer has a row for each sample, is finite, has as many classes as
    before, and is a distribution where output is probabilities.
    """
    import numpy as np

    found = np.asarray(answer)
    shown = f"{found.dtype} of shape {list(found.shape)} for {rows} rows"
    if found.dtype.kind not in "fiu" or found.ndim not in (1, 2) or len(found) != rows:
        raise InputError(f"the model returns {shown}, expected numbers, {rows} x classes", hint=_SHAPE)
    scores = found.astype(np.float64)
    scores = scores[:, None] if scores.ndim == 1 else scores
    if not bool(np.isfinite(scores).all()):
        raise InputError(
            "the model returns NaN or infinite scores", hint="look for missing or extreme values in data and weights"
        )
    if output == "values":
        if scores.shape[1] != 1:
            raise InputError(f"the model returns {shown}, expected one number for each row", hint=_SHAPE)
        return scores
    if output == "probabilities":
        scores = _distribution(scores)
    elif output == "logits" and scores.shape[1] == 1:
        scores = np.hstack([np.zeros_like(scores), scores])
    if scores.shape[1] < 2:
        raise InputError(f"the model returns {shown}, expected at least two classes", hint=_SHAPE)
    if classes is not None and scores.shape[1] != classes:
        raise InputError(f"the model returns {scores.shape[1]} classes; when it was opened, {classes}", hint=_SHAPE)
    return scores


_SHAPE = "one row for each sample and one column for each class; a regression gives one number and output: values"


def _distribution(scores: "Scores") -> "Scores":
    import numpy as np

    if scores.shape[1] == 1:
        scores = np.hstack([1.0 - scores, scores])
    sums = scores.sum(axis=1)
    wrong = (np.abs(sums - 1.0) > ROW_SUM_TOLERANCE) | (scores.min(axis=1) < -_NEGATIVE_TOLERANCE)
    if bool(wrong.any()):
        row = int(wrong.argmax())
        raise InputError(
            f"output is probabilities, but a row sums to {sums[row]:.4g} with a smallest value of {scores[row].min():.4g}",
            hint="set output: logits, or apply softmax in the model",
        )
    return np.clip(scores, 0.0, 1.0)


def one_hot(answers: Iterable[Any], names: tuple[str, ...]) -> "NDArray[np.float64]":
    """Class labels as one-hot rows. Text is a class name; whole numbers are names where all names are such, else indices.

    Raises InputError for a label that is no class.
    """
    import numpy as np

    indices = {name: index for index, name in enumerate(names)}
    numbered = all(_is_whole(name) for name in names)
    found = []
    for answer in answers:
        name = class_name(answer)
        index = indices.get(name)
        if index is None and not numbered and _is_whole(name) and 0 <= int(name) < len(names):
            index = int(name)
        if index is None:
            raise InputError(
                f"the model answers {printable(shorten(name, 80))!r}, which is none of its {len(names)} classes",
                hint="name its classes in `labels`, in the order of the outputs",
            )
        found.append(index)
    rows: NDArray[np.float64] = np.eye(len(names))[found]
    return rows


def class_name(value: Any) -> str:
    """A class label of a library as a name: 1.0 is "1", as the same value in a table is."""
    plain = value.item() if hasattr(value, "item") else value
    if isinstance(plain, bytes):
        return plain.decode("utf-8", "replace")
    if isinstance(plain, float) and plain.is_integer():
        return str(int(plain))
    return str(plain)


def _is_whole(name: str) -> bool:
    return len(name) <= 18 and name.isascii() and name.removeprefix("-").isdigit()


def softmax(logits: "Scores") -> "Scores":
    """Rows that sum to one."""
    import numpy as np

    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    total: Scores = raised / raised.sum(axis=1, keepdims=True)
    return total


def hardened(scores: "NDArray[Any]") -> "NDArray[np.float64]":
    """One-hot rows of the highest score; of one column of a binary classifier, of p above one half."""
    import numpy as np

    if scores.ndim == 1:
        scores = np.stack([1.0 - scores, scores], axis=1)
    rows: NDArray[np.float64] = np.eye(scores.shape[1])[scores.argmax(axis=1)]
    return rows
