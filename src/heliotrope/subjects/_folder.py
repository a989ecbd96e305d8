"""Labelled images from a folder with one sub-folder for each class."""

import io
import struct
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from heliotrope.core.errors import InputError, MissingExtraError
from heliotrope.core.text import printable, shorten
from heliotrope.engine.files import tree_digest
from heliotrope.subjects._files import read_file, show

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["MAX_IMAGES", "MAX_PIXEL_BYTES", "FolderImages", "read_folder"]

MAX_IMAGES = 200_000
"""Files in an image folder; beyond it an array file is the right format."""

MAX_PIXEL_BYTES = 512 * 2**20
"""Decoded pixels of all images; their float32 copy is four times as large."""

_FORMATS = ("PNG", "JPEG", "BMP", "WEBP")
_MODES = {1: "L", 3: "RGB"}
_EIGHT_BIT = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"})


@dataclass(frozen=True, slots=True)
class FolderImages:
    """Pixels as uint8 N x H x W x C, labels as int64, and one digest over all files."""

    images: "NDArray[np.uint8]"
    labels: "NDArray[np.int64]"
    digest: str


def read_folder(folder: Path, *, shape: tuple[int, int, int], names: tuple[str, ...] | None) -> FolderImages:
    """Read every image below the class folders.

    Classes are numbered in the order of `names` when the folders are called like them, else in sorted order. Every
    image must have the declared height and width; nothing is resized. Raises InputError or MissingExtraError.
    """
    try:
        import numpy as np
        import PIL.Image as _  # noqa: F401 - fail before reading anything
    except ImportError as error:
        raise MissingExtraError("torch", module=(error.name or "pillow").split(".")[0]) from None
    channels, height, width = shape
    if channels not in _MODES:
        raise InputError(
            f"images of {channels} channels cannot come from an image folder (1 is grey, 3 is colour)",
            hint="store the arrays as npz",
        )
    entries = [(label, path) for label, name in _classes(folder, names) for path in _image_files(folder / name)]
    if not entries:
        raise InputError(f"{show(folder)} holds no image", hint=f"put {', '.join(_FORMATS)} files into class folders")
    if len(entries) > MAX_IMAGES or len(entries) * height * width * channels > MAX_PIXEL_BYTES:
        raise InputError(
            f"{show(folder)} holds {len(entries)} images; the limits are {MAX_IMAGES} and {MAX_PIXEL_BYTES} bytes of pixels",
            hint="evaluate on a part of them, or store them as npz",
        )
    images = np.empty((len(entries), height, width, channels), dtype=np.uint8)
    listing = []
    for row, (_label, path) in enumerate(entries):
        file = read_file(path, what="image")
        images[row] = _decode(file.data, path, shape)
        listing.append((path.relative_to(folder).as_posix(), len(file.data), file.sha256))
    labels = np.array([label for label, _path in entries], dtype=np.int64)
    return FolderImages(images, labels, tree_digest(iter(listing)))


def _classes(folder: Path, names: tuple[str, ...] | None) -> list[tuple[int, str]]:
    found = sorted(entry.name for entry in _entries(folder) if entry.is_dir())
    if len(found) < 2:
        raise InputError(
            f"{show(folder)} has {len(found)} class folders, expected at least 2",
            hint="one sub-folder for each class, with its images inside",
        )
    known = set(names or ()) & set(found)
    if not names or not known:
        return list(enumerate(found))
    strangers = sorted(set(found) - known)
    if strangers:
        raise InputError(
            f"{show(folder)}: the folder {printable(strangers[0])!r} is not among the model's labels",
            hint="name every class folder like an entry of `labels`, or none",
        )
    return [(names.index(name), name) for name in found]


def _image_files(folder: Path) -> list[Path]:
    paths = sorted(_entries(folder))
    wrong = next((path for path in paths if not path.is_file()), None)
    if wrong is not None:
        raise InputError(f"{show(wrong)} is not a file", hint="class folders hold images only")
    return paths


def _entries(folder: Path) -> list[Path]:
    try:
        return [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    except OSError as error:
        raise InputError(f"{show(folder)} cannot be listed: {error.strerror}", hint="check its permissions") from None


def _decode(data: bytes, path: Path, shape: tuple[int, int, int]) -> "NDArray[np.uint8]":
    import numpy as np
    from PIL import Image, UnidentifiedImageError

    channels, height, width = shape
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
                if image.size != (width, height):  # before any pixel is decoded: a bomb stops here
                    raise InputError(
                        f"{show(path)} is {image.size[0]}x{image.size[1]} pixels, input.shape says {width}x{height}",
                        hint="resize the images as your own pipeline does, or correct input.shape",
                    )
                if image.mode not in _EIGHT_BIT:
                    raise InputError(
                        f"{show(path)} has the pixel mode {image.mode}, expected 8 bits for each channel",
                        hint="store deeper images as float arrays in npz",
                    )
                pixels = np.asarray(image.convert(_MODES[channels]), dtype=np.uint8)
    except (UnidentifiedImageError, Image.DecompressionBombError, Warning) as error:
        reason = f"is no readable {', '.join(_FORMATS)} image: {type(error).__name__}"
        raise InputError(f"{show(path)} {reason}", hint="remove it from the folder or export it again") from None
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, struct.error) as error:
        reason = shorten(printable(str(error)), 160)
        raise InputError(f"{show(path)} is a damaged image: {reason}", hint="export it again") from None
    return pixels.reshape(height, width, channels)
