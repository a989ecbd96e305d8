"""What hardening knows of a model of a table: how to fit it anew, and what can be changed about that."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from heliotrope.core.errors import HeliotropeError, InputError
from heliotrope.core.text import printable, shorten

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from heliotrope.subjects.interface import Inputs

__all__ = ["Fitted", "Front", "Recipe", "Setting", "fitting", "no_place"]

Setting = str | float | int | bool


@dataclass(frozen=True, slots=True)
class Fitted:
    """A model as the bytes of a file in the format of the original."""

    data: bytes
    bare: bytes | None = None
    """The same without what clips, quantises or rounds around it; None where nothing does."""
    warned: tuple[str, ...] = ()
    """Kinds of warnings that the library gave, as in ConvergenceWarning."""


@dataclass(frozen=True, slots=True)
class Front:
    """What is to be done to numbers before the model sees them."""

    kind: str
    """clip or quantise."""
    numbers: tuple[str, ...]
    """Columns, in the order of the values; of arrays empty: every value."""
    low: tuple[float, ...] = ()
    """clip: smallest value seen in training."""
    high: tuple[float, ...] = ()
    step: tuple[float, ...] = ()
    """quantise: the distance between two values; 0: any value."""


class Recipe(Protocol):
    """How a model is fitted; immutable, so that every change gives another recipe."""

    @property
    def suffix(self) -> str:
        """Of the file's name, with its dot."""

    @property
    def media_type(self) -> str: ...

    @property
    def settings(self) -> dict[str, Setting]:
        """What it is fitted with, for the evidence; what the file does not say, and what stands in for it, too."""

    def fit(self, inputs: "Inputs", answers: "NDArray[np.int64]") -> Fitted:
        """On rows as the data hold them, with the index of the right class. Equal rows give equal bytes.

        Raises InputError where the library does not take them.
        """

    def monotone(self, signs: Mapping[str, int]) -> "Recipe":
        """The score of the second of two classes never falls (1) or never rises (-1) in these columns."""

    def stricter(self, norm: str) -> "tuple[tuple[str, Recipe], ...]":
        """The fixed grid of stronger penalties, or of fewer and shallower trees, with what people call each."""

    def behind(self, front: Front) -> "Recipe": ...

    def rounded(self) -> "Recipe": ...


@contextmanager
def fitting(what: str) -> Iterator[None]:
    """Turn whatever a library raises while it fits into an InputError. Running out of memory passes through."""
    try:
        yield
    except (HeliotropeError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 - libraries have no common root of errors
        reason = shorten(printable(" ".join(f"{type(error).__name__}: {error}".split())), 400)
        raise InputError(
            f"fitting {what} failed with {reason}",
            hint="compare the data with what the model was trained on, or set harden.parameters",
        ) from None


def no_place(library: str, method: str) -> InputError:
    """A file of a booster holds trees and nothing around them."""
    return InputError(
        f"{method} needs something around the model, and a file of {library} has no place for that",
        hint=f"take {method} out of harden.tables, or ship the model inside of a scikit-learn pipeline (skops)",
    )
