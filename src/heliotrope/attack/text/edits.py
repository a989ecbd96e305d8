"""Edits of characters that a reader hardly sees, and that change what a tokeniser sees."""

import unicodedata
from collections.abc import Callable

from heliotrope.attack.text.interface import Candidate
from heliotrope.config.schema import TextEdit

__all__ = ["INVISIBLE", "NEGATIONS", "distance", "is_negation", "normalised", "propose_edits"]

_ALIKE = {
    "a": "\u0430\u0251", "b": "\u042c", "c": "\u0441\u03f2", "d": "\u0501", "e": "\u0435", "g": "\u0261", "h": "\u04bb",
    "i": "\u0456", "j": "\u0458", "k": "\u043a", "l": "\u04cf", "m": "\u043c", "n": "\u0578", "o": "\u043e\u03bf",
    "p": "\u0440", "q": "\u051b", "r": "\u0433", "s": "\u0455", "u": "\u057d", "v": "\u03bd", "w": "\u051d", "x": "\u0445",
    "y": "\u0443", "z": "\u1d22", "A": "\u0410\u0391", "B": "\u0412\u0392", "C": "\u0421", "E": "\u0415\u0395",
    "H": "\u041d\u0397", "I": "\u0406\u0399", "J": "\u0408", "K": "\u041a\u039a", "M": "\u041c\u039c", "N": "\u039d",
    "O": "\u041e\u039f", "P": "\u0420\u03a1", "S": "\u0405", "T": "\u0422\u03a4", "X": "\u0425\u03a7", "Y": "\u03a5",
    "Z": "\u0396",
}  # fmt: skip
"""Latin letters and letters of other alphabets (Cyrillic, Greek, Armenian, IPA) that look like them in common typefaces."""

_BACK = {ord(alike): latin for latin, others in _ALIKE.items() for alike in others}

INVISIBLE = "\u200b\u200c\u200d\u2060\u00ad"
"""Zero width space, non-joiner and joiner, word joiner, soft hyphen."""

_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")

NEGATIONS = frozenset(
    [
        "no",
        "not",
        "nor",
        "none",
        "never",
        "neither",
        "nobody",
        "nothing",
        "nowhere",
        "without",
        "cannot",
        "hardly",
        "barely",
        "scarcely",
        "nicht",
        "nichts",
        "kein",
        "keine",
        "keinen",
        "keiner",
        "nie",
        "niemals",
        "ohne",
        "weder",
        "ne",
        "pas",
        "jamais",
        "sans",
        "aucun",
    ]
)
"""Words that turn the meaning round (English, German, French); tables may name more."""

_SHORTEST = 4
"""Letters of a word that may be mistyped: shorter ones become other words."""

_PLACES = 2
"""Letters of a word that each kind of edit is tried at."""


def is_negation(word: str, more: frozenset[str] = frozenset()) -> bool:
    """Whether a word turns the meaning round; contractions included."""
    plain = word.casefold().replace("\u2019", "'")
    return plain in NEGATIONS or plain in more or plain.endswith("n't")


def distance(one: str, other: str) -> int:
    """Levenshtein distance: the fewest insertions, deletions and replacements of code points."""
    before = list(range(len(other) + 1))
    for row, left in enumerate(one, start=1):
        line = [row]
        for column, right in enumerate(other, start=1):
            line.append(min(before[column] + 1, line[-1] + 1, before[column - 1] + (left != right)))
        before = line
    return before[-1]


def normalised(text: str) -> str:
    """What a normaliser in front of the model would make of it: NFKC, no invisible characters, no look-alikes.

    Look-alikes are folded in words that also hold Latin letters or nothing but look-alikes, so that words of other alphabets
    stay as they are.
    """
    plain = _folded_words(text.translate(dict.fromkeys(map(ord, INVISIBLE))))  # NFKC makes other letters of some
    return _folded_words(unicodedata.normalize("NFKC", plain))


def _folded_words(text: str) -> str:
    return " ".join(_folded(word) for word in text.split(" "))


def _folded(word: str) -> str:
    letters = [char for char in word if char.isalpha()]
    mixed = any(unicodedata.name(char, "").startswith("LATIN") for char in letters) or all(
        ord(char) in _BACK for char in letters
    )
    return word.translate(_BACK) if mixed else word


def propose_edits(word: str, kinds: tuple[TextEdit, ...], draw: Callable[[int], int]) -> list[Candidate]:
    """Ways to write the word by edits of characters, each once, the original not among them."""
    makers: dict[TextEdit, Callable[[str, Callable[[int], int]], list[str]]] = {
        "homoglyph": _homoglyphs,
        "invisible": _invisible,
        "typo": _typos,
        "case": _cases,
    }
    found: dict[str, Candidate] = {}
    for kind in kinds:
        for made in makers[kind](word, draw):
            if made != word and made not in found:
                found[made] = Candidate(made, kind, distance(word, made))
    return list(found.values())


def _homoglyphs(word: str, draw: Callable[[int], int]) -> list[str]:
    able = [place for place, char in enumerate(word) if char in _ALIKE]
    if not able:
        return []
    made = []
    for place in _some(able, draw):
        alike = _ALIKE[word[place]]
        made.append(word[:place] + alike[draw(len(alike))] + word[place + 1 :])
    return made


def _invisible(word: str, draw: Callable[[int], int]) -> list[str]:
    if len(word) < 2:
        return []
    places = _some(list(range(1, len(word))), draw)
    return [word[:place] + INVISIBLE[draw(len(INVISIBLE))] + word[place:] for place in places]


def _typos(word: str, draw: Callable[[int], int]) -> list[str]:
    """First and last letters stay: readers go by them."""
    if len(word) < _SHORTEST or is_negation(word) or not word.isalpha():
        return []
    inner = list(range(1, len(word) - 1))
    made = []
    for place in _some(inner, draw):
        near = _neighbours(word[place])
        if near:
            made.append(word[:place] + near[draw(len(near))] + word[place + 1 :])
        made.append(word[:place] + word[place + 1 :])
        made.append(word[:place] + word[place] + word[place:])
        if place + 1 < len(word) - 1:
            made.append(word[:place] + word[place + 1] + word[place] + word[place + 2 :])
    return made


def _cases(word: str, draw: Callable[[int], int]) -> list[str]:
    place = draw(len(word))
    return [word.upper(), word.capitalize(), word[:place] + word[place].swapcase() + word[place + 1 :]]


def _neighbours(char: str) -> str:
    """Keys beside this one in its row of a QWERTY keyboard, in its case."""
    for row in _ROWS:
        at = row.find(char.lower())
        if at >= 0:
            near = row[max(0, at - 1) : at] + row[at + 1 : at + 2]
            return near.upper() if char.isupper() else near
    return ""


def _some(places: list[int], draw: Callable[[int], int]) -> list[int]:
    """A few of the places, without repetition."""
    rest = list(places)
    chosen: list[int] = []
    while rest and len(chosen) < _PLACES:
        chosen.append(rest.pop(draw(len(rest))))
    return chosen
