"""What the reader of a how-to guide is assumed to have."""

import pickle
from collections.abc import Callable
from pathlib import Path

from tests.docs.pages import ROOT
from tests.projects import CONFIG, linear_project

__all__ = ["SETUPS"]


class _Calls:
    """A pickle that calls a function when it is loaded."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self._call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self._call


def _downloads(folder: Path) -> None:
    """Two files from elsewhere: one that is a model, one that starts a program."""
    import os

    (folder / "downloads").mkdir()
    (folder / "downloads" / "weights.pkl").write_bytes(pickle.dumps({"bias": [0.1, 0.2]}, protocol=4))
    (folder / "downloads" / "model.pkl").write_bytes(pickle.dumps(_Calls(os.system, "id"), protocol=4))


def _models(folder: Path) -> None:
    """Downloads, a file that needs a class of one's own, and plain arrays."""
    import numpy as np

    _downloads(folder)
    (folder / "downloads" / "own.pkl").write_bytes(b"\x80\x02cmypackage.models\nNet\n)\x81}(X\x01\x00\x00\x00aK\x01ub.")
    np.savez(folder / "downloads" / "arrays.npz", weight=np.ones((2, 3), "f4"), bias=np.zeros(2, "f4"))


def _project(folder: Path) -> None:
    """A torch model with its heliotrope.yaml, as `helio init` leaves it after the keys were filled; tested quickly."""
    linear_project(folder, config=CONFIG.replace("checks: {", "checks: {suite: quick, "))


def _plugin(folder: Path) -> None:
    """The example of a plug-in, at its place in the repository."""
    (folder / "examples").mkdir()
    (folder / "examples" / "plugin").symlink_to(ROOT / "examples" / "plugin")


SETUPS: dict[str, Callable[[Path], None]] = {
    "downloads": _downloads,
    "models": _models,
    "project": _project,
    "plugin": _plugin,
}
