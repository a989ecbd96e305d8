"""The piece of heliotrope.yaml with which somebody vouches for code that the shipped policy does not know."""

import json
from collections.abc import Iterable

__all__ = ["snippet"]


def snippet(global_name: str, uses: Iterable[str]) -> str:
    """The fragment that allows a global in exactly the ways a file uses it.

    `uses` are those of the policy: call, new, build, items, append, add; none for a global that is only referred to. Whoever
    pastes it fills in the reason and the day until which it holds: both are placeholders that do not pass as they are.
    """
    ways = ", ".join(sorted(set(uses)))
    name = json.dumps(global_name)
    return f'scan:\n  allow:\n    - global: {name}\n      uses: [{ways}]\n      reason: ""\n      expires: YYYY-MM-DD\n'
