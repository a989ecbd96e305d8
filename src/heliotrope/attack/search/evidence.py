"""What a search leaves behind: all broken inputs as bytes, and the most instructive ones for people."""

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from heliotrope.attack.pictures import MAX_EXAMPLES, MAX_STORED, show_picture
from heliotrope.attack.search.searching import SearchResult, SearchTarget
from heliotrope.attack.search.tables import show_value
from heliotrope.core.predicates.behaviour import AdversarialExample, FeatureChange, ThreatModel
from heliotrope.engine.interface import RunContext
from heliotrope.subjects.batching import as_array, as_table
from heliotrope.subjects.interface import Column

if TYPE_CHECKING:
    import pandas as pd

    from heliotrope.attack.search.space import Points, Rows
    from heliotrope.subjects.interface import Scores

__all__ = ["Packed", "choose_examples", "pack", "show"]

_GAIN = 10.0


@dataclass(frozen=True, slots=True)
class Packed:
    """Broken inputs as they are kept, and what comes of reading them."""

    which: "Rows"
    data: bytes
    media_type: str
    read_back: "Points"


def choose_examples(target: SearchTarget, threat: ThreatModel, result: SearchResult) -> "Rows":
    """A few broken samples, those with the smallest change of each class first, in their order."""
    import numpy as np

    broken = result.broken(threat.eps)
    order = broken[np.argsort(result.reach[broken], kind="stable")]
    labels = target.labels[order]
    seen: dict[int, int] = {}
    turn = np.zeros(len(order), dtype=np.int64)
    for position, label in enumerate(labels.tolist()):
        turn[position] = seen.get(label, 0)
        seen[label] = turn[position] + 1
    return order[np.argsort(turn, kind="stable")][:MAX_EXAMPLES]


def pack(target: SearchTarget, threat: ThreatModel, result: SearchResult, columns: tuple[Column, ...]) -> Packed:
    """At most MAX_STORED broken samples, the first by row: npz of arrays, parquet of tables."""
    which = result.broken(threat.eps)[:MAX_STORED]
    original = target.space.decode(target.space.centres[which], which)
    perturbed = target.space.decode(result.adversarial[which], which)
    if not columns:
        return _pack_arrays(target, which, original, perturbed)
    return _pack_table(target, which, as_table(original), as_table(perturbed))


def _pack_arrays(target: SearchTarget, which: "Rows", original: Any, perturbed: Any) -> Packed:
    import numpy as np

    buffer = io.BytesIO()
    np.savez_compressed(
        buffer, allow_pickle=False, index=target.rows[which], label=target.labels[which], original=original,
        perturbed=perturbed,
    )  # fmt: skip
    data = buffer.getvalue()
    with np.load(io.BytesIO(data), allow_pickle=False) as stored:
        read = target.space.encode(stored["perturbed"], which)
    return Packed(which, data, "application/x-npz", read)


def _pack_table(target: SearchTarget, which: "Rows", original: "pd.DataFrame", perturbed: "pd.DataFrame") -> Packed:
    import pandas as pd

    left, right = original.add_prefix("original."), perturbed.add_prefix("perturbed.")
    head = pd.DataFrame({"index": target.rows[which], "label": target.labels[which]})
    buffer = io.BytesIO()
    pd.concat([head, left, right], axis=1).to_parquet(buffer, engine="pyarrow", index=False)
    data = buffer.getvalue()
    read = pd.read_parquet(io.BytesIO(data), engine="pyarrow")[list(right.columns)]
    read.columns = list(perturbed.columns)
    return Packed(which, data, "application/vnd.apache.parquet", target.space.encode(read, which))


def show(
    target: SearchTarget,
    threat: ThreatModel,
    result: SearchResult,
    which: "Rows",
    *,
    names: tuple[str, ...],
    columns: tuple[Column, ...],
    context: RunContext,
) -> tuple[AdversarialExample, ...]:
    """Examples as pictures, or as lists of what was changed."""
    import numpy as np

    if not len(which):
        return ()
    space = target.space
    points = result.adversarial[which]
    original, perturbed = space.decode(space.centres[which], which), space.decode(points, which)
    before, after = (_confidence(target.scores(inputs)) for inputs in (original, perturbed))
    target.asked += 2 * len(which)
    wrong = after.copy()
    wrong[np.arange(len(which)), target.labels[which]] = -1.0
    scaled = space.scaled_changes(which, points)
    examples = []
    for position, sample in enumerate(which.tolist()):
        label, prediction = int(target.labels[sample]), int(wrong[position].argmax())
        one = np.array([sample])
        pictures = (None, None, None)
        if not columns:
            pictures = _pictures(as_array(original)[position], as_array(perturbed)[position], threat, context)
        examples.append(
            AdversarialExample(
                index=int(target.rows[sample]),
                label=label,
                label_name=names[label],
                adversarial_prediction=prediction,
                adversarial_name=names[prediction],
                clean_confidence=float(before[position, label]),
                adversarial_confidence=float(after[position, prediction]),
                linf=float(scaled[position].max(initial=0.0)),
                l2=float(np.sqrt(np.square(scaled[position]).sum())),
                original=pictures[0],
                perturbed=pictures[1],
                difference=pictures[2],
                difference_gain=_GAIN,
                changes=_changes(target, result, one, columns) if columns else None,
            )
        )
    return tuple(examples)


def _changes(
    target: SearchTarget, result: SearchResult, one: "Rows", columns: tuple[Column, ...]
) -> tuple[FeatureChange, ...]:
    """What was changed in one sample, the dearest first."""
    space, point = target.space, result.adversarial[one]
    original, perturbed = (as_table(space.decode(points, one)) for points in (space.centres[one], point))
    scaled, chosen = space.scaled_changes(one, point)[0], space.changed_choices(one, point)[0]
    prices = scaled + chosen if space.constraints is None else space.constraints.prices(space, one, point)[0]
    changes = [
        FeatureChange(
            feature=column.name,
            before=show_value(original, 0, column),
            after=show_value(perturbed, 0, column),
            unit=column.unit,
            cost=float(prices[index]),
        )
        for index, column in enumerate(columns)
        if chosen[index] or scaled[index] > 0
    ]
    return tuple(sorted(changes, key=lambda change: -change.cost))


def _confidence(scores: "Scores") -> "Scores":
    """Probabilities: as they are, else by softmax."""
    import numpy as np
    from scipy.special import softmax

    if (scores >= 0).all() and (np.abs(scores.sum(axis=1) - 1) < 1e-3).all():
        return scores
    probabilities: Scores = softmax(scores, axis=1)
    return probabilities


def _pictures(original: Any, perturbed: Any, threat: ThreatModel, context: RunContext) -> tuple[Any, Any, Any]:
    low, high = threat.box
    middle = (low + high) / 2
    difference = middle + _GAIN * (perturbed.astype(float) - original.astype(float))
    pictures = [show_picture(values, low, high, context) for values in (original, perturbed, difference)]
    return pictures[0], pictures[1], pictures[2]
