"""Where candidates are tried: written in the format of the original, reopened as that, and attacked shortly on rows kept for it."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from heliotrope.core.predicates.hardening import TrainingRound
from heliotrope.engine.interface import RunContext
from heliotrope.harden.splitting import Split
from heliotrope.harden.tables.interface import Fitted, Recipe
from heliotrope.harden.tables.parts import Part, Rows
from heliotrope.subjects.interface import Dataset, Opened
from heliotrope.subjects.judging import Misled, misleader_named
from heliotrope.subjects.opening import PROBE_ROWS, open_model

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["ATTACKED_ROWS", "QUESTIONS", "Bench", "Kept"]

ATTACKED_ROWS = 2000
"""Training rows that are attacked in a round, at most: another choice of them each time."""

VALIDATED_ROWS = 1000
"""Of the validation part, at most."""

QUESTIONS, QUESTIONS_A_VALUE = 100, 4
"""Of a short attack for each row: the larger of so many, and so many for every column."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A model on its way, and what it is worth on the validation part."""

    recipe: Recipe
    rows: Rows
    fitted: Fitted
    clean: float
    robust: float
    number: int
    """Its round; 0: refitted as it was."""


@dataclass(slots=True)
class Bench:
    """Fits, opens and attacks candidates."""

    opened: Opened
    context: RunContext
    parts: Split
    eps: float
    rounds: list[TrainingRound] = field(default_factory=list)
    floor: float = 0.0
    """Clean accuracy on the validation part below which no candidate is chosen, else a constant answer would win."""

    @property
    def train(self) -> Dataset:
        assert self.opened.train is not None
        return self.opened.train

    @property
    def questions(self) -> int:
        """Of a short attack, for each row."""
        return max(QUESTIONS, QUESTIONS_A_VALUE * len(self.train.columns))

    def training_rows(self) -> Rows:
        """The training part."""
        import numpy as np

        taken = self.train.take(self.parts.train)
        return Rows(taken.inputs, taken.answers.astype(np.int64))

    def reopened(self, data: bytes, name: str) -> Opened:
        """A model from a file of these bytes, by the adapter of its format, on the evaluation data."""
        import numpy as np

        path = Path(self.context.workdir).absolute() / name
        path.write_bytes(data)
        model = self.opened.parameters.model
        return replace(
            self.opened,
            model=open_model(
                model.model_copy(update={"path": str(path), "format": self.opened.model.format}),
                root=Path(self.opened.task.root),
                probe=self.opened.data.take(np.arange(min(PROBE_ROWS, len(self.opened.data)), dtype=np.int64)).inputs,
                columns=self.opened.data.columns,
                seed=self.opened.task.seed,
                expected={},
            ),
            task=self.opened.task.model_copy(update={"unfinished": None}),
        )

    def attacked(self, fitted: Fitted, recipe: Recipe, number: int) -> Misled:
        """Training rows under a short attack, another choice for each round. Rows that were added before are not attacked."""
        return self._misled(fitted, recipe, self.parts.train, ATTACKED_ROWS, number)

    def tried(self, recipe: Recipe, rows: Rows, number: int, *, note: str, seconds: float) -> Kept:
        """Fit, attack on the validation part, and note the round. `seconds`: CPU time that finding the rows took."""
        import time

        began = time.process_time()
        fitted = recipe.fit(rows.inputs, rows.answers)
        seen = self._misled(fitted, recipe, self.parts.validate, VALIDATED_ROWS, 0)
        kept = Kept(recipe, rows, fitted, float(seen.clean.mean()), float(seen.robust.mean()), number)
        if number:
            warned = f"; the library warned: {', '.join(fitted.warned)}" if fitted.warned else ""
            self.rounds.append(
                TrainingRound(
                    number=number,
                    eps=self.eps,
                    clean_accuracy=kept.clean,
                    robust_accuracy=kept.robust,
                    seconds=seconds + time.process_time() - began,
                    note=note + warned,
                )
            )
        return kept

    def _misled(self, fitted: Fitted, recipe: Recipe, rows: "NDArray[np.int64]", sample: int, number: int) -> Misled:
        opened = self.reopened(fitted.data, f"candidate{recipe.suffix}")
        try:
            seed = opened.task.seed + number
            own = replace(
                opened, data=Part(self.train, rows), train=None, task=opened.task.model_copy(update={"seed": seed})
            )
            return misleader_named("search")(own, _Quiet(self.context), sample=sample, questions=self.questions)
        finally:
            opened.model.close()


class _Quiet:
    """A RunContext whose progress is not that of the whole."""

    def __init__(self, context: RunContext) -> None:
        self._context = context
        self.limits, self.workdir, self.store = context.limits, context.workdir, context.store

    def progress(self, done: float, total: float, text: str = "") -> None:
        """Nothing: a round is reported when it is over."""
