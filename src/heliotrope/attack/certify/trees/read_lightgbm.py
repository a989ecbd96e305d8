"""LightGBM: trees from the library's own text. x <= t leads left, in float64; listed categories lead left.

The format is the library's: src/io/tree.cpp, Tree::ToString, https://github.com/microsoft/LightGBM
"""

from typing import Any

from heliotrope.attack.certify.nets.graph import NotModelled
from heliotrope.attack.certify.trees.ensemble import Branch, Ensemble, Flat, Leaf, Link, collect
from heliotrope.attack.certify.trees.reading import MAX_NODES, at_most, in_class

__all__ = ["from_lightgbm"]

_CATEGORY, _DEFAULT_LEFT, _MISSING_SHIFT = 1, 2, 2
_MISSING_NONE, _MISSING_ZERO = 0, 1
_WORD = 32


def from_lightgbm(booster: Any, *, raw: bool = False) -> Ensemble:
    """The trees of a booster. `raw`: the model answers with scores before the link."""
    import numpy as np

    text = booster.model_to_string(num_iteration=-1)
    head, _, rest = text.partition("\nTree=")
    header = dict(line.split("=", 1) for line in head.splitlines() if "=" in line)
    objective, *options = header.get("objective", "").split(" ")
    classes = int(header.get("num_class", "1"))
    each = int(header.get("num_tree_per_iteration", "1"))
    link: Link
    match objective:
        case "binary":
            link = "logistic"
        case "multiclass":
            link = "softmax"
        case "multiclassova" | "cross_entropy":
            link = "identity" if objective == "multiclassova" else "logistic"
        case _:
            raise NotModelled(f"the objective {objective or 'none'} is none whose answers follow the sum of trees")
    factor = 1.0
    for option in options:
        if option.startswith("sigmoid:") and objective == "binary":
            factor = float(option.partition(":")[2])
    blocks = ("Tree=" + rest.partition("\nend of trees")[0]).split("\nTree=")
    count = max(classes, 2)
    share = 1.0 / max(1, len(blocks) // each) if "average_output" in head.splitlines() else 1.0
    trees = tuple(
        _tree(
            dict(line.split("=", 1) for line in block.splitlines() if "=" in line),
            index % each if classes > 1 else 1,
            count,
            share,
        )
        for index, block in enumerate(blocks)
    )
    features = int(header["max_feature_idx"]) + 1
    unit = 2.0**-53
    return Ensemble(
        trees, np.zeros(count), features, single=False, link="identity" if raw else link, factor=factor, unit=unit
    )


def _tree(fields: dict[str, str], group: int, classes: int, share: float) -> Branch | Leaf:
    import numpy as np

    if fields.get("is_linear", "0") != "0":
        raise NotModelled("its leaves are linear functions")
    leaves = int(fields["num_leaves"])
    values = np.array([float(one) for one in fields["leaf_value"].split()]) * share
    if leaves == 1:
        return Leaf(in_class(values[:1], group, classes)[0])
    inner = leaves - 1
    if leaves > MAX_NODES or len(values) != leaves:
        raise NotModelled("a tree is damaged")

    def ints(key: str) -> Any:
        return np.array([int(one) for one in fields[key].split()], dtype=np.int64)

    feature, kinds, left, right = (ints(key) for key in ("split_feature", "decision_type", "left_child", "right_child"))
    thresholds = np.array([float(one) for one in fields["threshold"].split()])
    if not len(feature) == len(kinds) == len(left) == len(right) == len(thresholds) == inner:
        raise NotModelled("a tree is damaged")
    missing = (kinds >> _MISSING_SHIFT) & 3
    category = (kinds & _CATEGORY) != 0
    if bool((missing[~category] == _MISSING_ZERO).any()):
        raise NotModelled("it takes zeros as missing")
    below, above = at_most(thresholds, single=False)
    default = (kinds & _DEFAULT_LEFT) != 0
    missing_left = np.where(missing == _MISSING_NONE, thresholds >= 0, default) & ~category
    nothing = np.zeros(leaves)
    return collect(
        Flat(
            np.concatenate([feature, np.zeros(leaves, dtype=np.int64)]),
            np.concatenate([below, nothing]),
            np.concatenate([above, nothing]),
            np.concatenate([_child(left, inner), np.full(leaves, -1)]),
            np.concatenate([_child(right, inner), np.full(leaves, -1)]),
            np.concatenate([missing_left, np.zeros(leaves, dtype=bool)]),
            np.concatenate([np.zeros(inner, dtype=bool), np.ones(leaves, dtype=bool)]),
            np.concatenate([np.zeros((inner, classes)), in_class(values, group, classes)]),
            _categories(fields, thresholds, category),
        )
    )


def _child(children: Any, inner: int) -> Any:
    """Inner nodes as they are, leaves behind them."""
    import numpy as np

    return np.where(children >= 0, children, inner + ~children)


def _categories(fields: dict[str, str], thresholds: Any, category: Any) -> dict[int, frozenset[int]]:
    if not category.any():
        return {}
    bounds = [int(one) for one in fields["cat_boundaries"].split()]
    words = [int(one) for one in fields["cat_threshold"].split()]
    found = {}
    for node in category.nonzero()[0].tolist():
        place = int(thresholds[node])
        part = words[bounds[place] : bounds[place + 1]]
        found[node] = frozenset(
            _WORD * index + bit for index, word in enumerate(part) for bit in range(_WORD) if word >> bit & 1
        )
    return found
