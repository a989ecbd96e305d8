"""The fixed grids of stricter settings. They are short, and chosen before anything was measured."""

from collections.abc import Mapping

from heliotrope.harden.tables.interface import Setting

__all__ = ["DEPTHS", "FEWER", "LEAVES", "PENALTIES", "PER_ROW", "tree_settings"]

PENALTIES = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
"""How many times stronger than the original's; 1: as strong, of the kind that fits the threat."""

DEPTHS = (2, 3, 4)
LEAVES = (5, 20)
"""Fewest rows of a leaf."""

FEWER = (0.5, 0.25)
"""Shares of the trees."""

PER_ROW = 0.25
"""Largest second derivative of the logistic loss of one row, in which XGBoost counts what a leaf holds."""


def tree_settings(
    own: Mapping[str, object],
    *,
    depth: str,
    leaf: str | None,
    count: str | None,
    ends: str | None = None,
    per_row: float = 1.0,
) -> tuple[tuple[str, dict[str, Setting]], ...]:
    """Candidates as (what people call it, parameters): shallower trees with larger leaves, then as deep ones, but fewer.

    `depth`, `leaf`, `count`, `ends`: how the library calls depth, fewest rows of a leaf, number of trees and number of leaves;
    None: it has no such thing. `own`: the values now. Depths that are no less than the model's own are left out.
    """
    found: list[tuple[str, dict[str, Setting]]] = []
    limit, trees = _whole(own.get(depth)), _whole(own.get(count)) if count is not None else 0
    for deepest in (one for one in DEPTHS if limit <= 0 or one < limit):
        made: dict[str, Setting] = {depth: deepest}
        if ends is not None:
            made[ends] = 2**deepest
        if leaf is None:
            found.append((f"depth {deepest}", made))
            continue
        for least in LEAVES:
            own_kind = least if per_row == 1.0 else least * per_row
            found.append((f"depth {deepest}, leaves of {least} rows or more", made | {leaf: own_kind}))
    if count is not None and trees > 1:
        fewer = sorted({max(1, int(trees * share)) for share in FEWER}, reverse=True)
        found += [(f"{number} trees", {count: number}) for number in fewer]
    return tuple(found)


def _whole(value: object) -> int:
    """0 where there is no limit, or none is known."""
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0
