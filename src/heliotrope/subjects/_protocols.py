"""Batches and answers as three protocols write them: KServe V2, MLflow and plain JSON.

KServe V2 is the Open Inference Protocol, https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol;
MLflow's is that of its scoring server, https://mlflow.org/docs/latest/ml/deployment.
"""

import json
import math
from typing import TYPE_CHECKING, Any

from heliotrope.config.schema import EndpointConfig
from heliotrope.core.errors import InputError
from heliotrope.core.text import printable, shorten
from heliotrope.subjects._asking import is_frame

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from heliotrope.subjects.interface import Inputs

__all__ = ["KServeTensors", "answer_of", "request_of", "tensors_of"]

KServeTensors = dict[str, str]
"""Name of each input of a KServe model to its datatype, as its metadata say; empty when it has none."""

_NUMBERS = {"FP16", "FP32", "FP64"}
_WHOLE = {"INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"}
_MAX_DEPTH = 32


def request_of(endpoint: EndpointConfig, inputs: "Inputs", tensors: KServeTensors) -> bytes:
    """The body of a request for predictions of a batch."""
    if endpoint.protocol == "kserve-v2":
        body: Any = {"inputs": _kserve_inputs(inputs, tensors)}
    elif endpoint.protocol == "mlflow":
        body = {"inputs": inputs.tolist()} if not is_frame(inputs) else {"dataframe_split": _split(inputs)}
    elif is_frame(inputs):
        split = _split(inputs)
        body = {endpoint.request: [dict(zip(split["columns"], row, strict=True)) for row in split["data"]]}
    else:
        body = {endpoint.request: inputs.tolist()}
    try:
        return json.dumps(body, allow_nan=False, separators=(",", ":")).encode()
    except ValueError:
        raise InputError(
            "the data have NaN or infinite values, which JSON cannot carry", hint="leave rows with missing values out"
        ) from None


def _split(frame: "pd.DataFrame") -> dict[str, list[Any]]:
    columns = [_plain(frame.iloc[:, place]) for place in range(len(frame.columns))]
    rows = [list(row) for row in zip(*columns, strict=True)]
    return {"columns": [str(name) for name in frame.columns], "data": rows}


def _plain(column: "pd.Series[Any]") -> list[Any]:
    """Values as JSON has them; missing ones are null, points in time ISO 8601."""
    missing = column.isna().to_numpy()
    values = [str(value) for value in column] if column.dtype.kind == "M" else column.astype(object).tolist()
    return [None if lacking else value for value, lacking in zip(values, missing, strict=True)]


def _kserve_inputs(inputs: "Inputs", tensors: KServeTensors) -> list[dict[str, Any]]:
    """One tensor for a model with one input, or whose metadata are not known and whose data are numbers; else by column."""
    single = len(tensors) == 1 or (not tensors and not is_frame(inputs))
    if is_frame(inputs):
        numeric = all(kind.kind in "fiub" for kind in inputs.dtypes)
        if not (single or (not tensors and numeric)):
            return [_tensor(name, inputs[name], tensors) for name in _names(inputs, tensors)]
        if not numeric:
            return [_texts(next(iter(tensors)), inputs)]
        inputs = inputs.to_numpy(dtype="float64")
    elif not single:
        raise InputError(
            f"the model takes {len(tensors)} inputs, the data are one array", hint="give a table: csv or parquet"
        )
    name, datatype = next(iter(tensors.items()), ("input-0", "FP32" if inputs.dtype == "float32" else "FP64"))
    return [_written(name, datatype, inputs)]


def _names(frame: "pd.DataFrame", tensors: KServeTensors) -> list[str]:
    from heliotrope.subjects._matrices import arrangement

    names = [str(name) for name in frame.columns]
    order = arrangement(list(tensors) or None, names)
    return names if order is None else [names[place] for place in order]


def _texts(name: str, frame: "pd.DataFrame") -> dict[str, Any]:
    data = [value for row in _split(frame)["data"] for value in row]
    if any(not isinstance(value, str) for value in data):
        raise InputError(
            "the model takes one tensor, the columns are numbers and text",
            hint="have it take one input for each column",
        )
    return {"name": name, "shape": list(frame.shape), "datatype": "BYTES", "data": data}


def _tensor(name: str, column: "pd.Series[Any]", tensors: KServeTensors) -> dict[str, Any]:
    kind = column.dtype.kind
    if kind in "fiub":
        natural = {"f": "FP64", "b": "BOOL"}.get(kind, "INT64")
        return _written(name, tensors.get(name, natural), column.to_numpy()[:, None])
    data = _plain(column)
    if any(value is None for value in data):
        raise InputError(
            f"column {printable(name)!r} lacks values, and the protocol has no missing text",
            hint="leave such rows out, or fill them as in training",
        )
    return {"name": name, "shape": [len(column), 1], "datatype": "BYTES", "data": [str(value) for value in data]}


def _written(name: str, datatype: str, values: "NDArray[np.generic]") -> dict[str, Any]:
    import numpy as np

    shown = printable(shorten(name, 80))
    numbers = values.astype(np.float64)
    if not bool(np.isfinite(numbers).all()):
        raise InputError(
            f"values for input {shown!r} are missing, which JSON tensors cannot say", hint="leave such rows out"
        )
    if datatype in _WHOLE or datatype == "BOOL":
        if not bool((np.rint(numbers) == numbers).all()):
            raise InputError(f"input {shown!r} takes {datatype}, the data have fractions", hint="compare the columns")
        data: list[Any] = numbers.astype(np.bool_ if datatype == "BOOL" else np.int64).ravel().tolist()
    elif datatype in _NUMBERS:
        data = (values.astype(np.float32) if datatype == "FP32" else numbers).ravel().astype(np.float64).tolist()
    else:
        raise InputError(
            f"input {shown!r} takes {printable(datatype)}, the data are numbers", hint="compare the columns"
        )
    return {"name": name, "shape": list(values.shape), "datatype": datatype, "data": data}


def answer_of(endpoint: EndpointConfig, body: bytes, rows: int) -> list[Any]:
    """What a response says of each row: a number, a label, or a list of scores. Raises InputError for anything else."""
    document = _decoded(body)
    if endpoint.protocol == "kserve-v2":
        return _kserve_answer(document, endpoint.output_name, rows)
    keys = ["predictions"] if endpoint.protocol == "mlflow" else endpoint.response.split(".")
    found: Any = document
    for key in keys:
        if isinstance(found, list) and endpoint.protocol == "mlflow":
            break  # old servers answer with the list alone
        if not isinstance(found, dict) or key not in found:
            raise InputError(
                f"the answer has no {printable('.'.join(keys))!r}: {_shown(document)}", hint="correct endpoint.response"
            )
        found = found[key]
    if not isinstance(found, list) or len(found) != rows:
        raise InputError(
            f"the answer has {len(found) if isinstance(found, list) else 'no list of'} predictions for {rows} rows",
            hint="the server must answer with one prediction for each row",
        )
    return [list(row.values()) if isinstance(row, dict) else row for row in found]


def _kserve_answer(document: Any, wanted: str | None, rows: int) -> list[Any]:
    outputs = document.get("outputs") if isinstance(document, dict) else None
    if not isinstance(outputs, list) or not all(isinstance(output, dict) for output in outputs):
        raise InputError(f"the answer has no outputs: {_shown(document)}", hint="correct endpoint.protocol")
    output = next((item for item in outputs if wanted is None or item.get("name") == wanted), None)
    if output is None:
        names = printable(shorten(", ".join(str(item.get("name")) for item in outputs), 200))
        raise InputError(f"the answer has no output {wanted!r}; it has {names}", hint="correct endpoint.output_name")
    shape, data = output.get("shape"), _flat(output.get("data"))
    good = isinstance(shape, list) and shape and all(type(size) is int and size >= 0 for size in shape)
    if not good or shape[0] != rows or math.prod(shape) != len(data):
        raise InputError(
            f"the output {printable(str(output.get('name')))!r} has shape {shape} and {len(data)} values for {rows} rows",
            hint="the server must answer with one row for each row, as JSON (no binary data)",
        )
    width = len(data) // rows
    return data if len(shape) == 1 else [data[start : start + width] for start in range(0, len(data), width)]


def _flat(data: Any) -> list[Any]:
    """Tensors are written flat or nested."""
    if not isinstance(data, list):
        return []
    values: list[Any] = data
    for _ in range(_MAX_DEPTH):
        if not any(isinstance(item, list) for item in values):
            break
        values = [part for item in values for part in (item if isinstance(item, list) else [item])]
    return values


def tensors_of(body: bytes) -> KServeTensors:
    """Inputs of a KServe model by its metadata. Raises InputError when they are none."""
    document = _decoded(body)
    inputs = document.get("inputs") if isinstance(document, dict) else None
    if not isinstance(inputs, list) or not all(
        isinstance(item, dict) and isinstance(item.get("name"), str) and isinstance(item.get("datatype"), str)
        for item in inputs
    ):
        raise InputError("the metadata of the model name no inputs", hint="correct endpoint.url")
    return {item["name"]: item["datatype"] for item in inputs}


def _decoded(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        shown = printable(shorten(body[:400].decode("utf-8", "replace"), 120))
        raise InputError(f"the answer is no JSON: {shown}", hint="correct endpoint.url and endpoint.protocol") from None


def _shown(document: Any) -> str:
    found = ", ".join(map(str, list(document)[:5])) if isinstance(document, dict) else type(document).__name__
    return printable(shorten(found, 120))
