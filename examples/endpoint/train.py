"""Train a classifier of handwritten digits and lay it where serve.py finds it: train.py OUT.

OUT/served holds the model, which only the server reads; OUT/project what a tester has: data and the address.
"""

import sys
from pathlib import Path

import numpy as np
import skops.io
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

SEED = 0


def main(out: Path) -> None:
    loaded = load_digits()
    images, labels = (loaded.images / 16).astype(np.float32)[:, None], loaded.target.astype(np.int64)
    train_x, test_x, train_y, test_y = train_test_split(
        images, labels, test_size=1 / 3, random_state=SEED, stratify=labels
    )
    model = LogisticRegression(max_iter=2000, random_state=SEED).fit(train_x.reshape(len(train_x), -1), train_y)
    for name in ("served", "project"):
        (out / name).mkdir(parents=True, exist_ok=True)
    skops.io.dump(model, out / "served" / "model.skops")
    np.savez_compressed(out / "project" / "test.npz", images=test_x, labels=test_y)
    print(out)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]))
