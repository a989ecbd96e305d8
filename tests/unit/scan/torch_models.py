"""Models of torch as people write them. They stand in a file of their own, because torch reads the source of what it scripts."""

from typing import Any

import torch
from torch import nn

__all__ = ["Detector", "Recurrent", "Reshaping", "dynamic_quantised", "quantised"]


class Detector(nn.Module):
    """Loops, branches, errors, dictionaries, futures and printing."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Conv2d(3, 8, 3)
        self.names: dict[str, int] = {"exec": 1}
        self.heads = nn.ModuleList([nn.Linear(4, 4) for _ in range(2)])

    def forward(self, images: list[torch.Tensor], fast: bool = False) -> dict[str, torch.Tensor]:  # noqa: FBT001, FBT002
        found: list[torch.Tensor] = []
        for image in images:
            batch = image.unsqueeze(0) if image.dim() == 3 else image
            features = self.backbone(batch)
            step = 0
            while step < 3 and not fast:
                features = features + step
                step += 1
            if features.sum() > 1e9:
                raise ValueError("too large")
            found.append(features.flatten())
        print("done", len(found))  # noqa: T201
        joined = torch.cat(found).to(torch.float16).to("cpu")
        later = torch.jit.fork(torch.sin, joined.float())
        return {"boxes": joined, "scores": torch.jit.wait(later), "limit": torch.tensor([float("inf")])}


class Recurrent(nn.Module):
    """An embedding, an LSTM and an encoder layer."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(10, 4)
        self.lstm = nn.LSTM(4, 8, 2, batch_first=True, bidirectional=True)
        self.encoder = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden, _ = self.lstm(self.embedding(x))
        return self.encoder(hidden)


class Reshaping(nn.Module):
    """Sizes that depend on the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x).relu().reshape(x.shape[0] * 2, 2)


class _Stubbed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.quant = torch.ao.quantization.QuantStub()
        self.conv = nn.Conv2d(3, 4, 3)
        self.dequant = torch.ao.quantization.DeQuantStub()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.dequant(self.conv(self.quant(x)))


def dynamic_quantised() -> Any:
    return torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Linear(4, 4), nn.ReLU()), {nn.Linear})


def quantised() -> Any:
    model = _Stubbed().eval()
    model.qconfig = torch.ao.quantization.get_default_qconfig(torch.backends.quantized.engine)
    torch.ao.quantization.prepare(model, inplace=True)
    model(torch.rand(1, 3, 8, 8))
    torch.ao.quantization.convert(model, inplace=True)
    return model
