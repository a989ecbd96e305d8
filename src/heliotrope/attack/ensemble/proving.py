"""What may prove a torch classifier robust, for the stage of the ensemble in between."""

from typing import TYPE_CHECKING

from heliotrope.attack.certify._service import require_same_answers
from heliotrope.attack.certify.interface import Certifier
from heliotrope.attack.certify.nets.graph import NotModelled
from heliotrope.attack.gradients.model import GradientModel
from heliotrope.attack.interface import Samples
from heliotrope.config.schema import NormalisationConfig
from heliotrope.subjects.prepare import Prepared

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from heliotrope.attack.certify.interface import Served

__all__ = ["certifier_of_module"]

_AGREEING = 64
"""Samples on which the network that was read must say what the model says."""

_WIDEST = 4_000_000
"""Values of the widest layer, summed over a batch."""


def certifier_of_module(prepared: Prepared, model: GradientModel, samples: Samples) -> tuple[Certifier | None, str]:
    """The certifier, or None and why there is none."""
    import math

    from heliotrope.attack.certify.nets.certifier import NetworkCertifier
    from heliotrope.attack.certify.nets.from_torch import from_torch

    if model.random:
        return None, "the model answers at random"
    if model.device != "cpu":
        return None, f"bounds are computed on the CPU, the model is on {model.device}"
    declared = prepared.parameters.model.normalisation
    normalise = (declared.mean, declared.std) if isinstance(declared, NormalisationConfig) else None
    try:
        network = from_torch(prepared.model.module, samples.inputs[0], normalise=normalise)
        widest = max(math.prod(node.shape) for node in network.nodes)
        certifier = NetworkCertifier(network, _served(model), batch=max(1, min(64, _WIDEST // widest)))
        require_same_answers(certifier, samples.inputs[:_AGREEING].numpy())
    except NotModelled as fact:
        return None, f"nothing can be proven: {fact}"
    return certifier, ""


def _served(model: GradientModel) -> "Served":
    def served(inputs: "NDArray[np.floating]") -> "NDArray[np.float64]":
        import numpy as np
        import torch

        points = torch.from_numpy(np.ascontiguousarray(inputs, dtype=np.float32))
        scores: NDArray[np.float64] = model.scores(points).double().cpu().numpy()
        return scores

    return served
