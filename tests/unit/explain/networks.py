"""Small networks on scikit-learn's digits, honest and otherwise, ready to be asked."""

import numpy as np
from tests.opened import Data, subject

__all__ = ["digits", "opened_network", "trained"]


def digits():
    """1,797 images of 1 x 8 x 8 in [0, 1] with their digits, half to train, half to evaluate."""
    from sklearn.datasets import load_digits

    data = load_digits()
    images = (data.images[:, None] / 16).astype(np.float32)
    order = np.random.default_rng(0).permutation(len(images))
    half = len(order) // 2
    train, held = order[:half], order[half:]
    return (images[train], data.target[train].astype(np.int64)), (images[held], data.target[held].astype(np.int64))


def trained(images, answers, *, seed=0, convolutions=False, epochs=40):
    """Two layers, or two convolutions and one layer; about 97 % right on digits."""
    import torch
    from torch import nn

    torch.manual_seed(seed)
    module = (
        nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.Flatten(),
            nn.Linear(16 * 64, 10),
        )
        if convolutions
        else nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    )  # fmt: skip
    optimiser = torch.optim.Adam(module.parameters(), 5e-3)
    inputs, targets = torch.from_numpy(images), torch.from_numpy(answers)
    for _ in range(epochs):
        for rows in torch.randperm(len(inputs)).split(100):
            loss = nn.functional.cross_entropy(module(inputs[rows]), targets[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return module


def opened_network(module, images, answers, **fields):
    """A module as the adapter of torch models wraps it."""
    from dataclasses import replace
    from pathlib import Path

    from heliotrope.subjects.torch_model import wrap_module

    shape = list(images.shape[1:])
    made = subject(
        None, Data(images, answers), path="m.safetensors", format="torch", loader="model:load",
        task="image-classification", input={"range": [0.0, 1.0], "shape": shape}, **fields,
    )  # fmt: skip
    model = wrap_module(module, made.parameters.model, root=Path("/nonexistent"), probe=images[:4])
    return replace(made, model=replace(model, digests={"m.safetensors": "a" * 64}))
