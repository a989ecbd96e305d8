"""Plain faults of inputs: what cameras, sensors, exports and people who type do to them. Nobody chooses them to mislead."""

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


def image_faults(shape: tuple[int, ...], low: float, high: float) -> Iterator[Fault]:
    """For images of C x H x W; plain arrays of another shape get those that need no neighbourhood."""
    span = high - low

    def within(function: "Callable[[Images, Generator], NDArray[Any]]") -> "Callable[[Images, Generator], Images]":
        return lambda images, generator: function(images, generator).clip(low, high).astype("float32")

    yield from _levels("noise", "deviation {:g} of the range", (0.05, 0.1, 0.2), lambda amount: within(
        lambda x, g: x + g.normal(0.0, amount * span, x.shape)))  # fmt: skip
    yield from _levels("dead-values", "{:.0%} of the values", (0.02, 0.05, 0.1), lambda share: within(
        lambda x, g: _dead(x, g, share, low, high)))  # fmt: skip
    yield from _levels("brightness", "+{:g} of the range", (0.1, 0.2, 0.4), lambda amount: within(
        lambda x, _: x + amount * span))  # fmt: skip
    yield from _levels("contrast", "x {:g}", (0.75, 0.5, 0.25), lambda factor: within(
        lambda x, _: (x - _centre(x)) * factor + _centre(x)))  # fmt: skip
    if len(shape) != 3 or min(shape[1:]) < 4:
        return
    side = min(shape[1:])
    yield from _levels("blur", "deviation {:g} px", tuple(size * max(side / _SIDE, 0.5) for size in (0.5, 1.0, 2.0)),
                       lambda size: within(lambda x, _: _blurred(x, size)))  # fmt: skip
    yield from _levels("rotation", "{:g} degrees", (5.0, 10.0, 20.0), lambda angle: within(
        lambda x, g: _rotated(x, angle, g)))  # fmt: skip
    yield from _levels("shift", "{:.0%} of the width", (0.05, 0.1, 0.2), lambda share: within(
        lambda x, g: _shifted(x, max(1, round(share * side)), g)))  # fmt: skip


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
        yield Fault(
            "swapped-columns", "two of them", 1, lambda frame, g: _swapped(frame, list(g.permutation(names)[:2]))
        )
        yield Fault("swapped-columns", "all moved on by one", 2, lambda frame, _: _swapped(frame, names))
    if categories:
        for level, some in ((1, True), (2, False)):
            where = "one of each row" if some else "all"
            yield Fault("category-wrong", where, level, _on_cells(categories, _other_category, one=some))
            yield Fault("category-typo", where, level, _on_cells(categories, _typo, one=some))
            yield Fault("category-unseen", where, level, _on_cells(categories, _unseen, one=some))
    if booleans:
        yield Fault("boolean-flipped", "one of each row", 1, _on_cells(booleans, _flipped, one=True))
        yield Fault("boolean-flipped", "all", 2, _on_cells(booleans, _flipped, one=False))
    if texts:
        yield from _levels("text-typos", "{:.0%} of the words", (0.05, 0.1, 0.2), lambda share: _on_cells(
            texts, lambda values, generator: _mistyped(values, generator, share), one=False))  # fmt: skip
        yield Fault("text-case", "all upper case", 1, _on_cells(texts, lambda values, _: values.str.upper(), one=False))


def _number_faults(columns: list[Column]) -> Iterator[Fault]:
    names = [column.name for column in columns]
    spreads = {column.name: column.spread or 0.0 for column in columns}
    yield from _levels("noise", "deviation {:g} spreads", (0.1, 0.3, 1.0), lambda amount: _on_numbers(
        names, lambda x, name, g: x + g.normal(0.0, amount * spreads[name], len(x)), one=False))  # fmt: skip
    yield from _levels("rounding", "to {:g} spreads", (0.25, 0.5, 1.0), lambda amount: _on_numbers(
        names, lambda x, name, _: _rounded(x, amount * spreads[name]), one=False))  # fmt: skip
    yield from _levels("unit-mistake", "one of each row x {:g}", (10.0, 1000.0), lambda factor: _on_numbers(
        names, lambda x, _name, _g: x * factor, one=True))  # fmt: skip
    yield Fault("unit-mistake", "all x 1000", 3, _on_numbers(names, lambda x, _name, _g: x * 1000, one=False))
    yield Fault("sign", "one of each row", 1, _on_numbers(names, lambda x, _name, _g: -x, one=True))
    yield Fault("sign", "all", 2, _on_numbers(names, lambda x, _name, _g: -x, one=False))


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


def _on_numbers(
    names: list[str], change: "Callable[[NDArray[np.float64], str, Generator], NDArray[np.float64]]", *, one: bool
) -> "Callable[[pd.DataFrame, Generator], pd.DataFrame]":
    """Change numbers of all named columns, or of one column of each row; integers stay whole, missing stays missing."""

    def apply(frame: "pd.DataFrame", generator: "Generator") -> "pd.DataFrame":
        import numpy as np

        frame = frame.copy()
        chosen = generator.integers(0, len(names), len(frame))
        for position, name in enumerate(names):
            before = frame[name].to_numpy(dtype=np.float64)
            after = np.where((chosen == position) | (not one), change(before, name, generator), before)
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
    names: list[str], change: "Callable[[pd.Series, Generator], pd.Series]", *, one: bool
) -> "Callable[[pd.DataFrame, Generator], pd.DataFrame]":
    """Change cells of all named columns, or of one column of each row; missing stays missing."""

    def apply(frame: "pd.DataFrame", generator: "Generator") -> "pd.DataFrame":
        frame = frame.copy()
        chosen = generator.integers(0, len(names), len(frame))
        for position, name in enumerate(names):
            values = frame[name]
            touched = values.notna() & ((chosen == position) | (not one))
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


def _mistyped(values: "pd.Series", generator: "Generator", share: float) -> "pd.Series":
    """Two neighbouring letters swapped in some of the words."""

    def mistype(text: str) -> str:
        words = text.split(" ")
        for index in (generator.random(len(words)) < share).nonzero()[0]:
            word = words[index]
            if len(word) > 1:
                at = int(generator.integers(0, len(word) - 1))
                words[index] = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
        return " ".join(words)

    return values.map(mistype, na_action="ignore")
