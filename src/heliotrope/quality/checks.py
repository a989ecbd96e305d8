"""Accuracy on unperturbed data, with an exact interval, against what the team declares."""

from heliotrope.core.evidence import statement
from heliotrope.core.findings import Finding, Rule, fingerprint
from heliotrope.core.measurements import Interval, Measurement
from heliotrope.core.outcomes import Failed, Passed
from heliotrope.core.predicates.behaviour import PERFORMANCE_PREDICATE, ClassPerformance, PerformancePredicate
from heliotrope.core.runs import CheckResult
from heliotrope.core.text import printable
from heliotrope.engine.interface import RunContext, Task
from heliotrope.quality.rules import ACCURACY_NOT_AS_DECLARED, CLASS_ACCURACY_COLLAPSE
from heliotrope.subjects.batching import rows_at_once
from heliotrope.subjects.checking import model_check
from heliotrope.subjects.interface import Opened
from heliotrope.subjects.statistics import exact_interval

__all__ = ["performance"]

_COLLAPSE_SHARE = 0.5
_COLLAPSE_SAMPLES = 30
"""Fewer samples of a class say too little."""


@model_check(id="quality.performance", version="2", title="Accuracy on unperturbed data")
def performance(opened: Opened, context: RunContext) -> CheckResult:
    """Classify every evaluation sample. Fails when declared.clean_accuracy lies outside the 95 % interval."""
    task = opened.task
    predicate = _measure(opened, context)
    declared = opened.parameters.model.declared.clean_accuracy
    findings = [_collapse(task, entry) for entry in _collapsed(predicate.classes)]
    measured = f"accuracy {_percent(predicate.accuracy)} ({_range(predicate.interval)}) on {predicate.n} samples"
    if declared is not None and not predicate.interval.low <= declared <= predicate.interval.high:
        message = f"{measured}; declared is {_percent(declared)}"
        findings.insert(0, _finding(task, ACCURACY_NOT_AS_DECLARED, message, "clean_accuracy"))
        outcome: Passed | Failed = Failed(reason=message)
    else:
        outcome = Passed(reason=measured)
    return CheckResult(
        outcome=outcome,
        evidence=(statement(opened.model.digests, PERFORMANCE_PREDICATE, predicate),),
        findings=tuple(findings),
        measurements=(
            Measurement(
                metric="clean_accuracy",
                value=predicate.accuracy,
                n=predicate.n,
                interval=predicate.interval,
                direction="higher",
                subject=task.subject.urn,
            ),
        ),
    )


def _measure(opened: Opened, context: RunContext) -> PerformancePredicate:
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
    correct = int(right.sum())
    return PerformancePredicate(
        n=done,
        correct=correct,
        accuracy=correct / done,
        interval=exact_interval(correct, done),
        classes=classes,
        data=data.digests,
    )


def _collapsed(classes: tuple[ClassPerformance, ...]) -> list[ClassPerformance]:
    seen = [entry for entry in classes if entry.n > 0]
    mean = sum(entry.correct / entry.n for entry in seen) / len(seen)
    return [
        entry for entry in seen if entry.n >= _COLLAPSE_SAMPLES and entry.correct / entry.n < _COLLAPSE_SHARE * mean
    ]


def _collapse(task: Task, entry: ClassPerformance) -> Finding:
    message = f"class {printable(entry.name)}: {entry.correct} of {entry.n} samples right"
    return _finding(task, CLASS_ACCURACY_COLLAPSE, message, f"class {entry.label}")


def _finding(task: Task, rule: Rule, message: str, location: str) -> Finding:
    return Finding(
        rule=rule.id,
        severity=rule.severity,
        confidence="high",
        message=message,
        subject=task.subject.urn,
        fingerprint=fingerprint(rule.id, task.subject.urn, location),
        fix=rule.fix,
        taxonomy=rule.taxonomy,
    )


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def _range(interval: Interval) -> str:
    return f"95 % interval {100 * interval.low:.2f} to {100 * interval.high:.2f} %"
