"""What an attack along gradients starts with: images and a torch model, read once and checked."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from heliotrope.core.errors import InputError
from heliotrope.engine.interface import Task
from heliotrope.subjects.data import LabelledImages, load_images, require_classes
from heliotrope.subjects.images import ImageDataset
from heliotrope.subjects.interface import Opened
from heliotrope.subjects.planning import ModelTask
from heliotrope.subjects.torch_model import TorchModel, load_model

if TYPE_CHECKING:
    import torch

__all__ = ["Prepared", "batch_size", "batches", "prepare", "prepared_of"]

MAX_BATCH = 256
"""Larger batches gain nothing on a CPU."""

_COPIES = 6
"""Input, gradient, iterate, bounds: what an attack keeps for each value that passes through the network."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A loaded model with its evaluation data."""

    parameters: ModelTask
    model: TorchModel
    data: LabelledImages


def prepare(task: Task) -> Prepared:
    """Load what a task of `plan_models` names. Runs code of the project. Raises InputError or MissingExtraError."""
    parameters = ModelTask.model_validate(task.parameters)
    model = parameters.model
    source = model.data.evaluate
    if source is None or model.input is None:
        raise InputError(f"model {model.name!r} lacks data or input", hint="fill data.evaluate and input")
    root = Path(task.root)
    data = load_images(source, root=root, declared=model.input, names=model.labels, expected=task.inputs)
    loaded = load_model(model, root=root, probe=data.images, seed=task.seed, expected=task.inputs)
    require_classes(data.labels, loaded.classes)
    return Prepared(parameters, loaded, data)


def prepared_of(opened: Opened) -> Prepared:
    """The same of a model that is open already. Raises InputError for what is no torch model on images or arrays."""
    if not isinstance(opened.model, TorchModel) or not isinstance(opened.data, ImageDataset):
        raise InputError(
            f"{opened.parameters.model.name!r} is a model of the kind {opened.model.format} on {opened.data.kind}",
            hint="gradients are followed through torch models on images or arrays",
        )
    images = LabelledImages(opened.data.inputs, opened.data.answers.astype("int64"), opened.data.digests)
    return Prepared(opened.parameters, opened.model, images)


def batches(total: int, size: int) -> Iterator[slice]:
    """Slices that cover 0..total."""
    return (slice(start, min(start + size, total)) for start in range(0, total, size))


def batch_size(model: TorchModel, sample: "torch.Tensor", memory_bytes: int) -> int:
    """How many samples may pass at once: an eighth of the memory limit, by what one sample leaves in the network."""
    import torch

    values = sample.numel()

    def count(_module: object, _inputs: object, output: object) -> None:
        nonlocal values
        values += output.numel() if isinstance(output, torch.Tensor) else 0

    hooks = [module.register_forward_hook(count) for module in model.module.modules()]
    try:
        with torch.no_grad():
            model.logits(sample[None].clone())  # the model may change what it is given
    finally:
        for hook in hooks:
            hook.remove()
    return max(1, min(MAX_BATCH, memory_bytes // 8 // (4 * _COPIES * max(values, 1))))
