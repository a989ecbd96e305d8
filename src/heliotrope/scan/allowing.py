"""The piece of heliotrope.yaml with which somebody vouches for code that the shipped policy does not know."""

import json
from collections.abc import Iterable
from typing import get_args

from heliotrope.core.predicates.scan import AllowedUse

__all__ = ["ALLOWABLE", "snippet"]

ALLOWABLE = frozenset(get_args(AllowedUse))
"""What can be allowed at all."""


def snippet(global_name: str, uses: Iterable[str]) -> str:
    """The fragment that allows a global in exactly the ways a file uses it.

    `uses` are those of AllowedUse. A global that is only referred to has none, but an allowance needs one: new. Whoever
    pastes it fills in the reason and the day until which it holds: both are placeholders that do not pass as they are.
    """
    ways = ", ".join(sorted(set(uses) or {"new"}))
    name = json.dumps(global_name)
    return f'scan:\n  allow:\n    - global: {name}\n      uses: [{ways}]\n      reason: ""\n      expires: YYYY-MM-DD\n'
