"""CatBoost: trees from the JSON that the library itself writes. x > border leads right, in float32.

https://catboost.ai/docs/en/concepts/json-model-format
"""

import json
import tempfile
from pathlib import Path
from typing import Any

from heliotrope.attack.certify.nets.graph import NotModelled
from heliotrope.attack.certify.trees.ensemble import Branch, Ensemble, Leaf, Link
from heliotrope.attack.certify.trees.reading import MAX_NODES, at_most

__all__ = ["from_catboost"]

_MAX_DEPTH = 64


def from_catboost(booster: Any, *, raw: bool = False) -> Ensemble:
    """The trees of a model. NotModelled where a split asks a category, text or embedding: those depend on statistics."""
    import numpy as np

    with tempfile.TemporaryDirectory(prefix="heliotrope-catboost-") as folder:
        path = Path(folder) / "model.json"
        booster.save_model(str(path), format="json")
        document = json.loads(path.read_bytes())
    features = _features(document)
    scale, bias = _scale_and_bias(document)
    classes = max(2, len(bias))
    if len(bias) == 1:
        bias = [0.0, bias[0]]
    if "oblivious_trees" in document:
        trees = tuple(_oblivious(tree, features, classes, scale) for tree in document["oblivious_trees"])
    else:
        trees = tuple(_free(tree, features, classes, scale, 0) for tree in document.get("trees", ()))
    if not trees:
        raise NotModelled("it holds no trees")
    link: Link = "identity" if raw else "softmax" if classes > 2 else "logistic"
    return Ensemble(
        trees,
        np.array(bias, dtype=np.float64),
        max(1, len(booster.feature_names_)),
        single=True,
        link=link,
        unit=2.0**-53,
    )


def _features(document: dict[str, Any]) -> dict[int, tuple[int, bool | None]]:
    """By index among the numbers: index among all, and whether a missing value leads left."""
    found = {}
    for one in document.get("features_info", {}).get("float_features", ()):
        left = {"AsFalse": True, "AsTrue": False}.get(str(one.get("nan_value_treatment")))
        found[int(one["feature_index"])] = int(one["flat_feature_index"]), left
    return found


def _scale_and_bias(document: dict[str, Any]) -> tuple[float, list[float]]:
    scale, bias = document.get("scale_and_bias", [1.0, [0.0]])
    return float(scale), [float(one) for one in (bias if isinstance(bias, list) else [bias])]


def _split(split: dict[str, Any], features: dict[int, tuple[int, bool | None]]) -> tuple[int, float, float, bool]:
    import numpy as np

    if split.get("split_type", "FloatFeature") != "FloatFeature":
        raise NotModelled("a split asks a category or text, whose answer depends on statistics of the training data")
    flat, left = features[int(split["float_feature_index"])]
    below, above = at_most(np.array([float(split["border"])]), single=True)
    return flat, float(below[0]), float(above[0]), bool(left)


def _value(value: Any, classes: int, scale: float) -> Leaf:
    import numpy as np

    values = np.atleast_1d(np.asarray(value, dtype=np.float64)) * scale
    return Leaf(np.array([0.0, values[0]]) if len(values) == 1 else values[:classes])


def _oblivious(
    tree: dict[str, Any], features: dict[int, tuple[int, bool | None]], classes: int, scale: float
) -> Branch | Leaf:
    """Every level asks one question; a yes sets that bit of the leaf's index."""
    splits = [_split(split, features) for split in tree.get("splits") or ()]
    values = tree["leaf_values"]
    width = len(values) >> len(splits)
    if (
        len(splits) > _MAX_DEPTH
        or width not in (1, classes)
        or width << len(splits) != len(values)
        or len(values) > MAX_NODES
    ):
        raise NotModelled("a tree is damaged")
    level: list[Branch | Leaf] = [
        _value(values[index * width : (index + 1) * width], classes, scale) for index in range(1 << len(splits))
    ]
    for flat, below, above, left in reversed(splits):
        half = len(level) // 2
        level = [Branch(flat, below, above, level[at], level[at + half], left) for at in range(half)]
    return level[0]


def _free(
    node: dict[str, Any], features: dict[int, tuple[int, bool | None]], classes: int, scale: float, depth: int
) -> Branch | Leaf:
    if "split" not in node:
        return _value(node["value"], classes, scale)
    if depth > _MAX_DEPTH:
        raise NotModelled("a tree is too deep")
    flat, below, above, left = _split(node["split"], features)
    yes, no = (_free(node[side], features, classes, scale, depth + 1) for side in ("right", "left"))
    return Branch(flat, below, above, no, yes, left)
