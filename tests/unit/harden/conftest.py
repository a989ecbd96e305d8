"""Digits, a small network trained on them as usual, and what hardening is given."""

import pytest


@pytest.fixture(scope="session")
def digits():
    """Images and labels of scikit-learn's digits: to train on and to judge by."""
    np = pytest.importorskip("numpy")
    datasets = pytest.importorskip("sklearn.datasets", reason="needs scikit-learn")
    found = datasets.load_digits()
    images = (found.images / 16).astype(np.float32)[:, None]
    order = np.random.default_rng(0).permutation(len(images))
    images, labels = images[order], found.target.astype(np.int64)[order]
    return (images[:1200], labels[:1200]), (images[1200:], labels[1200:])


NETWORK = """
import torch
from torch import nn


def build():
    torch.manual_seed(3)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 96), nn.ReLU(), nn.Linear(96, 10))
"""


@pytest.fixture(scope="session")
def plain(digits):
    """The network of NETWORK trained as usual: its state dict."""
    torch = pytest.importorskip("torch", reason="needs torch (extra 'torch')")
    space = {}
    exec(NETWORK, space)
    module = space["build"]()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    images, labels = (torch.from_numpy(part) for part in digits[0])
    optimizer = torch.optim.Adam(module.parameters(), 2e-3)
    torch.manual_seed(0)
    for _ in range(20):
        for chosen in torch.randperm(len(images)).split(64):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(module(images[chosen]), labels[chosen]).backward()
            optimizer.step()
    torch.set_num_threads(threads)
    return {key: value.detach().clone() for key, value in module.state_dict().items()}
