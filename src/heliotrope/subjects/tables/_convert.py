"""Arrow columns as the numbers, categories and texts a model takes. What does not fit is named by row."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from heliotrope.config.schema import ColumnType
from heliotrope.core.errors import InputError
from heliotrope.core.text import printable, shorten
from heliotrope.subjects.tables._kinds import Kind, label_text
from heliotrope.subjects.tables._rows import named

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

__all__ = ["as_words", "beginnings", "categories_of", "codes", "numbers", "objects", "parsed", "times", "truths"]

_LONGEST_NUMBER = 1000
"""Bytes of a number or date that is written as text; a float takes 24."""

_WANTED: dict[ColumnType, str] = {
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "datetime": "a date and time as in 2026-11-24 or 2026-11-24T10:30:00Z",
}


def numbers(name: str, array: "pa.Array", rows: "NDArray[np.int64]") -> "NDArray[np.float64]":
    """Finite float64, NaN where missing."""
    import numpy as np
    import pyarrow as pa

    plain = _undone(name, array)
    cast = _cast(name, plain, rows, "number", lambda part: _read(part, pa.float64()))
    values: NDArray[np.float64] = cast.to_numpy(zero_copy_only=False).astype(np.float64, copy=False)
    endless = np.isinf(values)
    if endless.any():
        row = rows[int(endless.argmax())]
        raise InputError(
            f"row {row}: column {named(name)} is infinite",
            hint="find out where it comes from; remove or repair such rows, or leave the field empty",
        )
    return values


def integers(name: str, array: "pa.Array", rows: "NDArray[np.int64]") -> "NDArray[np.int64] | NDArray[np.float64]":
    """int64, or float64 with NaN when a value is missing."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    plain = _undone(name, array)
    if pa.types.is_integer(plain.type) and plain.null_count == 0:
        cast = _cast(name, plain, rows, "integer", lambda part: pc.cast(part, pa.int64()))
        whole: NDArray[np.int64] = cast.to_numpy(zero_copy_only=False)
        return whole
    if _is_words(plain.type):
        try:
            return integers(name, _read(plain, pa.int64()), rows)
        except pa.ArrowInvalid:
            pass  # as in 1.0; checked below
    values = numbers(name, plain, rows)
    broken = values != np.trunc(values)
    broken &= ~np.isnan(values)
    if broken.any():
        place = int(broken.argmax())
        raise _unfit(name, rows[place], values[place], "integer")
    if np.isnan(values).any():
        return values
    return values.astype(np.int64)


def truths(name: str, array: "pa.Array", rows: "NDArray[np.int64]") -> "NDArray[np.bool_] | NDArray[np.float64]":
    """Bool, or float64 with NaN when a value is missing. Numbers must be 0 or 1."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    plain = _undone(name, array)
    if not _is_words(plain.type) and not pa.types.is_boolean(plain.type):
        values = numbers(name, plain, rows)
        wrong = ~(np.isnan(values) | (values == 0) | (values == 1))
        if wrong.any():
            place = int(wrong.argmax())
            raise _unfit(name, rows[place], values[place], "boolean")
        plain = pa.array(values == 1, mask=np.isnan(values))
    cast = _cast(name, plain, rows, "boolean", lambda part: _read(part, pa.bool_()))
    if cast.null_count:
        missing: NDArray[np.float64] = pc.cast(cast, pa.uint8()).to_numpy(zero_copy_only=False).astype(np.float64)
        return missing
    known: NDArray[np.bool_] = cast.to_numpy(zero_copy_only=False)
    return known


def times(name: str, array: "pa.Array", rows: "NDArray[np.int64]") -> "NDArray[np.datetime64]":
    """datetime64[ns], in UTC when the values have a zone; NaT where missing."""
    import pyarrow as pa
    import pyarrow.compute as pc

    plain = _undone(name, array)

    def cast(part: "pa.Array") -> "pa.Array":
        if _is_words(part.type):
            try:
                return _read(part, pa.timestamp("ns"))
            except pa.ArrowInvalid:
                return pc.cast(_read(part, pa.timestamp("ns", "UTC")), pa.timestamp("ns"))
        if pa.types.is_timestamp(part.type) and part.type.tz is not None:
            part = pc.cast(part, pa.timestamp(part.type.unit, "UTC"))
        return pc.cast(part, pa.timestamp("ns"))

    values: NDArray[np.datetime64] = _cast(name, plain, rows, "datetime", cast).to_numpy(zero_copy_only=False)
    return values


def parsed(name: str, array: "pa.Array", rows: "NDArray[np.int64]", kind: Kind) -> "NDArray[np.generic] | None":
    """A column of text as values of a kind; None when one of them is not written like that."""
    import pyarrow as pa

    values: NDArray[np.generic] | None = None
    try:
        match kind:
            case "whole":
                values = integers(name, _read(array, pa.int64()), rows)
            case "real":
                values = numbers(name, _read(array, pa.float64()), rows)
            case "truth":
                values = truths(name, _read(array, pa.bool_()), rows)
            case "time":
                values = times(name, array, rows)
            case "words":
                pass
    except pa.ArrowInvalid:
        return None
    except InputError:
        if kind == "real":
            raise  # infinite: written as a number, and no number
        return None
    return values


def codes(name: str, array: "pa.Array", rows: "NDArray[np.int64]", places: dict[str, int]) -> "NDArray[np.int32]":
    """Where each value stands among the categories, -1 where missing."""
    import numpy as np

    coded = array if _is_dictionary(array.type) else array.dictionary_encode()
    known = np.array([places.get(text, -2) for text in categories_of(coded.dictionary)] or [-1], dtype=np.int32)
    indices = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    result: NDArray[np.int32] = np.where(indices < 0, -1, known[indices])
    strange = result == -2
    if strange.any():
        place = int(strange.argmax())
        raise InputError(
            f"row {rows[place]}: column {named(name)} holds {_shown(_value(array[place]))}, which is not among its categories",
            hint=f"add it to input.columns.{printable(name)}.categories, or correct the row",
        )
    return result


def categories_of(values: "pa.Array") -> list[str]:
    """The values as names of categories."""
    return ["" if value is None else label_text(value) for value in values.to_pylist()]


def as_words(array: "pa.Array") -> "pa.Array":
    """The values as text, each as `label_text` writes it."""
    import pyarrow as pa

    if _is_words(array.type) or (_is_dictionary(array.type) and _is_words(array.type.value_type)):
        return array
    coded = array if _is_dictionary(array.type) else array.dictionary_encode()
    texts = pa.array(categories_of(coded.dictionary), pa.string())
    return pa.DictionaryArray.from_arrays(coded.indices, texts)


def beginnings(array: "pa.Array", length: int) -> "pa.Array":
    """The first characters of each text."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if _is_dictionary(array.type):
        return pa.DictionaryArray.from_arrays(array.indices, pc.utf8_slice_codeunits(array.dictionary, 0, length))
    return pc.utf8_slice_codeunits(array, 0, length)


def objects(array: "pa.Array") -> "NDArray[np.object_]":
    """Python strings, None where missing. Equal strings of a dictionary are one object."""
    import numpy as np

    array = as_words(array)
    if not _is_dictionary(array.type):
        plain: NDArray[np.object_] = array.to_numpy(zero_copy_only=False)
        return plain
    values = np.array([*array.dictionary.to_pylist(), None], dtype=object)
    indices = array.indices.fill_null(len(values) - 1).to_numpy(zero_copy_only=False)
    shared: NDArray[np.object_] = values[indices]
    return shared


def _read(array: "pa.Array", type_: "pa.DataType") -> "pa.Array":
    """The column in another type; text may have blanks around its numbers, but is never hexadecimal."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not _is_words(array.type):
        return pc.cast(array, type_, safe=pa.types.is_integer(type_))
    try:
        cast = pc.cast(array, type_)
    except pa.ArrowInvalid:
        cast = pc.cast(pc.utf8_trim_whitespace(array), type_)
    if pa.types.is_integer(type_) and pc.any(pc.match_substring(array, "x")).as_py():
        raise pa.ArrowInvalid("hexadecimal")
    return cast


def _cast(
    name: str,
    array: "pa.Array",
    rows: "NDArray[np.int64]",
    wanted: ColumnType,
    action: Callable[["pa.Array"], "pa.Array"],
) -> "pa.Array":
    """The converted column, or an InputError that names the first row which cannot be converted."""
    import pyarrow as pa

    try:
        return action(array)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        pass
    low, high = 0, len(array)
    while high - low > 1:
        middle = (low + high) // 2
        try:
            action(array[low:middle])
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            high = middle
        else:
            low = middle
    raise _unfit(name, rows[low], _value(array[low]), wanted)


def _unfit(name: str, row: "np.int64", value: Any, wanted: ColumnType) -> InputError:
    return InputError(
        f"row {row}: column {named(name)} holds {_shown(value)}, expected {_WANTED[wanted]}",
        hint=f"correct the row, or the type of the column under input.columns.{printable(name)}",
    )


def _value(scalar: "pa.Scalar") -> object:
    """As Python has it; of a date beyond its calendar only the type."""
    try:
        return scalar.as_py()
    except (OverflowError, ValueError):
        return f"a {scalar.type} beyond the calendar"


def _shown(value: object) -> str:
    return repr(shorten(printable(str(value)), 60)) if isinstance(value, str) else shorten(printable(str(value)), 60)


def _undone(name: str, array: "pa.Array") -> "pa.Array":
    """Plain values. A long text that a dictionary repeats is refused before it is written out for every row."""
    import pyarrow.compute as pc

    if not _is_dictionary(array.type):
        return array
    if _is_words(array.type.value_type) and (pc.max(pc.binary_length(array.dictionary)).as_py() or 0) > _LONGEST_NUMBER:
        raise InputError(
            f"column {named(name)} holds long texts, expected values",
            hint=f"correct the type of the column under input.columns.{printable(name)}",
        )
    return array.dictionary_decode()


def _is_dictionary(type_: "pa.DataType") -> bool:
    import pyarrow as pa

    return bool(pa.types.is_dictionary(type_))


def _is_words(type_: "pa.DataType") -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(type_) or pa.types.is_large_string(type_) or pa.types.is_string_view(type_))
