"""scikit-learn: trees, forests and both kinds of boosting. x <= t leads left; inputs are float32 except in histogram boosting."""

from typing import Any

from heliotrope.attack.certify.nets.graph import NotModelled
from heliotrope.attack.certify.trees.ensemble import Branch, Ensemble, Flat, Leaf, Link, collect
from heliotrope.attack.certify.trees.reading import MAX_NODES, at_most, in_class

__all__ = ["from_sklearn"]

_DOUBLE = 2.0**-53


def from_sklearn(estimator: Any) -> Ensemble:
    """The trees of a classifier, by its exact type. NotModelled for any other."""
    from sklearn import ensemble, tree

    kind = type(estimator)
    if kind in (tree.DecisionTreeClassifier, tree.ExtraTreeClassifier):
        return _averaged([estimator], len(estimator.classes_), int(estimator.n_features_in_))
    if kind in (ensemble.RandomForestClassifier, ensemble.ExtraTreesClassifier):
        return _averaged(list(estimator.estimators_), len(estimator.classes_), int(estimator.n_features_in_))
    if kind is ensemble.GradientBoostingClassifier:
        return _boosted(estimator)
    if kind is ensemble.HistGradientBoostingClassifier:
        return _histograms(estimator)
    raise NotModelled(f"{kind.__name__} is no ensemble of trees that is known")


def _averaged(trees: list[Any], classes: int, features: int) -> Ensemble:
    """Each tree says shares of classes, the forest their mean."""
    import numpy as np

    made = []
    for one in trees:
        values = one.tree_.value[:, 0, :]
        shares = values / values.sum(axis=1, keepdims=True)
        made.append(_tree(one.tree_, shares / len(trees)))
    return Ensemble(tuple(made), np.zeros(classes), features, single=True, unit=_DOUBLE)


def _tree(tree: Any, values: Any) -> Branch | Leaf:
    import numpy as np

    if tree.node_count > MAX_NODES:
        raise NotModelled(f"it has more than {MAX_NODES} nodes")
    below, above = at_most(np.asarray(tree.threshold, dtype=np.float64), single=True)
    known = getattr(tree, "missing_go_to_left", None)
    missing = np.zeros(tree.node_count, dtype=bool) if known is None else np.asarray(known, dtype=bool)
    left = np.asarray(tree.children_left)
    return collect(
        Flat(np.asarray(tree.feature), below, above, left, np.asarray(tree.children_right), missing, left < 0, values)
    )


def _boosted(estimator: Any) -> Ensemble:
    import numpy as np
    from sklearn.dummy import DummyClassifier

    if estimator.loss != "log_loss" or not (estimator.init_ == "zero" or type(estimator.init_) is DummyClassifier):
        raise NotModelled(f"gradient boosting with loss {estimator.loss} or a start of its own")
    classes = len(estimator.classes_)
    features = int(estimator.n_features_in_)
    start = np.asarray(estimator._raw_predict_init(np.zeros((1, features), dtype=np.float32)))[0]  # noqa: SLF001 - compared with answers afterwards
    base = np.array([0.0, start[0]]) if classes == 2 else start
    trees = tuple(
        _tree(
            one.tree_,
            in_class(one.tree_.value[:, 0, 0] * estimator.learning_rate, 1 if classes == 2 else place, classes),
        )
        for round_ in estimator.estimators_
        for place, one in enumerate(round_)
    )
    link: Link = "logistic" if classes == 2 else "softmax"
    return Ensemble(trees, base.astype(np.float64), features, single=True, link=link, unit=_DOUBLE)


def _histograms(estimator: Any) -> Ensemble:
    import numpy as np

    if estimator._preprocessor is not None:  # noqa: SLF001
        raise NotModelled("histogram boosting with categories of its own")
    classes = len(estimator.classes_)
    start = np.asarray(estimator._baseline_prediction, dtype=np.float64).reshape(-1)  # noqa: SLF001
    base = np.array([0.0, start[0]]) if classes == 2 else start
    trees = []
    for round_ in estimator._predictors:  # noqa: SLF001
        for place, one in enumerate(round_):
            nodes = one.nodes
            leaf = nodes["is_leaf"].astype(bool)
            if bool(nodes["is_categorical"][~leaf].any()) or len(nodes) > MAX_NODES:
                raise NotModelled("histogram boosting with categories of its own")
            below, above = at_most(nodes["num_threshold"].astype(np.float64), single=False)
            values = in_class(np.where(leaf, nodes["value"], 0.0), 1 if classes == 2 else place, classes)
            trees.append(
                collect(
                    Flat(
                        nodes["feature_idx"].astype(np.int64),
                        below,
                        above,
                        nodes["left"].astype(np.int64),
                        nodes["right"].astype(np.int64),
                        nodes["missing_go_to_left"].astype(bool),
                        leaf,
                        values,
                    )
                )
            )
    link: Link = "logistic" if classes == 2 else "softmax"
    return Ensemble(tuple(trees), base, int(estimator.n_features_in_), single=False, link=link, unit=_DOUBLE)
