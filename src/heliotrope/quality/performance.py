"""How good a model is on unperturbed data, with an interval, against what the team declares."""

from heliotrope.core.evidence import statement
from heliotrope.core.findings import Finding
from heliotrope.core.measurements import Measurement
from heliotrope.core.outcomes import Failed, Passed
from heliotrope.core.predicates.behaviour import (
    PERFORMANCE_PREDICATE,
    ClassPerformance,
    PerformancePredicate,
    RegressionPerformance,
)
from heliotrope.core.runs import CheckResult
from heliotrope.core.text import printable
from heliotrope.engine.interface import RunContext, Task
from heliotrope.quality._common import TARGET_UNIT, finding, percent, range_words
from heliotrope.quality.rules import ACCURACY_NOT_AS_DECLARED, CLASS_ACCURACY_COLLAPSE
from heliotrope.subjects.batching import rows_at_once
from heliotrope.subjects.checking import model_check
from heliotrope.subjects.interface import Opened
from heliotrope.subjects.statistics import ErrorMoments, exact_interval

__all__ = ["performance"]

_COLLAPSE_SHARE = 0.5
_COLLAPSE_SAMPLES = 30
"""Fewer samples of a class say too little."""


@model_check(id="quality.performance", version="3", title="Quality on unperturbed data")
def performance(opened: Opened, context: RunContext) -> CheckResult:
    """Answer every evaluation sample. Fails when declared.clean_accuracy lies outside the 95 % interval."""
    if opened.model.output == "values":
        return _regression(opened, context)
    task = opened.task
    n, correct, classes = _count(opened, context)
    accuracy, interval = correct / n, exact_interval(correct, n)
    predicate = PerformancePredicate(
        n=n, correct=correct, accuracy=accuracy, interval=interval, classes=classes, data=opened.data.digests
    )
    declared = opened.parameters.model.declared.clean_accuracy
    findings = [_collapse(task, entry) for entry in _collapsed(classes)]
    measured = f"accuracy {percent(accuracy)} ({range_words(interval)}) on {n} samples"
    outcome: Passed | Failed = Passed(reason=measured)
    if declared is not None and not interval.low <= declared <= interval.high:
        message = f"{measured}; declared is {percent(declared)}"
        findings.insert(0, finding(task, ACCURACY_NOT_AS_DECLARED, message, "clean_accuracy"))
        outcome = Failed(reason=message)
    return CheckResult(
        outcome=outcome,
        evidence=(statement(opened.model.digests, PERFORMANCE_PREDICATE, predicate),),
        findings=tuple(findings),
        measurements=(
            Measurement(
                metric="clean_accuracy",
                value=accuracy,
                n=n,
                interval=interval,
                direction="higher",
                subject=task.subject.urn,
            ),
        ),
    )


def _count(opened: Opened, context: RunContext) -> tuple[int, int, tuple[ClassPerformance, ...]]:
    """Samples, right answers, and both by class."""
    import numpy as np

    data, model = opened.data, opened.model
    total, right = np.zeros(model.classes, dtype=np.int64), np.zeros(model.classes, dtype=np.int64)
    done = 0
    for batch in data.batches(rows_at_once(opened, context.limits.memory_bytes)):
        hit = model.scores(batch.inputs).argmax(axis=1) == batch.answers
        answers = batch.answers.astype(np.int64)
        total += np.bincount(answers, minlength=model.classes)
        right += np.bincount(answers[hit], minlength=model.classes)
        done += len(batch)
        context.progress(done, len(data), "classifying")
    classes = tuple(
        ClassPerformance(label=label, name=name, n=int(total[label]), correct=int(right[label]))
        for label, name in enumerate(model.names)
    )
    return done, int(right.sum()), classes


def _regression(opened: Opened, context: RunContext) -> CheckResult:
    """Mean absolute error and R2; whether they are good enough is for policy to say."""
    data, moments = opened.data, ErrorMoments()
    for batch in data.batches(rows_at_once(opened, context.limits.memory_bytes)):
        moments.add(batch.answers.astype(float), opened.model.scores(batch.inputs)[:, 0])
        context.progress(moments.n, len(data), "predicting")
    error, r2 = moments.mean_absolute_error, moments.r2
    predicate = PerformancePredicate(
        n=moments.n,
        regression=RegressionPerformance(
            mean_absolute_error=error,
            mean_absolute_error_interval=moments.mean_absolute_error_interval(),
            r2=r2,
            r2_interval=moments.r2_interval(),
            target_mean=moments.target_mean,
            target_deviation=moments.target_deviation,
        ),
        data=data.digests,
    )
    explained = "the target does not vary" if r2 is None else f"R2 {r2:.4f}"
    return CheckResult(
        outcome=Passed(reason=f"mean absolute error {error:.4g}, {explained}, on {moments.n} samples"),
        evidence=(statement(opened.model.digests, PERFORMANCE_PREDICATE, predicate),),
        measurements=(
            Measurement(
                metric="r2",
                value=r2,
                undefined_reason="the target has one value in all samples" if r2 is None else None,
                n=moments.n,
                interval=moments.r2_interval(),
                direction="higher",
                subject=opened.task.subject.urn,
            ),
            Measurement(
                metric="mean_absolute_error",
                value=error,
                n=moments.n,
                interval=moments.mean_absolute_error_interval(),
                direction="lower",
                unit=TARGET_UNIT,
                subject=opened.task.subject.urn,
            ),
        ),
    )


def _collapsed(classes: tuple[ClassPerformance, ...]) -> list[ClassPerformance]:
    seen = [entry for entry in classes if entry.n > 0]
    mean = sum(entry.correct / entry.n for entry in seen) / len(seen)
    return [
        entry for entry in seen if entry.n >= _COLLAPSE_SAMPLES and entry.correct / entry.n < _COLLAPSE_SHARE * mean
    ]


def _collapse(task: Task, entry: ClassPerformance) -> Finding:
    message = f"class {printable(entry.name)}: {entry.correct} of {entry.n} samples right"
    return finding(task, CLASS_ACCURACY_COLLAPSE, message, f"class {entry.label}")
