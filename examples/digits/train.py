"""Train two small classifiers of handwritten digits and write each as a project folder: train.py OUT.

OUT/plain is trained as usual, OUT/robust on adversarial examples. Same data, same network, same seed. Data:
scikit-learn's digits (1,797 images of 8x8 pixels), which come with the package; a third is held out for testing.
"""

import shutil
import sys
from pathlib import Path

import numpy as np
import torch
from network import build
from safetensors.torch import save
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch.nn.functional import cross_entropy

SEED = 0
EPS = 0.125
EPOCHS = {"plain": 15, "robust": 28}
BATCH = 64
STEPS = 5


def main(out: Path) -> None:
    torch.set_num_threads(1)  # batches this small gain nothing from more, and the weights stay the same everywhere
    digits = load_digits()
    images = (digits.images / 16).astype(np.float32)[:, None]
    labels = digits.target.astype(np.int64)
    train_x, test_x, train_y, test_y = train_test_split(
        images, labels, test_size=1 / 3, random_state=SEED, stratify=labels
    )
    for name, epochs in EPOCHS.items():
        model = train(torch.from_numpy(train_x), torch.from_numpy(train_y), epochs, adversarial=name == "robust")
        write(out / name, model, {"train": (train_x, train_y), "test": (test_x, test_y)})
        print(out / name)


def train(images: torch.Tensor, labels: torch.Tensor, epochs: int, *, adversarial: bool) -> torch.nn.Module:
    """Adam with one learning-rate cycle; adversarial training replaces each batch by its PGD examples (Madry et al. 2018)."""
    torch.manual_seed(SEED)
    model = build()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    batches = -(-len(images) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=3e-3, total_steps=epochs * batches)
    for _epoch in range(epochs):
        for chosen in torch.randperm(len(images)).split(BATCH):
            inputs, wanted = images[chosen], labels[chosen]
            if adversarial:
                inputs = perturb(model, inputs, wanted)
            optimizer.zero_grad()
            cross_entropy(model(inputs), wanted).backward()
            optimizer.step()
            schedule.step()
    return model.eval()


def perturb(model: torch.nn.Module, inputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """PGD from a random start: the worst input within EPS that a few steps find."""
    low, high = (inputs - EPS).clamp(min=0), (inputs + EPS).clamp(max=1)
    found = low + torch.rand_like(inputs) * (high - low)
    for _step in range(STEPS):
        found.requires_grad_()
        (gradient,) = torch.autograd.grad(cross_entropy(model(found), labels), found)
        found = (found.detach() + 2.5 * EPS / STEPS * gradient.sign()).clamp(low, high)
    return found


def write(folder: Path, model: torch.nn.Module, parts: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
    """A complete project: configuration, code, weights, and the data it was trained on and is tested on."""
    here = Path(__file__).parent
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(here / folder.name / "heliotrope.yaml", folder / "heliotrope.yaml")
    shutil.copyfile(here / "network.py", folder / "network.py")
    (folder / "weights.safetensors").write_bytes(save(model.state_dict()))
    for name, (images, labels) in parts.items():
        np.savez_compressed(folder / f"{name}.npz", images=images, labels=labels)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]))
