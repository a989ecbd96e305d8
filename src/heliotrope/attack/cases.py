"""regression.counterexamples: what misled an earlier version of a model, put to this one.

Each attack stores the inputs that it found. They are regression cases: a version that withstands one sets the bar, and a later version
that it misleads again has lost something.
"""

import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heliotrope.attack.rules import COUNTEREXAMPLE_REGRESSED
from heliotrope.core.errors import InputError
from heliotrope.core.evidence import statement
from heliotrope.core.findings import Finding, fingerprint
from heliotrope.core.measurements import Measurement
from heliotrope.core.outcomes import Failed, NotApplicable, Outcome, Passed
from heliotrope.core.predicates.counterexamples import (
    COUNTEREXAMPLES_PREDICATE,
    CaseManifest,
    CaseSource,
    CounterexamplesPredicate,
)
from heliotrope.core.runs import CheckResult
from heliotrope.engine.interface import Planned, Project, RunContext, Task
from heliotrope.engine.registry import check
from heliotrope.subjects.batching import ask, rows_at_once
from heliotrope.subjects.interface import Opened
from heliotrope.subjects.opening import open_subject
from heliotrope.subjects.planning import ModelTask, plan_models
from heliotrope.subjects.statistics import exact_interval

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

__all__ = ["CASES_FOLDER", "MANIFEST", "counterexamples", "put_cases"]

CASES_FOLDER = ".heliotrope/cases"
"""Below the project: the manifest and the files of samples, each named by its digest."""

MANIFEST = "cases/manifest"
"""Name of the input that the manifest is."""

MAX_CASES = 2000
_SHOWN_ROWS = 50
_NPZ = "application/x-npz"


@dataclass(frozen=True, slots=True)
class _Case:
    """One stored input."""

    id: str
    row: int
    label: int
    attack: str


def _plan(project: Project) -> Iterator[Planned]:
    for planned in plan_models(project, needs=("loader", "input", "output", "data.evaluate"), formats=None):
        model = ModelTask.model_validate(planned.parameters.document()).model
        outcome = planned.outcome
        if model.task in ("tabular-regression", "text-classification"):
            outcome = outcome or NotApplicable(
                reason="no counterexamples are kept of this kind of model",
                facts=(f"task of {model.name} is {model.task}",),
            )
        if model.endpoint is not None:
            outcome = outcome or NotApplicable(
                reason="what stands behind an address has no versions that could be told apart",
                facts=(f"{model.name} is an endpoint",),
            )
        yield replace(planned, estimate_seconds=5.0, outcome=outcome)


@check(
    id="regression.counterexamples",
    version="1",
    title="What misled earlier versions",
    applies_to="model",
    parameters=ModelTask,
    plan=_plan,
    cost="quick",
)
def counterexamples(task: Task, context: RunContext) -> CheckResult:
    """Ask about inputs that misled earlier versions of the model, as the ledger keeps them: at most 2,000, the newest first.

    Fails when one misleads it that an earlier version withstood. How many it withstands in all is a measurement. Not applicable
    where the ledger knows none of another version.
    """
    manifest = _manifest(task)
    if not manifest.sources:
        return CheckResult(outcome=_none("the ledger knows no input that misled a version of this model"))
    with open_subject(task) as opened:
        return put_cases(opened, context, manifest, Path(task.root) / CASES_FOLDER)


def put_cases(opened: Opened, context: RunContext, manifest: CaseManifest, folder: Path) -> CheckResult:
    """What `regression.counterexamples` does, with the files of the manifest in a folder."""
    import numpy as np

    own, bar = set(opened.model.digests.values()), set(manifest.held)
    sources = [one for one in manifest.sources if set(one.digests) != own or bar]
    if not sources:
        return CheckResult(outcome=_none("all inputs that are known to mislead were found on this very version"))
    cases: list[_Case] = []
    right: list[NDArray[np.bool_]] = []
    rows = rows_at_once(opened, context.limits.memory_bytes)
    for number, source in enumerate(sources):
        only = bar if set(source.digests) == own else None
        found, inputs = _cases(opened, source, folder, {one.id for one in cases}, only)
        keep = MAX_CASES - len(cases)
        if found[:keep]:
            scores = ask(opened.model, inputs[:keep], rows)
            right.append(scores.argmax(axis=1) == np.array([one.label for one in found[:keep]]))
            cases += found[:keep]
        context.progress(number + 1, len(sources), f"{len(cases)} cases")
    if not cases:
        return CheckResult(
            outcome=_none("the inputs that are known were found on this very version, or have another shape")
        )
    held = np.concatenate(right)
    predicate = _predicate(manifest, [one for one in sources if set(one.digests) != own], cases, held)
    return _concluded(opened, predicate)


def _predicate(
    manifest: CaseManifest, sources: list[CaseSource], cases: list[_Case], held: "NDArray[np.bool_]"
) -> CounterexamplesPredicate:
    known = set(manifest.held)
    survived = {one.id for one, fine in zip(cases, held.tolist(), strict=True) if fine}
    regressed = [one for one in cases if one.id in known and one.id not in survived]
    attacks: dict[str, int] = {}
    for one in cases:
        attacks[one.attack] = attacks.get(one.attack, 0) + 1
    ids = {one.id for one in cases}
    return CounterexamplesPredicate(
        n=len(cases),
        versions=max(1, len({one.digests for one in sources})),
        attacks=attacks,
        survived=len(survived),
        accuracy=len(survived) / len(cases),
        interval=exact_interval(len(survived), len(cases)),
        known_held=len(known & ids),
        regressed=tuple(one.id for one in regressed),
        regressed_rows=tuple(one.row for one in regressed[:_SHOWN_ROWS]),
        held=tuple(sorted((known & ids) | survived)),
        sources=tuple(one.evidence for one in sources),
        left_out=manifest.left_out,
    )


def _concluded(opened: Opened, predicate: CounterexamplesPredicate) -> CheckResult:
    said = (
        f"{predicate.survived} of {predicate.n} inputs that misled {predicate.versions} other version"
        f"{'' if predicate.versions == 1 else 's'} do not mislead this one"
    )
    outcome: Outcome = Passed(
        reason=f"{said}; none that a version withstood misleads again ({predicate.known_held} such)"
    )
    findings: tuple[Finding, ...] = ()
    if predicate.regressed:
        rows = ", ".join(str(row) for row in predicate.regressed_rows[:10])
        message = (
            f"{len(predicate.regressed)} of {predicate.known_held} inputs that an earlier version withstood mislead this one again "
            f"(rows {rows}{', ...' if len(predicate.regressed) > 10 else ''}); {said}"
        )
        outcome, findings = Failed(reason=message), (_finding(opened, message),)
    return CheckResult(
        outcome=outcome,
        evidence=(statement(opened.model.digests, COUNTEREXAMPLES_PREDICATE, predicate),),
        findings=findings,
        measurements=(
            Measurement(
                metric="counterexample_accuracy",
                value=predicate.accuracy,
                n=predicate.n,
                interval=predicate.interval,
                direction="higher",
                subject=opened.task.subject.urn,
            ),
        ),
    )


def _finding(opened: Opened, message: str) -> Finding:
    rule, urn = COUNTEREXAMPLE_REGRESSED, opened.task.subject.urn
    return Finding(
        rule=rule.id,
        severity=rule.severity,
        confidence="high",
        message=message,
        subject=urn,
        fingerprint=fingerprint(rule.id, urn, "cases"),
        fix=rule.fix,
        taxonomy=rule.taxonomy,
    )


def _none(reason: str) -> NotApplicable:
    return NotApplicable(reason=reason, facts=("no earlier version in the ledger of this run",))


def _manifest(task: Task) -> CaseManifest:
    """What the assessment found in its ledger; empty where it handed nothing over."""
    digest = task.inputs.get(MANIFEST)
    if digest is None:
        return CaseManifest()
    return CaseManifest.model_validate_json(_read(Path(task.root) / CASES_FOLDER / f"{digest}.json", digest))


def _read(path: Path, digest: str) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{path.name} below {CASES_FOLDER} cannot be read: {error.strerror}", hint="run again"
        ) from None
    if hashlib.sha256(data).hexdigest() != digest:
        raise InputError(f"{path.name} below {CASES_FOLDER} is not what was stored", hint="remove it and run again")
    return data


def _cases(
    opened: Opened, source: CaseSource, folder: Path, known: set[str], only: set[str] | None
) -> tuple[list[_Case], Any]:
    """Cases of one attack that are new, in the shape the model takes; none where they do not have it.

    `only`: of attacks on this very version those that another one withstood; that they mislead is known of all others.
    """
    data = _read(folder / source.samples, source.samples)
    index, label, inputs = _arrays(opened, data) if source.media_type == _NPZ else _table(opened, data)
    if inputs is None:
        return [], None
    found, keep = [], []
    for position, content in enumerate(_contents(inputs)):
        wanted = int(label[position])
        name = hashlib.sha256(content + b"\n%d" % wanted).hexdigest()[:16]
        if name not in known and (only is None or name in only) and wanted < opened.model.classes:
            known.add(name)
            keep.append(position)
            found.append(_Case(name, int(index[position]), wanted, source.attack))
    chosen = inputs.iloc[keep].reset_index(drop=True) if hasattr(inputs, "iloc") else inputs[keep]
    return found, chosen


def _arrays(opened: Opened, data: bytes) -> "tuple[Any, Any, NDArray[np.float32] | None]":
    import numpy as np

    with np.load(io.BytesIO(data), allow_pickle=False) as stored:
        index, label, inputs = stored["index"], stored["label"], stored["perturbed"].astype(np.float32)
    declared = opened.parameters.model.input
    fits = declared is not None and declared.shape is not None and inputs.shape[1:] == tuple(declared.shape)
    return index, label, inputs if fits and opened.data.kind == "images" else None


def _table(opened: Opened, data: bytes) -> "tuple[Any, Any, pd.DataFrame | None]":
    import pandas as pd

    stored = pd.read_parquet(io.BytesIO(data), engine="pyarrow")
    names = [column.name for column in opened.data.columns]
    there = [f"perturbed.{name}" for name in names]
    if opened.data.kind != "table" or not set(there) <= set(stored.columns):
        return stored["index"], stored["label"], None
    inputs = stored[there]
    inputs.columns = names
    return stored["index"], stored["label"], inputs


def _contents(inputs: Any) -> Iterator[bytes]:
    if hasattr(inputs, "iloc"):
        for row in inputs.astype(object).itertuples(index=False):
            yield repr([None if value is None or value != value else value for value in row]).encode()  # noqa: PLR0124 - NaN
    else:
        for row in inputs:
            yield row.tobytes()
