"""Train a classifier of handwritten digits on adversarial examples, and export it to ONNX: export.py OUT.

Network and training are those of ../digits. The folder that is written holds no code: the ONNX file is the whole model.
"""

import shutil
import sys
import warnings
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "digits"))

import numpy as np  # noqa: E402 - after the neighbour's folder is on the path
import torch  # noqa: E402
import train as digits  # noqa: E402
from sklearn.datasets import load_digits  # noqa: E402
from sklearn.model_selection import train_test_split  # noqa: E402

EPOCHS = 28


def main(out: Path) -> None:
    torch.set_num_threads(1)
    loaded = load_digits()
    images, labels = (loaded.images / 16).astype(np.float32)[:, None], loaded.target.astype(np.int64)
    train_x, test_x, train_y, test_y = train_test_split(
        images, labels, test_size=1 / 3, random_state=digits.SEED, stratify=labels
    )
    model = digits.train(torch.from_numpy(train_x), torch.from_numpy(train_y), EPOCHS, adversarial=True)
    out.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(HERE / "heliotrope.yaml", out / "heliotrope.yaml")
    np.savez_compressed(out / "test.npz", images=test_x, labels=test_y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter speaks of its own future
        torch.onnx.export(
            model,
            (torch.zeros(2, *test_x.shape[1:]),),
            out / "digits.onnx",
            input_names=["images"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    print(out)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]))
