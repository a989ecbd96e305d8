"""Labelled images for the dynamic checks, from whatever format they are kept in."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from heliotrope.config.schema import DataSource, InputConfig
from heliotrope.core.errors import InputError, MissingExtraError
from heliotrope.core.text import printable
from heliotrope.subjects._arrays import read_array, read_npz
from heliotrope.subjects._files import read_file, show
from heliotrope.subjects._folder import read_folder

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "MAX_VALUES",
    "LabelledImages",
    "checked_images",
    "load_images",
    "read_parts",
    "require_classes",
    "require_range",
    "require_size",
    "whole_labels",
]

MAX_VALUES = 2**29
"""Pixels of a data set: 2 GiB as float32, a quarter of a worker's default memory."""


@dataclass(frozen=True, slots=True)
class LabelledImages:
    """Images in the declared range with their labels, and the digests of the files they came from."""

    images: "NDArray[np.float32]"
    """N x C x H x W."""
    labels: "NDArray[np.int64]"
    digests: dict[str, str]
    """SHA-256 by name: images and labels, or data."""

    def __len__(self) -> int:
        return len(self.labels)


def load_images(
    source: DataSource,
    *,
    root: Path,
    declared: InputConfig,
    names: tuple[str, ...] | None = None,
    expected: Mapping[str, str] | None = None,
) -> LabelledImages:
    """Read, check and scale a data source.

    8-bit images are scaled so that 0..255 spans the declared range; float images must lie in it already. `expected`
    maps names of inputs to the SHA-256 their bytes must have. Raises InputError, or MissingExtraError without numpy.
    """
    try:
        import numpy  # noqa: F401, ICN001 - whether it is there
    except ImportError:
        raise MissingExtraError("data", module="numpy") from None
    images, labels, digests = read_parts(source, root, _image_shape(declared), names, expected or {})
    scaled = checked_images(images, declared)
    return LabelledImages(scaled, whole_labels(labels, len(scaled)), digests)


def checked_images(images: "NDArray[np.generic]", declared: InputConfig) -> "NDArray[np.float32]":
    """N x C x H x W in the declared range, 8-bit images scaled to it; InputError for another shape, type or range."""
    import numpy as np

    arranged = _arranged(images, _image_shape(declared))
    require_size(arranged, "images")
    return np.ascontiguousarray(_scale(arranged, declared))


def require_size(values: "NDArray[np.generic]", what: str) -> None:
    """Raise InputError for more values than fit in memory as float32."""
    if values.size > MAX_VALUES:
        raise InputError(
            f"the {what} hold {values.size} values, the limit is {MAX_VALUES}", hint="evaluate on a part of them"
        )


def require_classes(labels: "NDArray[np.int64]", classes: int) -> None:
    """Raise InputError when a label is not an output of the model."""
    highest = int(labels.max())
    if highest >= classes:
        row = int(labels.argmax())
        raise InputError(
            f"row {row} has the label {highest}, but the model has {classes} outputs (labels 0 to {classes - 1})",
            hint="labels count from 0 in the order of the outputs; check that these are this model's data",
        )


def _image_shape(declared: InputConfig) -> tuple[int, int, int]:
    if declared.shape is None or len(declared.shape) != 3:
        raise InputError(
            f"input.shape {list(declared.shape or ())} is no image",
            hint="give channels, height and width, as in input: {shape: [1, 28, 28]}",
        )
    channels, height, width = declared.shape
    return channels, height, width


def read_parts(
    source: DataSource,
    root: Path,
    shape: tuple[int, int, int] | None,
    names: tuple[str, ...] | None,
    expected: Mapping[str, str],
) -> tuple["NDArray[np.generic]", "NDArray[np.generic]", dict[str, str]]:
    """Samples, labels and digests as they lie in the files. Without the shape of an image, a folder is an InputError."""
    if source.path is None:
        images = read_file(root / str(source.images), what="images", expected=expected.get("images"))
        labels = read_file(root / str(source.labels), what="labels", expected=expected.get("labels"))
        digests = {"images": images.sha256, "labels": labels.sha256}
        return read_array(images, what="images"), read_array(labels, what="labels"), digests
    path = root / source.path
    if path.is_dir():
        if shape is None:
            raise InputError(
                f"{show(path)} is a folder of images, but input.shape is none of an image",
                hint="give channels, height and width, as in input: {shape: [1, 28, 28]}",
            )
        folder = read_folder(path, shape=shape, names=names)
        channel_first = folder.images.transpose(0, 3, 1, 2)
        return channel_first, folder.labels, {"data": folder.digest}
    file = read_file(path, what="data", expected=expected.get("data"))
    arrays = read_npz(file, {"images_key": source.images_key, "labels_key": source.labels_key})
    return arrays["images_key"], arrays["labels_key"], {"data": file.sha256}


def _arranged(images: "NDArray[np.generic]", shape: tuple[int, int, int]) -> "NDArray[np.generic]":
    """N x C x H x W. Only what cannot be mistaken is rearranged."""
    channels, height, width = shape
    if images.shape[1:] == shape:
        return images
    if channels == 1 and images.shape[1:] == (height, width):
        return images[:, None]
    if images.shape[1:] == (height, width, channels):
        hint = "the channels come last: store images.transpose(0, 3, 1, 2)"
    elif images.ndim == 2 and images.shape[1] == channels * height * width:
        hint = f"the images are flat: store images.reshape(-1, {channels}, {height}, {width})"
    else:
        hint = "correct input.shape (channels, height, width), or convert the images as your own pipeline does"
    raise InputError(
        f"the images have the shape {list(images.shape)}, expected N x {channels} x {height} x {width}", hint=hint
    )


def _scale(images: "NDArray[np.generic]", declared: InputConfig) -> "NDArray[np.float32]":
    import numpy as np

    low, high = declared.range
    if images.dtype == np.uint8:
        scaled: NDArray[np.float32] = np.multiply(images, np.float32((high - low) / 255), dtype=np.float32)
        scaled += np.float32(low)
    elif images.dtype.kind == "f":
        require_range(images, low, high)
        scaled = images.astype(np.float32)
    else:
        raise InputError(
            f"the images have the type {images.dtype}, expected uint8 (0 to 255) or float",
            hint="store images.astype('uint8'), or floats in input.range",
        )
    np.clip(scaled, np.float32(low), np.float32(high), out=scaled)  # rounding to float32 may leave the range by an ulp
    return scaled


def require_range(images: "NDArray[np.generic]", low: float, high: float, what: str = "images") -> None:
    """Raise InputError for values that are not finite or lie outside the declared range."""
    import numpy as np

    smallest, largest = float(np.min(images)), float(np.max(images))  # NaN if any value is
    if not np.isfinite([smallest, largest]).all():
        rows = np.flatnonzero(~np.isfinite(images.reshape(len(images), -1)).all(axis=1))
        raise InputError(
            f"the {what} hold NaN or infinite values, first in row {rows[0]} ({len(rows)} rows in all)",
            hint="find out where they come from; remove or repair these rows",
        )
    if smallest < low or largest > high:
        raise InputError(
            f"the {what} run from {smallest:g} to {largest:g}, input.range says {low:g} to {high:g}",
            hint=f"if the model takes them like this, set input: {{range: [{smallest:g}, {largest:g}]}} (the range of all "
            "valid inputs); if they are normalised, store them before normalisation and declare it under normalisation",
        )


def whole_labels(labels: "NDArray[np.generic]", rows: int) -> "NDArray[np.int64]":
    """Class indices, one for each row. Raises InputError."""
    import numpy as np

    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1:
        hint = (
            "they look one-hot: store labels.argmax(axis=1)" if labels.ndim == 2 else "store one number for each image"
        )
        raise InputError(f"the labels have the shape {list(labels.shape)}, expected {rows} numbers", hint=hint)
    if labels.dtype.kind not in "ui":
        raise InputError(
            f"the labels have the type {printable(str(labels.dtype))}, expected integers",
            hint="store labels.astype('int64'), counting from 0 in the order of the outputs",
        )
    if len(labels) != rows:
        raise InputError(
            f"there are {rows} images and {len(labels)} labels",
            hint="they must be of the same samples, in the same order",
        )
    if int(labels.min()) < 0 or int(labels.max()) > np.iinfo(np.int64).max:
        row = int(labels.argmin()) if int(labels.min()) < 0 else int(labels.argmax())
        raise InputError(
            f"row {row} has the label {labels[row]}", hint="labels count from 0 in the order of the outputs"
        )
    return np.ascontiguousarray(labels, dtype=np.int64)
