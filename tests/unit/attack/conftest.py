"""Models whose robustness is known in closed form, and the published MNIST model."""

import itertools
import json
import os
import sys
from pathlib import Path

import pytest

from heliotrope.config.schema import HeliotropeConfig
from heliotrope.core.evidence import Blob
from heliotrope.core.predicates.behaviour import ThreatModel
from heliotrope.core.records import sha256_hex
from heliotrope.engine.files import digest_inputs
from heliotrope.engine.interface import Limits, Project, Task
from heliotrope.engine.registry import find_check

_numbers = itertools.count()

LINEAR = """
import torch
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(16, {classes})
        self.drop = torch.nn.Dropout(0.5)
        {init}
    def forward(self, x):
        x = x.flatten(1)
        {forward}
def build():
    torch.manual_seed(7)
    return Net()
"""


class Context:
    """A RunContext that keeps everything in memory."""

    limits = Limits()

    def __init__(self, workdir):
        self.workdir = workdir
        self.blobs = {}
        self.said = []

    def progress(self, done, total, text=""):
        self.said.append((done, total, text))

    def store(self, data, media_type):
        blob = Blob(sha256=sha256_hex(data), size=len(data), media_type=media_type)
        self.blobs[blob.sha256] = data
        return blob


@pytest.fixture
def assess(tmp_path, monkeypatch):
    """Write a project with a network of 16 pixels and run a check on it."""
    monkeypatch.setattr(sys, "path", list(sys.path))

    import numpy as np
    import torch

    def run(
        forward="return self.layer(x) * 20",
        *,
        check="evasion.pgd",
        init="",
        classes=3,
        labels=None,
        images=None,
        n=60,
        suite="standard",
        model=None,
        **fields,
    ):
        name = f"evasion_network_{next(_numbers)}"
        (tmp_path / f"{name}.py").write_text(LINEAR.format(classes=classes, forward=forward, init=init))
        if images is None:
            images = np.random.default_rng(0).random((n, 1, 4, 4), dtype=np.float32)
        if isinstance(labels, str):  # what the network itself says
            space = {}
            exec((tmp_path / f"{name}.py").read_text(), space)
            with torch.no_grad():
                labels = space["build"]().eval()(torch.from_numpy(images)).argmax(dim=1).numpy()
        if labels is None:
            torch.manual_seed(7)
            layer = torch.nn.Linear(16, classes)
            labels = layer(torch.from_numpy(images).flatten(1)).argmax(dim=1).numpy()
        np.savez(tmp_path / "test.npz", images=images, labels=labels)
        entry = {
            "name": "m",
            "loader": f"{name}:build",
            "input": {"shape": [1, 4, 4]},
            "output": "logits",
            "data": {"evaluate": {"path": "test.npz"}},
        }
        config = HeliotropeConfig.model_validate(
            {
                "version": 1,
                "project": "p",
                "models": [entry | (model or {})],
                "threat": {"eps": 0.1, "steps": 10, "restarts": 2},
                **fields,
            }
        )
        project = Project("p", tmp_path, (tmp_path,), config, tmp_path / "heliotrope.yaml", suite)
        found = find_check(check)
        (planned,) = found.plan(project)
        assert planned.missing == ()
        task = Task(
            check=found.id,
            subject=planned.subject,
            root=str(tmp_path),
            parameters=json.loads(json.dumps(planned.parameters.document())),
            inputs=digest_inputs(planned.inputs),
            seed=config.seed,
        )
        context = Context(tmp_path)
        result = found.function(task, context)
        return result, result.evidence[0].predicate, context

    yield run
    for added in [name for name in sys.modules if name.startswith("evasion_network_")]:
        del sys.modules[added]


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
