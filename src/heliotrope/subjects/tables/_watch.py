"""What is seen of one column while a table streams by."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from heliotrope.core.errors import InputError
from heliotrope.subjects.tables._convert import (
    as_words,
    beginnings,
    categories_of,
    integers,
    numbers,
    objects,
    parsed,
    times,
    truths,
)
from heliotrope.subjects.tables._kinds import Kind, kind_of, without_marks
from heliotrope.subjects.tables._rows import MAX_CELL_BYTES, named

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

__all__ = ["MAX_CATEGORIES", "ColumnProfile", "Watcher"]

MAX_CATEGORIES = 10_000
"""Distinct texts that are counted; a column with more is no category."""

_LONGEST_CATEGORY = 1000
"""Bytes; what is longer is no name of a category."""

_COUNTED_TEXTS, _COUNTED_LENGTH = 1000, 1000
"""Texts whose words are counted, and how far into each."""

_TEXT_KINDS: tuple[Kind, ...] = ("whole", "real", "truth", "time", "words")
"""In the order in which a column of text is taken for them."""


@dataclass(slots=True)
class ColumnProfile:
    """What was seen of one column."""

    name: str
    kind: Kind
    """The first kind that all values are."""
    rows: int = 0
    missing: int = 0
    low: float | None = None
    high: float | None = None
    rising: bool = True
    """Each whole number is one more than that of the row before."""
    counts: dict[str, int] | None = field(default_factory=dict)
    """How often each text occurs; None when there are more than MAX_CATEGORIES."""
    words: float = 0.0
    """Words in a text, the mean over some of the sampled ones."""
    sample: list["NDArray[np.generic]"] = field(default_factory=list)
    last: int | None = None

    def sampled(self) -> "NDArray[np.generic]":
        """Values of the sampled rows that are not missing."""
        import numpy as np
        import pandas as pd

        values = np.concatenate(self.sample) if self.sample else np.empty(0)
        known: NDArray[np.generic] = values[~pd.isna(values)]
        return known


class Watcher:
    """Fills the profile of one column."""

    def __init__(self, name: str, type_: "pa.DataType", *, wanted: Kind | None, marks: tuple[str, ...] | None) -> None:
        """`wanted`: what the values are declared to be. `marks`: how missing values are written; None where not text."""
        self._profile = ColumnProfile(name, wanted or kind_of(name, type_))
        self._parses = marks is not None and wanted is None
        self._marks = marks
        self._possible: set[Kind] = set(_TEXT_KINDS) if self._parses else {self._profile.kind}
        self._texts: list[NDArray[np.generic]] = []

    def see(self, start: int, array: "pa.Array", added: "NDArray[np.int64]") -> None:
        """The next rows, and which of them are sampled."""
        import numpy as np

        profile = self._profile
        if self._marks is not None:
            array = without_marks(array, self._marks)
        profile.missing += array.null_count
        profile.rows += len(array)
        if "words" in self._possible:
            self._see_words(as_words(array), added)
        rows = np.arange(start, start + len(array), dtype=np.int64)
        values = self._parsed(array, rows) if self._parses else _values(profile.name, array, rows, profile.kind)
        if values is None:
            profile.sample = []
            return
        self._see_values(values)
        profile.sample.append(values[added])

    def keep(self, kept: "NDArray[np.bool_]") -> None:
        """Which of all sampled rows stay."""
        import numpy as np

        if self._profile.sample:
            self._profile.sample = [np.concatenate(self._profile.sample)[kept]]
        if self._texts:
            self._texts = [np.concatenate(self._texts)[kept]]

    def close(self) -> ColumnProfile:
        """All that was seen."""
        import numpy as np

        profile = self._profile
        if self._parses:
            profile.kind = _first(self._possible) if profile.missing < profile.rows else "real"
        if profile.kind == "words":
            profile.sample, profile.low, profile.high = self._texts, None, None
            texts = profile.sampled()[:_COUNTED_TEXTS].tolist()
            profile.words = sum(len(text.split()) for text in texts) / max(1, len(texts))
        elif profile.kind != "time":
            profile.sample = [np.asarray(part, dtype=np.float64) for part in profile.sample]
        profile.rising = profile.rising and profile.kind == "whole"
        return profile

    def _parsed(self, array: "pa.Array", rows: "NDArray[np.int64]") -> "NDArray[np.generic] | None":
        """Text as the first kind that all values so far are; None when that is text."""
        found: dict[Kind, NDArray[np.generic]] = {}
        for kind in _TEXT_KINDS[:-1]:
            if kind in self._possible and not (kind == "real" and "whole" in found):
                values = parsed(self._profile.name, array, rows, kind)
                if values is None:
                    self._possible.discard(kind)
                else:
                    found[kind] = values
        return found.get(_first(self._possible))

    def _see_values(self, values: "NDArray[np.generic]") -> None:
        import numpy as np

        profile = self._profile
        if values.dtype.kind == "M":
            return
        if profile.rising:
            self._see_order(values)
        present = values[~np.isnan(values)] if values.dtype.kind == "f" else values
        if len(present):
            low, high = float(present.min()), float(present.max())
            profile.low = low if profile.low is None else min(low, profile.low)
            profile.high = high if profile.high is None else max(high, profile.high)

    def _see_order(self, values: "NDArray[np.generic]") -> None:
        import numpy as np

        profile = self._profile
        if values.dtype != np.int64:
            profile.rising = False
            return
        whole = values.astype(np.int64)
        follows = profile.last is None or int(whole[0]) == profile.last + 1
        profile.rising = follows and bool((np.diff(whole) == 1).all())
        profile.last = int(whole[-1])

    def _see_words(self, array: "pa.Array", added: "NDArray[np.int64]") -> None:
        import pyarrow as pa
        import pyarrow.compute as pc

        profile = self._profile
        longest = _longest(profile.name, array)
        self._texts.append(objects(beginnings(array.take(pa.array(added)), _COUNTED_LENGTH)))
        if longest > _LONGEST_CATEGORY:
            profile.counts = None
        if profile.counts is None:
            return
        counted = pc.value_counts(array.drop_null())
        texts, counts = counted.field("values"), counted.field("counts").to_pylist()
        if len(counts) > MAX_CATEGORIES:
            profile.counts = None
            return
        for text, count in zip(categories_of(texts), counts, strict=True):
            profile.counts[text] = profile.counts.get(text, 0) + count
        if len(profile.counts) > MAX_CATEGORIES:
            profile.counts = None


def _first(possible: set[Kind]) -> Kind:
    return next(kind for kind in _TEXT_KINDS if kind in possible)


def _values(name: str, array: "pa.Array", rows: "NDArray[np.int64]", kind: Kind) -> "NDArray[np.generic] | None":
    match kind:
        case "whole":
            return integers(name, array, rows)
        case "real":
            return numbers(name, array, rows)
        case "truth":
            return truths(name, array, rows)
        case "time":
            return times(name, array, rows)
        case "words":
            return None


def _longest(name: str, array: "pa.Array") -> int:
    """Bytes of the longest text, which have a limit."""
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = array.dictionary if pa.types.is_dictionary(array.type) else array
    longest = int(pc.max(pc.binary_length(texts)).as_py() or 0)
    if longest > MAX_CELL_BYTES:
        raise InputError(
            f"column {named(name)} holds a text of {longest} bytes, the limit is {MAX_CELL_BYTES}",
            hint="leave the column out by naming the features, or shorten its texts",
        )
    return longest
