"""The column of right answers: which values it holds, and as which class of the model each of them counts."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from heliotrope.core.errors import InputError
from heliotrope.core.text import printable, shorten
from heliotrope.subjects.tables._convert import numbers
from heliotrope.subjects.tables._kinds import MISSING_MARKS, label_text, without_marks
from heliotrope.subjects.tables._rows import named

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from heliotrope.subjects.interface import Answers

__all__ = ["MAX_CLASSES", "AnswerColumn", "ClassAnswers", "NumberAnswers"]

MAX_CLASSES = 10_000
"""Different answers of a classification; with more it is a regression, or the wrong column."""

_SHOWN = 8


@dataclass(slots=True)
class AnswerColumn:
    """The target as it was seen in the first pass: every different value with its first row."""

    name: str
    textual: bool
    labels: tuple[str, ...]
    """Class names of the model, as far as they are configured: a class may be called None."""
    first: dict[object, int] | None = field(default_factory=dict)
    """None when there are more than MAX_CLASSES values."""

    def see(self, start: int, array: "pa.Array") -> None:
        """The next rows. InputError for one without an answer."""
        import numpy as np

        array = self.cleaned(array)
        lacking = array.is_null(nan_is_null=True).to_numpy(zero_copy_only=False)
        if lacking.any():
            row = start + int(lacking.argmax())
            raise InputError(
                f"row {row} has no answer: column {named(self.name)} is empty",
                hint="remove rows without an answer, or name another column under target",
            )
        if self.first is None:
            return
        coded = array if _is_coded(array) else array.dictionary_encode()
        places, firsts = np.unique(coded.indices.to_numpy(zero_copy_only=False), return_index=True)
        for place, first in zip(places.tolist(), firsts.tolist(), strict=True):
            value = coded.dictionary[place].as_py()
            self.first.setdefault(value, start + first)
            if len(self.first) > MAX_CLASSES:
                self.first = None
                return

    def cleaned(self, array: "pa.Array") -> "pa.Array":
        if not self.textual:
            return array
        return without_marks(array, tuple(sorted(MISSING_MARKS - set(self.labels))))

    def names(self) -> tuple[str, ...]:
        """The different answers, as one writes them."""
        return tuple(dict.fromkeys(label_text(value) for value in self._values()))

    def _values(self) -> dict[object, int]:
        if self.first is None:
            raise InputError(
                f"column {named(self.name)} holds more than {MAX_CLASSES} different values, too many for classes",
                hint="name the column of classes under target, or set task: tabular-regression",
            )
        return self.first

    def classes(self, names: Sequence[str]) -> "ClassAnswers":
        """Answers as indices: by the names of the classes when every value is one of them, else as the index itself."""
        values = self._values()
        by_name = {value: _by_name(value, names) for value in values}
        if None not in by_name.values():
            return ClassAnswers(self, {value: place for value, place in by_name.items() if place is not None})
        by_index = {value: _by_index(value, len(names)) for value in values}
        if None not in by_index.values():
            return ClassAnswers(self, {value: place for value, place in by_index.items() if place is not None})
        some_named = any(place is not None for place in by_name.values())
        wrong = next(value for value in values if (by_name if some_named else by_index)[value] is None)
        shown = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
        raise InputError(
            f"row {values[wrong]} has the answer {shorten(printable(label_text(wrong)), 60)!r} in column"
            f" {named(self.name)}, which is no class of the model ({shorten(printable(shown), 200)})",
            hint="set labels to the values of this column in the order of the outputs, as in labels: [no, yes]",
        )


@dataclass(frozen=True, slots=True)
class ClassAnswers:
    """Answers as class indices."""

    column: AnswerColumn
    places: dict[object, int]

    def read(self, array: "pa.Array", rows: "NDArray[np.int64]") -> "Answers":
        import numpy as np

        array = self.column.cleaned(array)
        coded = array if _is_coded(array) else array.dictionary_encode()
        known = np.array([self.places.get(value.as_py(), -1) for value in coded.dictionary], dtype=np.int64)
        answers: NDArray[np.int64] = known[coded.indices.to_numpy(zero_copy_only=False)]
        return answers


@dataclass(frozen=True, slots=True)
class NumberAnswers:
    """Answers as numbers."""

    column: AnswerColumn

    def read(self, array: "pa.Array", rows: "NDArray[np.int64]") -> "Answers":
        return numbers(self.column.name, self.column.cleaned(array), rows)


def _by_name(value: object, names: Sequence[str]) -> int | None:
    """The class that is called like the value: as it is written, as a number, or as a truth value in any case."""
    text = label_text(value)
    spellings = [text]
    whole, truth = _whole(value), _truth(value)
    if whole is not None:
        spellings.append(str(whole))
    if truth is not None:
        spellings += [str(truth), str(truth).lower(), str(truth).upper(), str(int(truth))]
    return next((names.index(spelling) for spelling in spellings if spelling in names), None)


def _by_index(value: object, classes: int) -> int | None:
    truth = _truth(value)
    whole = _whole(value) if truth is None else int(truth)
    return whole if whole is not None and 0 <= whole < classes else None


def _truth(value: object) -> bool | None:
    if isinstance(value, bool):
        return value
    return {"true": True, "false": False}.get(value.strip().lower()) if isinstance(value, str) else None


def _whole(value: object) -> int | None:
    """The whole number a value is or is written as."""
    if isinstance(value, int):
        return int(value)
    try:
        number = float(str(value))
    except ValueError:
        return None
    return int(number) if number.is_integer() else None


def _is_coded(array: "pa.Array") -> bool:
    import pyarrow as pa

    return bool(pa.types.is_dictionary(array.type))
