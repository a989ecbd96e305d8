"""Signs of whether an attack on texts worked."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from heliotrope.attack.health.indicator import clean_accuracy, clearly_above, sample_size, saturated
from heliotrope.attack.text.attacking import TextResult, TextTarget
from heliotrope.attack.text.edits import distance, is_negation
from heliotrope.attack.text.evidence import PackedTexts, words_of
from heliotrope.attack.text.interface import Limits
from heliotrope.attack.text.words import WordTable
from heliotrope.core.predicates.behaviour import HealthIndicator, HealthState

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["AttackedTexts", "examine_texts"]

MAX_STILL = 0.1
"""Share of samples without a word that may change, or with too few questions for all of their words."""

_FEW = 50
_SINGLES = 20
_DONORS = 3
_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class AttackedTexts:
    """All that the indicators look at."""

    target: TextTarget
    limits: Limits
    table: WordTable | None
    result: TextResult
    stored: PackedTexts
    restarts: int
    output: str
    declared_accuracy: float | None


def examine_texts(known: AttackedTexts) -> tuple[HealthIndicator, ...]:
    """Every indicator, in the order in which they should be read."""
    labels, right = known.target.labels, known.result.right
    return (
        clean_accuracy(len(labels), int(right.sum()), known.declared_accuracy),
        sample_size(len(labels), len(set(labels.tolist()))),
        _movable(known),
        _perturbations(known),
        _similar(known),
        _deterministic(known),
        _output(known),
        _signal(known),
        _other_texts(known),
        _questions(known),
        saturated(tuple(known.result.restarts[: known.restarts]), len(labels)),
    )


def _movable(known: AttackedTexts) -> HealthIndicator:
    attacked = int(known.result.right.sum())
    still = attacked - known.result.movable
    state: HealthState = "unknown" if not attacked else "ok"
    if attacked and not known.result.movable:
        state = "failed"
    elif attacked and clearly_above(still, attacked, MAX_STILL):
        state = "warning"
    return HealthIndicator(
        id="movable",
        title="The texts that may change can change",
        state=state,
        wanted=f"at most {MAX_STILL:.0%} of the texts without a word that the budget lets change",
        actual=f"{known.result.movable} of {attacked} can change",
        explanation="Empty texts, an alphabet that no kind of edit knows or a budget below one character leave nothing to "
        "try: the model is then robust because nothing was tried.",
        applies="attacks on texts",
        test=f"no text can change fails; clearly more than {MAX_STILL:.0%} that cannot warn",
        effect=still / attacked if attacked else None,
        consequence="invalidates",
        next_attack="a larger eps (share of characters), further kinds of edits or a table of substitutes",
    )


def _perturbations(known: AttackedTexts) -> HealthIndicator:
    """Stored rows: as the changes say, nothing else touched, misleading in a batch and alone."""
    target, stored = known.target, known.stored
    which = list(stored.which)
    meant = target.written([(sample, words_of(known.result.changes[sample])) for sample in which])
    same = [_equal(meant, stored.read_back, position) for position in range(len(which))]
    frames = (stored.read_back.iloc[at : at + target.batch] for at in range(0, len(which), target.batch))
    _, misled = target.judge(frames, which)
    fine = [one and bool(two) for one, two in zip(same, misled, strict=True)]
    for position in range(min(len(which), _SINGLES)):
        _, alone = target.judge([stored.read_back.iloc[position : position + 1]], which[position : position + 1])
        fine[position] = fine[position] and bool(alone[0])
    wrong = fine.count(False)
    return HealthIndicator(
        id="perturbations",
        title="Stored adversarial texts hold when checked again",
        state="failed" if wrong else "ok" if fine else "unknown",
        wanted="read back as they were made, all else untouched, misclassified",
        actual=f"{len(fine) - wrong} of {len(fine)} hold",
        explanation="The rows are read back from the bytes that are kept and classified again: all in batches, the first "
        f"{_SINGLES} also one by one.",
        applies="attacks that broke a sample",
        test="any stored row that does not hold fails",
        effect=wrong / len(fine) if fine else None,
        consequence="invalidates",
        next_attack="look for differences by batch size or state in the model, then attack again",
    )


def _equal(meant: "pd.DataFrame", read: "pd.DataFrame", position: int) -> bool:
    """Cell by cell; missing is like missing, whatever stands for it."""
    import pandas as pd

    cells = zip(meant.iloc[position].tolist(), read.iloc[position].tolist(), strict=True)
    return all(bool(pd.isna(one) and pd.isna(other)) or one == other for one, other in cells)


def _similar(known: AttackedTexts) -> HealthIndicator:
    """Both constraints of similarity, computed anew from the words themselves."""
    broken = sum(not _keeps(known, sample) for sample in known.stored.which)
    n = len(known.stored.which)
    return HealthIndicator(
        id="similarity",
        title="Stored adversarial texts keep the constraints of similarity",
        state="failed" if broken else "ok" if n else "unknown",
        wanted="words and edit distance within the budget, substitutes from the guarded table alone",
        actual=f"{n - broken} of {n} keep them",
        explanation="Edit distance is Levenshtein's, over all changed words. Whether a reader would say the same of both texts is "
        "for people: the examples are listed for that.",
        applies="attacks that broke a sample",
        test="any stored row that breaks one fails",
        effect=broken / n if n else None,
        consequence="invalidates",
        next_attack="report this: the attack left its own bounds",
    )


def _keeps(known: AttackedTexts, sample: int) -> bool:
    text, change = known.target.texts[sample], known.result.changes[sample]
    edited = 0
    for number, candidate in change.items():
        word = text.words[number]
        if candidate.kind != "word":
            edited += distance(word, candidate.word)
            continue
        offered = known.table.substitutes.get(word.casefold(), ()) if known.table is not None else ()
        if candidate.word.casefold() not in offered or is_negation(word) or is_negation(candidate.word):
            return False
    return len(change) <= known.limits.words and edited <= known.limits.characters_of(text)


def _deterministic(known: AttackedTexts) -> HealthIndicator:
    import numpy as np

    few: list[tuple[int, dict[int, str]]] = [(sample, {}) for sample in range(min(_FEW, len(known.target.texts)))]
    first, second = known.target.ask(few)[0], known.target.ask(few)[0]
    difference = float(np.abs(first - second).max(initial=0.0))
    same = difference <= _TOLERANCE * max(float(np.abs(first).max(initial=0.0)), 1.0)
    return HealthIndicator(
        id="deterministic",
        title="The model answers twice alike",
        state="ok" if same else "failed",
        wanted="equal scores for equal texts",
        actual="equal" if difference == 0 else f"scores differ by up to {difference:.3g}",
        explanation="Against a randomised model each edit must be judged by several answers; this attack does not.",
        applies="every model",
        test=f"scores of the first {_FEW} texts, asked twice, differ by more than rounding",
        effect=difference,
        consequence="invalidates",
        next_attack="switch the randomness off, then attack again",
    )


def _output(known: AttackedTexts) -> HealthIndicator:
    labels = known.output == "labels"
    return HealthIndicator(
        id="output",
        title="Scores say how near a change comes",
        state="warning" if labels else "ok",
        wanted="logits or probabilities",
        actual="the class alone" if labels else known.output,
        explanation="With the class alone importance cannot be felt: words are tried in any order, and a change is kept blindly.",
        applies="models that answer with labels",
        test="the declared output is labels",
        effect=1.0 if labels else 0.0,
        consequence="warns",
        next_attack="let the model return probabilities, or more steps and restarts",
    )


def _signal(known: AttackedTexts) -> HealthIndicator:
    result = known.result
    attacked = int(result.right.sum())
    deaf = int((result.right & ~result.felt).sum())
    state: HealthState = "unknown" if not attacked else "warning" if deaf > MAX_STILL * attacked else "ok"
    return HealthIndicator(
        id="signal",
        title="The model answers to small changes",
        state=state,
        wanted=f"at most {MAX_STILL:.0%} of the texts whose score no edit moved",
        actual=f"{attacked - deaf} of {attacked} moved",
        explanation="A score that no lost or changed word moves is saturated, rounded, or does not come from the text.",
        applies="every model; usual where labels are all it gives",
        test=f"share of texts above {MAX_STILL:.0%}",
        effect=deaf / attacked if attacked else None,
        consequence="warns",
        next_attack="ask for unrounded scores or logits",
    )


def _other_texts(known: AttackedTexts) -> HealthIndicator:
    """With the whole text replaced by one of another class the model must give in, or it does not read the text."""
    import numpy as np

    target = known.target
    chosen = known.result.right.nonzero()[0][:_FEW].tolist()
    standing, tested = [], 0
    for sample in chosen:
        others = np.nonzero(target.labels != target.labels[sample])[0][:_DONORS].tolist()
        if not others:
            continue
        tested += 1
        rows = target.written([(sample, {})] * len(others))
        for name in target.columns:
            rows[name] = target.frame[name].iloc[others].to_numpy()
        if not target.judge([rows], [sample] * len(others))[1].any():
            standing.append(sample)
    state: HealthState = "unknown" if not tested else "warning" if len(standing) > MAX_STILL * tested else "ok"
    return HealthIndicator(
        id="large-eps",
        title="Changes without bounds break the model",
        state=state,
        wanted=f"at most {MAX_STILL:.0%} survive texts of other classes in place of their own",
        actual=f"{len(standing)} of {tested} survive",
        explanation="A model that keeps its answer whatever the text says is not robust: it does not read the text.",
        applies="samples of more than one class",
        test=f"share of {_FEW} right samples above {MAX_STILL:.0%}",
        effect=len(standing) / tested if tested else None,
        consequence="warns",
        next_attack="attack the other columns: evasion.search",
    )


def _questions(known: AttackedTexts) -> HealthIndicator:
    attacked = int(known.result.right.sum())
    state: HealthState = "unknown" if not attacked else "ok"
    if attacked and clearly_above(known.result.cut, attacked, MAX_STILL):
        state = "warning"
    return HealthIndicator(
        id="questions",
        title="The questions suffice for the words",
        state=state,
        wanted=f"at most {MAX_STILL:.0%} of the texts left before every word in the budget was tried",
        actual=f"{known.result.cut} of {attacked} ran out of questions",
        explanation="A text that stands because the questions ended may fall to a few more.",
        applies="every attack on texts",
        test=f"clearly more than {MAX_STILL:.0%}, at the lower end of the exact 95 % interval",
        effect=known.result.cut / attacked if attacked else None,
        consequence="warns",
        next_attack="more threat.steps, or the suite deep",
    )
