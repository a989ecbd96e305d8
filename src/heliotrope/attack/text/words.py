"""Substitutes of words from a table that the team supplies, guarded against turning the meaning round."""

import re
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

import yaml

from heliotrope.attack.text.edits import is_negation
from heliotrope.attack.text.interface import Candidate
from heliotrope.core.errors import InputError
from heliotrope.core.text import printable, shorten

__all__ = ["WordTable", "read_table"]

_MAX_ENTRIES = 1_000_000
_WORD = re.compile(r"\w+(?:['\u2019-]\w+)*")


@dataclass(frozen=True, slots=True)
class WordTable:
    """Words that may stand for others. All in lower case."""

    substitutes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    refused: int = 0
    """Substitutes that the guard left out."""

    def propose(self, word: str) -> list[Candidate]:
        """Substitutes in the word's case."""
        return [Candidate(_cased(other, word), "word", 0) for other in self.substitutes.get(word.casefold(), ())]


def read_table(data: bytes, name: str) -> WordTable:
    """A table from tsv or yaml.

    tsv: a word and its substitutes in each line, separated by tabs; after `!` a word and its antonyms, after `#` remarks.
    yaml: `substitutes` and `antonyms`, each a mapping from words to lists of words, and `negations`, a list. The guard
    refuses a substitute if either word is a negation, if they are antonyms, or if it also stands for an antonym. Raises
    InputError.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _wrong(name, f"it is not UTF-8 (byte {error.start})") from None
    if PurePath(name).suffix.lower() in (".yaml", ".yml"):
        substitutes, antonyms, negations = _from_yaml(text, name)
    else:
        substitutes, antonyms = _from_lines(text, name)
        negations = frozenset()
    return _guarded(substitutes, antonyms, negations, name)


Pairs = dict[str, list[str]]


def _from_lines(text: str, name: str) -> tuple[Pairs, Pairs]:
    substitutes: Pairs = {}
    antonyms: Pairs = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        head, *others = (cell.strip() for cell in line.removeprefix("!").split("\t"))
        if not head or not any(others):
            raise _wrong(name, f"line {number} has no word and substitutes separated by tabs")
        into = antonyms if line.startswith("!") else substitutes
        into.setdefault(head.casefold(), []).extend(other.casefold() for other in others if other)
    return substitutes, antonyms


def _from_yaml(text: str, name: str) -> tuple[Pairs, Pairs, frozenset[str]]:
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise _wrong(name, f"it is no YAML: {printable(shorten(str(error), 200))}") from None
    if not isinstance(document, dict) or set(document) - {"substitutes", "antonyms", "negations"}:
        raise _wrong(name, "it must be a mapping with substitutes, antonyms and negations")
    negations = document.get("negations") or []
    if not isinstance(negations, list):
        raise _wrong(name, "negations must be a list of words")
    pairs = [_pairs(document.get(key) or {}, key, name) for key in ("substitutes", "antonyms")]
    return pairs[0], pairs[1], frozenset(str(word).casefold() for word in negations)


def _pairs(found: Any, key: str, name: str) -> Pairs:
    if not isinstance(found, dict) or not all(isinstance(others, list) for others in found.values()):
        raise _wrong(name, f"{key} must map each word to a list of words")
    made: Pairs = {}
    for word, others in found.items():
        if not all(isinstance(one, str) for one in (word, *others)):
            raise _wrong(
                name, f"{key} of {printable(shorten(str(word), 40))!r} holds no word: put yes, no and numbers in quotes"
            )
        made.setdefault(word.casefold(), []).extend(other.casefold() for other in others)
    return made


def _guarded(substitutes: Pairs, antonyms: Pairs, negations: frozenset[str], name: str) -> WordTable:
    if sum(map(len, substitutes.values())) > _MAX_ENTRIES:
        raise _wrong(name, f"it has more than {_MAX_ENTRIES:,} substitutes")
    against: dict[str, set[str]] = {}
    for word, others in antonyms.items():
        for other in others:
            against.setdefault(word, set()).add(other)
            against.setdefault(other, set()).add(word)
    kept: dict[str, tuple[str, ...]] = {}
    refused = 0
    for word, others in substitutes.items():
        crossed = against.get(word, set())
        crossed = crossed | {other for opposite in crossed for other in substitutes.get(opposite, [])}
        wanted = [other for other in dict.fromkeys(others) if other != word]
        fine = [
            other
            for other in wanted
            if _WORD.fullmatch(other)
            and other not in crossed
            and not is_negation(word, negations)
            and not is_negation(other, negations)
        ]
        refused += len(wanted) - len(fine)
        if fine:
            kept[word] = tuple(fine)
    if not kept:
        raise _wrong(
            name, f"no substitute is left; the guard refused {refused} (negations, antonyms, more than one word)"
        )
    return WordTable(kept, refused)


def _cased(word: str, like: str) -> str:
    if like.isupper() and len(like) > 1:
        return word.upper()
    return word.capitalize() if like[:1].isupper() else word


def _wrong(name: str, why: str) -> InputError:
    return InputError(
        f"table of substitutes {printable(shorten(name, 200))}: {why}",
        hint="each line: a word and its substitutes, separated by tabs; antonyms in lines that start with !",
    )
