"""Projects with a real model of a table, trained and saved as teams do it; digits and a small network trained on them as usual."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.opened import Context

from heliotrope.config.schema import HeliotropeConfig
from heliotrope.engine.files import digest_inputs
from heliotrope.engine.interface import Planned, Project, Task
from heliotrope.engine.registry import find_check
from heliotrope.subjects.opening import open_subject


@dataclass
class Hardening:
    """A project in a folder."""

    project: Project

    @property
    def planned(self) -> Planned:
        (planned,) = find_check("harden.table").plan(self.project)
        return planned

    @property
    def task(self) -> Task:
        planned = self.planned
        assert planned.missing == ()
        return Task(
            check="harden.table",
            subject=planned.subject,
            root=str(self.project.root),
            parameters=json.loads(json.dumps(planned.parameters.document())),
            inputs=digest_inputs(planned.inputs),
            seed=self.project.config.seed,
        )

    def opened(self) -> Any:
        find_check("harden.table")  # plug-ins are there
        return open_subject(self.task, train=True)

    def run(self) -> tuple[Any, dict[str, Any], Context]:
        folder = self.project.root / "work"
        folder.mkdir(exist_ok=True)
        context = Context(folder)
        result = find_check("harden.table").function(self.task, context)
        return result, result.evidence[0].predicate, context


def write_project(
    root: Path, frame: pd.DataFrame, answers: Any, save: Any, *, path: str, threat: Any, train: int,
    harden: Any = None, constraints: str | None = None, seed: int = 0, suite: str = "quick", **model: Any,
) -> Hardening:  # fmt: skip
    """`save(frame, answers, path)` fits on the training rows, a seeded choice of `train`, and writes the file."""
    root.mkdir(parents=True, exist_ok=True)
    chosen = np.zeros(len(frame), dtype=bool)
    chosen[np.random.default_rng(0).permutation(len(frame))[:train]] = True
    table = frame.assign(answer=answers)
    table[chosen].to_parquet(root / "train.parquet")
    table[~chosen].to_parquet(root / "test.parquet")
    save(frame[chosen].reset_index(drop=True), np.asarray(answers)[chosen], root / path)
    data: dict[str, Any] = {
        "train": {"path": "train.parquet", "target": "answer"},
        "evaluate": {"path": "test.parquet", "target": "answer"},
    }
    if constraints is not None:
        (root / "constraints.yaml").write_text(constraints)
        data["constraints"] = "constraints.yaml"
    entry = {"name": "m", "path": path, "task": "tabular-classification", "data": data, "harden": harden or {}, **model}
    config = HeliotropeConfig.model_validate(
        {"version": 1, "project": "p", "models": [entry], "threat": threat, "seed": seed}
    )
    return Hardening(Project("p", root, (root,), config, root / "heliotrope.yaml", suite))


@pytest.fixture(scope="session")
def cancer() -> tuple[pd.DataFrame, Any]:
    """The ten mean values of the breast cancer data: 569 rows of very different scales."""
    pytest.importorskip("sklearn", reason="needs scikit-learn (extra 'sklearn')")
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer(as_frame=True)
    return data.data.iloc[:, :10].astype(float), data.target.to_numpy(np.int64)


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
