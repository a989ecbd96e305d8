"""Copies of a network whose parameters are random, from the top layer down to all; the network itself is left alone."""

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from heliotrope.core.errors import InputError
from heliotrope.core.text import printable, shorten
from heliotrope.subjects.interface import Opened
from heliotrope.subjects.torch_model import TorchModel, wrap_module

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

__all__ = ["Layers", "layers_of", "randomised_copy"]


@dataclass(frozen=True, slots=True)
class Layers:
    """Modules that own parameters, by name, in the order in which a batch goes through them."""

    names: tuple[str, ...]

    def top(self, count: int) -> tuple[str, ...]:
        """The `count` last ones, the last first."""
        return tuple(reversed(self.names))[:count]


def layers_of(model: TorchModel, inputs: "NDArray[np.float32]") -> Layers:
    """Ask a copy about a few inputs and note who is called when; modules that are never called come last, as the top."""
    import torch

    module = _copied(model.module)
    owners = {name: part for name, part in module.named_modules() if list(part.parameters(recurse=False))}
    called: dict[str, None] = {}

    def noted(name: str) -> None:
        owners[name].register_forward_hook(lambda *_: called.setdefault(name))

    for name in owners:
        noted(name)
    kind = next(module.parameters()).dtype if owners else torch.float32
    with torch.no_grad():
        module(torch.from_numpy(inputs.copy()).to(device=model.device, dtype=kind))
    return Layers((*called, *(name for name in owners if name not in called)))


def randomised_copy(opened: Opened, names: tuple[str, ...], probe: "NDArray[np.float32]", seed: int) -> TorchModel:
    """A copy whose named modules have new parameters: normal, with mean and deviation of each tensor as they are.

    That keeps the scale of every layer, so that no signal dies out or explodes, and loses what was learned. A tensor without
    spread takes the size of its values as deviation. Raises InputError for a network that cannot be copied, or whose copy
    answers with values that are not finite.
    """
    import torch

    assert isinstance(opened.model, TorchModel)
    module = _copied(opened.model.module)
    parts = dict(module.named_modules())
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name in names:
            for parameter in parts[name].parameters(recurse=False):
                parameter.copy_(_drawn(parameter, generator))
    return wrap_module(module, opened.parameters.model, root=Path(opened.task.root), probe=probe)


def _drawn(parameter: "torch.Tensor", generator: "torch.Generator") -> "torch.Tensor":
    import torch

    values = parameter.detach().double().cpu()
    mean = values.mean()
    spread = values.std(correction=0) if values.numel() > 1 else values.new_zeros(())
    if float(spread) == 0.0:
        mean, spread = values.new_zeros(()), mean.abs()
    return torch.randn(values.shape, generator=generator, dtype=values.dtype) * spread + mean


def _copied(module: "torch.nn.Module") -> "torch.nn.Module":
    try:
        return copy.deepcopy(module)
    except Exception as error:
        reason = shorten(printable(f"{type(error).__name__}: {error}"), 200)
        raise InputError(
            f"the network cannot be copied ({reason})",
            hint="a copy gets random parameters; the network itself must not",
        ) from error
