"""What the quality checks share: how good answers are, which rows are asked, and findings with their invariant parts."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from heliotrope.core.errors import InputError
from heliotrope.core.findings import Confidence, Finding, Rule, Severity, fingerprint
from heliotrope.core.measurements import Interval, Measurement
from heliotrope.core.predicates.quality import Faulted, Goodness, QualityMetric
from heliotrope.core.text import printable, shorten
from heliotrope.engine.interface import RunContext, Task
from heliotrope.subjects.batching import ask, part_of, rows_at_once
from heliotrope.subjects.interface import Batch, Opened
from heliotrope.subjects.sampling import choose_rows, sample_size
from heliotrope.subjects.statistics import exact_interval, mean_interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from heliotrope.subjects.interface import Inputs, Scores

__all__ = ["TARGET_UNIT", "Bench", "finding", "measurement", "open_bench", "percent", "range_words", "said"]

TARGET_UNIT = "target units"

ENDPOINT_ROWS = 128
"""Rows of a sample that an endpoint is asked about again and again: each costs a request."""

_MOVED = 0.01
"""An answer of a regression has changed when it moves by more than this share of the target's deviation."""

_MAX_SAID = 200


@dataclass(frozen=True, slots=True)
class Bench:
    """A sample of the data with the model's answers, against which faults are held."""

    opened: Opened
    batch: Batch
    scores: "Scores"
    """On the unchanged inputs."""
    size: int
    """Rows asked at once."""
    deviation: float
    """Of the right answers of a regression; 1 for classifiers."""

    @property
    def metric(self) -> QualityMetric:
        return "mean_absolute_error" if self.opened.model.output == "values" else "accuracy"

    @property
    def clean(self) -> Goodness:
        return self.goodness(self.marks(self.scores))

    def ask(self, inputs: "Inputs") -> "Scores":
        return ask(self.opened.model, inputs, self.size)

    def marks(self, scores: "Scores") -> "NDArray[np.float64]":
        """What each row adds to the metric: 1 or 0 for right and wrong, or its absolute error."""
        import numpy as np

        answers = self.batch.answers
        marks = scores.argmax(axis=1) == answers if self.metric == "accuracy" else np.abs(scores[:, 0] - answers)
        return marks.astype(np.float64)

    def goodness(self, marks: "NDArray[np.float64]") -> Goodness:
        """The mean of the marks with its interval; exact where they are right and wrong."""
        n, mean = len(marks), float(marks.mean())
        if self.metric == "accuracy" and ((marks == 0) | (marks == 1)).all():
            return Goodness(n=n, value=mean, interval=exact_interval(int(marks.sum()), n))
        deviation = float(marks.std(ddof=1)) if n > 1 else 0.0
        return Goodness(n=n, value=mean, interval=mean_interval(mean, deviation, n))

    def worsening(self, goodness: Goodness) -> float:
        """How much worse than clean: points of accuracy as a share, or error in deviations of the target."""
        if self.metric == "accuracy":
            return self.clean.value - goodness.value
        return (goodness.value - self.clean.value) / self.deviation

    def faulted(
        self,
        inputs: "Inputs",
        *,
        fault: str,
        severity: str,
        level: int,
    ) -> "tuple[Faulted, NDArray[np.float64] | None]":
        """What comes of faulty inputs, and the marks of their rows. A model that raises has none.

        Raises InputError if it no longer answers about clean ones either.
        """
        import numpy as np

        try:
            scores = self.ask(inputs)
        except InputError as error:
            self.require_alive(error)
            raised = said(error)
            return Faulted(
                fault=fault, severity=severity, level=level, goodness=None, changed=None, raised=raised
            ), None
        if self.metric == "accuracy":
            changed = scores.argmax(axis=1) != self.scores.argmax(axis=1)
        else:
            changed = np.abs(scores[:, 0] - self.scores[:, 0]) > _MOVED * self.deviation
        marks = self.marks(scores)
        found = Faulted(
            fault=fault,
            severity=severity,
            level=level,
            goodness=self.goodness(marks),
            changed=float(changed.mean()),
        )
        return found, marks

    def require_alive(self, error: InputError) -> None:
        """Raise what the model raised unless it answers about a clean row: then the fault of the inputs was the reason."""
        try:
            self.opened.model.scores(part_of(self.batch.inputs, slice(0, 1)))
        except InputError:
            raise error from None


def open_bench(opened: Opened, context: RunContext, *, at_most: int | None = None) -> Bench:
    """Ask the model about a seeded sample of its data, as large as suite and `sample` say."""
    total = len(opened.data)
    size = sample_size(opened.parameters, total)
    if opened.parameters.model.endpoint is not None:
        size = min(size, ENDPOINT_ROWS)
    batch = opened.data.take(choose_rows(total, min(size, at_most or size), opened.task.seed))
    rows = rows_at_once(opened, context.limits.memory_bytes)
    scores = ask(opened.model, batch.inputs, rows)
    regression = opened.model.output == "values"
    deviation = float(batch.answers.std()) or 1.0 if regression else 1.0
    return Bench(opened, batch, scores, rows, deviation)


def measurement(bench: Bench, name: str, goodness: Goodness, **conditions: str | float) -> Measurement:
    """A goodness under a name of its own, as in corruption_accuracy_worst."""
    return Measurement(
        metric=name,
        value=goodness.value,
        n=goodness.n,
        interval=goodness.interval,
        direction="higher" if bench.metric == "accuracy" else "lower",
        unit="1" if bench.metric == "accuracy" else TARGET_UNIT,
        subject=bench.opened.task.subject.urn,
        conditions=dict(conditions),
    )


def finding(
    task: Task,
    rule: Rule,
    message: str,
    location: str,
    *,
    severity: Severity | None = None,
    confidence: Confidence = "high",
) -> Finding:
    return Finding(
        rule=rule.id,
        severity=severity or rule.severity,
        confidence=confidence,
        message=message,
        subject=task.subject.urn,
        fingerprint=fingerprint(rule.id, task.subject.urn, location),
        fix=rule.fix,
        taxonomy=rule.taxonomy,
    )


def said(error: InputError) -> str:
    """What a model said when it raised, in one printable line."""
    return shorten(printable(error.message), _MAX_SAID)


def percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def range_words(interval: Interval) -> str:
    return f"95 % interval {100 * interval.low:.2f} to {100 * interval.high:.2f} %"
