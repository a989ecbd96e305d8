"""What surrounds every call into a model's library: inputs of the agreed form go in, finite scores of the agreed shape come out."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from heliotrope.config.schema import ModelConfig, OutputKind
from heliotrope.core.errors import HeliotropeError, InputError
from heliotrope.core.text import printable, shorten
from heliotrope.subjects._scores import checked_scores

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray
    from typing_extensions import TypeIs

    from heliotrope.subjects.interface import Inputs, Scores

__all__ = ["AskedModel", "Features", "calling_library", "class_names", "is_frame", "threads", "tried", "wants_values"]

_SHOWN = 3
_OUT_OF_MEMORY = ("bad_alloc", "bad allocation", "failed to allocate memory", "cannot allocate memory")
"""How libraries in C++ say it."""


@dataclass(frozen=True, slots=True)
class Features:
    """What a model was opened on. Every later batch must look the same."""

    names: tuple[str, ...]
    """Of the columns of a table; empty for arrays."""
    shape: tuple[int, ...]
    """Of one sample of an array; empty for tables."""

    @classmethod
    def of(cls, inputs: "Inputs") -> Self:
        if is_frame(inputs):
            return cls(tuple(str(name) for name in inputs.columns), ())
        return cls((), tuple(inputs.shape[1:]))

    def require(self, inputs: "Inputs") -> None:
        """Raise InputError unless a batch has these columns in this order, or samples of this shape made of numbers."""
        import numpy as np

        if is_frame(inputs) != bool(self.names) or not (is_frame(inputs) or isinstance(inputs, np.ndarray)):
            expected = "a table" if self.names else "an array"
            raise InputError(f"the model was opened on {expected}, not on {type(inputs).__name__}", hint=_SAME)
        found = Features.of(inputs)
        if found.names != self.names:
            raise InputError(
                f"the model was opened on the columns {_some(self.names)}; these are {_some(found.names)}", hint=_SAME
            )
        if found.shape != self.shape:
            raise InputError(
                f"the model was opened on samples of shape {list(self.shape)}; these have {list(found.shape)}",
                hint=_SAME,
            )
        if not is_frame(inputs) and inputs.dtype.kind not in "fiub":
            raise InputError(f"the model takes numbers; this is an array of {inputs.dtype}", hint="convert it first")


_SAME = "ask with batches of the data it was opened with"


@dataclass(frozen=True, slots=True)
class AskedModel:
    """A Predictor around one function that asks the library."""

    format: str
    classes: int
    names: tuple[str, ...]
    output: OutputKind
    digests: dict[str, str]
    features: Features
    ask: "Callable[[Inputs], NDArray[Any]]"
    """A batch of the agreed form, at least one row, to n x classes, or to n of a binary classifier or a regression."""
    finish: Callable[[], None] = lambda: None

    def scores(self, inputs: "Inputs") -> "Scores":
        import numpy as np

        self.features.require(inputs)
        if not len(inputs):
            return np.empty((0, self.classes), dtype=np.float64)
        with calling_library(f"the {self.format} model on {len(inputs)} rows"):
            answer = self.ask(inputs)
        return checked_scores(answer, rows=len(inputs), output=self.output, classes=self.classes)

    def close(self) -> None:
        """May be called twice."""
        self.finish()


def tried(
    model: ModelConfig,
    *,
    format: str,  # noqa: A002 - the field's name everywhere
    probe: "Inputs",
    digests: dict[str, str],
    output: OutputKind,
    ask: "Callable[[Inputs], NDArray[Any]]",
    names: tuple[str, ...] | None = None,
    finish: Callable[[], None] | None = None,
) -> AskedModel:
    """Ask about the probe and take the number of classes from the answer.

    `names` are the class names the library itself knows. Raises InputError when the model does not take the probe or
    answers otherwise than declared.
    """
    features = Features.of(probe)
    features.require(probe)
    with calling_library(f"the {format} model on {len(probe)} rows of the data"):
        answer = ask(probe)
    classes = checked_scores(answer, rows=len(probe), output=output).shape[1]
    named = () if output == "values" else class_names(model, classes, names)
    return AskedModel(format, classes, named, output, digests, features, ask, finish or (lambda: None))


def class_names(model: ModelConfig, classes: int, own: tuple[str, ...] | None = None) -> tuple[str, ...]:
    """As `labels` declares, else as the library knows, else numbers."""
    names = model.labels or own or tuple(str(label) for label in range(classes))
    if len(names) != classes:
        whose = "`labels` names" if model.labels else "the model itself names"
        raise InputError(f"the model has {classes} outputs, {whose} {len(names)}", hint="name every output, in order")
    return names


def wants_values(model: ModelConfig) -> bool:
    """Whether a model is declared to give a number; InputError when task and output contradict each other."""
    regression = model.task == "tabular-regression"
    if model.task is not None and model.output is not None and regression != (model.output == "values"):
        raise InputError(
            f"the task is {model.task}, but output is {model.output}",
            hint="values belong to tabular-regression; classifiers give logits, probabilities or labels",
        )
    return regression or model.output == "values"


def is_frame(inputs: object) -> "TypeIs[pd.DataFrame]":
    """Whether inputs are a table; everything else is meant to be an array."""
    return hasattr(inputs, "columns") and hasattr(inputs, "iloc")


def threads() -> int:
    """Threads a library may use: as OMP_NUM_THREADS says, else one for each processor of this process."""
    declared = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    if declared.isascii() and declared.isdigit() and 0 < int(declared) <= _MAX_THREADS:
        return int(declared)
    available = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else ()
    return min(len(available) or os.cpu_count() or 1, _MAX_THREADS)


_MAX_THREADS = 256


@contextmanager
def calling_library(what: str, *, opening: bool = False) -> Iterator[None]:
    """Turn whatever a library raises into an InputError. Running out of memory passes through, unless a file claims it."""
    try:
        yield
    except HeliotropeError:
        raise
    except MemoryError:
        if not opening:
            raise
        raise InputError(f"{what} claims more memory than there is", hint=_DAMAGED) from None
    except Exception as error:  # noqa: BLE001 - libraries have no common root of errors
        said = " ".join(printable(_message(str(error))).split())
        if not opening and any(words in said.lower() for words in _OUT_OF_MEMORY):
            raise MemoryError(what) from None
        reason = shorten(f"{type(error).__name__}: {said}", 400)
        hint = _DAMAGED if opening else "compare the data with what the model was trained on"
        raise InputError(f"{what} failed with {reason}", hint=hint) from None


def _message(text: str) -> str:
    """What a library says, less the time of day and the stack of addresses that some add: equal faults read alike."""
    return re.sub(r"^\[\d\d:\d\d:\d\d\]\s*", "", text.partition("Stack trace")[0].strip())


_DAMAGED = "the file is truncated, damaged or of another format or version; export it again"


def _some(names: tuple[str, ...]) -> str:
    if not names:
        return "none"
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return printable(shorten(", ".join(names[:_SHOWN]), 200)) + more
