"""What the reader of a how-to guide is assumed to have."""

import pickle
from collections.abc import Callable
from pathlib import Path

from tests.docs.pages import ROOT
from tests.projects import linear_project

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


def _project(folder: Path) -> None:
    """A torch model with its heliotrope.yaml, as `helio init` leaves it after the keys were filled."""
    linear_project(folder)


def _plugin(folder: Path) -> None:
    """The example of a plug-in, at its place in the repository."""
    (folder / "examples").mkdir()
    (folder / "examples" / "plugin").symlink_to(ROOT / "examples" / "plugin")


SETUPS: dict[str, Callable[[Path], None]] = {
    "downloads": _downloads,
    "project": _project,
    "plugin": _plugin,
}
