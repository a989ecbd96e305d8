"""Whether the evaluation can be believed: rows seen in training, identifiers and constants, features that tell the answer."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from heliotrope.core.evidence import statement
from heliotrope.core.findings import Confidence, Finding, Severity, at_least
from heliotrope.core.measurements import Measurement
from heliotrope.core.outcomes import Failed, Passed
from heliotrope.core.predicates.data import LEAKAGE_PREDICATE, LeakagePredicate, SingleFeature
from heliotrope.core.runs import CheckResult
from heliotrope.core.text import counted, printable, shorten
from heliotrope.engine.interface import Planned, Project, RunContext, Task
from heliotrope.engine.registry import check
from heliotrope.quality._common import finding, percent, range_words
from heliotrope.quality._duplicates import find_duplicates
from heliotrope.quality._single_features import single_features
from heliotrope.quality.rules import (
    CONSTANT_FEATURE,
    DUPLICATE_ROWS_ACROSS_SPLITS,
    DUPLICATE_ROWS_IN_EVALUATION,
    FEATURE_GIVES_ANSWER,
    IDENTIFIER_FEATURE,
    SINGLE_CLASS_EVALUATION,
)
from heliotrope.subjects.interface import Dataset
from heliotrope.subjects.opening import open_datasets
from heliotrope.subjects.planning import ModelTask, plan_datasets
from heliotrope.subjects.sampling import choose_rows
from heliotrope.subjects.statistics import exact_interval

__all__ = ["leakage"]

_SERIOUS, _GRAVE = 0.01, 0.1
"""Shares of evaluation rows seen in training from which on a duplicate is more than a mishap."""

_REPEATED = 0.05
_TOO_GOOD = 0.99
_RULE_ROWS = 20_000
"""Rows a one-column rule is learnt on, and rows it is tried on."""

_FEWEST_ROWS = 50
"""With fewer evaluation rows a rule may be right by chance."""

_SHOWN_FEATURES = 10
_MAX_NAMED = 20
"""Columns reported one by one."""

_MAX_ANSWERS = 10_000


def plan(project: Project) -> Iterator[Planned]:
    """Every model with training data; where none are named, nothing can be compared and nothing is planned."""
    for planned in plan_datasets(project):
        size = sum(path.stat().st_size for path in planned.inputs.values() if path.is_file())
        yield replace(planned, estimate_seconds=4.0 + size / 40e6)


@check(
    id="quality.leakage",
    version="1",
    title="Training and evaluation data are apart",
    applies_to="model",
    parameters=ModelTask,
    plan=plan,
)
def leakage(task: Task, context: RunContext) -> CheckResult:
    """Look for evaluation rows in the training data and for features that cannot be right. The model is not opened.

    Fails with a finding of medium severity or worse.
    """
    with open_datasets(task) as (training, evaluation):
        predicate = _measure(task, training, evaluation, context)
    findings = _findings(task, predicate)
    worst = [found.message for found in findings if at_least(found.severity, "medium")]
    outcome = Failed(reason=_joined(worst)) if worst else Passed(reason=_summary(predicate))
    share = Measurement(
        metric="duplicate_share",
        value=predicate.duplicate_share,
        n=predicate.compared,
        interval=predicate.interval,
        direction="lower",
        subject=task.subject.urn,
    )
    return CheckResult(
        outcome=outcome,
        evidence=(statement(predicate.data, LEAKAGE_PREDICATE, predicate),),
        findings=findings,
        measurements=(share,),
    )


def _measure(task: Task, training: Dataset, evaluation: Dataset, context: RunContext) -> LeakagePredicate:
    there = {column.name for column in training.columns}
    columns = tuple(column.name for column in evaluation.columns if column.name in there)
    found = find_duplicates(
        training, evaluation, columns, lambda done, total: context.progress(done, total, "comparing rows")
    )
    constant, answers = _constant(training, columns), _answers(evaluation)
    identifiers = tuple(
        column.name
        for column in evaluation.columns
        if column.type == "identifier"
        or any(o.name == column.name and o.type == "identifier" for o in training.columns)
    )
    return LeakagePredicate(
        evaluation_rows=len(evaluation),
        training_rows=len(training),
        compared=found.compared,
        shared=found.shared,
        shared_with_answer=found.shared_with_answer,
        duplicate_share=found.shared / found.compared if found.compared else 0.0,
        interval=exact_interval(found.shared, found.compared),
        repeated_in_evaluation=found.repeated_in_evaluation,
        repeated_in_training=found.repeated_in_training,
        columns=columns,
        constant=constant,
        identifiers=identifiers,
        single_features=_rules(task, training, evaluation, columns, identifiers),
        answers=answers,
        data={**evaluation.digests, **{f"train/{name}": digest for name, digest in training.digests.items()}},
    )


def _constant(training: Dataset, columns: tuple[str, ...]) -> tuple[str, ...]:
    """Columns that hold one value in every training row, missing ones counted as a value."""
    import pandas as pd

    if not columns:
        return ()
    left = dict.fromkeys(columns)
    first: dict[str, Any] = {}
    for batch in training.batches(2**16):
        assert isinstance(batch.inputs, pd.DataFrame)
        for name in tuple(left):
            values = batch.inputs[name]
            value = first.setdefault(name, values.iloc[0])
            if not (values.isna() if pd.isna(value) else values == value).all():
                del left[name]
        if not left:
            break
    return tuple(left)


def _answers(evaluation: Dataset) -> int:
    import numpy as np

    seen: set[float] = set()
    for batch in evaluation.batches(2**12 if evaluation.kind == "images" else 2**16):
        seen.update(np.unique(batch.answers).tolist())
        if len(seen) >= _MAX_ANSWERS:
            break
    return min(len(seen), _MAX_ANSWERS)


def _rules(
    task: Task, training: Dataset, evaluation: Dataset, columns: tuple[str, ...], identifiers: tuple[str, ...]
) -> tuple[SingleFeature, ...]:
    """The best one-column rules; none for images, for a model of one column, and where rows are too few."""
    import numpy as np

    tried = tuple(name for name in columns if name not in identifiers)
    if len(columns) < 2 or len(evaluation) < _FEWEST_ROWS or not tried:
        return ()
    known, asked = (
        data.take(choose_rows(len(data), _RULE_ROWS, task.seed + place))
        for place, data in enumerate((training, evaluation))
    )
    regression = known.answers.dtype != np.int64
    classes = 0 if regression else 1 + int(max(known.answers.max(), asked.answers.max()))
    if len(np.unique(asked.answers)) < 2:
        return ()
    return tuple(single_features(known, asked, tried, classes=classes)[:_SHOWN_FEATURES])


def _findings(task: Task, predicate: LeakagePredicate) -> tuple[Finding, ...]:
    found = [*_duplicate_findings(task, predicate)]
    for rule, names, what in (
        (IDENTIFIER_FEATURE, predicate.identifiers, "identifies the row and is a feature"),
        (CONSTANT_FEATURE, predicate.constant, "has the same value in every training row"),
    ):
        found += [
            finding(task, rule, f"column {_shown(name)} {what}", f"column {printable(name)}")
            for name in names[:_MAX_NAMED]
        ]
        if len(names) > _MAX_NAMED:
            found.append(
                finding(task, rule, f"{counted(len(names) - _MAX_NAMED, 'more column')} like it", "more columns")
            )
    for feature in predicate.single_features:
        if feature.value >= _TOO_GOOD:
            score = "balanced accuracy" if feature.metric == "balanced_accuracy" else "r2"
            message = (
                f"column {_shown(feature.name)} alone gives the answer: {score} {feature.value:.3f} on evaluation rows"
            )
            found.append(
                finding(task, FEATURE_GIVES_ANSWER, message, f"column {printable(feature.name)}", confidence="medium")
            )
    if predicate.answers == 1:
        message = "every evaluation row has the same answer"
        found.append(finding(task, SINGLE_CLASS_EVALUATION, message, "answers"))
    return tuple(found)


def _duplicate_findings(task: Task, predicate: LeakagePredicate) -> Iterator[Finding]:
    share, usual = predicate.duplicate_share, predicate.repeated_in_training
    if predicate.shared:
        # Rows of few values are equal by chance as often within one set as between two.
        chance = predicate.interval.low <= usual
        severity: Severity
        if chance:
            severity = "medium" if share > _GRAVE else "low"
        else:
            severity = "low" if share < _SERIOUS else "high" if share > _GRAVE else "medium"
        confidence: Confidence = "low" if chance and usual > 0 else "high"
        message = (
            f"{counted(predicate.shared, 'evaluation row')} of {predicate.compared} ({percent(share)},"
            f" {range_words(predicate.interval)}) are in the training data, {predicate.shared_with_answer} with the same"
            " answer"
        )
        if confidence == "low":
            message += f"; but {percent(usual)} of the training rows repeat one another, so this may be chance"
        yield finding(task, DUPLICATE_ROWS_ACROSS_SPLITS, message, "rows", severity=severity, confidence=confidence)
    if predicate.repeated_in_evaluation > _REPEATED:
        message = f"{percent(predicate.repeated_in_evaluation)} of the evaluation rows repeat an earlier one"
        yield finding(task, DUPLICATE_ROWS_IN_EVALUATION, message, "rows")


def _summary(predicate: LeakagePredicate) -> str:
    return (
        f"{predicate.shared} of {counted(predicate.compared, 'evaluation row')} are among"
        f" {counted(predicate.training_rows, 'training row')}"
    )


def _joined(messages: list[str]) -> str:
    more = f" (and {len(messages) - 1} more)" if len(messages) > 1 else ""
    return f"{messages[0]}{more}"


def _shown(name: str) -> str:
    return repr(shorten(printable(name), 60))
