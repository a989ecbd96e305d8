"""The running average of a network's weights over the steps of its training.

It is more robust than the last weights, and overfits later. Source: Izmailov et al.: Averaging weights leads to wider optima and
better generalization (2018), with exponential decay as in Gowal et al.: Uncovering the limits of adversarial training (2020).
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

__all__ = ["average_into", "copied_state"]

_WARM_UP = 10
"""The decay begins near 0 and comes near its value after some tens of steps: the first weights are worth little."""


def average_into(average: "dict[str, torch.Tensor]", module: "torch.nn.Module", *, decay: float, step: int) -> None:
    """Move the average towards the module's state; what is not floating, as counters, is taken as it is. `step` from 1."""
    import torch

    share = min(decay, step / (step + _WARM_UP))
    with torch.no_grad():
        for key, value in module.state_dict().items():
            if value.is_floating_point():
                average[key].mul_(share).add_(value, alpha=1 - share)
            else:
                average[key].copy_(value)


def copied_state(module: "torch.nn.Module") -> "dict[str, torch.Tensor]":
    """The module's state, apart from the module."""
    return {key: value.detach().clone() for key, value in module.state_dict().items()}
