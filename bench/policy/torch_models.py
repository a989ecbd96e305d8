"""Modules, optimizers, quantised models and checkpoints as torch writes them: `python bench/policy/torch_models.py OUT`.

As bench/policy/models.py, for torch alone: every layer that can be made from small numbers, whole (not only its weights).
"""

import functools
import inspect
import pickle
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

Make = Callable[[], Any]
SMALL: dict[str, Any] = {
    "in_channels": 4, "out_channels": 4, "kernel_size": 3, "in_features": 4, "out_features": 4, "num_features": 4, "num_channels": 4,
    "num_groups": 2, "normalized_shape": 4, "input_size": 4, "hidden_size": 4, "d_model": 8, "nhead": 2, "embed_dim": 8, "num_heads": 2,
    "num_embeddings": 5, "embedding_dim": 3, "padding": 1, "upscale_factor": 2, "downscale_factor": 2, "in1_features": 2, "in2_features": 2,
    "output_size": 2, "n_classes": 20, "cutoffs": [5, 10], "size": 4, "groups": 2, "threshold": 0.1, "value": 0.0, "dim": 1,
    "unflattened_size": (2, 2), "norm_type": 2, "lambd": 0.5, "lower": 0.1, "upper": 0.3, "output_ratio": 0.5,
}  # fmt: skip


def _layers() -> Iterator[tuple[str, Make]]:
    for name in dir(nn):
        cls = getattr(nn, name)
        if isinstance(cls, type) and issubclass(cls, nn.Module):
            needed = [
                key
                for key, value in inspect.signature(cls).parameters.items()
                if value.default is inspect.Parameter.empty and value.kind is value.POSITIONAL_OR_KEYWORD
            ]
            yield f"layer-{name}", functools.partial(cls, **{key: SMALL[key] for key in needed if key in SMALL})


def network() -> Any:
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10))


def _rest() -> Iterator[tuple[str, Make]]:
    for name in dir(torch.optim):
        cls = getattr(torch.optim, name)
        if isinstance(cls, type) and cls is not torch.optim.Optimizer:
            yield f"optimizer-{name}", functools.partial(lambda cls: cls(nn.Linear(2, 2).parameters(), lr=0.1), cls)
    schedules = torch.optim.lr_scheduler
    for name, arguments in {
        "StepLR": (1,), "MultiStepLR": ([1],), "ExponentialLR": (0.9,), "CosineAnnealingLR": (5,), "ReduceLROnPlateau": (), "ConstantLR": (),
        "LinearLR": (), "CosineAnnealingWarmRestarts": (5,), "PolynomialLR": (),
    }.items():  # fmt: skip
        yield (
            f"schedule-{name}",
            functools.partial(
                lambda name, arguments: getattr(schedules, name)(
                    torch.optim.SGD(nn.Linear(2, 2).parameters(), lr=0.1), *arguments
                ),
                name,
                arguments,
            ),
        )
    yield (
        "dynamic",
        lambda: torch.ao.quantization.quantize_dynamic(
            nn.Sequential(nn.Linear(4, 4), nn.LSTM(4, 4)), {nn.Linear, nn.LSTM}
        ),
    )

    def static() -> Any:
        model = torch.ao.quantization.QuantWrapper(nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU())).eval()
        model.qconfig = torch.ao.quantization.get_default_qconfig("x86")
        torch.ao.quantization.prepare(model, inplace=True)
        model(torch.zeros(1, 1, 8, 8))
        return torch.ao.quantization.convert(model)

    yield "static", static
    yield "normal", lambda: torch.distributions.Normal(torch.zeros(2), torch.ones(2))
    yield "categorical", lambda: torch.distributions.Categorical(torch.ones(3))
    yield "weight-norm", lambda: nn.utils.weight_norm(nn.Linear(2, 2))
    yield "spectral-norm", lambda: nn.utils.spectral_norm(nn.Linear(2, 2))
    yield "pruned", lambda: nn.utils.prune.l1_unstructured(nn.Linear(4, 4), "weight", 2)
    yield "packed", lambda: nn.utils.rnn.pack_sequence([torch.ones(3, 2), torch.ones(2, 2)])
    yield "dataset", lambda: torch.utils.data.TensorDataset(torch.zeros(3, 2), torch.zeros(3))
    yield "subset", lambda: torch.utils.data.Subset(torch.utils.data.TensorDataset(torch.zeros(3, 2)), [0])
    yield "scaler", lambda: torch.amp.GradScaler("cpu")
    yield "average", lambda: torch.optim.swa_utils.AveragedModel(network())
    yield "parallel", lambda: nn.DataParallel(network())
    yield "generator", torch.Generator
    yield "activation", lambda: {"a": torch.relu, "b": nn.functional.gelu, "c": torch.tanh, "d": nn.functional.relu}
    yield "graph", lambda: torch.fx.symbolic_trace(network())


def main(out: Path) -> None:
    warnings.simplefilter("ignore")
    out.mkdir(parents=True, exist_ok=True)
    for group in (_layers, _rest):
        for name, make in group():
            try:
                value = make()
                torch.save(value, out / f"{name}.pt")
                torch.save(value, out / f"{name}.legacy.pt", _use_new_zipfile_serialization=False)
                (out / f"{name}.pkl").write_bytes(pickle.dumps(value))
            except Exception as error:  # noqa: BLE001 - some need arguments that are not here
                print(f"# {name}: {str(error).splitlines()[0][:100]}", file=sys.stderr)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
