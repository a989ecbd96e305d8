"""A way back through layers that have none: the layer itself forward, something differentiable backward.

Source: Athalye, Carlini, Wagner: Obfuscated gradients give a false sense of security (2018), backward pass differentiable
approximation.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from heliotrope.core.errors import InputError
from heliotrope.core.text import printable, shorten

if TYPE_CHECKING:
    import torch

    Backward = Callable[[torch.Tensor], torch.Tensor]

__all__ = ["approximated"]

_NAMED = 8


@contextmanager
def approximated(module: "torch.nn.Module", layers: "Mapping[str, Backward | None]") -> Iterator[None]:
    """Replace the backward pass of named layers; forward they are untouched, to the last bit.

    None stands for the identity, for layers that change their input little, as quantisation or JPEG. Otherwise a
    differentiable function that resembles the layer. Raises InputError for a name the network has not.
    """
    known = dict(module.named_modules())
    missing = [name for name in layers if name not in known or not name]
    if missing:
        names = ", ".join(sorted(filter(None, known))[:_NAMED]) or "none"
        raise InputError(
            f"threat.approximate names {printable(shorten(missing[0], 60))!r}, which the network does not have",
            hint=f"name a layer as named_modules() does: {printable(names)}",
        )
    originals: dict[str, Any] = {}
    try:
        for name, backward in layers.items():
            originals[name] = known[name].forward
            known[name].forward = _replaced(name, known[name].forward, backward)
        yield
    finally:
        for name in originals:
            del known[name].forward  # the method of the class shows again


def _replaced(name: str, forward: "Backward", backward: "Backward | None") -> "Backward":
    import torch

    def run(inputs: "torch.Tensor") -> "torch.Tensor":
        with torch.no_grad():
            outputs = forward(inputs.detach())
        if not inputs.requires_grad:
            return outputs
        resembling = inputs if backward is None else backward(inputs)
        if resembling.shape != outputs.shape:
            raise InputError(
                f"the layer {printable(name)!r} turns {list(inputs.shape)} into {list(outputs.shape)}, its approximation "
                f"gives {list(resembling.shape)}",
                hint="give a differentiable function with the same shape of output: LAYER: module:function",
            )
        return _straight_through(outputs, resembling)

    return run


def _straight_through(outputs: "torch.Tensor", resembling: "torch.Tensor") -> "torch.Tensor":
    """The values of one tensor with the history of the other."""
    import torch

    class StraightThrough(torch.autograd.Function):
        @staticmethod
        def forward(_context: Any, values: "torch.Tensor", _history: "torch.Tensor") -> "torch.Tensor":
            return values.clone()

        @staticmethod
        def backward(_context: Any, gradient: "torch.Tensor") -> "tuple[None, torch.Tensor]":
            return None, gradient

    passed: torch.Tensor = StraightThrough.apply(outputs, resembling)  # type: ignore[no-untyped-call]
    return passed
