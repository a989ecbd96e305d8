"""Real scikit-learn models on real data, ready to be asked: what a check sees, without files or a worker."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from heliotrope.config.schema import HeliotropeConfig
from heliotrope.core.errors import InputError
from heliotrope.core.evidence import Blob
from heliotrope.core.records import sha256_hex
from heliotrope.core.runs import CheckResult
from heliotrope.core.subjects import Subject
from heliotrope.engine.interface import Limits, Task
from heliotrope.engine.registry import checks
from heliotrope.subjects.checking import model_checks
from heliotrope.subjects.interface import Batch, Column, Opened
from heliotrope.subjects.planning import ModelTask

__all__ = ["Context", "Data", "Model", "breast_cancer", "columns_of", "run_check", "subject"]


class Context:
    """A RunContext that keeps everything in memory."""

    def __init__(self, workdir: Path) -> None:
        self.limits = Limits()
        self.workdir = workdir
        self.blobs: dict[str, bytes] = {}
        self.said: list[tuple[float, float, str]] = []

    def progress(self, done: float, total: float, text: str = "") -> None:
        self.said.append((done, total, text))

    def store(self, data: bytes, media_type: str) -> Blob:
        blob = Blob(sha256=sha256_hex(data), size=len(data), media_type=media_type)
        self.blobs[blob.sha256] = data
        return blob


@dataclass
class Data:
    """A Dataset in memory: a DataFrame with columns, or an array."""

    inputs: Any
    answers: Any
    columns: tuple[Column, ...] = ()
    digests: dict[str, str] = field(default_factory=lambda: {"data": "d" * 64})

    @property
    def kind(self) -> str:
        return "table" if self.columns else "images"

    def __len__(self) -> int:
        return len(self.answers)

    def batches(self, size: int) -> Iterator[Batch]:
        for begin in range(0, len(self), size):
            yield self.take(np.arange(begin, min(begin + size, len(self)), dtype=np.int64))

    def take(self, rows: Any) -> Batch:
        inputs = self.inputs.iloc[rows].reset_index(drop=True) if self.columns else self.inputs[rows]
        return Batch(inputs, np.asarray(self.answers)[rows], rows)

    def close(self) -> None:
        pass


@dataclass
class Model:
    """A Predictor: any function from inputs to scores, as a fitted model's predict_proba."""

    function: Callable[[Any], Any]
    names: tuple[str, ...]
    output: str = "probabilities"
    format: str = "sklearn"
    digests: dict[str, str] = field(default_factory=lambda: {"model.skops": "a" * 64})
    asked: int = 0
    calls: int = 0

    @property
    def classes(self) -> int:
        return len(self.names) or 1

    def scores(self, inputs: Any) -> Any:
        self.asked += len(inputs)
        self.calls += 1
        try:
            scores = np.asarray(self.function(inputs), dtype=np.float64)
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"the model failed with {type(error).__name__}: {error}") from None
        if scores.ndim == 1:
            scores = scores[:, None]
        if not np.isfinite(scores).all():
            raise InputError("the model returns scores that are not finite")
        return scores

    def close(self) -> None:
        pass


def columns_of(frame: pd.DataFrame, **changes: dict[str, Any]) -> tuple[Column, ...]:
    """Columns as a reader infers them; `changes` overrules fields by column name."""
    columns = []
    for name in frame.columns:
        values = frame[name]
        made: dict[str, Any] = {"name": name, "missing": bool(values.isna().any())}
        if isinstance(values.dtype, pd.CategoricalDtype):
            made |= {"type": "category", "categories": tuple(values.value_counts().index)}
        elif values.dtype == bool:
            made |= {"type": "boolean"}
        elif values.dtype.kind in "iuf":
            low, high = np.nanpercentile(values, (16, 84))
            made |= {
                "type": "integer" if values.dtype.kind in "iu" else "number",
                "low": float(values.min()),
                "high": float(values.max()),
                "spread": float(high - low) / 2,
            }
        else:
            made |= {"type": "text"}
        columns.append(Column(**{**made, **changes.get(name, {})}))
    return tuple(columns)


def subject(model: Model, data: Data, /, *, seed: int = 0, root: Path = Path("/nonexistent"), **fields: Any) -> Opened:
    """Model and data as opened; `fields` are those of the model's configuration, and threat, suite and sample."""
    if "constraints" in fields:
        fields["data"] = {"constraints": fields.pop("constraints")}
    parameters = {name: fields.pop(name) for name in ("threat", "suite", "sample") if name in fields}
    task_name = "tabular-regression" if getattr(model, "output", "") == "values" else "tabular-classification"
    entry = {"name": "m", "path": "model.skops", "format": "sklearn", "task": task_name, **fields}
    config = HeliotropeConfig.model_validate(
        {
            "version": 1,
            "project": "p",
            "models": [entry],
            **({"threat": parameters["threat"]} if "threat" in parameters else {}),
        }
    )
    made = ModelTask(
        model=config.models[0], threat=config.threat, suite=parameters.get("suite"), sample=parameters.get("sample")
    )
    task = Task(
        check="t",
        subject=Subject(urn="urn:heliotrope:p:model:m", kind="model", name="m"),
        root=str(root),
        parameters=made.document(),
        inputs={},
        seed=seed,
    )
    return Opened(task, made, model, data)


def run_check(check: str, opened: Opened, workdir: Path) -> tuple[CheckResult, dict[str, Any], Context]:
    """The inner function of a check on an opened subject: its result, its predicate and the context with its blobs."""
    checks()
    found = next(item for item in model_checks() if item.id == check)
    context = Context(workdir)
    result = found.function(opened, context)
    return result, result.evidence[0].predicate if result.evidence else {}, context


def breast_cancer() -> tuple[pd.DataFrame, Any]:
    """569 rows of 30 numbers, two classes; part of scikit-learn."""
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer(as_frame=True)
    return data.data.astype(float), data.target.to_numpy(np.int64)
