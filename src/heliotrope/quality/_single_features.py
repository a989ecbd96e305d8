"""What each feature alone says of the answer: a rule learnt on training rows and tried on evaluation rows."""

from typing import TYPE_CHECKING, Any

from heliotrope.core.predicates.data import SingleFeature
from heliotrope.subjects.interface import Batch

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

__all__ = ["single_features"]

_BINS = 1024
"""Of a number by its quantiles in training data: fine enough that a threshold between two bins spoils one row in a thousand."""


def single_features(
    training: Batch, evaluation: Batch, columns: tuple[str, ...], *, classes: int
) -> list[SingleFeature]:
    """Each numeric or categorical column, best first. `classes` 0: a regression, measured by r2 of the bin means.

    A classification is measured by the balanced accuracy of the most frequent class in each bin, so that an unbalanced
    target does not look predictable.
    """
    import pandas as pd

    known, asked = training.inputs, evaluation.inputs
    assert isinstance(known, pd.DataFrame)
    assert isinstance(asked, pd.DataFrame)
    found = []
    for name in columns:
        groups = _groups(known[name], asked[name])
        if groups is None:
            continue
        if classes:
            value = _balanced_accuracy(groups, training.answers, evaluation.answers, classes)
            found.append(SingleFeature(name=name, metric="balanced_accuracy", value=value))
        else:
            found.append(SingleFeature(name=name, metric="r2", value=_r2(groups, training.answers, evaluation.answers)))
    return sorted(found, key=lambda feature: (-feature.value, feature.name))


def _groups(
    known: "pd.Series[Any]", asked: "pd.Series[Any]"
) -> "tuple[NDArray[np.int64], NDArray[np.int64], int] | None":
    """The group of each training and each evaluation row, 0 for missing or unseen, and how many groups there are."""
    import numpy as np
    import pandas as pd

    wordy = [isinstance(part.dtype, pd.CategoricalDtype) for part in (known, asked)]
    if any(wordy):
        texts = known.astype(object)
        places = {text: place + 1 for place, text in enumerate(texts.dropna().unique())}
        first, second = (part.astype(object).map(places).fillna(0).to_numpy(np.int64) for part in (texts, asked))
        return first, second, len(places) + 1
    if object in (known.dtype, asked.dtype):
        return None  # texts: each is its own group, and a rule on them says nothing of other texts
    numbers, others = (
        part.to_numpy().astype(np.int64).astype(np.float64) if part.dtype.kind == "M" else part.to_numpy(np.float64)
        for part in (known, asked)
    )
    present = numbers[~np.isnan(numbers)]
    if not len(present):
        return None
    edges = np.unique(np.quantile(present, np.linspace(0, 1, _BINS + 1), method="nearest"))
    first, second = (
        np.where(np.isnan(part), 0, 1 + np.searchsorted(edges, part, side="right")).astype(np.int64)
        for part in (numbers, others)
    )
    return first, second, len(edges) + 2


def _balanced_accuracy(
    groups: "tuple[NDArray[np.int64], NDArray[np.int64], int]",
    known: "NDArray[Any]",
    asked: "NDArray[Any]",
    classes: int,
) -> float:
    import numpy as np

    first, second, count = groups
    labels, truth = known.astype(np.int64), asked.astype(np.int64)
    shares = np.bincount(labels, minlength=classes).astype(np.float64)
    table = np.bincount(first * classes + labels, minlength=count * classes).reshape(count, classes)
    weighed = table / np.maximum(shares, 1)
    rule = np.where(table.sum(axis=1) > 0, weighed.argmax(axis=1), shares.argmax())
    right = rule[second] == truth
    recalls = [float(right[truth == label].mean()) for label in np.unique(truth)]
    return float(np.mean(recalls))


def _r2(
    groups: "tuple[NDArray[np.int64], NDArray[np.int64], int]", known: "NDArray[Any]", asked: "NDArray[Any]"
) -> float:
    import numpy as np

    first, second, count = groups
    sizes = np.bincount(first, minlength=count)
    sums = np.bincount(first, weights=known, minlength=count)
    means = np.where(sizes > 0, sums / np.maximum(sizes, 1), known.mean())
    total = float(((asked - asked.mean()) ** 2).sum())
    rest = float(((asked - means[second]) ** 2).sum())
    return max(-1.0, 1 - rest / total) if total > 0 else 0.0
