"""Assessing a model that a program has at hand: the same checks and the same gate, no files, no ledger, no global state."""

import platform
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

import heliotrope
from heliotrope.attack.checks import attack_by_gradients
from heliotrope.core.assessments import Assessment, LedgerReference, ProjectReference, Tool
from heliotrope.core.errors import UsageError
from heliotrope.core.evidence import Blob
from heliotrope.core.findings import Severity
from heliotrope.core.ids import Clock, IdSource, SystemClock, UlidSource, timestamp
from heliotrope.core.outcomes import Inconclusive, Outcome
from heliotrope.core.records import content_id, sha256_hex
from heliotrope.core.runs import CheckResult, Cost, Run
from heliotrope.core.subjects import Subject, subject_urn
from heliotrope.engine.executors import guarded
from heliotrope.engine.interface import Limits, RunContext
from heliotrope.engine.registry import checks
from heliotrope.engine.runner import Recorded
from heliotrope.gate import decide, exit_code_of, model_policy
from heliotrope.lifecycle.assembly import facts_of
from heliotrope.subjects.checking import ModelCheck, OpenedFunction, model_checks
from heliotrope.subjects.interface import Opened
from heliotrope.subjects.prepare import prepared_of
from heliotrope.subjects.torch_model import TorchModel

__all__ = ["LiveAssessment", "assess_live", "attack_live"]

_STANDS_FOR = {"python": "sklearn"}
"""A live model that is no torch module is asked as an estimator is: checks for those apply."""
_LIVE_PATH = "(a model of this program)"


@dataclass(slots=True)
class _Memory:
    """A RunContext that keeps blobs in memory."""

    workdir: Path
    limits: Limits = field(default_factory=Limits)
    blobs: dict[str, bytes] = field(default_factory=dict)
    report: Callable[[float, float, str], None] | None = None

    def progress(self, done: float, total: float, text: str = "") -> None:
        if self.report is not None:
            self.report(done, total, text)

    def store(self, data: bytes, media_type: str) -> Blob:
        digest = sha256_hex(data)
        self.blobs[digest] = data
        return Blob(sha256=digest, size=len(data), media_type=media_type)


@dataclass(frozen=True, slots=True)
class LiveAssessment:
    """What came of it, and the bytes of its pictures and samples."""

    assessment: Assessment
    blobs: dict[str, bytes]


def assess_live(
    opened: Opened,
    *,
    floors: Mapping[str, float],
    fail_on: Severity | None = None,
    only: Sequence[str] = ("*",),
    progress: Callable[[float, float, str], None] | None = None,
    clock: Clock | None = None,
    ids: IdSource | None = None,
) -> LiveAssessment:
    """Run every check of models that applies, and decide by the pack `model` with these floors.

    `only` are patterns of check ids, as in explain.*.
    """
    clock, ids = clock or SystemClock(), ids or UlidSource()
    started = clock.now()
    effective, source = model_policy(floors, fail_on=fail_on)
    with tempfile.TemporaryDirectory(prefix="heliotrope-live-") as folder:
        context = _Memory(Path(folder), report=progress)
        done = [_run(ids.new(), one, opened, context) for one in _applicable(opened) if _matches(one.id, only)]
        blobs = context.blobs
    subject = opened.task.subject
    project = Subject(urn=subject_urn("python", "project", subject.name), kind="project", name=subject.name)
    facts = facts_of((project, subject), done)
    decision = decide(effective, effective.reference(source), facts)
    assessment = Assessment(
        id=ids.new(),
        tool=Tool(version=heliotrope.__version__, policy_digest=decision.policy.digest),
        project=ProjectReference(name=subject.name, path=_LIVE_PATH, configuration=None),
        suite=opened.parameters.suite or "standard",
        started_at=timestamp(started),
        finished_at=timestamp(clock.now()),
        subjects=facts.subjects,
        runs=facts.runs,
        measurements=tuple(item.measurement for item in facts.observed),
        findings=facts.findings,
        evidence=facts.evidence,
        decision=decision,
        exit_code=int(exit_code_of(decision)),
        ledger=LedgerReference(location="not recorded", head=None),
    )
    return LiveAssessment(assessment, blobs)


def _matches(check: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(check, pattern) for pattern in patterns)


def attack_live(
    opened: Opened, *, progress: Callable[[float, float, str], None] | None = None
) -> tuple[CheckResult, dict[str, bytes]]:
    """The attack that suits the model, alone: by gradients for torch modules on images, by queries for all others."""
    attacks = [one for one in _applicable(opened) if one.id in ("evasion.pgd", "evasion.search")]
    if not attacks:
        raise UsageError(f"no attack suits a model of the kind {opened.model.format} on {opened.data.kind}")
    with tempfile.TemporaryDirectory(prefix="heliotrope-live-") as folder:
        context = _Memory(Path(folder), report=progress)
        done = _run("", attacks[0], opened, context)
    return done.result, context.blobs


@dataclass(frozen=True, slots=True)
class _Applicable:
    """A check as it is run here; `preset` says why it is not."""

    id: str
    version: str
    title: str
    function: OpenedFunction
    preset: Outcome | None = None


def _applicable(opened: Opened) -> list[_Applicable]:
    """Every check of models that the model is an object of, in the order of their ids."""
    descriptors = {descriptor.id: descriptor for descriptor in checks()}
    found = [
        _Applicable(one.id, one.version, one.title, one.function, _preset(one, opened))
        for one in model_checks()
        if _suits(one, opened) and "data.train" not in one.needs
    ]
    if isinstance(opened.model, TorchModel) and opened.data.kind == "images":
        for method in ("pgd", "ensemble"):
            one = descriptors[f"evasion.{method}"]
            found.append(_Applicable(one.id, one.version, one.title, _by_gradients(method), _no_threat(opened)))
    suites = ("quick", "standard", "deep")
    allowed = suites.index(opened.parameters.suite or "standard")
    within = [one for one in found if suites.index(descriptors[one.id].cost) <= allowed]
    return sorted(within, key=lambda one: one.id)


def _suits(one: ModelCheck, opened: Opened) -> bool:
    if one.formats is None:
        return True
    known = _STANDS_FOR.get(opened.model.format, opened.model.format)
    return known in one.formats and not (one.id.startswith("evasion.") and isinstance(opened.model, TorchModel))


def _preset(one: ModelCheck, opened: Opened) -> Outcome | None:
    excluded = one.excludes(opened.parameters.model)
    return excluded if excluded is not None else _no_threat(opened) if "threat" in one.needs else None


def _no_threat(opened: Opened) -> Outcome | None:
    if opened.parameters.threat is not None:
        return None
    return Inconclusive(reason="not known yet: threat", needs=("threat",))


def _by_gradients(method: Literal["pgd", "ensemble"]) -> OpenedFunction:
    def run(opened: Opened, context: RunContext) -> CheckResult:
        return attack_by_gradients(opened.task, prepared_of(opened), context, method)

    return run


def _run(run_id: str, one: _Applicable, opened: Opened, context: _Memory) -> Recorded:
    """Run a check as the runner would, without a ledger to record it in."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = (
        CheckResult(outcome=one.preset)
        if one.preset is not None
        else guarded(lambda _task, inner: one.function(opened, inner), opened.task, context)
    )
    run = Run(
        check=one.id,
        version=one.version,
        subject=opened.task.subject.urn,
        parameters_digest=content_id(opened.parameters),
        inputs={},
        seed=opened.task.seed,
        environment={"python": platform.python_version(), "isolation": "inline"},
        outcome=result.outcome,
        evidence=tuple(content_id(statement) for statement in result.evidence),
        findings=tuple(content_id(finding) for finding in result.findings),
        measurements=result.measurements,
        blobs=result.blobs,
        cost=Cost(wall_seconds=time.perf_counter() - wall, cpu_seconds=time.process_time() - cpu),
        reuse_key=sha256_hex(b"never reused"),
    )
    return Recorded(run_id, run, one.title, result, run.evidence)
