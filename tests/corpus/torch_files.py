"""What torch programs save: weights, checkpoints, modules, scripts."""

import argparse
import collections
import pathlib
import random
from pathlib import Path

import numpy as np
import torch
from torch import nn

torch.manual_seed(0)


def version():
    return torch.__version__.split("+")[0]


def _net():
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10))


def _save(build, **options):
    return lambda path: torch.save(build(), path, **options)


def _legacy(build):
    return _save(build, _use_new_zipfile_serialization=False)


def _training():
    net = _net()
    optimizer = torch.optim.AdamW(net.parameters())
    net(torch.zeros(2, 1, 8, 8)).sum().backward()
    optimizer.step()
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10)
    return {
        "epoch": 3,
        "model": net.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scheduler": scheduler.state_dict(),
        "rng": torch.get_rng_state(),
        "numpy": np.random.RandomState(0).get_state(),
        "python": random.getstate(),
        "args": argparse.Namespace(lr=0.1, out=pathlib.PurePosixPath("runs")),
        "best": np.float64(0.5),
    }


def _odd():
    return {
        "quantised": torch.quantize_per_tensor(torch.zeros(3), 0.1, 0, torch.qint8),
        "sparse": torch.eye(3).to_sparse(),
        "rows": torch.eye(3).to_sparse_csr(),
        "bf16": torch.zeros(2, dtype=torch.bfloat16),
        "complex": torch.zeros(2, dtype=torch.complex64),
        "parameter": nn.Parameter(torch.zeros(1)),
        "dtype": torch.float16,
        "device": torch.device("cpu"),
        "size": torch.Size([1, 2]),
        "view": torch.arange(10.0)[2:8:2],
        "empty": torch.empty(0),
    }


class Scripted(nn.Module):
    def __init__(self):
        super().__init__()
        self.line = nn.Linear(4, 2)

    def forward(self, x: torch.Tensor, scale: float = 1.0) -> torch.Tensor:
        if x.sum() > 0:
            x = x * scale
        return torch.softmax(self.line(x), dim=-1)


def _script(path: Path):
    torch.jit.script(Scripted()).save(str(path))


def _trace(path: Path):
    torch.jit.trace(_net().eval(), torch.zeros(1, 1, 8, 8)).save(str(path))


FILES = {
    "state.pt": _save(lambda: _net().state_dict()),
    "state-legacy.pth": _legacy(lambda: _net().state_dict()),
    "training.ckpt": _save(_training),
    "training-legacy.pth": _legacy(_training),
    "odd.pt": _save(_odd),
    "odd-legacy.pt": _legacy(_odd),
    "module.pt": _save(_net),
    "module-legacy.pt": _legacy(_net),
    "transformer.pt": _save(lambda: nn.TransformerEncoderLayer(16, 2, 32)),
    "lstm.pth": _save(lambda: nn.LSTM(4, 4, 2, bidirectional=True)),
    "optimizer.pt": _save(lambda: torch.optim.SGD(_net().parameters(), lr=0.1)),
    "tensor.pt": _save(lambda: torch.rand(3, 3)),
    "list.pt": _save(lambda: [torch.rand(2), {"a": torch.ones(1)}, "text", 3]),
    "ordered.pt": _save(lambda: collections.OrderedDict(w=torch.zeros(2))),
    "state-p4.pt": _save(lambda: _net().state_dict(), pickle_protocol=4),
    "scripted.pt": _script,
    "traced.pt": _trace,
    "embedding.bin": _save(lambda: {"weight": torch.rand(10, 4).half(), "ids": torch.arange(10)}),
}
