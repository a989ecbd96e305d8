"""Whether equal inputs get equal answers: asked twice, in another order, and one by one."""

from typing import TYPE_CHECKING

from heliotrope.core.evidence import statement
from heliotrope.core.findings import Finding
from heliotrope.core.measurements import Measurement
from heliotrope.core.outcomes import Passed
from heliotrope.core.predicates.quality import DETERMINISM_PREDICATE, DeterminismPredicate, Repetition
from heliotrope.core.runs import CheckResult
from heliotrope.core.text import counted
from heliotrope.engine.interface import RunContext
from heliotrope.quality._common import Bench, finding, open_bench
from heliotrope.quality.rules import BATCH_DEPENDENT_ANSWERS, NONDETERMINISTIC_ANSWERS
from heliotrope.subjects.batching import part_of
from heliotrope.subjects.checking import model_check
from heliotrope.subjects.interface import Opened
from heliotrope.subjects.statistics import exact_interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from heliotrope.subjects.interface import Scores

__all__ = ["determinism"]

TOLERANCE = 1e-4
"""Relative to the largest score: sums in another order, as other batch sizes make them, differ by less in float32."""

_ROWS = 256
_SINGLE_ROWS = 16
"""Rows asked one by one; each is a call, and for an endpoint a request."""


@model_check(id="quality.determinism", version="1", title="Equal inputs get equal answers", sampled=True)
def determinism(opened: Opened, context: RunContext) -> CheckResult:
    """Ask the same rows again, in reverse, in small batches and one by one, and compare classes and scores."""
    import numpy as np

    bench = open_bench(opened, context, at_most=_ROWS)
    inputs, n = bench.batch.inputs, len(bench.batch)
    backwards = np.arange(n, dtype=np.int64)[::-1]
    context.progress(1, 5, "asking")
    asked: list[tuple[str, NDArray[np.int64], Scores]] = [("again", np.arange(n), bench.ask(inputs))]
    context.progress(2, 5, "asking again")
    asked.append(("reversed", backwards, bench.ask(part_of(inputs, backwards))))
    context.progress(3, 5, "asking in reverse")
    odd = max(1, min(bench.size, n) // 2 - 1)
    half = np.arange(min(n, 4 * odd), dtype=np.int64)
    asked.append(("smaller batches", half, _in_batches(bench, half, odd)))
    context.progress(4, 5, "asking in small batches")
    few = np.arange(min(n, _SINGLE_ROWS), dtype=np.int64)
    asked.append(("one by one", few, _in_batches(bench, few, 1)))
    context.progress(5, 5, "asking one by one")
    repetitions = tuple(_compare(bench, name, rows, scores) for name, rows, scores in asked)
    predicate = DeterminismPredicate(n=n, repetitions=repetitions, data=opened.data.digests)
    again = repetitions[0]
    return CheckResult(
        outcome=Passed(reason=_reason(repetitions)),
        evidence=(statement(opened.model.digests, DETERMINISM_PREDICATE, predicate),),
        findings=tuple(_findings(bench, repetitions)),
        measurements=(
            Measurement(
                metric="unstable_answers",
                value=again.changed / again.rows,
                n=again.rows,
                interval=exact_interval(again.changed, again.rows),
                direction="lower",
                subject=opened.task.subject.urn,
            ),
        ),
    )


def _in_batches(bench: Bench, rows: "NDArray[np.int64]", size: int) -> "Scores":
    import numpy as np

    inputs = bench.batch.inputs
    parts = [rows[begin : begin + size] for begin in range(0, len(rows), size)]
    return np.concatenate([bench.opened.model.scores(part_of(inputs, part)) for part in parts])


def _compare(bench: Bench, name: str, rows: "NDArray[np.int64]", scores: "Scores") -> Repetition:
    import numpy as np

    before = bench.scores[rows]
    scale = max(float(np.abs(bench.scores).max()), 1e-12)
    difference = np.abs(scores - before).max(axis=1) / scale
    moved = difference > TOLERANCE
    changed = moved & (scores.argmax(axis=1) != before.argmax(axis=1)) if bench.metric == "accuracy" else moved
    return Repetition(name=name, rows=len(rows), changed=int(changed.sum()), difference=float(difference.max()))


def _reason(repetitions: tuple[Repetition, ...]) -> str:
    worst = max(repetitions, key=lambda one: one.difference)
    if worst.difference <= TOLERANCE:
        return f"equal answers in {counted(len(repetitions), 'repetition')} of up to {repetitions[0].rows} rows"
    return f"asked {worst.name}, {worst.changed} of {worst.rows} answers change; scores differ by up to {worst.difference:.3g}"


def _findings(bench: Bench, repetitions: tuple[Repetition, ...]) -> list[Finding]:
    """A model that differs when asked the same again is random; only one that does not can be said to depend on batches."""
    again, *others = repetitions
    task = bench.opened.task
    if again.difference > TOLERANCE:
        message = (
            f"asked the same again, {again.changed} of {again.rows} answers change and scores differ by up to "
            f"{100 * again.difference:.3g} % of the largest"
        )
        return [finding(task, NONDETERMINISTIC_ANSWERS, message, "again")]
    different = [one for one in others if one.difference > TOLERANCE]
    if not different:
        return []
    worst = max(different, key=lambda one: (one.changed / one.rows, one.difference))
    message = (
        f"asked {worst.name}, {worst.changed} of {worst.rows} answers change and scores differ by up to "
        f"{100 * worst.difference:.3g} % of the largest"
    )
    return [finding(task, BATCH_DEPENDENT_ANSWERS, message, "batch")]
