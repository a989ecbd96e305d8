"""scipy's random variables, which run a text from their state when they are loaded: it must be one that scipy builds.

Source: parse_arg_template and rv_generic.__setstate__ of scipy.stats._distn_infrastructure, releases 1.6 to 1.17.
"""

import re

from heliotrope.scan.pickles.replay import Lookup, Unclear, replay
from heliotrope.scan.pickles.state import State

__all__ = ["distribution_problem"]

_KEY = "_parse_arg_template"

_TEXT = re.compile(
    r"\s*def _parse_args\(self, (?P<shapes>(?:[A-Za-z_]\w*, )*) (?P<given>loc=0(?:, scale=1)?)\):\n"
    r"    return \((?P=shapes)\), (?P<out>loc, (?:scale|1))\n\n"
    r"def _parse_args_rvs\(self, (?P=shapes) (?P=given), size=None\):\n"
    r"    return self\._argcheck_rvs\((?P=shapes) (?P=out), size=size\)\n\n"
    r"def _parse_args_stats\(self, (?P=shapes) (?P=given), moments='mv'\):\n"
    r"    return \((?P=shapes)\), (?P=out), moments\n",
    re.ASCII,
)


def distribution_problem(machine: State, begun: int, offset: int, lookup: Lookup) -> str:
    """Why a random variable's state is not to be trusted; empty when its text is scipy's own."""
    try:
        state = replay(machine, begun, offset, lookup)
    except Unclear as error:
        return f"to something that cannot be followed: {error}"
    text = state.get(_KEY) if isinstance(state, dict) else None
    if not isinstance(text, str):
        return "without the text that scipy keeps in it"
    return "" if _TEXT.fullmatch(text) else "with code that is not scipy's own"
