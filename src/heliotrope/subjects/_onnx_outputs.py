"""Outputs of an ONNX model as answers. Converters write labels and probabilities side by side, the latter also as maps."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from heliotrope.config.schema import ModelConfig, OutputKind
from heliotrope.core.errors import InputError
from heliotrope.core.text import printable, shorten
from heliotrope.subjects._scores import class_name, one_hot

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["OnnxOutput", "choose_output"]

_FLOATS = frozenset({"tensor(float)", "tensor(double)", "tensor(float16)"})
_MAPS = frozenset({"seq(map(int64,tensor(float)))", "seq(map(string,tensor(float)))"})
_LABELS = frozenset({"tensor(int64)", "tensor(int32)", "tensor(string)"})
_USUAL_NAMES = frozenset({"probabilities", "output_probability", "logits", "scores"})


@dataclass(frozen=True, slots=True)
class OnnxOutput:
    """The output that is listened to."""

    name: str
    maps: bool
    """Whether rows are maps of class to probability."""
    output: OutputKind
    declared: tuple[str, ...] | None
    """Class names of heliotrope.yaml."""

    def scores(self, runs: list[Any]) -> "NDArray[Any]":
        """N x classes, or N, of what the runs gave."""
        import numpy as np

        if self.output == "labels":
            assert self.declared is not None
            return one_hot(np.concatenate([np.asarray(run).reshape(-1) for run in runs]), self.declared)
        if self.maps:
            return self._unmapped([row for run in runs for row in run])
        whole = np.concatenate([np.asarray(run) for run in runs])
        if whole.ndim > 2 and whole.size == len(whole) * max(whole.shape[1:]):
            whole = whole.reshape(len(whole), -1)  # N x classes x 1 x 1, as convolutional heads leave it
        return whole

    def names(self, runs: list[Any]) -> tuple[str, ...] | None:
        """Class names, where the model knows them."""
        if self.output == "labels":
            return self.declared
        return tuple(class_name(key) for key in self._keys(runs[0][0])) if self.maps else None

    def _unmapped(self, rows: list[dict[Any, float]]) -> "NDArray[Any]":
        import numpy as np

        keys = self._keys(rows[0])
        if any(row.keys() != rows[0].keys() for row in rows):
            raise InputError(
                "the model gives other classes for other rows", hint="export it with all classes each time"
            )
        return np.array([[row[key] for key in keys] for row in rows], dtype=np.float64)

    def _keys(self, row: dict[Any, float]) -> list[Any]:
        """Classes in the order of `labels` where they are the same, else sorted, as converters sort them."""
        by_name = {class_name(key): key for key in row}
        if self.declared is not None and set(self.declared) == set(by_name):
            return [by_name[name] for name in self.declared]
        if self.declared is not None and any(isinstance(key, str) for key in row):
            known = printable(shorten(", ".join(map(str, sorted(row))), 200))
            raise InputError(f"`labels` differ from the classes of the model: {known}", hint="name exactly these")
        return sorted(row)


def choose_output(nodes: Sequence[Any], output: OutputKind, model: ModelConfig) -> OnnxOutput:
    """The one output that can be what is declared. Raises InputError where none or more than one can."""
    wanted = _LABELS if output == "labels" else _FLOATS | _MAPS
    found = [node for node in nodes if node.type in wanted]
    if len(found) > 1:
        found = [node for node in found if node.name.lower() in _USUAL_NAMES] or found
    if len(found) != 1:
        listed = ", ".join(f"{node.name} ({node.type})" for node in nodes)
        raise InputError(
            f"{len(found)} outputs of the model could be its {output}: it has {printable(shorten(listed, 300))}",
            hint="correct `output`, or export the model with one output that holds the scores",
        )
    if output == "labels" and model.labels is None:
        raise InputError("the model gives labels alone, and nothing names its classes", hint="fill labels")
    return OnnxOutput(found[0].name, found[0].type in _MAPS, output, model.labels)
