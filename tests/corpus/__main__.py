"""Make the files of some families into OUT/FAMILY-VERSION/."""

import importlib
import sys
import warnings
from pathlib import Path

FAMILIES = (
    "plain",
    "numeric",
    "frames",
    "sklearn_models",
    "boosting",
    "torch_files",
    "trainers",
    "lightning_files",
    "others",
)
HELD_OUT = ("frames_more", "sklearn_more", "boosting_more", "torch_more")
"""Made and scanned for the first time when the policy was frozen."""


def make(out: Path, family: str) -> int:
    """Make what can be made here, and say what cannot; the number of files."""
    try:
        module = importlib.import_module(f"tests.corpus.{family}")
    except ImportError as error:
        print(f"{family}: not here ({error})")
        return 0
    folder = out / f"{family}-{module.version()}"
    folder.mkdir(parents=True, exist_ok=True)
    made = 0
    for name, maker in sorted(module.FILES.items()):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                maker(folder / name)
        except Exception as error:  # an old release lacks a class, or a new one dropped it
            print(f"{folder.name}/{name}: not made ({type(error).__name__}: {str(error)[:200]})")
            (folder / name).unlink(missing_ok=True)
        else:
            made += 1
    return made


if __name__ == "__main__":
    out = Path(sys.argv[1])
    total = sum(make(out, family) for family in (sys.argv[2:] or FAMILIES + HELD_OUT))
    print(f"{total} files in {out}")
