"""A LightGBM model from its own text format, from verified bytes in memory."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heliotrope.config.schema import ModelConfig, OutputKind
from heliotrope.core.errors import InputError, MissingExtraError
from heliotrope.core.text import printable, shorten
from heliotrope.subjects._asking import AskedModel, calling_library, is_frame, threads, tried, wants_values
from heliotrope.subjects._categories import coded
from heliotrope.subjects._files import ReadFile, read_file, show
from heliotrope.subjects._matrices import arrangement, numbers, require_width
from heliotrope.subjects._scores import hardened

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from heliotrope.subjects.interface import Column, Inputs

__all__ = ["open_model"]

_CLASSIFIERS = frozenset({"binary", "multiclass", "multiclassova", "cross_entropy"})
_AUTOMATIC_NAME = re.compile(r"Column_\d+")
_HEADER_LINES = 64
"""Of the part before the first tree; version 4 writes about a dozen."""


def open_model(
    model: ModelConfig,
    *,
    root: Path,
    probe: "Inputs",
    columns: "tuple[Column, ...]",
    seed: int,  # noqa: ARG001 - nothing here is random
    expected: Mapping[str, str],
) -> AskedModel:
    """The adapter of the format lightgbm.

    Columns are matched by name, spelled as LightGBM does, where the model was trained on names, else by position.
    Categories are coded as the model says; those it does not know count as missing, as the library has it. One-versus-all
    answers do not sum to one, so such a model gives logits.
    """
    if model.path is None:
        raise InputError(f"model {model.name!r} has no path", hint="set path to the model file in heliotrope.yaml")
    file = read_file(root / model.path, what="model", expected=expected.get("weights"))
    text = _text(file)
    header = _require_whole(file)
    booster = _load(text, file)
    output, raw = _reading(model, header)
    ask = _Asking(booster, _Layout.of(booster, text, header, probe, columns), raw, output == "labels")
    return tried(model, format="lightgbm", probe=probe, digests={model.path: file.sha256}, output=output, ask=ask)


def _text(file: ReadFile) -> str:
    if file.data.startswith(b"tree"):
        try:
            return file.data.decode("utf-8")
        except UnicodeDecodeError:
            pass
    raise InputError(
        f"{show(file.path)} is no text model of LightGBM", hint="write it with booster.save_model('model.lgb')"
    )


def _require_whole(file: ReadFile) -> dict[str, str]:
    """The header; InputError unless every tree stands where it says. The library ends the process over a broken tree."""
    data = file.data
    start = data.find(b"\nTree=0\n") + 1
    lines = data[:start].decode("utf-8", "replace").splitlines()[:_HEADER_LINES]
    header = dict(line.split("=", 1) for line in lines if "=" in line)
    sizes = header.get("tree_sizes", "").split()
    position = start
    whole = bool(sizes)
    for index, size in enumerate(sizes):
        whole = whole and size.isdecimal() and data.startswith(b"Tree=%d\n" % index, position)
        position += int(size) if whole else 0
    parameters = data.find(b"\nparameters:\n", position)
    ended = parameters < 0 or data.find(b"\nend of parameters\n", parameters) >= 0
    if not (whole and ended and data.startswith(b"end of trees\n", position)):
        raise InputError(
            f"{show(file.path)} is a truncated or damaged text model of LightGBM",
            hint="write it again with booster.save_model",
        )
    return header


def _load(text: str, file: ReadFile) -> Any:
    try:
        import lightgbm
    except ImportError:
        raise MissingExtraError("lightgbm", module="lightgbm") from None
    with calling_library(f"opening {show(file.path)} as LightGBM", opening=True):
        return lightgbm.Booster(model_str=text)


def _reading(model: ModelConfig, header: Mapping[str, str]) -> tuple[OutputKind, bool]:
    """What the scores are, and whether they are taken before the objective's last step."""
    objective = header.get("objective", "").partition(" ")[0]
    classes = header.get("num_class", "1")
    regression = wants_values(model)
    classifies = objective in _CLASSIFIERS or classes not in ("0", "1")
    if regression and not classifies:
        return "values", False
    if regression:
        raise InputError(
            f"the task is regression, but the model has the objective {printable(shorten(objective, 40))}",
            hint="set task: tabular-classification",
        )
    if not classifies and model.output != "logits":
        if model.task is None and model.output is None:
            return "values", False
        raise InputError(
            f"the task is classification, but the model has the objective {printable(shorten(objective, 40)) or 'none'}",
            hint="set task: tabular-regression, or output: logits if it was trained with an objective of its own",
        )
    if model.output == "labels":
        return "labels", False
    unbound = objective not in _CLASSIFIERS or objective == "multiclassova"
    if unbound and model.output == "probabilities":
        raise InputError(
            f"answers of the objective {printable(shorten(objective, 40)) or 'none'} are no probabilities that sum to 1",
            hint="set output: logits",
        )
    raw = unbound or model.output == "logits"
    return ("logits" if raw else "probabilities"), raw


@dataclass(frozen=True, slots=True)
class _Layout:
    """How a batch becomes the matrix that the model was trained on."""

    order: list[int]
    """Places of the features among the columns of a table; empty for arrays."""
    coders: dict[str, list[Any] | None]
    columns: "tuple[Column, ...]"

    @classmethod
    def of(
        cls,
        booster: Any,
        text: str,
        header: Mapping[str, str],
        probe: "Inputs",
        columns: "tuple[Column, ...]",
    ) -> "_Layout":
        features = int(booster.num_feature())
        if not is_frame(probe):
            require_width(int(probe.size // max(1, len(probe))), features)
            return cls([], {}, columns)
        names = [str(name) for name in probe.columns]
        own: list[str] = booster.feature_name()
        by_position = all(_AUTOMATIC_NAME.fullmatch(name) for name in own)
        require_width(len(names), features)
        order = arrangement(None if by_position else own, names, spelled=_spelled) or list(range(features))
        return cls(order, _coders(text, header, names, order), columns)

    def matrix(self, inputs: "Inputs") -> "NDArray[Any]":
        if not is_frame(inputs):
            return numbers(inputs)
        return numbers(coded(inputs.iloc[:, self.order], self.coders, self.columns))


def _coders(text: str, header: Mapping[str, str], names: list[str], order: list[int]) -> dict[str, list[Any] | None]:
    """Categories of each categorical feature, in the order of their codes: the model lists them without the names."""
    infos = header.get("feature_infos", "").split()
    categorical = [
        names[place] for place, info in zip(order, infos, strict=False) if info != "none" and not info.startswith("[")
    ]
    known = _pandas_categories(text)
    if not known:
        return dict.fromkeys(categorical)
    if len(known) != len(categorical):
        raise InputError(
            f"the model lists categories of {len(known)} features, but splits {len(categorical)} by category",
            hint="export the model without categorical features that hold one value only",
        )
    return dict(zip(categorical, known, strict=True))


def _pandas_categories(text: str) -> list[list[Any]]:
    start = text.rfind("\npandas_categorical:")
    if start < 0:
        return []
    try:
        known = json.loads(text[start:].strip().partition(":")[2])
    except (ValueError, RecursionError):
        known = False
    if known is None:
        return []
    if not isinstance(known, list) or not all(isinstance(entry, list) for entry in known):
        raise InputError("the list of categories at the end of the model is damaged", hint="export the model again")
    return known


def _spelled(name: str) -> str:
    """As the library writes names: blanks become underscores."""
    return name.replace(" ", "_")


@dataclass(frozen=True, slots=True)
class _Asking:
    booster: Any
    layout: _Layout
    raw: bool
    labels: bool

    def __call__(self, inputs: "Inputs") -> "NDArray[Any]":
        matrix = self.layout.matrix(inputs)
        answer: NDArray[Any] = self.booster.predict(matrix, raw_score=self.raw, num_threads=threads())
        return hardened(answer) if self.labels else answer
