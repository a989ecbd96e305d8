"""Which method suits a model, and its attributions by feature or region."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from heliotrope.core.errors import MissingExtraError
from heliotrope.explain._common import Sampled
from heliotrope.explain.interface import Attribution
from heliotrope.explain.methods.gradients import STEPS, integrated_gradients
from heliotrope.explain.methods.occlusion import occlusion
from heliotrope.explain.methods.trees import NotTrees, has_trees, tree_shap
from heliotrope.explain.parts import Part, parts_of
from heliotrope.subjects.batching import as_array
from heliotrope.subjects.inside import look_inside
from heliotrope.subjects.torch_model import TorchModel

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from heliotrope.subjects.interface import Inputs

    Floats = NDArray[np.float64]
    Labels = NDArray[np.int64]

__all__ = ["Attributed", "attribute", "baseline_of"]


@dataclass(frozen=True, slots=True)
class Attributed:
    """Attributions of a sample, whole and by part."""

    whole: Attribution
    """Of networks on images as large as the inputs; else as `by_part`."""
    by_part: "Floats"
    """N x parts. Of images the sum of absolute attributions in each region; else signed."""
    parts: tuple[Part, ...]
    skipped: int
    """Parts that were not looked at."""


def baseline_of(sampled: Sampled) -> float:
    """What an absent pixel looks like: the lowest value of the declared range."""
    declared = sampled.opened.parameters.model.input
    return declared.range[0] if declared is not None else 0.0


def attribute(
    sampled: Sampled,
    targets: "Labels",
    *,
    inputs: "Inputs | None" = None,
    steps: tuple[int, ...] = STEPS,
    tick: Callable[[int, int], None] = lambda _done, _total: None,
) -> Attributed:
    """Integrated gradients for torch networks on arrays, TreeSHAP for ensembles of trees, occlusion for all others.

    Without Captum or shap occlusion is taken in their place, which the notes say. `steps` are those of integrated gradients.
    """
    opened, rows = sampled.opened, sampled.batch.inputs if inputs is None else inputs
    parts, skipped = parts_of(opened.data, rows)
    note: tuple[str, ...] = ()
    if isinstance(opened.model, TorchModel) and opened.data.kind == "images":
        size = min(sampled.size, 64)
        try:
            whole = integrated_gradients(
                opened.model.logits, as_array(rows), targets, baseline=baseline_of(sampled), batch=size, steps=steps
            )
        except MissingExtraError:
            note = ("gradients are followed with heliotrope[explain]; without it regions are occluded",)
        else:
            tick(1, 1)
            return Attributed(whole, _by_box(whole.values, parts), parts, skipped)
    inside = look_inside(opened)
    if inside is not None and has_trees(inside) and opened.data.kind == "table":
        try:
            found = tree_shap(inside, rows, targets, opened.model.classes)
        except MissingExtraError:
            note = ("trees are explained exactly with heliotrope[shap]; without it by occlusion",)
        except NotTrees as reason:
            note = (str(reason),)
        else:
            if found.values.shape[1] == len(opened.data.columns):
                found = replace(found, values=found.values[:, : len(parts)]) if skipped else found
                return Attributed(found, found.values, parts, skipped)
            note = ("the model's own features are others than those of the data",)
    score = {"logits": "logit", "values": "value"}.get(opened.model.output, "probability")
    found = occlusion(sampled.ask, rows, targets, parts, score=score, seed=opened.task.seed, tick=tick)
    return Attributed(replace(found, notes=note), found.values, parts, skipped)


def _by_box(values: "Floats", parts: tuple[Part, ...]) -> "Floats":
    import numpy as np

    sums = [np.abs(values[(slice(None), *part.box)]).reshape(len(values), -1).sum(axis=1) for part in parts]
    return np.stack(sums, axis=1)
