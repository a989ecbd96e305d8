"""What an attack on texts leaves behind: all broken rows as bytes, and up to fifty for people to judge."""

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from heliotrope.attack.pictures import MAX_STORED
from heliotrope.attack.text.attacking import Change, TextResult, TextTarget
from heliotrope.attack.text.interface import Limits
from heliotrope.core.predicates.behaviour import AdversarialExample, FeatureChange
from heliotrope.core.text import printable, shorten

if TYPE_CHECKING:
    import pandas as pd

    from heliotrope.subjects.interface import Scores

__all__ = ["MAX_REVIEWED", "PackedTexts", "choose_texts", "pack_texts", "show_texts"]

MAX_REVIEWED = 50
"""Examples that are listed: whether the meaning is still the same is for people to say."""

_SHOWN = 400
"""Characters of a text that are shown; the stored rows hold all."""
_WORD = 60


@dataclass(frozen=True, slots=True)
class PackedTexts:
    """Broken rows as they are kept, and what comes of reading them."""

    which: tuple[int, ...]
    data: bytes
    read_back: "pd.DataFrame"


def choose_texts(target: TextTarget, result: TextResult, limits: Limits) -> tuple[int, ...]:
    """Up to fifty broken samples, the smallest changes of each class in turn."""
    within = [sample for sample, change in result.changes.items() if len(change) <= limits.words]
    by_size = sorted(within, key=lambda sample: (_size(result.changes[sample]), sample))
    seen: dict[int, int] = {}
    turns: list[tuple[int, int, int]] = []
    for sample in by_size:
        label = int(target.labels[sample])
        turns.append((seen.get(label, 0), len(turns), sample))
        seen[label] = seen.get(label, 0) + 1
    return tuple(sample for _, _, sample in sorted(turns)[:MAX_REVIEWED])


def _size(change: Change) -> tuple[int, int]:
    return len(change), sum(candidate.cost for candidate in change.values())


def pack_texts(target: TextTarget, result: TextResult) -> PackedTexts:
    """At most MAX_STORED broken rows, the first by row, as parquet: index, label, original.NAME, perturbed.NAME."""
    import pandas as pd

    which = tuple(sorted(result.changes)[:MAX_STORED])
    original = target.written([(sample, {}) for sample in which])
    perturbed = target.written([(sample, words_of(result.changes[sample])) for sample in which])
    chosen = list(which)
    head = pd.DataFrame({"index": target.rows[chosen], "label": target.labels[chosen]})
    buffer = io.BytesIO()
    parts = [head, original.add_prefix("original."), perturbed.add_prefix("perturbed.")]
    pd.concat(parts, axis=1).to_parquet(buffer, engine="pyarrow", index=False)
    data = buffer.getvalue()
    read = pd.read_parquet(io.BytesIO(data), engine="pyarrow")[[f"perturbed.{name}" for name in original.columns]]
    read.columns = list(original.columns)
    return PackedTexts(which, data, read)


def words_of(change: Change) -> dict[int, str]:
    """The changed words alone."""
    return {number: candidate.word for number, candidate in change.items()}


def show_texts(
    target: TextTarget, result: TextResult, which: tuple[int, ...], names: tuple[str, ...]
) -> tuple[AdversarialExample, ...]:
    """Both texts, with invisible characters written as escapes, and each changed word."""
    if not which:
        return ()
    before = _confidence(target.scores(target.written([(sample, {}) for sample in which])))
    scores = target.scores(target.written([(sample, words_of(result.changes[sample])) for sample in which]))
    target.asked += 2 * len(which)
    after = _confidence(scores)
    examples = []
    for position, sample in enumerate(which):
        label, change = int(target.labels[sample]), result.changes[sample]
        prediction = int(scores[position].argmax())
        text = target.texts[sample]
        examples.append(
            AdversarialExample(
                index=int(target.rows[sample]),
                label=label,
                label_name=names[label],
                adversarial_prediction=prediction,
                adversarial_name=names[prediction],
                clean_confidence=float(before[position, label]),
                adversarial_confidence=float(after[position, prediction]),
                linf=sum(candidate.cost for candidate in change.values()) / max(text.length, 1),
                l2=float(len(change)),
                original=None,
                perturbed=None,
                difference=None,
                changes=tuple(_change(target, sample, number, change) for number in sorted(change)),
                before_text=_shown(text.written({})),
                after_text=_shown(text.written(words_of(change))),
            )
        )
    return tuple(examples)


def _change(target: TextTarget, sample: int, number: int, change: Change) -> FeatureChange:
    text, candidate = target.texts[sample], change[number]
    column = target.columns[text.places[number][0]]
    return FeatureChange(
        feature=f"{printable(shorten(column, _WORD))}, word {number + 1}: {candidate.kind}",
        before=printable(shorten(text.words[number], _WORD)),
        after=printable(shorten(candidate.word, _WORD)),
        cost=float(candidate.cost),
    )


def _shown(values: "tuple[str | None, ...]") -> str:
    return printable(shorten(" | ".join(value for value in values if value is not None), _SHOWN))


def _confidence(scores: "Scores") -> "Scores":
    """Probabilities: as they are, else by softmax."""
    import numpy as np
    from scipy.special import softmax

    if (scores >= 0).all() and (np.abs(scores.sum(axis=1) - 1) < 1e-3).all():
        return scores
    probabilities: Scores = softmax(scores, axis=1)
    return probabilities
