"""Rows as a booster is trained on them, with the categories that its file lists kept in their order."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

__all__ = ["with_categories"]


def with_categories(
    matrix: "NDArray[Any]", names: Sequence[str], known: Sequence[Sequence[Any] | None]
) -> "pd.DataFrame":
    """Codes of the matrix as the categories they stand for, by feature; None: numbers, or codes that stand for themselves."""
    import numpy as np
    import pandas as pd

    made: dict[str, Any] = {}
    for place, (name, categories) in enumerate(zip(names, known, strict=True)):
        column = matrix[:, place]
        if categories is None:
            made[name] = column
            continue
        codes = np.where(np.isnan(column), -1, column).astype(np.int64)
        made[name] = pd.Categorical.from_codes(codes, categories=pd.Index(list(categories)))
    return pd.DataFrame(made)
