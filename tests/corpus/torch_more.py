"""More of torch: other modules, optimizers, scripts and packages."""

import warnings
from pathlib import Path

import torch
from torch import nn

from tests.corpus.torch_files import _legacy, _save

torch.manual_seed(1)


def version():
    return torch.__version__.split("+")[0]


class Convolutional(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.GELU(), nn.MaxPool2d(2))
        self.norm = nn.GroupNorm(2, 4)
        self.head = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.features(x))
        return self.head(x.mean(dim=[2, 3]))


class Looping(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.GRUCell(4, 4)
        self.names = ["input", "open", "exec"]

    def forward(self, x: torch.Tensor, steps: int = 3) -> tuple[torch.Tensor, list[torch.Tensor]]:
        state = torch.zeros(x.size(0), 4)
        kept: list[torch.Tensor] = []
        for step in range(steps):
            if step % 2 == 0:
                state = self.cell(x, state)
            kept.append(state)
        while len(kept) < 2:
            kept.append(state)
        return state, kept


def _script(build):
    def make(path: Path):
        torch.jit.script(build()).save(str(path))

    return make


def _trace(build, *inputs):
    def make(path: Path):
        torch.jit.trace(build().eval(), inputs).save(str(path))

    return make


def _frozen(path: Path):
    torch.jit.freeze(torch.jit.script(Convolutional().eval())).save(str(path))


def _quantised():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Linear(4, 4), nn.ReLU()), {nn.Linear})


def _hooked():
    net = nn.utils.parametrizations.weight_norm(nn.Linear(3, 3))
    return net.state_dict()


def _optimized(kind, **options):
    def build():
        net = nn.Linear(2, 2)
        optimizer = kind(net.parameters(), **options)
        net(torch.ones(1, 2)).sum().backward()
        optimizer.step()
        return {"net": net.state_dict(), "optimizer": optimizer.state_dict()}

    return build


def _shared():
    tensor = torch.arange(6.0)
    return {"a": tensor, "b": tensor[2:], "c": tensor.reshape(2, 3).t()}


def _exported(path: Path):
    program = torch.export.export(Convolutional().eval(), (torch.zeros(1, 3, 8, 8),))
    torch.export.save(program, str(path))


FILES = {
    "vit-block.pt": _save(lambda: nn.TransformerDecoderLayer(8, 2, 16, batch_first=True)),
    "attention.pt": _legacy(lambda: nn.MultiheadAttention(8, 2)),
    "embedding-bag.pt": _save(lambda: nn.EmbeddingBag(10, 3)),
    "conv-transpose.pt": _save(lambda: nn.Sequential(nn.ConvTranspose2d(1, 1, 2), nn.InstanceNorm2d(1), nn.PReLU())),
    "losses.pt": _save(lambda: [nn.CrossEntropyLoss(torch.ones(3)), nn.BCEWithLogitsLoss(), nn.HuberLoss()]),
    "containers.pt": _save(
        lambda: nn.ModuleDict(
            {"a": nn.ModuleList([nn.Linear(1, 1)]), "p": nn.ParameterList([nn.Parameter(torch.ones(1))])}
        )
    ),
    "quantised.pt": _save(_quantised),
    "weight-norm.pth": _save(_hooked),
    "sgd.pth": _save(_optimized(torch.optim.SGD, lr=0.1, momentum=0.9)),
    "rmsprop.pth": _legacy(_optimized(torch.optim.RMSprop)),
    "lbfgs.pth": _save(_optimized(torch.optim.Adagrad)),
    "scheduler.pt": _save(
        lambda: torch.optim.lr_scheduler.OneCycleLR(
            torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=0.1), 1.0, 10
        ).state_dict()
    ),
    "rng_state.pth": _save(
        lambda: {"cpu": torch.random.get_rng_state(), "generator": torch.Generator().manual_seed(1).get_state()}
    ),
    "dataset.pt": _save(lambda: torch.utils.data.TensorDataset(torch.zeros(3, 2), torch.zeros(3))),
    "distribution.pt": _save(lambda: torch.distributions.Normal(torch.zeros(2), torch.ones(2))),
    "float8.pt": _save(
        lambda: {"w": torch.zeros(3, dtype=torch.float8_e4m3fn), "s": torch.ones(1, dtype=torch.bfloat16)}
    ),
    "shared.pt": _save(_shared),
    "scripted-conv.pt": _script(Convolutional),
    "scripted-loop.pt": _script(Looping),
    "traced-conv.pt": _trace(Convolutional, torch.zeros(1, 3, 8, 8)),
    "traced-lstm.pt": _trace(lambda: nn.LSTM(4, 4), torch.zeros(2, 1, 4)),
    "frozen.pt": _frozen,
    "exported.pt2": _exported,
}
