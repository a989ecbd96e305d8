"""Images and plain arrays in memory as a Dataset."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from heliotrope.config.schema import DataSource, InputConfig, ModelConfig
from heliotrope.core.errors import InputError
from heliotrope.subjects.data import LabelledImages, load_images, require_classes
from heliotrope.subjects.interface import Batch, Column, DatasetKind

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["ImageDataset", "ImageReader", "open_images"]


def open_images(source: DataSource, *, model: ModelConfig, root: Path, expected: Mapping[str, str]) -> "ImageReader":
    """Read npz, npy, idx or a folder of images whole, scaled to the declared range."""
    declared: InputConfig | None = model.input
    if declared is None or declared.shape is None:
        raise InputError(
            f"model {model.name!r} lacks input.shape", hint="fill input, as in input: {shape: [1, 28, 28]}"
        )
    return ImageReader(load_images(source, root=root, declared=declared, names=model.labels, expected=expected))


@dataclass(frozen=True, slots=True)
class ImageReader:
    """Images whose labels await the number of classes."""

    data: LabelledImages

    @property
    def columns(self) -> tuple[Column, ...]:
        return ()

    def probe(self, rows: int) -> "NDArray[np.float32]":
        return self.data.images[:rows].copy()

    def labelled(self, names: tuple[str, ...]) -> "ImageDataset":
        require_classes(self.data, len(names))
        return ImageDataset(self.data)

    def close(self) -> None:
        """Nothing is held open."""


@dataclass(frozen=True, slots=True)
class ImageDataset:
    """Labelled images, all in memory."""

    data: LabelledImages

    @property
    def kind(self) -> DatasetKind:
        return "images"

    @property
    def columns(self) -> tuple[Column, ...]:
        return ()

    @property
    def digests(self) -> dict[str, str]:
        return self.data.digests

    def __len__(self) -> int:
        return len(self.data)

    def batches(self, size: int) -> Iterator[Batch]:
        import numpy as np

        for start in range(0, len(self), size):
            rows = np.arange(start, min(start + size, len(self)), dtype=np.int64)
            yield self.take(rows)

    def take(self, rows: "NDArray[np.int64]") -> Batch:
        return Batch(self.data.images[rows], self.data.labels[rows], rows)

    def close(self) -> None:
        """Nothing is held open."""
