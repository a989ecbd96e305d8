"""What the checks, the ensemble and programs call: a model in, verdicts out."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from heliotrope.attack.certify.boxes import BoxDecider
from heliotrope.attack.certify.interface import Budget, Certificates, Certifier, Region, Tick, silent
from heliotrope.attack.certify.nets.graph import NotModelled
from heliotrope.attack.certify.opening import boxes_of, is_linear, kind_of, linear_parts
from heliotrope.attack.certify.preprocessing import stages_of
from heliotrope.attack.certify.tables import TableCertifier
from heliotrope.attack.search.space import NUMBER, Space
from heliotrope.core.predicates.behaviour import Norm

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from heliotrope.attack.certify.interface import Floats, Inputs, Served

__all__ = ["ArrayCertifier", "certifier_of", "certify", "require_same_answers"]

_AGREEMENT = 1e-3
"""Relative to the largest score: more than float32 and folded constants can differ by."""


def certify(
    model: Any,
    inputs: "Inputs",
    labels: "NDArray[np.int64]",
    *,
    norm: Norm = "Linf",
    eps: float,
    low: "float | Floats" = 0.0,
    high: "float | Floats" = 1.0,
    scale: "float | Floats" = 1.0,
    budget: Budget | None = None,
    tick: Tick = silent,
) -> Certificates:
    """Verdicts on labelled samples of a model at hand, whatever library it is of.

    `model`: a torch module in eval mode, the bytes of an ONNX file, an estimator or pipeline of scikit-learn, a model of
    XGBoost, LightGBM or CatBoost. `low`, `high`: the range of valid inputs, of all values or by position; `scale`: what eps is
    counted in. Raises NotModelled with the part of the model that is not known: then nothing may be claimed.
    """
    certifier = certifier_of(model, inputs[0])
    return certifier.certify(inputs, labels, Region(norm, eps, low, high, scale), budget or Budget(), tick)


def certifier_of(model: Any, sample: "Inputs") -> Certifier:
    """What decides regions of arrays like this sample."""
    if isinstance(model, bytes):
        return _of_onnx(model, sample)
    if _is_module(model):
        return _of_module(model, sample)
    kind = kind_of(model)
    if kind.startswith("sklearn."):
        return _of_estimator(model)
    if kind.startswith("xgboost."):
        return _of_xgboost(model)
    if kind.startswith("lightgbm."):
        if not hasattr(model, "booster_"):
            raise NotModelled("a bare booster does not say what its answers are: give the classifier")
        return ArrayCertifier(boxes_of("lightgbm", model.booster_), model.predict_proba)
    if kind.startswith("catboost."):
        return ArrayCertifier(boxes_of("catboost", model), model.predict_proba)
    raise NotModelled(f"{kind} is no kind of model that is known")


def _is_module(model: Any) -> bool:
    import sys

    torch = sys.modules.get("torch")
    return torch is not None and isinstance(model, torch.nn.Module)


def _of_module(model: Any, sample: "Inputs") -> Certifier:
    import numpy as np
    import torch

    from heliotrope.attack.certify.nets.certifier import NetworkCertifier
    from heliotrope.attack.certify.nets.from_torch import from_torch
    from heliotrope.attack.certify.nets.graph import FLOAT32

    def served(inputs: "Inputs") -> "Floats":
        with torch.no_grad():
            answers: Floats = model(torch.from_numpy(np.ascontiguousarray(inputs, dtype=kind))).double().numpy()
        return answers

    kind: Any = np.float32
    network = from_torch(model, torch.from_numpy(np.ascontiguousarray(sample, dtype=_kind_of(model))))
    kind = np.float32 if network.unit == FLOAT32 else np.float64
    return NetworkCertifier(network, served)


def _kind_of(model: Any) -> Any:
    import numpy as np
    import torch

    first = next((one.dtype for one in model.parameters()), torch.float32)
    return np.float64 if first == torch.float64 else np.float32


def _of_onnx(data: bytes, sample: "Inputs") -> Certifier:
    import numpy as np
    import onnxruntime

    from heliotrope.attack.certify.nets.certifier import NetworkCertifier
    from heliotrope.attack.certify.nets.from_onnx import from_onnx

    network = from_onnx(data, shape=tuple(sample.shape))
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    node = session.get_inputs()[0]
    fixed = isinstance(node.shape[0], int)
    form = tuple(node.shape[1:]) if all(isinstance(side, int) for side in node.shape[1:]) else network.shape

    def served(inputs: "Inputs") -> "Floats":
        rows = np.ascontiguousarray(inputs, dtype=np.float32).reshape(len(inputs), *form)
        parts = [rows[at : at + 1] for at in range(len(rows))] if fixed else [rows]
        answers = [session.run(None, {node.name: part})[0] for part in parts]
        return np.concatenate(answers).astype(np.float64) if answers else np.empty((0, network.classes))

    return NetworkCertifier(network, served)


def _of_estimator(model: Any) -> Certifier:
    names = tuple(f"value {place}" for place in range(int(getattr(model, "n_features_in_", 0))))
    stages = stages_of(model, numbers=frozenset(names), columns=names)
    ask = model.predict_proba if hasattr(model, "predict_proba") else model.decision_function
    method = "predict_proba" if hasattr(model, "predict_proba") else "decision_function"
    if not stages.steps and is_linear(stages.final):
        from heliotrope.attack.certify.linear import LinearCertifier

        weight, bias, _ = linear_parts(stages.final, method)
        return LinearCertifier(weight, bias, _two_columns(ask))
    decider = boxes_of("sklearn", stages.final, method=method)
    return ArrayCertifier(decider, _two_columns(ask), stages.transform if stages.steps else None)


def _of_xgboost(model: Any) -> Certifier:
    if not hasattr(model, "predict_proba"):
        raise NotModelled("a bare booster does not say what its answers are: give the classifier")
    best = model.get_booster().attr("best_iteration")
    rounds = (0, int(best) + 1) if best is not None and best.isdigit() else (0, 0)
    return ArrayCertifier(boxes_of("xgboost", model.get_booster(), rounds=rounds), model.predict_proba)


def _two_columns(ask: "Callable[[Any], Any]") -> "Served":
    import numpy as np

    def served(inputs: "Inputs") -> "Floats":
        answers = np.asarray(ask(inputs.reshape(len(inputs), -1)), dtype=np.float64)
        return np.stack([np.zeros_like(answers), answers], axis=1) if answers.ndim == 1 else answers

    return served


class ArrayCertifier:
    """Models that decide boxes of numbers, on plain arrays."""

    def __init__(self, decider: BoxDecider, served: "Served", transform: "Callable[[Any], Any] | None" = None) -> None:
        self._decider, self._served, self._transform = decider, served, transform

    @property
    def method(self) -> str:
        return self._decider.method

    @property
    def assumptions(self) -> tuple[str, ...]:
        return ()

    def certify(
        self, inputs: "Inputs", labels: "NDArray[np.int64]", region: Region, budget: Budget, tick: Tick = silent
    ) -> Certificates:
        import numpy as np

        n, width = len(inputs), int(np.prod(inputs.shape[1:]))

        def spread(value: "float | Floats") -> "Floats":
            return np.array(np.broadcast_to(np.asarray(value, dtype=np.float64), inputs.shape[1:]).reshape(width))

        transform = self._transform
        space = Space(
            centres=np.asarray(inputs).reshape(n, width),
            kinds=np.full(width, NUMBER, dtype=np.int8),
            scale=spread(region.scale),
            low=spread(region.low),
            high=spread(region.high),
            choices=(np.empty(0),) * width,
            budget=0,
            norm=region.norm,
            decode=lambda points, _: points.astype(inputs.dtype),
            encode=lambda arrays, _: np.asarray(arrays),
        )
        certifier = TableCertifier(space, transform or (lambda rows: rows), self._served, self._decider)
        certifier.require_agreement(np.arange(min(n, 64)))
        known = certifier.certify(labels, region.eps, budget, tick)
        known.examples = {row: point.reshape(inputs.shape[1:]) for row, point in known.examples.items()}
        return known


def require_same_answers(certifier: Certifier, inputs: "Inputs") -> None:
    """NotModelled unless a network that was read says on real samples what the served model says."""
    import numpy as np
    import torch

    from heliotrope.attack.certify.nets.certifier import NetworkCertifier

    if not isinstance(certifier, NetworkCertifier):
        return
    served = certifier.served(inputs)
    with torch.no_grad():
        own: Floats = certifier.network.forward(torch.from_numpy(np.asarray(inputs, dtype=np.float64))).numpy()
    if certifier.network.ties:
        own, served = (_normalised(one) for one in (own, served))
    scale = max(1.0, float(np.abs(own).max()))
    if own.shape != served.shape or float(np.abs(own - served).max()) > _AGREEMENT * scale:
        raise NotModelled(
            "what was read of the model answers otherwise than the model: it may be random, or depend on the batch"
        )


def _normalised(scores: "Floats") -> "Floats":
    """Logits and probabilities alike, as logarithms of probabilities."""
    import numpy as np
    from scipy.special import log_softmax

    if bool((scores >= 0).all()) and bool((np.abs(scores.sum(axis=1) - 1) < 1e-3).all()):
        scores = np.log(np.maximum(scores, 1e-30))
    made: Floats = np.maximum(log_softmax(scores, axis=1), -30.0)
    return made
