"""Images and plain arrays in memory as a Dataset."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from heliotrope.config.schema import DataSource, InputConfig, ModelConfig
from heliotrope.core.errors import InputError
from heliotrope.subjects.arrays import load_arrays
from heliotrope.subjects.data import load_images, require_classes
from heliotrope.subjects.interface import Batch, Column, DatasetKind

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from heliotrope.subjects.interface import Answers

__all__ = ["MAX_CLASSES", "ImageDataset", "ImageReader", "open_images"]

MAX_CLASSES = 10_000
"""Different answers where no model says how many there are."""

_IMAGE_DIMENSIONS = 3


def open_images(source: DataSource, *, model: ModelConfig, root: Path, expected: Mapping[str, str]) -> "ImageReader":
    """Read npz, npy, idx or a folder of images whole.

    Samples with channels, height and width are images, scaled to the declared range; of any other shape they are plain
    arrays, taken as they are, unless the task says that the model classifies images.
    """
    declared: InputConfig | None = model.input
    if declared is None or declared.shape is None:
        raise InputError(
            f"model {model.name!r} lacks input.shape", hint="fill input, as in input: {shape: [1, 28, 28]}"
        )
    regression = model.task == "tabular-regression"
    if not regression and (len(declared.shape) == _IMAGE_DIMENSIONS or model.task == "image-classification"):
        images = load_images(source, root=root, declared=declared, names=model.labels, expected=expected)
        return ImageReader(images.images, images.labels, images.digests)
    arrays = load_arrays(source, root=root, declared=declared, regression=regression, expected=expected)
    return ImageReader(arrays.values, arrays.answers, arrays.digests)


@dataclass(frozen=True, slots=True)
class ImageReader:
    """Samples whose answers await the number of classes."""

    inputs: "NDArray[np.float32]"
    answers: "Answers"
    digests: dict[str, str]

    @property
    def columns(self) -> tuple[Column, ...]:
        return ()

    def probe(self, rows: int) -> "NDArray[np.float32]":
        return self.inputs[:rows].copy()

    def answer_names(self) -> tuple[str, ...]:
        highest = int(self.answers.max())
        if highest >= MAX_CLASSES:
            raise InputError(
                f"row {int(self.answers.argmax())} has the label {highest}, the limit is {MAX_CLASSES} classes",
                hint="labels count from 0 in the order of the outputs; of a regression, set task: tabular-regression",
            )
        return tuple(str(label) for label in range(highest + 1))

    def labelled(self, names: tuple[str, ...]) -> "ImageDataset":
        import numpy as np

        if names and self.answers.dtype != np.int64:
            raise InputError(
                f"the model has {len(names)} classes, but its task is a regression",
                hint="correct task in heliotrope.yaml",
            )
        if names:
            require_classes(self.answers.astype(np.int64), len(names))
        return ImageDataset(self.inputs, self.answers if names else self.answers.astype(np.float64), self.digests)

    def close(self) -> None:
        """Nothing is held open."""


@dataclass(frozen=True, slots=True)
class ImageDataset:
    """Labelled samples, all in memory."""

    inputs: "NDArray[np.float32]"
    answers: "Answers"
    digests: dict[str, str]

    @property
    def kind(self) -> DatasetKind:
        return "images"

    @property
    def columns(self) -> tuple[Column, ...]:
        return ()

    def __len__(self) -> int:
        return len(self.answers)

    def batches(self, size: int) -> Iterator[Batch]:
        import numpy as np

        for start in range(0, len(self), size):
            rows = np.arange(start, min(start + size, len(self)), dtype=np.int64)
            yield self.take(rows)

    def take(self, rows: "NDArray[np.int64]") -> Batch:
        return Batch(self.inputs[rows], self.answers[rows], rows)

    def close(self) -> None:
        """Nothing is held open."""
