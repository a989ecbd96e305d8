"""Small projects with a real torch model on real images, made in a moment."""

from pathlib import Path

__all__ = ["linear_project", "write_images"]

NETWORK = """
import torch


def build():
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 3))
"""

CONFIG = """
version: 1
project: tiny
sample: all
models:
  - name: linear
    path: weights.safetensors
    loader: network:build
    task: image-classification
    input: {shape: [1, 4, 4], range: [0.0, 1.0]}
    output: logits
    data:
      evaluate: {path: test.npz}
threat: {norm: Linf, eps: 0.05, steps: 10, restarts: 2}
checks: {time_limit: 60}
gates:
  floors: {clean_accuracy: 0.5, robust_accuracy: 0.1}
"""


def write_images(path: Path, *, count: int = 90, **changes: object) -> None:
    """Images whose bright third names the class, as npz; `changes` replaces arrays."""
    import numpy as np

    generator = np.random.default_rng(0)
    labels = np.arange(count, dtype=np.int64) % 3
    images = generator.uniform(0.0, 0.5, size=(count, 1, 4, 4)).astype(np.float32)
    for index, label in enumerate(labels):
        images[index, 0, label] += 0.4
    np.savez(path, **{"images": images, "labels": labels, **changes})


def linear_project(folder: Path, *, network: str = NETWORK, config: str = CONFIG) -> Path:
    """A project whose classifier adds up the rows it should look at."""
    import torch
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    weight = torch.zeros(3, 16)
    for label in range(3):
        weight[label, 4 * label : 4 * label + 4] = 1.0
    save_file({"1.weight": weight, "1.bias": torch.zeros(3)}, str(folder / "weights.safetensors"))
    write_images(folder / "test.npz")
    (folder / "network.py").write_text(network)
    (folder / "heliotrope.yaml").write_text(config)
    return folder
