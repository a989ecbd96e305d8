"""From a model of a library to what is proven about it. Each library's types are recognised exactly, never by likeness."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from heliotrope.attack.certify.boxes import BoxDecider, LinearBoxes, NetworkBoxes, TreeBoxes
from heliotrope.attack.certify.nets.graph import FLOAT64, NotModelled
from heliotrope.core.text import printable, shorten

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from heliotrope.attack.certify.nets.graph import Network

    Floats = NDArray[np.float64]

__all__ = ["boxes_of", "is_linear", "kind_of", "linear_parts", "network_of_perceptron"]

_LINEAR = frozenset(
    {
        "sklearn.linear_model._logistic.LogisticRegression", "sklearn.linear_model._logistic.LogisticRegressionCV",
        "sklearn.linear_model._ridge.RidgeClassifier", "sklearn.linear_model._ridge.RidgeClassifierCV",
        "sklearn.linear_model._stochastic_gradient.SGDClassifier", "sklearn.linear_model._perceptron.Perceptron",
        "sklearn.linear_model._passive_aggressive.PassiveAggressiveClassifier", "sklearn.svm._classes.LinearSVC",
        "sklearn.discriminant_analysis.LinearDiscriminantAnalysis",
    }
)  # fmt: skip
_PERCEPTRON = "sklearn.neural_network._multilayer_perceptron.MLPClassifier"
_SUPPORT_VECTORS = "sklearn.svm._classes.SVC"


def kind_of(model: Any) -> str:
    return f"{type(model).__module__}.{type(model).__qualname__}"


def is_linear(model: Any) -> bool:
    return kind_of(model) in _LINEAR or (kind_of(model) == _SUPPORT_VECTORS and model.kernel == "linear")


def linear_parts(model: Any, method: str) -> "tuple[Floats, Floats, Callable[[Floats], Floats]]":
    """Weight and bias of each class, and what the model makes of the scores. `method` answers."""
    import numpy as np

    if method == "predict_proba" and (
        kind_of(model) == _SUPPORT_VECTORS or getattr(model, "loss", "") == "modified_huber"
    ):
        raise NotModelled(f"probabilities of {type(model).__name__} do not follow its decision function")
    weight, bias = np.asarray(model.coef_, dtype=np.float64), np.asarray(model.intercept_, dtype=np.float64).reshape(-1)
    if hasattr(model.coef_, "toarray"):
        weight = np.asarray(model.coef_.toarray(), dtype=np.float64)
    bias = np.broadcast_to(bias, len(weight))
    if len(weight) == 1:
        weight, bias = np.concatenate([0 * weight, weight]), np.concatenate([0 * bias, bias])
    elif kind_of(model) == _SUPPORT_VECTORS:
        raise NotModelled("support vectors decide by votes between pairs of classes")
    return weight, np.array(bias), _link(model, method, len(weight))


def _link(model: Any, method: str, classes: int) -> "Callable[[Floats], Floats]":
    """For comparison only; the order of scores is that of the decision function."""
    import numpy as np
    from scipy.special import expit, softmax

    if method == "decision_function":
        return lambda scores: scores
    if method == "predict":
        return lambda scores: np.eye(classes)[scores.argmax(axis=1)]
    separate = getattr(model, "multi_class", "auto") == "ovr" or kind_of(model).endswith("SGDClassifier")
    separate = separate or getattr(model, "solver", "") == "liblinear"

    def probabilities(scores: "Floats") -> "Floats":
        if classes == 2:
            high = expit(scores[:, 1] - scores[:, 0])
            return np.stack([1 - high, high], axis=1)
        if separate:
            each = expit(scores)
            return np.asarray(each / each.sum(axis=1, keepdims=True))
        return np.asarray(softmax(scores, axis=1))

    return probabilities


def network_of_perceptron(model: Any) -> "Network":
    """scikit-learn's multi-layer perceptron, computed in float64; two classes as 0 and s."""
    import torch

    from heliotrope.attack.certify.nets.building import Builder

    builder = Builder((int(model.n_features_in_),), FLOAT64)
    place = 0
    last = len(model.coefs_) - 1
    for layer, (weight, bias) in enumerate(zip(model.coefs_, model.intercepts_, strict=True)):
        kernel, shift = torch.from_numpy(weight.astype("float64").T.copy()), torch.from_numpy(bias.astype("float64"))
        if layer == last and len(kernel) == 1:
            kernel, shift = torch.cat([0 * kernel, kernel]), torch.cat([0 * shift, shift])
        place = builder.linear(place, kernel, shift, f"layer {layer}")
        if layer == last:
            continue
        match model.activation:
            case "relu":
                place = builder.rectified(place, f"layer {layer}")
            case "tanh" | "logistic":
                place = builder.sigmoidal(place, f"layer {layer}", hyperbolic=model.activation == "tanh")
            case "identity":
                pass
            case other:
                raise NotModelled(f"the activation {other} is not known")
    return builder.network(place)


def boxes_of(
    kind: str, native: Any, *, method: str = "", margins: bool = False, rounds: tuple[int, int] = (0, 0)
) -> BoxDecider:
    """What decides boxes of the numbers that a model of this library takes. NotModelled with the fact that prevents it."""
    match kind:
        case "xgboost":
            from heliotrope.attack.certify.trees.read_xgboost import from_xgboost

            return TreeBoxes(from_xgboost(native, trees=rounds, margins=margins))
        case "lightgbm":
            from heliotrope.attack.certify.trees.read_lightgbm import from_lightgbm

            return TreeBoxes(from_lightgbm(native, raw=margins))
        case "catboost":
            from heliotrope.attack.certify.trees.read_catboost import from_catboost

            return TreeBoxes(from_catboost(native, raw=margins))
        case "sklearn":
            return _of_sklearn(native, method)
        case _:
            raise NotModelled(f"models of the format {kind} are not decided on tables")


def _of_sklearn(estimator: Any, method: str) -> BoxDecider:
    if is_linear(estimator):
        return LinearBoxes(*linear_parts(estimator, method))
    if kind_of(estimator) == _PERCEPTRON:
        return NetworkBoxes(
            network_of_perceptron(estimator), _link(estimator, "predict_proba", len(estimator.classes_))
        )
    if not kind_of(estimator).startswith("sklearn."):
        shown = printable(shorten(type(estimator).__name__, 80))
        raise NotModelled(f"{shown} is no model of scikit-learn itself")
    from heliotrope.attack.certify.trees.read_sklearn import from_sklearn

    ensemble = from_sklearn(estimator)
    if method == "decision_function":
        raise NotModelled("trees are compared by their probabilities")
    return TreeBoxes(ensemble)
