"""Build the project folder from a folder that holds the weights and the test images: link_data.py FOLDER OUT.

Nothing is downloaded. The files are copied, so that the project stands on its own.
"""

import shutil
import sys
from pathlib import Path

WANTED = ("mnist_convex.safetensors", "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz")
OWN = ("heliotrope.yaml", "network.py")


def build(data: Path, out: Path) -> Path:
    """Copy this example and the wanted files of `data` to `out`; SystemExit names what is missing."""
    missing = [name for name in WANTED if not (data / name).is_file()]
    if missing:
        raise SystemExit(f"not in {data}: {', '.join(missing)} (README.md says where they come from)")
    out.mkdir(parents=True, exist_ok=True)
    for source in [*(Path(__file__).parent / name for name in OWN), *(data / name for name in WANTED)]:
        shutil.copyfile(source, out / source.name)
    return out


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    print(build(Path(sys.argv[1]), Path(sys.argv[2])))
