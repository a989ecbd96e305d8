"""Batches as the tensors an ONNX model takes."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from heliotrope.core.errors import InputError
from heliotrope.core.text import printable, shorten
from heliotrope.subjects._asking import is_frame
from heliotrope.subjects._matrices import arrangement, flat, numbers, require_width

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from heliotrope.subjects.interface import Inputs

__all__ = ["OnnxInput", "feeds"]

_DTYPES = {
    "tensor(float16)": "float16",
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(int8)": "int8",
    "tensor(int16)": "int16",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
    "tensor(uint8)": "uint8",
    "tensor(uint16)": "uint16",
    "tensor(uint32)": "uint32",
    "tensor(uint64)": "uint64",
    "tensor(bool)": "bool",
    "tensor(string)": "object",
}


@dataclass(frozen=True, slots=True)
class OnnxInput:
    """One input of a model."""

    name: str
    dtype: str
    batch: int | None
    """Fixed number of rows of a run."""
    sample: tuple[int | None, ...]
    """Of one row; None where any size will do."""

    @classmethod
    def of(cls, node: Any) -> Self:
        """Of what the session says. Raises InputError for an input that is no tensor, or none of numbers or text."""
        dtype = _DTYPES.get(node.type)
        shape = tuple(size if isinstance(size, int) else None for size in node.shape)
        shown = printable(shorten(node.name, 80))
        if dtype is None or not shape:
            raise InputError(
                f"input {shown!r} of the model is {node.type} of shape {list(node.shape)}, which no batch of rows fits",
                hint="export a model whose inputs are tensors with the batch as first dimension",
            )
        return cls(node.name, dtype, shape[0], shape[1:])


def feeds(inputs: tuple[OnnxInput, ...], batch: "Inputs") -> "dict[str, NDArray[Any]]":
    """Input name to tensor. Raises InputError when names, shapes or kinds do not fit."""
    if len(inputs) == 1:
        only = inputs[0]
        return {only.name: _table(only, batch) if is_frame(batch) else _samples(only, batch)}
    if not is_frame(batch):
        raise InputError(
            f"the model takes {len(inputs)} inputs, the data are one array",
            hint="give a table with one column for each input: csv or parquet",
        )
    names = [str(name) for name in batch.columns]
    places = arrangement([node.name for node in inputs], names)
    assert places is not None
    return {node.name: _column(node, batch.iloc[:, place]) for node, place in zip(inputs, places, strict=True)}


def _samples(node: OnnxInput, batch: "NDArray[Any]") -> "NDArray[Any]":
    """Samples in the shape the model takes; those of a model of plain rows are laid out flat."""
    shape = batch.shape[1:]
    if len(node.sample) == 1 and len(shape) > 1 and node.sample[0] in (None, flat(batch).shape[1]):
        batch = flat(batch)
    elif not _fits(node.sample, shape):
        wanted = [size if size is not None else "any" for size in node.sample]
        raise InputError(
            f"the model takes samples of shape {wanted}, the data have {list(shape)}",
            hint="set input.shape to what the model takes; images are stored channel first",
        )
    if node.dtype == "object":
        raise InputError("the model takes text, the data are numbers", hint="give a table with text columns")
    return _converted(node, batch, what="the data")


def _table(node: OnnxInput, frame: "pd.DataFrame") -> "NDArray[Any]":
    """All columns side by side."""
    width = len(frame.columns)
    if node.sample == () and width == 1:
        return _column(node, frame.iloc[:, 0])
    if len(node.sample) != 1:
        raise InputError(
            f"the model takes samples of {len(node.sample)} dimensions, a table has rows of one",
            hint="give arrays or images instead: npz, npy, idx or folders",
        )
    if node.sample[0] is not None:
        require_width(width, node.sample[0])
    if node.dtype == "object":
        import numpy as np

        return np.stack([_texts(frame.iloc[:, place]) for place in range(width)], axis=1)
    return _converted(node, numbers(frame), what="the table")


def _column(node: OnnxInput, column: "pd.Series[Any]") -> "NDArray[Any]":
    if not _fits(node.sample, (1,)) and node.sample != ():
        raise InputError(
            f"input {printable(node.name)!r} takes samples of shape {list(node.sample)}, a column has one value each",
            hint="export the model with one input for each column, or one for all",
        )
    form = (-1,) if node.sample == () else (-1, 1)
    if node.dtype == "object":
        return _texts(column).reshape(form)
    values = numbers(column.to_frame())
    return _converted(node, values, what=f"column {printable(str(column.name))!r}").reshape(form)


def _texts(column: "pd.Series[Any]") -> "NDArray[Any]":
    """Values as text. ONNX knows no missing text."""
    import numpy as np

    name = printable(str(column.name))
    if bool(column.isna().any()):
        raise InputError(
            f"column {name!r} lacks values, and ONNX has no missing text",
            hint="fill them as was done in training, or export the model with its imputation before the text",
        )
    if column.dtype.kind in "fM":
        raise InputError(
            f"column {name!r} is {column.dtype}, the model takes text", hint="declare it in input.columns: category"
        )
    values = np.empty(len(column), dtype=object)
    values[:] = [str(value) for value in column]
    return values


def _converted(node: OnnxInput, values: "NDArray[Any]", *, what: str) -> "NDArray[Any]":
    """In the model's type. Floats become whole numbers only where they are such, or pixels, which are rounded."""
    import numpy as np

    kind = np.dtype(node.dtype)
    if kind.kind in "iub" and values.dtype.kind == "f":
        rounded = np.rint(values)
        limits = (0, 1) if kind.kind == "b" else (np.iinfo(kind).min, np.iinfo(kind).max)
        pixels = values.ndim > 2 and kind.kind != "b"
        inside = (rounded >= limits[0]) & (rounded <= limits[1])
        if not bool((inside if pixels else inside & (rounded == values)).all()):
            raise InputError(
                f"input {printable(node.name)!r} takes {node.dtype}, {what} have other values, or lack some",
                hint="look at missing values and at fractions; of images, at input.range",
            )
        values = rounded
    return values.astype(kind)


def _fits(sample: tuple[int | None, ...], shape: tuple[int, ...]) -> bool:
    return len(sample) == len(shape) and all(wanted in (None, size) for wanted, size in zip(sample, shape, strict=True))
