"""The types of an attack on texts: what may change, and what a text is made of."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from heliotrope.config.schema import TextEdit

__all__ = ["Candidate", "Kind", "Limits", "Proposer", "Text", "parse"]

Kind = TextEdit | Literal["word"]


@dataclass(frozen=True, slots=True)
class Limits:
    """The budget of one text."""

    words: int
    """Words that may change."""
    characters: float
    """Share of the characters of the original text that edits of characters may insert, delete or replace, in (0, 1]."""

    def characters_of(self, text: "Text") -> int:
        """Whole characters; never rounded up."""
        return int(self.characters * text.length + 1e-9)


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to write a word."""

    word: str
    kind: Kind
    cost: int
    """Levenshtein distance to the original word; 0 for a substitute of the table, which counts as a word alone."""


@dataclass(frozen=True, slots=True)
class Text:
    """The text columns of one row, cut into words and what stands between them."""

    columns: tuple[tuple[str, ...], ...]
    """Of each column the pieces: between, word, between, word, ..., between; no piece for a missing value."""
    places: tuple[tuple[int, int], ...]
    """Of each word its column and piece."""

    @property
    def words(self) -> tuple[str, ...]:
        return tuple(self.columns[column][piece] for column, piece in self.places)

    @property
    def length(self) -> int:
        """Characters of all columns."""
        return sum(len(piece) for pieces in self.columns for piece in pieces)

    def written(self, words: "dict[int, str]") -> tuple[str | None, ...]:
        """Each column with some words, by their number, written otherwise; None where the value is missing."""
        made = [list(pieces) for pieces in self.columns]
        for number, word in words.items():
            column, piece = self.places[number]
            made[column][piece] = word
        return tuple("".join(pieces) if pieces else None for pieces in made)


class Proposer(Protocol):
    """Ways to write a word of a text; the choice depends on what `draw` returns alone."""

    def __call__(self, word: str, draw: Callable[[int], int]) -> list[Candidate]:
        """`draw(n)` is a random number in [0, n)."""


def parse(values: "tuple[object, ...]") -> Text:
    """Cut texts into words: letters, digits and marks, joined by apostrophes and hyphens inside a word. No str: missing."""
    import re

    columns: list[tuple[str, ...]] = []
    places: list[tuple[int, int]] = []
    for value in values:
        pieces = re.split(r"(\w+(?:['\u2019-]\w+)*)", value) if isinstance(value, str) else []
        places += [(len(columns), piece) for piece in range(1, len(pieces), 2)]
        columns.append(tuple(pieces))
    return Text(tuple(columns), tuple(places))
