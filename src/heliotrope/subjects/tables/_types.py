"""What each column means: as declared under input.columns, else as its values suggest."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from heliotrope.config.schema import ColumnConfig, ColumnType
from heliotrope.core.errors import InputError
from heliotrope.subjects.interface import Column
from heliotrope.subjects.tables._kinds import Kind
from heliotrope.subjects.tables._rows import named
from heliotrope.subjects.tables._watch import MAX_CATEGORIES, ColumnProfile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["column_of", "in_order"]

_IDENTIFIER_ROWS = 50
"""In fewer rows, values that differ may do so by chance."""

_TEXT_WORDS = 3.0
"""Words in a mean value, from which on it is a text and not a name."""

_INDEX_NAMES = re.compile(r"Unnamed: \d+|__index_level_\d+__")
"""What pandas calls the index of a frame when it is written along."""

_IDENTIFIER_NAMES = re.compile(
    r"(?:.*[_\W])?(?:id|uuid|guid|index|key|rowid|row_number)|.*[a-z](?:Id|ID)", re.IGNORECASE
)

_TYPE_OF: dict[Kind, ColumnType] = {"whole": "integer", "real": "number", "truth": "boolean", "time": "datetime"}


def column_of(profile: ColumnProfile, declared: ColumnConfig | None, type_: ColumnType | None) -> Column:
    """A feature by its profile, what heliotrope.yaml says of it, and its type when that is settled."""
    config = declared or ColumnConfig()
    type_ = type_ or _inferred(profile)
    low, high = config.range or (profile.low, profile.high)
    numeric = type_ in {"number", "integer", "boolean"}
    return Column(
        name=profile.name,
        type=type_,
        unit=config.unit,
        low=low if numeric else None,
        high=high if numeric else None,
        spread=_spread(profile.sampled()) if type_ in {"number", "integer"} and profile.low is not None else None,
        categories=_categories(profile, config) if type_ == "category" else (),
        missing=profile.missing > 0 if config.missing is None else config.missing,
        immutable=config.immutable,
        declared=declared is not None,
    )


def in_order(categories: Sequence[str]) -> list[str]:
    """Sorted; as numbers when all of them are whole ones."""
    if all(re.fullmatch(r"-?\d{1,18}", text) for text in categories):
        return sorted(categories, key=lambda text: (int(text), text))
    return sorted(categories)


def _inferred(profile: ColumnProfile) -> ColumnType:
    if _INDEX_NAMES.fullmatch(profile.name):
        return "identifier"
    if profile.kind == "whole":
        return "identifier" if _numbers_rows(profile) else "integer"
    if profile.kind != "words":
        return _TYPE_OF[profile.kind]
    sampled = profile.sampled()
    wordy = profile.words >= _TEXT_WORDS
    different = _all_differ(sampled)
    if different and len(sampled) >= _IDENTIFIER_ROWS and not wordy:
        return "identifier"
    many = profile.counts is None or len(profile.counts) > (profile.rows - profile.missing) / 2
    return "text" if profile.counts is None or (wordy and many) else "category"


def _numbers_rows(profile: ColumnProfile) -> bool:
    """Whether whole numbers count the rows, in whatever order, or all differ under a name that says identifier."""
    if profile.rows < _IDENTIFIER_ROWS or profile.missing:
        return False
    if profile.rising:
        return True
    assert profile.low is not None
    assert profile.high is not None
    gapless = profile.high - profile.low + 1 == profile.rows
    return (gapless or bool(_IDENTIFIER_NAMES.fullmatch(profile.name))) and _all_differ(profile.sampled())


def _all_differ(values: "NDArray[np.generic]") -> bool:
    return len(set(values.tolist())) == len(values)


def _spread(values: "NDArray[np.generic]") -> float | None:
    """One deviation by the percentiles; of a column that rarely changes, where these meet, the standard deviation."""
    import numpy as np

    if not np.issubdtype(values.dtype, np.number) or not len(values):
        return None
    numbers = values.astype(np.float64)
    low, high = np.quantile(numbers, [0.16, 0.84])
    return float(high - low) / 2 or float(numbers.std())


def _categories(profile: ColumnProfile, config: ColumnConfig) -> tuple[str, ...]:
    if config.categories:
        return config.categories
    if profile.counts is None:
        raise InputError(
            f"column {named(profile.name)} has more than {MAX_CATEGORIES} different values, too many for a category",
            hint="declare it as text or identifier under input.columns, or leave it out by naming the features",
        )
    return tuple(sorted(profile.counts, key=lambda text: (-profile.counts[text], text)))  # type: ignore[index]
