"""A torch image classifier by the loader contract: module:function, called without arguments, returns an nn.Module."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from heliotrope.config.schema import ModelConfig, NormalisationConfig, OutputKind
from heliotrope.core.errors import InputError, MissingExtraError
from heliotrope.core.text import printable
from heliotrope.subjects._asking import calling_library
from heliotrope.subjects._files import read_file
from heliotrope.subjects._project_code import calling_project_code, find_function, run_loader
from heliotrope.subjects._scores import checked_scores
from heliotrope.subjects._weights import load_weights
from heliotrope.subjects.planning import module_file

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import torch
    from numpy.typing import NDArray

    from heliotrope.subjects.interface import Column, Opened

__all__ = [
    "TorchModel",
    "approximation_of",
    "load_model",
    "open_model",
    "reopened_from",
    "trained_by",
    "wrap_module",
]

_PROBE_ROWS = 4
_ROW_SUM_TOLERANCE = 1e-3
"""A softmax in float16 is off by less."""


@dataclass(frozen=True, slots=True)
class TorchModel:
    """A classifier in eval mode, whose parameters take no gradients."""

    module: "torch.nn.Module"
    logits: "Callable[[torch.Tensor], torch.Tensor]"
    """Batch in the declared range to N x classes. For a model that returns probabilities: their logarithm."""
    classes: int
    names: tuple[str, ...]
    """Class names in the order of the outputs."""
    digests: dict[str, str] = field(default_factory=dict)
    """SHA-256 of the weights and of the loader's file, by their path in the project."""
    device: str = "cpu"
    """Where the module lies; `logits` takes batches from anywhere and answers there."""

    @property
    def format(self) -> str:
        return "torch"

    @property
    def output(self) -> OutputKind:
        """Of `scores`: always logits, whatever the module itself returns."""
        return "logits"

    def scores(self, inputs: "NDArray[np.float32] | pd.DataFrame") -> "NDArray[np.float64]":
        """N x classes. A table is taken as its columns of numbers."""
        import numpy as np
        import torch

        if isinstance(inputs, np.ndarray) and inputs.dtype.kind not in "fiub":
            raise InputError(f"the model takes numbers; this is an array of {inputs.dtype}", hint="convert it first")
        with calling_library(f"turning {type(inputs).__name__} into a tensor"):
            batch = np.array(inputs, dtype=np.float32)  # a copy: a module may change what it is given
        with torch.no_grad():
            scores = self.logits(torch.from_numpy(batch)).double().cpu().numpy()
        return checked_scores(scores, rows=len(batch), output="logits", classes=self.classes)

    def close(self) -> None:
        """Nothing is held open."""


def open_model(
    model: ModelConfig,
    *,
    root: Path,
    probe: "NDArray[np.float32]",
    columns: "tuple[Column, ...]",  # noqa: ARG001 - every adapter is told
    seed: int,
    expected: Mapping[str, str],
) -> TorchModel:
    """The adapter of the format torch."""
    return load_model(model, root=root, probe=probe, seed=seed, expected=expected)


def load_model(
    model: ModelConfig,
    *,
    root: Path,
    probe: "NDArray[np.float32]",
    seed: int,
    expected: Mapping[str, str] | None = None,
) -> TorchModel:
    """Run the project's loader, load the weights strictly, and try the model on the first rows of `probe`.

    Only for a worker, with consent: this runs code of the project. Raises InputError, or MissingExtraError without torch.
    """
    try:
        import torch
    except ImportError:
        raise MissingExtraError("torch", module="torch") from None
    expected = expected or {}
    if model.loader is None:
        raise InputError(f"model {model.name!r} has no loader", hint="set loader: module:function in heliotrope.yaml")
    digests = {}
    code = module_file(root, model.loader.partition(":")[0])
    if code is not None:
        digests[code.relative_to(root).as_posix()] = read_file(
            code, what="loader", expected=expected.get("loader")
        ).sha256
    weights = None
    if model.path is not None:
        weights = read_file(root / model.path, what="weights", expected=expected.get("weights"))
        digests[model.path] = weights.sha256
    torch.manual_seed(seed)
    module = run_loader(root, model.loader)
    if not isinstance(module, torch.nn.Module):
        kind = printable(type(module).__name__)
        raise InputError(f"the loader {model.loader} returned {kind}", hint="it must return a torch.nn.Module")
    if weights is not None:
        load_weights(module, weights)
    wrapped = wrap_module(module, model, root=root, probe=probe)
    return TorchModel(wrapped.module, wrapped.logits, wrapped.classes, wrapped.names, digests, wrapped.device)


def wrap_module(
    module: "torch.nn.Module", model: ModelConfig, *, root: Path, probe: "NDArray[np.float32]"
) -> TorchModel:
    """Put a module into eval mode, declared normalisation in front and log behind; see that a batch goes through."""
    import torch

    module.eval()
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    device = _moved(module, model.device)
    kind = _floating(module)
    normalise = _normalisation(model.normalisation, probe.shape[1], device)
    batch = torch.from_numpy(probe[:_PROBE_ROWS].copy()).to(device)
    with torch.no_grad(), calling_project_code(root, f"the model on a batch of shape {list(batch.shape)}"):
        output = module(normalise(batch).to(kind))
    classes = _require_scores(output, len(batch))
    if model.output == "probabilities":
        _require_probabilities(output)
    if model.labels is not None and len(model.labels) != classes:
        raise InputError(
            f"the model has {classes} outputs, `labels` names {len(model.labels)}", hint="name every output, in order"
        )

    def logits(inputs: "torch.Tensor") -> "torch.Tensor":
        with calling_project_code(root, "the model"):
            answer = module(normalise(inputs.to(device)).to(kind))
        scores: torch.Tensor = answer.float() if kind != torch.float32 and answer.is_floating_point() else answer
        return scores.clamp_min(torch.finfo(scores.dtype).tiny).log() if model.output == "probabilities" else scores

    names = model.labels or tuple(str(label) for label in range(classes))
    return TorchModel(module, logits, classes, names, device=device)


def reopened_from(
    model: ModelConfig, path: Path | None, opened: "Opened", *, probe: "NDArray[np.float32]"
) -> TorchModel:
    """The same architecture with weights from another file, as they would be served; None: with its own weights.

    By the loader where there is one, else a copy of the module. Runs code of the project.
    """
    root = Path(opened.task.root)
    if model.loader is not None and path is not None:
        named = model.model_copy(update={"path": str(path)})
        loaded = load_model(named, root=root, probe=probe, seed=opened.task.seed)
        return replace(loaded, digests={path.name: read_file(path, what="weights", expected=None).sha256})
    if not isinstance(opened.model, TorchModel):
        raise InputError(f"model {model.name!r} is no torch network")
    module = copy.deepcopy(opened.model.module)
    digests = opened.model.digests
    if path is not None:
        weights = read_file(path, what="weights", expected=None)
        load_weights(module, weights)
        digests = {path.name: weights.sha256}
    return replace(wrap_module(module, model, root=root, probe=probe), digests=digests)


def trained_by(root: Path, name: str, module: "torch.nn.Module", training: object) -> None:
    """Let the team's function train a module; what it returns is taken over. Runs code of the project.

    Raises InputError where it returns something else than a module of the same architecture, or weights that are no numbers.
    """
    import torch

    for parameter in module.parameters():
        parameter.requires_grad_(parameter.is_floating_point())
    module.train()
    function = find_function(root, name, "harden.train")
    with calling_project_code(root, f"harden.train {name}"):
        found = function(module, training)
    if found is not None and found is not module:
        if not isinstance(found, torch.nn.Module):
            kind = printable(type(found).__name__)
            raise InputError(f"harden.train {name} returned {kind}", hint="return the trained module, or nothing")
        theirs, own = found.state_dict(), module.state_dict()
        if {key: value.shape for key, value in theirs.items()} != {key: value.shape for key, value in own.items()}:
            raise InputError(
                f"harden.train {name} returned a network of another architecture",
                hint="what is judged is what the loader returns with the trained weights in it",
            )
        module.load_state_dict(theirs)
    module.eval()
    if not all(bool(value.isfinite().all()) for value in module.state_dict().values() if value.is_floating_point()):
        raise InputError(
            f"harden.train {name} left weights that are NaN or infinite", hint="set a smaller learning rate"
        )


def approximation_of(root: Path, name: str) -> "Callable[[torch.Tensor], torch.Tensor]":
    """The function that stands in for a layer on the way back, as `threat.approximate` names it. Runs code of the project."""
    function: Callable[[torch.Tensor], torch.Tensor] = find_function(root, name, "threat.approximate")

    def call(inputs: "torch.Tensor") -> "torch.Tensor":
        with calling_project_code(root, f"the approximation {name}"):
            return function(inputs)

    return call


def _moved(module: "torch.nn.Module", device: str) -> str:
    """Bring the module to where it is to run. Raises InputError where there is no such device."""
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        raise InputError(
            "device is cuda, but torch sees no GPU here", hint="set device: cpu, or run where there is one"
        )
    if device != "cpu":
        module.to(device)
    return device


def _floating(module: "torch.nn.Module") -> "torch.dtype":
    """In which precision the model is served: that of its first floating parameter."""
    import torch

    return next((one.dtype for one in module.parameters() if one.is_floating_point()), torch.float32)


def _normalisation(
    declared: NormalisationConfig | str, channels: int, device: str
) -> "Callable[[torch.Tensor], torch.Tensor]":
    import torch

    if not isinstance(declared, NormalisationConfig):
        return lambda inputs: inputs
    if {len(declared.mean), len(declared.std)} - {1, channels}:
        raise InputError(
            f"normalisation has {len(declared.mean)} means and {len(declared.std)} deviations for {channels} channels",
            hint="give one for each channel, or one for all",
        )
    mean = torch.tensor(declared.mean, device=device).reshape(1, -1, 1, 1)
    std = torch.tensor(declared.std, device=device).reshape(1, -1, 1, 1)
    return lambda inputs: (inputs - mean) / std


def _require_scores(output: object, rows: int) -> int:
    """The number of classes of an N x classes output."""
    import torch

    if not isinstance(output, torch.Tensor):
        raise InputError(
            f"the model returns {printable(type(output).__name__)}, expected one tensor of N x classes",
            hint="return the scores alone, for instance by a small wrapper in the loader",
        )
    if output.ndim != 2 or output.shape[0] != rows or output.shape[1] < 2 or not output.is_floating_point():
        raise InputError(
            f"the model returns {output.dtype} of shape {list(output.shape)} for {rows} images, expected float {rows} x classes",
            hint="at least two classes, one row for each image; a single score s becomes two columns: -s, s",
        )
    if not bool(torch.isfinite(output).all()):
        raise InputError(
            "the model returns NaN or infinite scores on valid inputs", hint="check the weights and the normalisation"
        )
    return int(output.shape[1])


def _require_probabilities(output: "torch.Tensor") -> None:
    sums = output.sum(dim=1)
    if bool((output < 0).any()) or bool(((sums - 1).abs() > _ROW_SUM_TOLERANCE).any()):
        raise InputError(
            f"output is declared as probabilities, but a row sums to {float(sums[0]):.4g} with a smallest value of "
            f"{float(output.min()):.4g}",
            hint="set output: logits, or apply softmax in the model",
        )
