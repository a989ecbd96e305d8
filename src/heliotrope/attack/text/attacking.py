"""Greedy edits of texts: words in the order of their importance, every way to write one word asked about in one batch.

Source: importance by leaving a word out, then one word after the other: Gao et al., Black-box generation of adversarial text
sequences to evade deep learning classifiers (2018); Jin et al., Is BERT really robust? (2020).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from heliotrope.attack.interface import Tick
from heliotrope.attack.text.interface import Candidate, Limits, Proposer, Text
from heliotrope.core.predicates.behaviour import RestartResult

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.random import Generator
    from numpy.typing import NDArray

    from heliotrope.subjects.interface import Scores

    Asked = tuple[NDArray[np.float64], NDArray[np.bool_]]
    Question = tuple[int, dict[int, str]]

__all__ = ["Change", "TextResult", "TextTarget", "attack_texts"]

_RANKING = 0.3
"""Share of the questions of an attempt that may go into finding out which words matter."""

_WIDE = 3
"""Words that later attempts weigh against each other for each change; the first attempt goes by importance alone."""

Change = dict[int, Candidate]
"""Words of one text that are written otherwise, by their number."""


@dataclass(slots=True)
class TextTarget:
    """A classifier of texts that can only be asked, and the samples an attack is held against."""

    scores: "Callable[[pd.DataFrame], Scores]"
    frame: "pd.DataFrame"
    """The samples; columns that hold no text stay as they are."""
    columns: tuple[str, ...]
    """Those that hold texts and may change."""
    texts: tuple[Text, ...]
    labels: "NDArray[np.int64]"
    rows: "NDArray[np.int64]"
    """Where each sample stands in the evaluation data; randomness depends on it, not on the batch."""
    batch: int
    asked: int = 0
    """Rows sent so far."""

    def written(self, questions: "list[Question]") -> "pd.DataFrame":
        """Samples with some of their words written otherwise."""
        made = self.frame.iloc[[sample for sample, _ in questions]].reset_index(drop=True)
        values = [self.texts[sample].written(words) for sample, words in questions]
        for place, name in enumerate(self.columns):
            column = made[name].astype(object)
            column[:] = [
                column.iloc[position] if value[place] is None else value[place] for position, value in enumerate(values)
            ]
            made[name] = column.astype(made[name].dtype)
        return made

    def ask(self, questions: "list[Question]") -> "Asked":
        """For each question how far the right class leads (negative: another does), and whether the model is misled."""
        frames = (self.written(questions[at : at + self.batch]) for at in range(0, len(questions), self.batch))
        return self.judge(frames, [sample for sample, _ in questions])

    def judge(self, frames: "object", samples: list[int]) -> "Asked":
        """The same of rows at hand, given in consecutive batches, each of a sample."""
        import numpy as np

        leads, wrongs, begin = [np.empty(0)], [np.empty(0, dtype=bool)], 0
        for frame in frames:  # type: ignore[attr-defined]
            scores = self.scores(frame)
            self.asked += len(frame)
            labels, each = self.labels[samples[begin : begin + len(frame)]], np.arange(len(frame))
            begin += len(frame)
            own, others = scores[each, labels], scores.copy()
            others[each, labels] = -np.inf
            leads.append(own - others.max(axis=1))
            wrongs.append(scores.argmax(axis=1) != labels)
        return np.concatenate(leads), np.concatenate(wrongs)


@dataclass(slots=True)
class TextResult:
    """What the attack knows of each sample."""

    lead: "NDArray[np.float64]"
    """How far the right class leads on the unchanged samples."""
    right: "NDArray[np.bool_]"
    felt: "NDArray[np.bool_]"
    """Whether any question about the sample was answered with another lead."""
    spent: "NDArray[np.int64]"
    """Questions for each sample."""
    changes: dict[int, Change] = field(default_factory=dict)
    """Of each sample that broke: the changes, each of them needed."""
    restarts: list[RestartResult] = field(default_factory=list)
    movable: int = 0
    """Samples that were right with any word that may be written otherwise."""
    cut: int = 0
    """Samples whose attempts ended because the questions did."""

    def right_at(self, words: float) -> int:
        """How many samples are right for every known change of so many words. Never rises with the words."""
        return int(self.right.sum()) - sum(len(change) <= words for change in self.changes.values())


def attack_texts(
    target: TextTarget,
    limits: Limits,
    propose: Proposer,
    *,
    questions: int,
    restarts: int,
    seed: int,
    tick: Tick,
) -> TextResult:
    """Attack every sample that is right, at most `questions` of each in an attempt; a sample leaves when it breaks."""
    import numpy as np

    everything: list[Question] = [(sample, {}) for sample in range(len(target.texts))]
    lead, wrong = target.ask(everything)
    result = TextResult(lead, ~wrong, np.zeros(len(lead), dtype=bool), np.ones(len(lead), dtype=np.int64))
    cut: set[int] = set()
    for restart in range(restarts):
        standing = [int(sample) for sample in result.right.nonzero()[0] if int(sample) not in result.changes]
        one = _Attempt(target, limits, propose, result, seed=seed, restart=restart, questions=questions)
        found = one.run(standing, lambda share, at=restart: tick((at + share) / restarts))  # type: ignore[misc]
        result.changes |= _needed(target, found, result)
        result.restarts.append(RestartResult(restart=restart, attacked=len(standing), broken=len(found)))
        cut = {sample for sample in cut | one.cut if sample not in result.changes}
        if restart == 0:
            result.movable = one.movable
    result.cut = len(cut)
    return result


class _Attempt:
    """One attempt on all samples side by side: their questions share batches and nothing else."""

    def __init__(
        self,
        target: TextTarget,
        limits: Limits,
        propose: Proposer,
        result: TextResult,
        *,
        seed: int,
        restart: int,
        questions: int,
    ) -> None:
        self._target, self._limits, self._propose, self._result = target, limits, propose, result
        self._seed, self._restart, self._questions = seed, restart, questions
        self._left: dict[int, int] = {}
        self.cut: set[int] = set()
        self.movable = 0

    def run(self, standing: list[int], tick: Tick) -> dict[int, Change]:
        """Changes of the samples that broke."""
        import numpy as np

        draws = {
            sample: np.random.default_rng([self._seed, 11, self._restart, int(self._target.rows[sample])])
            for sample in standing
        }
        self._left = dict.fromkeys(standing, self._questions)
        ways = {sample: self._ways(sample, draws[sample]) for sample in standing}
        ways = {sample: known for sample, known in ways.items() if known}
        self.movable = len(ways)
        order = self._ranked(ways, draws)
        changes: dict[int, Change] = {sample: {} for sample in ways}
        leads = {sample: float(self._result.lead[sample]) for sample in ways}
        broken: dict[int, Change] = {}
        for turn in range(max((len(known) for known in ways.values()), default=0)):
            some = [
                (sample, {**changes[sample], word: candidate})
                for sample in changes
                if sample not in broken
                for word in self._next(sample, order[sample], changes[sample])
                for candidate in ways[sample][word]
            ]
            some = self._affordable([(sample, change) for sample, change in some if self._fits(sample, change)], leads)
            if not some:
                if all(not left for sample, left in order.items() if sample not in broken):
                    break
                continue
            self._judged(some, changes, leads, broken)
            tick(min(1.0, (turn + 1) / (2 * self._limits.words)))
        return broken

    def _ways(self, sample: int, generator: "Generator") -> dict[int, list[Candidate]]:
        """Of each word that may be written otherwise, how."""
        budget = self._limits.characters_of(self._target.texts[sample])
        found = {}
        for number, word in enumerate(self._target.texts[sample].words):
            fitting = [one for one in self._propose(word, lambda n: int(generator.integers(n))) if one.cost <= budget]
            if fitting:
                found[number] = fitting
        return found

    def _ranked(
        self, ways: dict[int, dict[int, list[Candidate]]], draws: "dict[int, Generator]"
    ) -> dict[int, list[int]]:
        """The words of each sample, those first without which the right class leads least; later attempts disturb the order."""
        import numpy as np

        asked: list[Question] = []
        for sample, known in ways.items():
            numbers = list(known)
            most = max(1, int(_RANKING * self._questions))
            if len(numbers) > most:
                numbers = sorted(draws[sample].choice(numbers, most, replace=False).tolist())
            asked += [(sample, {number: ""}) for number in numbers]
        lead, _ = self._ask(asked)
        drops: dict[int, list[tuple[float, int]]] = {sample: [] for sample in ways}
        for (sample, words), now in zip(asked, lead, strict=True):
            drops[sample] += [(float(self._result.lead[sample] - now), number) for number in words]
        order = {}
        for sample, known_drops in drops.items():
            values = np.array([drop for drop, _ in known_drops])
            if self._restart and len(values):
                values = values + draws[sample].normal(0.0, self._restart * max(float(values.std()), 1e-9), len(values))
            placed = np.argsort(-values, kind="stable")
            order[sample] = [known_drops[int(place)][1] for place in placed]
        return order

    def _next(self, sample: int, order: list[int], change: Change) -> list[int]:
        """The words that are tried in this turn; each is taken out of the order once it was."""
        if len(change) >= self._limits.words or self._left[sample] <= 0:
            order.clear()
            return []
        width = _WIDE if self._restart else 1
        taken = order[:width]
        del order[:width]
        return taken

    def _fits(self, sample: int, change: Change) -> bool:
        spent = sum(candidate.cost for candidate in change.values())
        return spent <= self._limits.characters_of(self._target.texts[sample])

    def _affordable(self, asked: "list[tuple[int, Change]]", leads: dict[int, float]) -> "list[tuple[int, Change]]":
        kept, left = [], dict(self._left)
        for sample, change in asked:
            if left[sample] > 0:
                left[sample] -= 1
                kept.append((sample, change))
            elif leads[sample] > 0:
                self.cut.add(sample)
        return kept

    def _judged(
        self,
        asked: "list[tuple[int, Change]]",
        changes: dict[int, Change],
        leads: dict[int, float],
        broken: dict[int, Change],
    ) -> None:
        """Keep of each sample what brings the lead down most; what does not bring it down stays out unless nothing is felt."""
        lead, wrong = self._ask([(sample, _words(change)) for sample, change in asked])
        best: dict[int, tuple[float, Change]] = {}
        for (sample, change), now, misled in zip(asked, lead.tolist(), wrong.tolist(), strict=True):
            rank = float("-inf") if misled else now
            if sample not in best or rank < best[sample][0]:
                best[sample] = (rank, change)
            if misled and sample not in broken:
                broken[sample] = change
        for sample, (rank, change) in best.items():
            if rank < leads[sample] or (rank == leads[sample] and not self._result.felt[sample]):
                leads[sample], changes[sample] = rank, change

    def _ask(self, asked: "list[Question]") -> "Asked":
        lead, wrong = self._target.ask(asked)
        for (sample, _), now in zip(asked, lead.tolist(), strict=True):
            self._left[sample] -= 1
            self._result.spent[sample] += 1
            self._result.felt[sample] |= now != self._result.lead[sample]
        return lead, wrong


def _needed(target: TextTarget, found: dict[int, Change], result: TextResult) -> dict[int, Change]:
    """The changes without those that the error does not need, taken back one after the other, the dearest first."""
    waiting = {sample: sorted(change, key=lambda number: -change[number].cost) for sample, change in found.items()}
    kept = {sample: dict(change) for sample, change in found.items()}
    while any(waiting.values()):
        asked = []
        for sample, numbers in waiting.items():
            if numbers and len(kept[sample]) > 1:
                number = numbers.pop(0)
                asked.append((sample, {other: one for other, one in kept[sample].items() if other != number}))
            else:
                numbers.clear()
        _, wrong = target.ask([(sample, _words(change)) for sample, change in asked])
        for (sample, change), misled in zip(asked, wrong.tolist(), strict=True):
            result.spent[sample] += 1
            if misled:
                kept[sample] = change
    return kept


def _words(change: Change) -> dict[int, str]:
    return {number: candidate.word for number, candidate in change.items()}
