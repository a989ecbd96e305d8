"""Weights from verified bytes into a module. Nothing but tensors is taken from a file."""

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heliotrope.core.errors import InputError, MissingExtraError
from heliotrope.core.text import printable, shorten
from heliotrope.subjects._files import ReadFile, show

if TYPE_CHECKING:
    import torch

__all__ = ["load_weights"]

_SHOWN_KEYS = 3


def load_weights(module: "torch.nn.Module", file: ReadFile) -> None:
    """Load a safetensors file or a torch state dict strictly. Raises InputError that names the keys that do not fit."""
    state = _read_safetensors(file) if file.path.suffix.lower() == ".safetensors" else _read_torch(file)
    own = module.state_dict()
    missing = [key for key in own if key not in state]
    unexpected = [key for key in state if key not in own]
    misshapen = [
        f"{key} ({list(state[key].shape)}, expected {list(own[key].shape)})"
        for key in own
        if key in state and state[key].shape != own[key].shape
    ]
    faults = [
        f"{len(keys)} {fault}: {_some(keys)}"
        for fault, keys in (("missing", missing), ("unexpected", unexpected), ("of another shape", misshapen))
        if keys
    ]
    if faults:
        raise InputError(
            f"{show(file.path)} does not fit the module that the loader returns: {'; '.join(faults)}",
            hint="save model.state_dict() of exactly this module, or correct the loader",
        )
    module.load_state_dict(state, strict=True)


def _read_safetensors(file: ReadFile) -> "dict[str, torch.Tensor]":
    try:
        import safetensors.torch
    except ImportError:
        raise MissingExtraError("torch", module="safetensors") from None
    try:
        state: dict[str, torch.Tensor] = safetensors.torch.load(file.data)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - the parser's own errors have no common root
        reason = shorten(printable(str(error)), 200)
        raise InputError(
            f"{show(file.path)} is no readable safetensors file: {reason}",
            hint="it is truncated or damaged; export it again",
        ) from None
    return state


def _read_torch(file: ReadFile) -> "dict[str, torch.Tensor]":
    import torch

    try:
        state = torch.load(io.BytesIO(file.data), map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - unpickling fails in many ways, all of them refusals
        reason = shorten(printable(str(error).partition("\n")[0]), 200)
        raise InputError(
            f"{show(file.path)} holds more than tensors or is damaged: {type(error).__name__}: {reason}",
            hint="store model.state_dict() as safetensors; only weights are loaded, objects never",
        ) from None
    return _tensors(state, file.path)


def _tensors(state: Any, path: Path) -> "dict[str, torch.Tensor]":
    import torch

    if (
        isinstance(state, dict)
        and state
        and all(isinstance(key, str) and isinstance(value, torch.Tensor) for key, value in state.items())
    ):
        return state
    found = _some([str(key) for key in state]) if isinstance(state, dict) else type(state).__name__
    raise InputError(
        f"{show(path)} is no state dict (names to tensors); it holds {found}",
        hint="save model.state_dict() itself, not a checkpoint around it",
    )


def _some(keys: list[str]) -> str:
    shown = ", ".join(printable(key) for key in keys[:_SHOWN_KEYS])
    return shorten(shown, 300) + (f" and {len(keys) - _SHOWN_KEYS} more" if len(keys) > _SHOWN_KEYS else "")
