"""XGBoost: trees from the JSON that the library itself writes. x < t leads left, in float32; listed categories lead right.

https://xgboost.readthedocs.io/en/stable/dev/structxgboost_1_1TreeParam.html and the JSON schema in the library's documentation.
"""

import json
import math
from typing import Any

from heliotrope.attack.certify.nets.graph import NotModelled
from heliotrope.attack.certify.trees.ensemble import Branch, Ensemble, Flat, Leaf, Link, collect
from heliotrope.attack.certify.trees.reading import MAX_NODES, in_class, less_than, numbers_of

__all__ = ["from_xgboost"]

_LOGISTIC = frozenset({"binary:logistic", "binary:logitraw", "binary:hinge", "reg:logistic"})
_SOFTMAX = frozenset({"multi:softprob", "multi:softmax"})


def from_xgboost(booster: Any, *, trees: tuple[int, int] = (0, 0), margins: bool = False) -> Ensemble:
    """The trees of a booster. `trees`: first and last round that answer, (0, 0) for all. NotModelled for linear boosters.

    `margins`: the model answers with scores before the link.
    """
    learner = json.loads(bytes(booster.save_raw("json")))["learner"]
    objective = str(learner["objective"]["name"])
    param = learner["learner_model_param"]
    classes = int(param.get("num_class", 0))
    if objective not in _LOGISTIC | _SOFTMAX or int(param.get("num_target", 1)) > 1:
        raise NotModelled(f"the objective {objective} is none whose answers follow the sum of trees")
    model, weights = _boosted(learner["gradient_booster"])
    count, width = max(classes, 2), max(classes, 1)
    listed, groups = model["trees"], numbers_of(model["tree_info"], "int64")
    if sum(len(tree["left_children"]) for tree in listed) > MAX_NODES or len(groups) != len(listed):
        raise NotModelled(f"it has more than {MAX_NODES} nodes")
    chosen = _rounds(model, len(listed), trees, width)
    made = tuple(
        _tree(listed[index], int(groups[index]) if classes else 1, count, weights[index] if weights else 1.0)
        for index in chosen
    )
    link: Link = "identity" if margins or objective == "binary:logitraw" else "logistic" if not classes else "softmax"
    if objective == "binary:hinge":
        link = "labels"
    base = _base(str(param["base_score"]), count, logistic=objective in ("binary:logistic", "reg:logistic"))
    return Ensemble(made, base, int(param["num_feature"]), single=True, link=link)


def _boosted(booster: dict[str, Any]) -> tuple[dict[str, Any], list[float]]:
    """The model with trees, and what each is multiplied by; nothing: by one."""
    name = booster.get("name")
    if name == "gbtree":
        return booster["model"], []
    if name == "dart":
        return booster["gbtree"]["model"], [float(one) for one in booster["weight_drop"]]
    raise NotModelled(f"the booster {name} has no trees")


def _rounds(model: dict[str, Any], count: int, trees: tuple[int, int], width: int) -> range:
    if trees == (0, 0):
        return range(count)
    parallel = int(model["gbtree_model_param"].get("num_parallel_tree", 1))
    return range(trees[0] * width * parallel, min(count, trees[1] * width * parallel))


def _base(text: str, count: int, *, logistic: bool) -> Any:
    import numpy as np

    values = [float(one) for one in text.strip("[] ").split(",")]
    if logistic:
        values = [math.log(one / (1 - one)) if 0 < one < 1 else math.copysign(math.inf, one - 0.5) for one in values]
    if not all(math.isfinite(one) for one in values):
        raise NotModelled("its base score is no probability between 0 and 1")
    if count == 2 and len(values) == 1:
        return np.array([0.0, values[0]])
    return np.array(values * count if len(values) == 1 else values)


def _tree(tree: dict[str, Any], group: int, classes: int, weight: float) -> Branch | Leaf:
    import numpy as np

    left = numbers_of(tree["left_children"], "int64")
    n = len(left)
    if int(tree["tree_param"].get("size_leaf_vector", 1)) > 1:
        raise NotModelled("its leaves hold vectors")
    conditions = numbers_of(tree["split_conditions"], "float64", length=n)
    below, above = less_than(conditions)
    return collect(
        Flat(
            numbers_of(tree["split_indices"], "int64", length=n),
            below,
            above,
            left,
            numbers_of(tree["right_children"], "int64", length=n),
            numbers_of(tree["default_left"], "int64", length=n).astype(bool),
            left < 0,
            in_class(np.where(left < 0, conditions * weight, 0.0), group, classes),
            _categories(tree),
            codes_lead_left=False,
        )
    )


def _categories(tree: dict[str, Any]) -> dict[int, frozenset[int]]:
    """By node the codes that lead right."""
    found = {}
    nodes = tree.get("categories_nodes", [])
    for node, start, size in zip(nodes, tree["categories_segments"], tree["categories_sizes"], strict=True):
        found[int(node)] = frozenset(int(code) for code in tree["categories"][start : start + size])
    return found
