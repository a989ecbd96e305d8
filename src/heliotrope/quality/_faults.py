"""Plain faults of inputs: what cameras, sensors, exports and people who type do to them. Nobody chooses them to mislead.

Each comes at five severities, mild to severe. Equal generators give equal faults.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from heliotrope.subjects.interface import Column

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.random import Generator
    from numpy.typing import NDArray

    Images = NDArray[np.float32]

__all__ = ["Fault", "image_faults", "table_faults"]

_SIDE = 28
"""Blur is in pixels of images of this side; larger ones are blurred more."""
_MAX_INTEGER = 2.0**53
_UNSEEN = "?unseen?"


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of fault at one severity."""

    name: str
    severity: str
    """For people, as in deviation 0.1."""
    level: int
    """1 is mild."""
    apply: "Callable[..., Images | pd.DataFrame]"
    """Faulty inputs of unfaulty ones, which are left as they are; takes a generator of random numbers."""


@dataclass(frozen=True, slots=True)
class Hit:
    """Which cells of some columns a fault touches."""

    cells: float = 1.0
    """Share of the columns in each row, at least one of them."""
    rows: float = 1.0
    """Share of the rows."""

    @property
    def text(self) -> str:
        """For people, as in 40 % of the rows."""
        if self.rows < 1:
            return f"{self.rows:.0%} of the rows"
        return "one of each row" if self.cells == 0 else "all" if self.cells == 1 else f"{self.cells:.0%} of each row"

    def mask(self, rows: int, columns: int, generator: "Generator") -> "NDArray[np.bool_]":
        """For rows x columns whether a cell is hit."""
        order = generator.random((rows, columns)).argsort(axis=1).argsort(axis=1)
        hit: NDArray[np.bool_] = order < max(1, math.ceil(self.cells * columns))
        return hit & (generator.random((rows, 1)) < self.rows)


_ALL, _ONE = Hit(), Hit(cells=0.0)
_CELLS = (0.25, 0.5, 0.75, 1.0)
_ROWS = (0.2, 0.4, 0.6, 0.8, 1.0)
_WIDE = 5
"""Columns from which on severity is cells of each row; with fewer it is rows."""


def _hits(columns: int) -> tuple[Hit, ...]:
    """Five severities of what hits single cells."""
    if columns < _WIDE:
        return tuple(Hit(rows=share) for share in _ROWS)
    return (_ONE, *(Hit(cells=share) for share in _CELLS))


def _everywhere(
    name: str, columns: list[str], change: "Callable[[pd.Series, Generator], pd.Series]"
) -> Iterator[Fault]:
    for level, hit in enumerate(_hits(len(columns)), start=1):
        yield Fault(name, hit.text, level, _on_cells(columns, change, hit))


def image_faults(shape: tuple[int, ...], low: float, high: float) -> Iterator[Fault]:
    """For images of C x H x W; plain arrays of another shape get those that need no neighbourhood."""
    span = high - low

    def within(function: "Callable[[Images, Generator], NDArray[Any]]") -> "Callable[[Images, Generator], Images]":
        return lambda images, generator: function(images, generator).clip(low, high).astype("float32")

    yield from _levels("noise", "deviation {:g} of the range", (0.05, 0.08, 0.12, 0.16, 0.2), lambda amount: within(
        lambda x, g: x + g.normal(0.0, amount * span, x.shape)))  # fmt: skip
    yield from _levels("dead-values", "{:.0%} of the values", (0.02, 0.035, 0.05, 0.075, 0.1), lambda share: within(
        lambda x, g: _dead(x, g, share, low, high)))  # fmt: skip
    yield from _levels("brightness", "+{:g} of the range", (0.1, 0.15, 0.2, 0.3, 0.4), lambda amount: within(
        lambda x, _: x + amount * span))  # fmt: skip
    yield from _levels("contrast", "x {:g}", (0.75, 0.6, 0.5, 0.35, 0.25), lambda factor: within(
        lambda x, _: (x - _centre(x)) * factor + _centre(x)))  # fmt: skip
    if len(shape) != 3 or min(shape[1:]) < 4:
        return
    side = min(shape[1:])
    yield from _levels("blur", "deviation {:g} px", tuple(size * max(side / _SIDE, 0.5) for size in (0.5, 0.75, 1.0, 1.5, 2.0)),
                       lambda size: within(lambda x, _: _blurred(x, size)))  # fmt: skip
    yield from _levels("rotation", "{:g} degrees", (5.0, 7.5, 10.0, 15.0, 20.0), lambda angle: within(
        lambda x, g: _rotated(x, angle, g)))  # fmt: skip
    yield from _levels("shift", "{:.0%} of the width", (0.05, 0.08, 0.12, 0.16, 0.2), lambda share: within(
        lambda x, g: _shifted(x, max(1, round(share * side)), g)))  # fmt: skip
    yield from _levels("resolution", "{:.0%} of the pixels a side", (0.8, 0.65, 0.5, 0.4, 0.3), lambda share: within(
        lambda x, _: _coarse(x, share)))  # fmt: skip
    if shape[0] in (1, 3):
        yield from _levels("jpeg", "quality {:g}", (60, 40, 25, 15, 8), lambda quality: within(
            lambda x, _: _jpeg(x, int(quality), low, high)))  # fmt: skip


def table_faults(columns: tuple[Column, ...]) -> Iterator[Fault]:
    """For tables: those that any of their columns can have."""
    numbers = [column for column in columns if column.type in ("number", "integer")]
    categories = [column.name for column in columns if column.type == "category"]
    booleans = [column.name for column in columns if column.type == "boolean"]
    texts = [column.name for column in columns if column.type == "text"]
    if numbers:
        yield from _number_faults(numbers)
    if len(numbers) > 1:
        names = [column.name for column in numbers]
        counts = sorted({2 + round(step * (len(names) - 2) / 4) for step in range(5)})
        for level, count in enumerate(counts, start=1):  # fewer than five severities of fewer than six columns
            yield Fault("swapped-columns", f"{count} of them", level, _swap_of(names, count))
    if categories:
        yield from _everywhere("category-wrong", categories, _other_category)
        yield from _everywhere("category-typo", categories, _typo)
        yield from _everywhere("category-unseen", categories, _unseen)
    if booleans:
        yield from _everywhere("boolean-flipped", booleans, _flipped)
    if texts:
        yield from _levels("text-typos", "{:.0%} of the words", (0.05, 0.1, 0.2, 0.3, 0.5), lambda share: _on_cells(
            texts, lambda values, generator: _rewritten(values, generator, share, _mistyped), _ALL))  # fmt: skip
        yield from _levels("text-case", "{:.0%} of the words upper case", (0.2, 0.4, 0.6, 0.8, 1.0), lambda share: _on_cells(
            texts, lambda values, generator: _rewritten(values, generator, share, _upper), _ALL))  # fmt: skip


def _number_faults(columns: list[Column]) -> Iterator[Fault]:
    names = [column.name for column in columns]
    spreads = {column.name: column.spread or 0.0 for column in columns}
    yield from _levels("noise", "deviation {:g} spreads", (0.1, 0.2, 0.3, 0.6, 1.0), lambda amount: _on_numbers(
        names, lambda x, name, g: x + g.normal(0.0, amount * spreads[name], len(x)), _ALL))  # fmt: skip
    yield from _levels("rounding", "to {:g} spreads", (0.25, 0.5, 1.0, 2.0, 4.0), lambda amount: _on_numbers(
        names, lambda x, name, _: _rounded(x, amount * spreads[name]), _ALL))  # fmt: skip
    yield from _levels("unit-mistake", "one of each row x {:g}", (10.0, 100.0, 1000.0), lambda factor: _on_numbers(
        names, lambda x, _name, _g: x * factor, _ONE))  # fmt: skip
    for level, share in ((4, 0.5), (5, 1.0)):
        severity = f"{share:.0%} of each row x 1000"
        yield Fault(
            "unit-mistake", severity, level, _on_numbers(names, lambda x, _name, _g: x * 1000, Hit(cells=share))
        )
    for level, hit in enumerate(_hits(len(names)), start=1):
        yield Fault("sign", hit.text, level, _on_numbers(names, lambda x, _name, _g: -x, hit))


def _levels(
    name: str, severity: str, amounts: Iterable[float], make: "Callable[[float], Callable[..., Images | pd.DataFrame]]"
) -> Iterator[Fault]:
    for level, amount in enumerate(amounts, start=1):
        yield Fault(name, severity.format(amount), level, make(amount))


def _centre(images: "Images") -> "NDArray[np.float32]":
    centre: NDArray[np.float32] = images.mean(axis=tuple(range(1, images.ndim)), keepdims=True)
    return centre


def _dead(images: "Images", generator: "Generator", share: float, low: float, high: float) -> "NDArray[Any]":
    """Some values stuck at either end of the range."""
    import numpy as np

    draws = generator.random(images.shape)
    return np.where(draws < share / 2, low, np.where(draws < share, high, images))


def _blurred(images: "Images", size: float) -> "Images":
    from scipy.ndimage import gaussian_filter

    blurred: Images = gaussian_filter(images, sigma=(0, 0, size, size), mode="nearest")
    return blurred


def _rotated(images: "Images", angle: float, generator: "Generator") -> "Images":
    """Half of the images to either side."""
    import numpy as np
    from scipy.ndimage import rotate

    turned = np.empty_like(images)
    left = generator.random(len(images)) < 0.5
    for chosen, signed in ((left, angle), (~left, -angle)):
        turned[chosen] = rotate(images[chosen], signed, axes=(2, 3), reshape=False, order=1, mode="nearest")
    return turned


def _shifted(images: "Images", pixels: int, generator: "Generator") -> "Images":
    """Each image in one of four directions; the edge is drawn on."""
    import numpy as np

    padded = np.pad(images, ((0, 0), (0, 0), (pixels, pixels), (pixels, pixels)), mode="edge")
    moved = np.empty_like(images)
    directions = generator.integers(0, 4, len(images))
    height, width = images.shape[2:]
    for direction, (y, x) in enumerate(((0, 1), (2, 1), (1, 0), (1, 2))):
        chosen = directions == direction
        top, start = y * pixels, x * pixels
        moved[chosen] = padded[chosen, :, top : top + height, start : start + width]
    return moved


def _coarse(images: "Images", share: float) -> "Images":
    """Taken at fewer pixels and drawn large again, as by a cheap camera."""
    import numpy as np
    from PIL import Image

    height, width = images.shape[2:]
    small = (max(1, round(width * share)), max(1, round(height * share)))
    made = np.empty_like(images)
    for place in np.ndindex(images.shape[:2]):
        picture = Image.fromarray(images[place]).resize(small, Image.Resampling.BOX)
        made[place] = np.asarray(picture.resize((width, height), Image.Resampling.NEAREST))
    return made


def _jpeg(images: "Images", quality: int, low: float, high: float) -> "Images":
    """Stored with losses, at 8 bits."""
    import io

    import numpy as np
    from PIL import Image

    pixels = np.rint((images.clip(low, high) - low) / (high - low) * 255).astype(np.uint8)
    made = np.empty_like(images)
    for place, image in enumerate(pixels):
        file = io.BytesIO()
        Image.fromarray(image[0] if len(image) == 1 else np.moveaxis(image, 0, -1)).save(file, "JPEG", quality=quality)
        read = np.asarray(Image.open(file), dtype=np.float32)
        made[place] = low + (high - low) / 255 * (read[None] if len(image) == 1 else np.moveaxis(read, -1, 0))
    return made


def _on_numbers(
    names: list[str], change: "Callable[[NDArray[np.float64], str, Generator], NDArray[np.float64]]", hit: "Hit"
) -> "Callable[[pd.DataFrame, Generator], pd.DataFrame]":
    """Change some of the named numbers; integers stay whole, missing stays missing."""

    def apply(frame: "pd.DataFrame", generator: "Generator") -> "pd.DataFrame":
        import numpy as np

        frame = frame.copy()
        chosen = hit.mask(len(frame), len(names), generator)
        for position, name in enumerate(names):
            before = frame[name].to_numpy(dtype=np.float64)
            after = np.where(chosen[:, position], change(before, name, generator), before)
            frame[name] = _whole(after, before).astype(np.int64) if frame[name].dtype.kind in "iu" else after
        return frame

    return apply


def _rounded(values: "NDArray[np.float64]", step: float) -> "NDArray[np.float64]":
    import numpy as np

    if step <= 0:
        return values
    power = 10.0 ** math.floor(math.log10(step))  # people round to 1, 2 or 5 times a power of ten
    nice = max(factor for factor in (1, 2, 5) if factor * power <= step * (1 + 1e-9)) * power
    return np.rint(values / nice) * nice


def _swap_of(names: list[str], count: int) -> "Callable[[pd.DataFrame, Generator], pd.DataFrame]":
    return lambda frame, generator: _swapped(frame, [str(name) for name in generator.permutation(names)[:count]])


def _swapped(frame: "pd.DataFrame", names: list[str]) -> "pd.DataFrame":
    """Each named column holds what belongs into the next; whole numbers are made of what does not fit."""
    frame = frame.copy()
    values = {name: frame[name].to_numpy(dtype="float64") for name in names}
    for name, source in zip(names, [*names[1:], names[0]], strict=True):
        moved, whole = values[source], frame[name].dtype.kind in "iu"
        frame[name] = _whole(moved, values[name]).astype("int64") if whole else moved
    return frame


def _whole(values: "NDArray[np.float64]", otherwise: "NDArray[np.float64]") -> "NDArray[np.float64]":
    import numpy as np

    return np.where(np.isfinite(values), np.rint(values).clip(-_MAX_INTEGER, _MAX_INTEGER), otherwise)


def _on_cells(
    names: list[str], change: "Callable[[pd.Series, Generator], pd.Series]", hit: "Hit"
) -> "Callable[[pd.DataFrame, Generator], pd.DataFrame]":
    """Change some cells of the named columns; missing stays missing."""

    def apply(frame: "pd.DataFrame", generator: "Generator") -> "pd.DataFrame":
        frame = frame.copy()
        chosen = hit.mask(len(frame), len(names), generator)
        for position, name in enumerate(names):
            values = frame[name]
            touched = values.notna() & chosen[:, position]
            changed = change(values, generator)
            if isinstance(changed.dtype, type(values.dtype)) and str(values.dtype) == "category":
                frame[name] = _merged_categories(values, changed, touched)
            else:
                frame[name] = values.where(~touched, changed)
        return frame

    return apply


def _merged_categories(before: "pd.Series", after: "pd.Series", touched: "pd.Series") -> "pd.Series":
    """The changed cells in place of the old ones; new categories only where any cell has one."""
    import pandas as pd

    mixed = before.astype(object).where(~touched, after.astype(object))
    known = list(before.cat.categories)
    new = sorted({value for value in mixed.dropna().unique() if value not in set(known)}, key=str)
    return pd.Series(pd.Categorical(mixed, categories=[*known, *new]), index=before.index, name=before.name)


def _other_category(values: "pd.Series", generator: "Generator") -> "pd.Series":
    """Another of the categories that are known."""
    import pandas as pd

    known = list(values.cat.categories) if str(values.dtype) == "category" else sorted(values.dropna().unique())
    if len(known) < 2:
        return values
    codes = pd.Categorical(values, categories=known).codes
    moved = (codes + generator.integers(1, len(known), len(values))) % len(known)
    other = pd.Series([known[code] for code in moved], index=values.index, name=values.name, dtype=object)
    return other.astype(values.dtype)


def _typo(values: "pd.Series", _generator: "Generator") -> "pd.Series":
    """Two letters swapped and a blank behind, as when somebody types or an export pads."""
    return _as_category(values.astype(object).map(lambda text: f"{text[1:2]}{text[:1]}{text[2:]} ", na_action="ignore"))


def _unseen(values: "pd.Series", _generator: "Generator") -> "pd.Series":
    return _as_category(values.astype(object).map(lambda _: _UNSEEN, na_action="ignore"))


def _as_category(values: "pd.Series") -> "pd.Series":
    return values.astype("category")


def _flipped(values: "pd.Series", _generator: "Generator") -> "pd.Series":
    if values.dtype == bool:
        return ~values
    return values.map(lambda value: 1 - value, na_action="ignore")


def _rewritten(
    values: "pd.Series", generator: "Generator", share: float, change: "Callable[[str, Generator], str]"
) -> "pd.Series":
    """Some of the words written otherwise."""

    def rewrite(text: str) -> str:
        words = text.split(" ")
        for index in (generator.random(len(words)) < share).nonzero()[0]:
            words[index] = change(words[index], generator)
        return " ".join(words)

    return values.map(rewrite, na_action="ignore")


def _mistyped(word: str, generator: "Generator") -> str:
    """Two neighbouring letters swapped."""
    if len(word) < 2:
        return word
    at = int(generator.integers(0, len(word) - 1))
    return word[:at] + word[at + 1] + word[at] + word[at + 2 :]


def _upper(word: str, _generator: "Generator") -> str:
    return word.upper()
