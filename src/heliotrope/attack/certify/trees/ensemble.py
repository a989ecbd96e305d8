"""Sums of decision trees, whatever library they come from: what is compared with what, exactly as the library does it.

Comparisons are turned into closed intervals of the numbers that the library compares (float32 in XGBoost, CatBoost and the
trees of scikit-learn, float64 in LightGBM and histogram boosting), so that no rounding is left between a threshold and a box.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from heliotrope.attack.certify.nets.graph import NotModelled

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["Branch", "Ensemble", "Flat", "Leaf", "Leaves", "Link", "collect"]

Link = Literal["identity", "logistic", "softmax", "labels"]

_MAX_DEPTH = 4096


@dataclass(frozen=True, slots=True)
class Leaf:
    value: "Floats"
    """What it adds to the score of each class."""


@dataclass(frozen=True, slots=True)
class Branch:
    """x of a feature in [-inf, below] leads left, in [above, inf] right: neighbouring numbers of the compared kind."""

    feature: int
    below: float
    above: float
    left: "Branch | Leaf"
    right: "Branch | Leaf"
    missing_left: bool = False
    codes: frozenset[int] | None = None
    """Of a category: the codes that lead to one side; a missing one leads as `missing_left` says."""
    codes_lead_left: bool = True
    """To which side they lead; all others lead to the other."""

    def takes_left(self, code: int) -> bool:
        return (self.codes is not None and code in self.codes) == self.codes_lead_left


@dataclass(frozen=True, slots=True)
class Leaves:
    """All leaves of one tree that a box can reach, with the part of the space that leads to each."""

    low: "Floats"
    """L x features; -inf where the path asks nothing."""
    high: "Floats"
    values: "Floats"
    """L x classes."""


@dataclass(frozen=True)
class Ensemble:
    """Scores are `base` plus the leaves that an input reaches."""

    trees: tuple[Branch | Leaf, ...]
    base: "Floats"
    features: int
    single: bool
    """Inputs are rounded to float32 before they are compared."""
    link: Link = "identity"
    factor: float = 1.0
    """What scores are multiplied by before the link."""
    unit: float = 2.0**-24
    """Unit roundoff of the library's sums."""
    facts: Mapping[str, int] = field(default_factory=dict)

    @property
    def classes(self) -> int:
        return len(self.base)

    def cast(self, matrix: "NDArray[np.floating]") -> "Floats":
        """Numbers as the library compares them; monotone, so the ends of a box become the ends of its image."""
        import numpy as np

        if not self.single:
            return np.asarray(matrix, dtype=np.float64)
        with np.errstate(over="ignore"):
            return np.asarray(matrix, dtype=np.float64).astype(np.float32).astype(np.float64)

    def scores(self, matrix: "NDArray[np.floating]") -> "Floats":
        """N x classes, before the link."""
        import numpy as np

        cast = self.cast(matrix)
        total = np.tile(self.base, (len(cast), 1))
        for tree in self.trees:
            total += _fall(tree, cast, self.classes)
        return total

    def linked(self, scores: "Floats") -> "Floats":
        """Scores as the model answers with them."""
        import numpy as np
        from scipy.special import expit, softmax

        scaled = scores * self.factor  # of the link: scores themselves are without it
        match self.link:
            case "logistic":
                high = expit(scaled[:, 1] - scaled[:, 0])
                both: Floats = np.column_stack([1 - high, high])
                return both
            case "softmax":
                shares: Floats = np.array(softmax(scaled, axis=1), dtype=np.float64)
                return shares
            case "labels":
                labels: Floats = np.eye(self.classes)[scores.argmax(axis=1)]
                return labels
            case _:
                return scores

    def size(self) -> float:
        """The largest sum of absolute values that any input can meet: what rounding errors are relative to."""
        import numpy as np

        return float(np.abs(self.base).max() + sum(_largest(tree) for tree in self.trees))

    @cached_property
    def doubt(self) -> float:
        """A lead within this may have another sign in the library's own sums, or vanish in its link."""
        return 4 * (len(self.trees) + 4) * self.unit * self.size() + 1e-6 * (1 if self.link != "identity" else 0)

    def reachable(self, low: "Floats", high: "Floats") -> "list[Leaves]":
        """Of each tree the leaves that the box can reach. A missing value is NaN at both ends; a category its code."""
        import numpy as np

        found = []
        for tree in self.trees:
            lows, highs, values = [], [], []
            stack = [(tree, low, high)]
            while stack:
                node, below, above = stack.pop()
                if isinstance(node, Leaf):
                    lows.append(below)
                    highs.append(above)
                    values.append(node.value)
                    continue
                stack.extend(_ways(node, below, above))
            found.append(Leaves(np.array(lows), np.array(highs), np.array(values)))
        return found


def _ways(node: Branch, low: "Floats", high: "Floats") -> "list[tuple[Branch | Leaf, Floats, Floats]]":
    at = node.feature
    first, last = low[at], high[at]
    if math.isnan(first):  # missing, which nobody can change
        return [(node.left if node.missing_left else node.right, low, high)]
    if node.codes is not None:
        return [(node.left if node.takes_left(int(first)) else node.right, low, high)]
    ways = []
    if first <= node.below:
        upper = high
        if last > node.below:
            upper = high.copy()
            upper[at] = node.below
        ways.append((node.left, low, upper))
    if last >= node.above:
        lower = low
        if first < node.above:
            lower = low.copy()
            lower[at] = node.above
        ways.append((node.right, lower, high))
    return ways


def _fall(tree: Branch | Leaf, rows: "Floats", classes: int) -> "Floats":
    import numpy as np

    values = np.zeros((len(rows), classes))
    stack = [(tree, np.arange(len(rows)))]
    while stack:
        node, which = stack.pop()
        if not len(which):
            continue
        if isinstance(node, Leaf):
            values[which] = node.value
            continue
        own = rows[which, node.feature]
        missing = np.isnan(own)
        if node.codes is not None:
            listed = np.isin(np.where(missing, -1, own).astype(np.int64), list(node.codes))
            left = listed == node.codes_lead_left
        else:
            left = own <= node.below
        left = np.where(missing, node.missing_left, left)
        stack += [(node.left, which[left]), (node.right, which[~left])]
    return values


def _largest(tree: Branch | Leaf) -> float:
    import numpy as np

    stack, largest = [tree], 0.0
    while stack:
        node = stack.pop()
        if isinstance(node, Leaf):
            largest = max(largest, float(np.abs(node.value).max(initial=0.0)))
        else:
            stack += [node.left, node.right]
    return largest


@dataclass(frozen=True, slots=True)
class Flat:
    """One tree as arrays, as all libraries keep it; children below zero are leaves."""

    feature: "NDArray[np.int64]"
    below: "Floats"
    above: "Floats"
    left: "NDArray[np.int64]"
    right: "NDArray[np.int64]"
    missing_left: "NDArray[np.bool_]"
    leaf: "NDArray[np.bool_]"
    values: "Floats"
    """Nodes x classes; of leaves."""
    codes: Mapping[int, frozenset[int]] = field(default_factory=dict)
    codes_lead_left: bool = True


def collect(flat: Flat, root: int = 0) -> Branch | Leaf:
    """The tree from its arrays. NotModelled when they are no tree, as in a damaged file."""
    made: dict[int, Branch | Leaf] = {}
    state: dict[int, int] = {}
    stack = [root]
    while stack:
        at = stack[-1]
        if not 0 <= at < len(flat.feature) or len(stack) > _MAX_DEPTH:
            raise NotModelled("a tree leads nowhere or is too deep")
        if at in made:
            stack.pop()
            continue
        if flat.leaf[at]:
            made[at] = Leaf(flat.values[at])
            stack.pop()
            continue
        left, right = int(flat.left[at]), int(flat.right[at])
        if state.get(at):
            if left not in made or right not in made:
                raise NotModelled("a tree is no tree: a node leads back to itself")
            made[at] = Branch(
                int(flat.feature[at]), float(flat.below[at]), float(flat.above[at]), made[left], made[right],
                bool(flat.missing_left[at]), flat.codes.get(at), flat.codes_lead_left,
            )  # fmt: skip
            stack.pop()
            continue
        state[at] = 1
        if any(state.get(child) == 1 and child not in made for child in (left, right)):
            raise NotModelled("a tree is no tree: a node leads back to itself")
        stack += [left, right]
    return made[root]
