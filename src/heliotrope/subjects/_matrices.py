"""Tables and samples as the matrices that libraries take. Nothing is guessed: what is no number is an error that names it."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from heliotrope.config.schema import NormalisationConfig
from heliotrope.core.errors import InputError
from heliotrope.core.text import printable, shorten
from heliotrope.subjects._asking import is_frame

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from heliotrope.subjects.interface import Inputs

__all__ = ["arrangement", "flat", "normaliser", "numbers", "require_width"]

_SHOWN = 5


def numbers(inputs: "Inputs", dtype: str = "float64") -> "NDArray[Any]":
    """N x features of a table whose columns are numbers or booleans, or of samples laid out flat; always a copy.

    Missing values are NaN. Raises InputError for a column of anything else.
    """
    import numpy as np

    if not is_frame(inputs):
        return np.array(flat(inputs), dtype=dtype)
    for name, kind in inputs.dtypes.items():
        if not _is_number(kind):
            raise InputError(
                f"column {printable(str(name))!r} is no number ({kind}), and the model takes numbers only",
                hint="leave it out (data.evaluate.features), or export the model together with its encoding",
            )
    return np.array(inputs.to_numpy(dtype=dtype, na_value=np.nan))


def _is_number(kind: Any) -> bool:
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    return bool(is_numeric_dtype(kind) or is_bool_dtype(kind))


def flat(inputs: "NDArray[Any]") -> "NDArray[Any]":
    """N x values of samples of any shape, in their order in memory."""
    return inputs.reshape(len(inputs), -1)


def require_width(width: int, expected: int) -> None:
    """Raise InputError when data have another number of features than the model takes."""
    if width != expected:
        raise InputError(
            f"the data have {width} features, the model takes {expected}",
            hint="name the columns it takes, in its order: data.evaluate.features",
        )


def arrangement(
    own: Sequence[str] | None, columns: Sequence[str], *, spelled: Callable[[str], str] = str
) -> list[int] | None:
    """Positions of a model's features among the columns of a table; None when the model knows no names.

    `spelled` writes a column's name as the library does. Raises InputError for features that the table lacks and for
    columns that the model does not know.
    """
    if own is None:
        return None
    places = {spelled(name): index for index, name in enumerate(columns)}
    missing = [name for name in own if name not in places]
    known = set(own)
    unknown = [name for name in columns if spelled(name) not in known]
    if missing or unknown or len(places) != len(columns):
        faults = [f"the table lacks {_some(missing)}"] if missing else []
        faults += [f"the model does not know {_some(unknown)}"] if unknown else []
        raise InputError(
            f"the columns are not those the model was trained on: {'; '.join(faults) or 'two columns have one name'}",
            hint="name the columns it takes in data.evaluate.features, spelled as in training",
        )
    return [places[name] for name in own]


def normaliser(
    declared: NormalisationConfig | str, shape: tuple[int, ...]
) -> "Callable[[NDArray[Any]], NDArray[np.float32]] | None":
    """(x - mean) / std for each channel of samples of a shape; None where the model does that itself."""
    import numpy as np

    if not isinstance(declared, NormalisationConfig):
        return None
    channels = shape[0] if shape else 0
    if not shape or {len(declared.mean), len(declared.std)} - {1, channels}:
        raise InputError(
            f"normalisation has {len(declared.mean)} means and {len(declared.std)} deviations for {channels} channels",
            hint="give one for each channel, or one for all; tables have none",
        )
    form = (1, -1, *([1] * (len(shape) - 1)))
    mean = np.array(declared.mean, dtype=np.float32).reshape(form)
    std = np.array(declared.std, dtype=np.float32).reshape(form)
    return lambda inputs: ((inputs - mean) / std).astype(np.float32)


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(printable(shorten(name, 60)) for name in names[:_SHOWN]) + more
