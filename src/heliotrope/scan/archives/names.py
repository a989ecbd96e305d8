"""What names inside archives may do to those who unpack them, and which of them are the same to some reader."""

import posixpath
import re
import unicodedata

__all__ = ["Names", "exact", "is_odd", "leaves", "link_leaves"]

_ODD = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
"""Control characters, marks that turn the direction of text, and characters without width."""


def leaves(name: str) -> bool:
    """Whether unpacking by that name, carelessly, writes outside of the folder, or elsewhere than the name shows."""
    parts = name.replace("\\", "/").split("/")
    return ".." in parts or parts[0] == "" or ":" in parts[0] or "\0" in name


def link_leaves(name: str, target: str, *, symbolic: bool) -> bool:
    """Whether a link of that name points outside of the folder. A symbolic one starts from its own place."""
    target = target.replace("\\", "/")
    if target.startswith("/") or ":" in target.split("/")[0] or "\0" in target:
        return True
    start = posixpath.dirname(name.replace("\\", "/")) if symbolic else ""
    return posixpath.normpath(posixpath.join(start, target)).split("/")[0] == ".."


def exact(name: str) -> str:
    """The name as readers use it: up to a NUL, one kind of separator, no empty parts."""
    return posixpath.normpath(name.split("\0", maxsplit=1)[0].replace("\\", "/"))


def _folded_name(name: str) -> str:
    """What names have in common that fall together where case or composition does not count."""
    return unicodedata.normalize("NFKC", exact(name)).casefold()


class Names:
    """The names of one archive, as they come."""

    def __init__(self) -> None:
        self._exact: set[str] = set()
        self._folded: dict[str, str] = {}

    def problem(self, name: str) -> str | None:
        """`duplicate` and `similar` to an earlier one, or None. A folder may come as often as it likes."""
        if name.endswith("/"):
            return None
        plain, folded = exact(name), _folded_name(name)
        if plain in self._exact:
            return "duplicate"
        self._exact.add(plain)
        return "similar" if self._folded.setdefault(folded, plain) != plain else None


def is_odd(name: str) -> bool:
    """Whether a person who sees the name sees something else than a program does."""
    return _ODD.search(name) is not None
