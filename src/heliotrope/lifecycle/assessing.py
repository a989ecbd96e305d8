"""The main job: discover, check, decide, report."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from heliotrope.core.assessments import Assessment
from heliotrope.core.errors import LedgerError
from heliotrope.core.findings import Severity
from heliotrope.core.ids import Clock, IdSource, SystemClock, UlidSource
from heliotrope.core.outcomes import Errored
from heliotrope.engine.executors import RunCancelledError
from heliotrope.engine.interface import Limits, Project
from heliotrope.engine.listing import Lister
from heliotrope.engine.registry import unavailable
from heliotrope.engine.reuse import ReusePolicy
from heliotrope.engine.runner import Recorded, Runner, consent_kind, remove_abandoned
from heliotrope.engine.warm_worker import WarmWorkers
from heliotrope.gate import EffectivePolicy, effective_policy
from heliotrope.ledger.interface import Blobs, Entry
from heliotrope.lifecycle.assembly import conclude, gather, target_key
from heliotrope.lifecycle.bom import assessed_bom
from heliotrope.lifecycle.cases import with_cases
from heliotrope.lifecycle.comparison import difference, known_fingerprints, load_baseline, previous_assessment
from heliotrope.lifecycle.consent import consent_for
from heliotrope.lifecycle.hardening import with_hardening
from heliotrope.lifecycle.planning import PlannedRun, Selection, estimate_seconds, plan, project_subject
from heliotrope.lifecycle.project_code import code_files
from heliotrope.lifecycle.reports import write_reports
from heliotrope.lifecycle.state import Store, open_store, unfinished_runs
from heliotrope.lifecycle.target import Target, resolve_target
from heliotrope.scan import enable
from heliotrope.scan.deciding import require_allowable

__all__ = ["AssessOptions", "Assessed", "Observer", "assess"]

_GIB = 2**30
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True, slots=True)
class AssessOptions:
    """What the person chose; None means: as heliotrope.yaml says, else the default."""

    config_file: Path | None = None
    policy_file: Path | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    """suite, seed, sample, ledger and report_dir, as far as they were given."""
    selection: Selection = field(default_factory=Selection)
    baseline: str | None = None
    fresh: bool = False
    allow_code: bool = False
    fail_on: Severity | None = None
    harden: Mapping[str, Any] = field(default_factory=dict)
    """What the command line says of hardening, on top of models[].harden."""


class Observer:
    """Is told how an assessment proceeds; the default keeps quiet. Raise RunCancelledError in progress to stop."""

    def planned(self, runs: Sequence[PlannedRun], seconds: float) -> None:
        """Before the first check, with the estimate."""

    def started(self, run: PlannedRun, position: int, total: int) -> None:
        """A check begins."""

    def progress(self, done: float, total: float, text: str) -> None:
        """A check says how far it is."""

    def finished(self, recorded: Recorded) -> None:
        """A check ended."""


@dataclass(frozen=True, slots=True)
class Assessed:
    """The result, where its reports are, and the head of the ledger after it."""

    assessment: Assessment
    reports: dict[str, Path]
    head: str
    read_blob: Callable[[str], bytes | None]
    state: Path
    """The folder of the project's state."""


def assess(
    path: Path,
    options: AssessOptions,
    *,
    observer: Observer | None = None,
    clock: Clock | None = None,
    ids: IdSource | None = None,
) -> Assessed:
    """Assess a project, a folder or a file, record everything and write the reports.

    Raises UsageError and ConfigError before anything ran, LedgerError and OutputError when results cannot be kept.
    """
    clock, ids, observer = clock or SystemClock(), ids or UlidSource(), observer or Observer()
    started = clock.now()
    remove_abandoned()
    target = resolve_target(path, config_file=options.config_file, options=options.settings)
    target = _with_hardening(target, options)
    config = target.project.config
    effective, source = effective_policy(
        config=config, root=target.project.root, policy_file=options.policy_file, fail_on=options.fail_on
    )
    target, effective = _with_analysers(target, effective)
    selection = replace(options.selection, configured_skip=config.checks.skip if config else ())
    runs = [_with_code_input(run, target.project) for run in plan(target.project, selection)]
    with open_store(target.state, target.settings.ledger.value, clock) as store:
        previous = previous_assessment(store.ledger, target_key(target))
        baseline = load_baseline(store.ledger, options.baseline, target_key(target)) if options.baseline else None
        runner = _runner(target, options, store, clock)
        runs = [with_cases(run, store, target.state) for run in runs]
        observer.planned(runs, estimate_seconds(runs, store.ledger))
        with WarmWorkers() as workers:
            recorded = _run_all(runs, replace(runner, workers=workers), target.project, observer)
        facts = gather(target.project, runs, recorded, known_fingerprints(baseline), baseline.id if baseline else None)
        assessment = conclude(
            target,
            effective=effective,
            reference=effective.reference(source),
            facts=facts,
            store=store,
            assessment_id=ids.new(),
            started=started,
            finished=clock.now(),
        )
        if previous is not None:
            changes = difference(
                previous, runs=facts.runs, findings=assessment.findings, measurements=assessment.measurements
            )
            assessment = assessment.model_copy(update={"difference": changes})
        _keep(assessment, target, store)
        store.require_in_place(assessment.id)
        named = target.settings.report_dir.value
        folder = Path(named) if named else target.state / "reports" / assessment.id
        read_blob = _blob_reader(store.blobs)
        reports = write_reports(
            assessment, folder, bom=assessed_bom(target.project, assessment).text, read_blob=read_blob
        )
        return Assessed(assessment, reports, str(store.ledger.head()), read_blob, target.state)


def _with_hardening(target: Target, options: AssessOptions) -> Target:
    config = target.project.config
    if config is None or not options.harden:
        return target
    changed = with_hardening(config, options.harden, options.selection.models)
    return replace(target, project=replace(target.project, config=changed))


def _with_analysers(target: Target, effective: EffectivePolicy) -> tuple[Target, EffectivePolicy]:
    """Third-party analysers that are on, in the plan by id and in the policy by id and version; and what files may use."""
    names = enable(effective.analysers).names
    require_allowable(effective.allow)
    project = replace(target.project, analysers=tuple(name for name, _ in names), allow=effective.allow)
    told = tuple(f"{name} {version}" for name, version in names)
    return replace(target, project=project), effective.model_copy(update={"analysers": told})


def _runner(target: Target, options: AssessOptions, store: Store, clock: Clock) -> Runner:
    config = target.project.config
    limits = Limits()
    if config is not None:
        limits = Limits(
            wall_seconds=config.checks.time_limit or limits.wall_seconds,
            memory_bytes=int(config.checks.memory_limit * _GIB) if config.checks.memory_limit else limits.memory_bytes,
        )
    age = config.gates.maximum_age if config else "7d"
    return Runner(
        ledger=store.ledger,
        blobs=store.blobs,
        clock=clock,
        consent=consent_for(target.project, allow_code=options.allow_code),
        limits=limits,
        reuse=ReusePolicy(allowed=not options.fresh, maximum_age=timedelta(seconds=int(age[:-1]) * _UNITS[age[-1]])),
        seed=target.settings.seed.value,
        lister=Lister(keep=True, trust=not options.fresh),
        unfinished=unfinished_runs(target.state, clock),
    )


def _with_code_input(run: PlannedRun, project: Project) -> PlannedRun:
    """Evidence about project code rests on every Python file of the project, not on the loader alone."""
    if consent_kind(run.descriptor, run.planned) != "code" or run.preset is not None:
        return run
    code = {f"code/{relative}": path for relative, path in code_files(project.root).items()}
    return replace(run, planned=replace(run.planned, inputs={**run.planned.inputs, **code}))


def _run_all(runs: Sequence[PlannedRun], runner: Runner, project: Project, observer: Observer) -> list[Recorded]:
    """Run one after the other. After a cancellation the rest is recorded as cancelled: nothing is left out silently."""
    recorded = []
    cancelled = False
    for position, run in enumerate(runs, start=1):
        preset = run.preset
        if cancelled and preset is None:
            preset = Errored(kind="cancelled", reason="cancelled before it started")
        descriptor = run.descriptor
        if preset is not None:
            one = runner.record_outcome(
                descriptor.id, descriptor.version, run.planned.subject.urn, descriptor.title, preset
            )
        else:
            observer.started(run, position, len(runs))
            try:
                one = runner.run(descriptor, run.planned, project, observer.progress)
            except (RunCancelledError, KeyboardInterrupt):
                outcome = Errored(kind="cancelled", reason="cancelled before it finished")
                one = runner.record_outcome(
                    descriptor.id, descriptor.version, run.planned.subject.urn, descriptor.title, outcome
                )
        outcome_now = one.run.outcome
        cancelled = cancelled or (isinstance(outcome_now, Errored) and outcome_now.kind == "cancelled")
        recorded.append(one)
        observer.finished(one)
    subject = project_subject(project).urn
    for plugin in unavailable():
        outcome = Errored(kind="unavailable", reason=f"the plug-in {plugin.module} cannot be loaded: {plugin.reason}")
        recorded.append(runner.record_outcome(f"plugin.{plugin.name}", "0", subject, f"Plug-in {plugin.name}", outcome))
    return recorded


def _keep(assessment: Assessment, target: Target, store: Store) -> None:
    """Its evidence is in the ledger already, under the ids that its runs name: it is not written once more."""
    keys = (
        ("assessment", assessment.id),
        ("project", target.project.name),
        ("target", target_key(target)),
    )
    store.ledger.append([Entry("assessment", assessment.model_copy(update={"evidence": ()}), keys)])


def _blob_reader(blobs: Blobs) -> Callable[[str], bytes | None]:
    def read(sha256: str) -> bytes | None:
        try:
            return blobs.get(sha256)
        except LedgerError:
            return None  # the report says that the picture is gone

    return read
