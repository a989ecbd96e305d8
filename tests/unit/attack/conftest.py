"""Models whose robustness is known in closed form, and the published MNIST model."""

import os
from pathlib import Path

import pytest

from heliotrope.core.predicates.behaviour import ThreatModel


def nothing(_share):
    """No one is watching the progress."""


@pytest.fixture
def threat():
    def make(norm="Linf", eps=0.1, *, steps=40, restarts=1, low=0.0, high=1.0, step_size=None):
        size = step_size or 2.5 * eps / steps
        return ThreatModel(
            norm=norm, eps=eps, steps=steps, restarts=restarts, step_size=size, input_low=low, input_high=high
        )

    return make


@pytest.fixture(scope="session")
def mnist_folder():
    root = os.environ.get("HELIOTROPE_TEST_DATA")
    folder = Path(root or "/nowhere") / "mnist"
    if not folder.is_dir():
        pytest.skip("HELIOTROPE_TEST_DATA is not set or has no mnist/")
    return folder


@pytest.fixture(scope="session")
def mnist(mnist_folder):
    """The published module and its 10,000 test images, as tensors."""
    torch = pytest.importorskip("torch", reason="needs torch (extra 'torch')")
    import runpy

    import safetensors.torch

    from heliotrope.config.schema import DataSource, InputConfig
    from heliotrope.subjects.data import load_images

    example = Path(__file__).parents[3] / "examples" / "mnist" / "network.py"
    module = runpy.run_path(str(example))["build"]()
    module.load_state_dict(safetensors.torch.load_file(mnist_folder / "mnist_convex.safetensors"))
    module.eval().requires_grad_(False)
    source = DataSource(images="t10k-images-idx3-ubyte.gz", labels="t10k-labels-idx1-ubyte.gz")
    data = load_images(source, root=mnist_folder, declared=InputConfig(shape=(1, 28, 28)))
    return module, torch.from_numpy(data.images), torch.from_numpy(data.labels)
