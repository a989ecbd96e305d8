"""What the checks that explain share: a sample with answers, pictures, and findings with their invariant parts."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from heliotrope.core.evidence import Blob
from heliotrope.core.findings import Confidence, Finding, Rule, Severity, fingerprint
from heliotrope.core.predicates.quality import Goodness, QualityMetric
from heliotrope.core.text import printable, shorten
from heliotrope.engine.interface import RunContext, Task
from heliotrope.subjects.batching import ask, rows_at_once
from heliotrope.subjects.interface import Batch, Dataset, Opened
from heliotrope.subjects.pictures import heat_png, image_png
from heliotrope.subjects.sampling import choose_rows, sample_size
from heliotrope.subjects.statistics import exact_interval, mean_interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from heliotrope.subjects.interface import Inputs, Scores

__all__ = ["Sampled", "finding", "heat_map", "named", "percent", "picture", "take_sample"]

_ENDPOINT_SHARE = 0.8
"""Of an endpoint's budget that one check may plan to spend; retries take from it too."""


@dataclass(frozen=True, slots=True)
class Sampled:
    """Rows of a data set with the model's answers about them."""

    opened: Opened
    batch: Batch
    scores: "Scores"
    size: int
    """Rows asked at once."""

    @property
    def metric(self) -> QualityMetric:
        return "mean_absolute_error" if self.opened.model.output == "values" else "accuracy"

    @property
    def predicted(self) -> "NDArray[np.int64]":
        """The class of each row; 0 of a regression."""
        import numpy as np

        chosen: NDArray[np.int64] = self.scores.argmax(axis=1).astype(np.int64)
        return chosen

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
        return Goodness(n=n, value=mean, interval=mean_interval(mean, float(marks.std(ddof=1)) if n > 1 else 0.0, n))


def take_sample(
    opened: Opened, context: RunContext, *, at_most: int, passes: int = 1, data: Dataset | None = None
) -> Sampled:
    """A seeded sample, as large as suite and `sample` say; of an endpoint no larger than `passes` over it may cost."""
    source = opened.data if data is None else data
    total = len(source)
    size = min(sample_size(opened.parameters, total), at_most)
    endpoint = opened.parameters.model.endpoint
    if endpoint is not None:
        size = min(size, max(1, int(_ENDPOINT_SHARE * endpoint.budget / max(1, passes)) * endpoint.batch))
    batch = source.take(choose_rows(total, size, opened.task.seed))
    rows = rows_at_once(opened, context.limits.memory_bytes)
    return Sampled(opened, batch, ask(opened.model, batch.inputs, rows), rows)


def finding(
    task: Task,
    rule: Rule,
    message: str,
    location: str,
    *,
    severity: Severity | None = None,
    confidence: Confidence = "medium",
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


def heat_map(values: "NDArray[np.floating]", context: RunContext) -> Blob:
    """A PNG of an H x W map, pale at 0 and violet at its largest value; of nothing, pale throughout."""
    return context.store(heat_png(values), "image/png")


def picture(values: "NDArray[np.floating]", low: float, high: float, context: RunContext) -> Blob | None:
    """A PNG of one image, C x H x W; None for what is no picture."""
    made = image_png(values, low, high)
    return context.store(made, "image/png") if made is not None else None


def named(text: str) -> str:
    """A name from data or configuration, in a sentence."""
    return shorten(printable(text), 60)


def percent(share: float) -> str:
    return f"{100 * share:.2f} %"
