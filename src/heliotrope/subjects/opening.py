"""Opening what a dynamic check looks at: data first, then the model on a few of its rows, then the answers by its classes."""

import importlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from heliotrope.config.schema import DataSource, ModelConfig
from heliotrope.core.errors import InputError
from heliotrope.engine.interface import Task
from heliotrope.subjects.formats import format_of
from heliotrope.subjects.images import open_images
from heliotrope.subjects.interface import Column, Dataset, Opened, Predictor
from heliotrope.subjects.planning import ModelTask, is_table

if TYPE_CHECKING:
    from heliotrope.subjects.interface import Inputs

__all__ = ["PROBE_ROWS", "DataReader", "ModelAdapter", "open_data", "open_datasets", "open_model", "open_subject"]

PROBE_ROWS = 4
"""Rows a model is tried on when it is opened."""


class DataReader(Protocol):
    """Data whose features are known and whose answers await the names of the classes."""

    @property
    def columns(self) -> tuple[Column, ...]: ...

    def probe(self, rows: int) -> "Inputs":
        """The features of the first rows."""

    def answer_names(self) -> tuple[str, ...]:
        """The answers that occur, as names of classes. InputError when there are too many for a classification."""

    def labelled(self, names: tuple[str, ...]) -> Dataset:
        """With answers as indices into the names; no names: regression. InputError for an answer that is no class."""

    def close(self) -> None: ...


class ModelAdapter(Protocol):
    """Opens a model of one format. Reads files once, from verified bytes, and tries it on the probe.

    `expected` maps input names (weights, loader) to the SHA-256 their bytes must have. Raises InputError for whatever is
    wrong with the model, MissingExtraError when its library is not installed.
    """

    def __call__(
        self,
        model: ModelConfig,
        *,
        root: Path,
        probe: "Inputs",
        columns: tuple[Column, ...],
        seed: int,
        expected: Mapping[str, str],
    ) -> Predictor: ...


def open_data(source: DataSource, *, model: ModelConfig, root: Path, expected: Mapping[str, str]) -> DataReader:
    """A table, or images as arrays or files. Raises InputError or MissingExtraError."""
    if is_table(source):
        from heliotrope.subjects.tables import open_table

        return open_table(source, model=model, root=root, expected=expected)
    return open_images(source, model=model, root=root, expected=expected)


def open_model(
    model: ModelConfig,
    *,
    root: Path,
    probe: "Inputs",
    columns: tuple[Column, ...],
    seed: int,
    expected: Mapping[str, str],
) -> Predictor:
    """A model by the adapter of its format."""
    descriptor = format_of(model)
    if descriptor is None:
        raise InputError(
            f"nothing tells what kind of model {model.name!r} is",
            hint="set format, as in format: onnx, in heliotrope.yaml",
        )
    adapter: ModelAdapter = importlib.import_module(descriptor.adapter).open_model
    return adapter(model, root=root, probe=probe, columns=columns, seed=seed, expected=expected)


def open_subject(task: Task, *, train: bool = False, reference: bool = False) -> Opened:
    """Open what a task of `plan_models` names. May run code of the project. Raises InputError or MissingExtraError.

    `reference`: the earlier version and the earlier data too, where they are named.
    """
    parameters = ModelTask.model_validate(task.parameters)
    model, root = parameters.model, Path(task.root)
    opened: list[DataReader | Predictor | Dataset] = []
    try:
        reader = open_data(_named(model, "evaluate"), model=model, root=root, expected=task.inputs)
        opened.append(reader)
        predictor = open_model(
            model,
            root=root,
            probe=reader.probe(PROBE_ROWS),
            columns=reader.columns,
            seed=task.seed,
            expected=task.inputs,
        )
        opened.append(predictor)

        def further(part: str) -> Dataset:
            more = open_data(_named(model, part), model=model, root=root, expected=_under(task, part))
            opened.append(more)
            return more.labelled(predictor.names)

        trained = further("train") if train else None
        previous = None
        if reference and parameters.previous is not None:
            previous = open_model(
                parameters.previous,
                root=root,
                probe=reader.probe(PROBE_ROWS),
                columns=reader.columns,
                seed=task.seed,
                expected=_under(task, "previous"),
            )
            opened.append(previous)
        earlier = further("reference") if reference and model.data.reference is not None else None
        return Opened(task, parameters, predictor, reader.labelled(predictor.names), trained, previous, earlier)
    except BaseException:
        for part in reversed(opened):
            part.close()
        raise


@contextmanager
def open_datasets(task: Task) -> Iterator[tuple[Dataset, Dataset]]:
    """Training and evaluation data of a task of `plan_datasets`, without the model. Classes are the answers that occur.

    Raises InputError or MissingExtraError.
    """
    model, root = ModelTask.model_validate(task.parameters).model, Path(task.root)
    with ExitStack() as stack:
        training = stack.enter_context(
            closing(open_data(_named(model, "train"), model=model, root=root, expected=_under(task, "train")))
        )
        evaluation = stack.enter_context(
            closing(open_data(_named(model, "evaluate"), model=model, root=root, expected=task.inputs))
        )
        names = model.labels
        if model.task == "tabular-regression":
            names = ()
        elif names is None:
            names = _common_names(training, evaluation)
        yield training.labelled(names), evaluation.labelled(names)


def _common_names(*readers: DataReader) -> tuple[str, ...]:
    """Names for all answers that occur, in the order of their numbers where all are numbers."""
    texts = {text for reader in readers for text in reader.answer_names()}
    numbers = all(text.isdecimal() for text in texts)
    return tuple(sorted(texts, key=lambda text: (int(text) if numbers else 0, text)))


def _under(task: Task, part: str) -> dict[str, str]:
    """Digests of the inputs of a part, as in train or previous, by their names there."""
    prefix = f"{part}/"
    return {name.removeprefix(prefix): digest for name, digest in task.inputs.items() if name.startswith(prefix)}


def _named(model: ModelConfig, part: str) -> DataSource:
    source: DataSource | None = getattr(model.data, part)
    if source is None:
        raise InputError(f"model {model.name!r} lacks data.{part}", hint=f"fill data.{part} in heliotrope.yaml")
    return source
