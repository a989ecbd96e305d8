"""Characters as Unicode 14 has them, whatever the Python: newer Pythons know more letters, and a verdict must not.

Sources: the Unicode Character Database, versions 14.0 (Python 3.11) to 17.0 (3.15), compared character by character;
none of those that 14.0 knows has become printable, a letter, a digit or a space since, or ceased to be one.
"""

import re
import unicodedata
from functools import cache

__all__ = ["COMPARED", "has_later", "names_later", "without_later"]

COMPARED = "17.0.0"
"""The latest version of Unicode that was compared; what a later one adds is not known here."""

_LATER = (
    "\u088f\u0897\u0c5c\u0cdc\u0cf3\u0ece\u1acf-\u1add\u1ae0-\u1aeb\u1b4e-\u1b4f\u1b7f\u1c89-\u1c8a\u20c1"
    "\u2427-\u2429\u2b96\u2ffc-\u2fff\u31e4-\u31e5\u31ef\ua7cb-\ua7cf\ua7d2\ua7d4\ua7da-\ua7dc\ua7f1\ufbc3-\ufbd2"
    "\ufd90-\ufd91\ufdc8-\ufdce\U000105c0-\U000105f3\U00010940-\U00010959\U00010d40-\U00010d65\U00010d69-\U00010d85"
    "\U00010d8e-\U00010d8f\U00010ec2-\U00010ec7\U00010ed0-\U00010ed8\U00010efa-\U00010eff\U0001123f-\U00011241"
    "\U00011380-\U00011389\U0001138b\U0001138e\U00011390-\U000113b5\U000113b7-\U000113c0\U000113c2\U000113c5"
    "\U000113c7-\U000113ca\U000113cc-\U000113d5\U000113d7-\U000113d8\U000113e1-\U000113e2\U000116d0-\U000116e3"
    "\U00011b00-\U00011b09\U00011b60-\U00011b67\U00011bc0-\U00011be1\U00011bf0-\U00011bf9\U00011db0-\U00011ddb"
    "\U00011de0-\U00011de9\U00011f00-\U00011f10\U00011f12-\U00011f3a\U00011f3e-\U00011f5a\U0001342f"
    "\U00013439-\U00013455\U00013460-\U000143fa\U00016100-\U00016139\U00016d40-\U00016d79\U00016ea0-\U00016eb8"
    "\U00016ebb-\U00016ed3\U00016ff2-\U00016ff6\U000187f8-\U000187ff\U00018cff\U00018d09-\U00018d1e"
    "\U00018d80-\U00018df2\U0001b132\U0001b155\U0001cc00-\U0001ccfc\U0001cd00-\U0001ceb3\U0001ceba-\U0001ced0"
    "\U0001cee0-\U0001cef0\U0001d2c0-\U0001d2d3\U0001df25-\U0001df2a\U0001e030-\U0001e06d\U0001e08f"
    "\U0001e4d0-\U0001e4f9\U0001e5d0-\U0001e5fa\U0001e5ff\U0001e6c0-\U0001e6de\U0001e6e0-\U0001e6f5"
    "\U0001e6fe-\U0001e6ff\U0001f6d8\U0001f6dc\U0001f774-\U0001f77f\U0001f7d9\U0001f8b2-\U0001f8bb"
    "\U0001f8c0-\U0001f8c1\U0001f8d0-\U0001f8d8\U0001fa54-\U0001fa57\U0001fa75-\U0001fa77\U0001fa87-\U0001fa8a"
    "\U0001fa8e-\U0001fa8f\U0001faad-\U0001faaf\U0001fabb-\U0001fabf\U0001fac6\U0001fac8\U0001facd-\U0001facf"
    "\U0001fada-\U0001fadc\U0001fadf\U0001fae8-\U0001faea\U0001faef\U0001faf7-\U0001faf8\U0001fbcb-\U0001fbef"
    "\U0001fbfa\U0002b739-\U0002b73f\U0002cea2-\U0002cead\U0002ebf0-\U0002ee5d\U00031350-\U00033479"
)
"""Assigned in Unicode 15.0 to 17.0."""
_NO_CHARACTER = "\ufffe"
_NAMED = re.compile(r"\\(?:N\{([^{}]*)\}|.)", re.DOTALL)
_WITH_ALIASES = frozenset({"Cc", "Cf", "Zs"})
"""Controls, marks and spaces have names beside their own, and have had them for long."""


@cache
def _later() -> re.Pattern[str]:
    return re.compile(f"[{_LATER}]")


def has_later(text: str) -> bool:
    """Whether a character is not in Unicode 14."""
    return not text.isascii() and _later().search(text) is not None


def without_later(text: str) -> str:
    """The text with what is not in Unicode 14 replaced by what never is a character, one for one."""
    return text if text.isascii() else _later().sub(_NO_CHARACTER, text)


def names_later(text: str) -> bool:
    r"""Whether an escape \N{...} in the text names a character that Unicode 14 does not know by that name."""
    return "\\N{" in text and any(_is_later_name(match[1]) for match in _NAMED.finditer(text) if match[1] is not None)


def _is_later_name(name: str) -> bool:
    try:
        character = unicodedata.lookup(name)
    except KeyError:
        return False  # no Python knows it
    if len(character) != 1 or has_later(character):
        return True
    return unicodedata.name(character, "") != name.upper() and unicodedata.category(character) not in _WITH_ALIASES
