"""Small projects with a real model on real images or tables, made in a moment."""

from pathlib import Path

__all__ = ["CONFIG", "linear_project", "table_project", "write_images", "write_loans"]

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


TABLE_CONFIG = """
version: 1
project: loans
models:
  - name: scores
    path: model.ubj
    format: xgboost
    task: tabular-classification
    labels: ["no", "yes"]
    data:
      train: {path: train.parquet, target: paid}
      evaluate: {path: test.csv, target: paid}
checks: {time_limit: 60}
"""


def write_loans(path: Path, *, count: int = 300, seed: int = 0) -> None:
    """A table of numbers, a truth value and a category whose answer follows from all of them, with noise; by the suffix."""
    import numpy as np
    import pandas as pd

    generator = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "income": generator.normal(3000, 800, count).round(2),
            "years": generator.integers(0, 30, count),
            "owner": generator.random(count) < 0.4,
            "town": generator.choice(["arles", "basel", "cork"], count),
        }
    )
    score = (frame["income"] - 3000) / 800 + (frame["years"] - 15) / 8 + 1.5 * frame["owner"]
    frame["paid"] = np.where(score + generator.normal(0, 0.5, count) > 0, "yes", "no")
    frame.loc[generator.random(count) < 0.05, "income"] = np.nan
    match path.suffix:
        case ".parquet":
            frame.to_parquet(path)
        case ".tsv":
            frame.to_csv(path, index=False, sep="\t")
        case _:
            frame.to_csv(path, index=False)


def table_project(folder: Path, *, config: str = TABLE_CONFIG) -> Path:
    """A project with boosted trees on a table: trained on parquet, evaluated on csv."""
    import pandas as pd
    import xgboost

    folder.mkdir(parents=True, exist_ok=True)
    write_loans(folder / "train.parquet", count=500, seed=1)
    write_loans(folder / "test.csv", count=300, seed=2)
    frame = pd.read_parquet(folder / "train.parquet")
    inputs = frame.drop(columns="paid").astype({"town": "category"})
    matrix = xgboost.DMatrix(inputs, (frame["paid"] == "yes").astype(int), enable_categorical=True)
    trees = xgboost.train({"objective": "binary:logistic", "max_depth": 3, "nthread": 1}, matrix, num_boost_round=20)
    trees.save_model(folder / "model.ubj")
    (folder / "heliotrope.yaml").write_text(config)
    return folder
