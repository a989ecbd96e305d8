"""Running checks and recording what came of them. The only writer of runs, evidence and findings."""

import importlib.util
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from heliotrope.core.errors import HeliotropeError, InternalError
from heliotrope.core.evidence import Blob, Statement
from heliotrope.core.ids import Clock
from heliotrope.core.outcomes import Errored, Inconclusive, Outcome, Skipped
from heliotrope.core.records import Sha256, content_id, sha256_hex
from heliotrope.core.runs import CheckResult, Cost, Run
from heliotrope.engine._staging import staged_path
from heliotrope.engine.executors import Execution, ProgressFunction, run_inline
from heliotrope.engine.interface import CheckDescriptor, ConsentKind, Limits, Planned, Project, Task
from heliotrope.engine.listing import Listed, Lister
from heliotrope.engine.reuse import ReusePolicy, find_reusable
from heliotrope.engine.warm_worker import WarmWorkers, may_share
from heliotrope.engine.workdirs import remove_abandoned, working_folder
from heliotrope.engine.worker_executor import run_in_worker
from heliotrope.ledger.interface import Blobs, Entry, Ledger

__all__ = ["Consent", "Recorded", "Runner", "consent_kind", "remove_abandoned"]

_BETWEEN_REPORTS = 0.2
"""Seconds; hashing runs at gigabytes per second."""

_NO_COST = Cost(wall_seconds=0.0, cpu_seconds=0.0)
_WOULD: dict[ConsentKind, str] = {
    "code": "it would run code of this project",
    "network": "it would send data to a host that this project names",
}


@dataclass(frozen=True, slots=True)
class Consent:
    """Whether code of the project may run, and if not, what would allow it."""

    given: bool
    how: str
    """As in "--allow-code", "trust mark of 2026-11-23", or the reason why not."""
    needs: tuple[str, ...] = ("--allow-code",)


@dataclass(frozen=True, slots=True)
class Recorded:
    """A run with its record id, what it returned, and the earlier run it was taken over from, if any."""

    id: str
    run: Run
    title: str
    result: CheckResult
    evidence_ids: tuple[Sha256, ...]
    reused_from: str | None = None


@dataclass(frozen=True, slots=True)
class Runner:
    """Runs planned checks one after the other. Each run is appended to the ledger in one transaction."""

    ledger: Ledger
    blobs: Blobs
    clock: Clock
    consent: Consent
    limits: Limits
    reuse: ReusePolicy
    seed: int
    lister: Lister = field(default_factory=Lister)
    workers: WarmWorkers | None = None
    """Where runs that need no consent may share a process; without, each has one of its own. The caller ends them."""
    unfinished: Path | None = None
    """Below which a run may keep what it goes on from; without, a run that was stopped begins anew."""

    def run(
        self, descriptor: CheckDescriptor, planned: Planned, project: Project, progress: ProgressFunction
    ) -> Recorded:
        """Run one check unless something stands in its way; whatever happens is recorded."""
        parameters = planned.parameters.document()
        obstacle = self._obstacle(descriptor, planned)
        listed = Listed({}, {}, {}, {})
        if obstacle is None:
            try:
                listed = self.lister.list_inputs(planned.inputs, _hashing(progress))
            except HeliotropeError as error:
                obstacle = Inconclusive(reason=error.reason())
        task = Task(
            check=descriptor.id,
            subject=planned.subject,
            root=str(project.root),
            parameters=parameters,
            inputs=listed.digests,
            seed=self.seed,
        )
        key = _reuse_key(descriptor, task)
        if obstacle is not None:
            execution = Execution(CheckResult(outcome=obstacle), _NO_COST)
            return self._record(descriptor, task, key, execution, workdir=None)
        earlier = (
            find_reusable(self.ledger, self.blobs, key, self.reuse, now=self.clock.now()) if planned.reusable else None
        )
        if earlier is not None:
            return Recorded(
                id=earlier.id,
                run=earlier.run,
                title=descriptor.title,
                result=earlier.result,
                evidence_ids=earlier.run.evidence,
                reused_from=earlier.id,
            )
        task = self._with_unfinished(task, key)
        with working_folder() as workdir:
            listed.hand_over(workdir)
            run = self._executor(descriptor, planned)
            execution = run(descriptor, task, workdir=workdir, limits=self.limits, progress=progress)
            execution = _if_unchanged(execution, listed)
            if task.unfinished is not None and not isinstance(execution.result.outcome, Errored):
                shutil.rmtree(task.unfinished, ignore_errors=True)
            return self._record(descriptor, task, key, execution, workdir=workdir)

    def _with_unfinished(self, task: Task, key: Sha256) -> Task:
        """Where the run may keep what it goes on from. Nothing is taken up when nothing is to be reused."""
        if self.unfinished is None:
            return task
        folder = self.unfinished / key
        if not self.reuse.allowed:
            shutil.rmtree(folder, ignore_errors=True)
        return task.model_copy(update={"unfinished": str(folder.absolute())})

    def record_outcome(self, check: str, version: str, subject: str, title: str, outcome: Outcome) -> Recorded:
        """Record that a check did not even get to run, as for an unavailable plug-in."""
        run = Run(
            check=check,
            version=version,
            subject=subject,
            parameters_digest=sha256_hex(b"{}"),
            inputs={},
            seed=self.seed,
            environment={},
            outcome=outcome,
            evidence=(),
            findings=(),
            measurements=(),
            blobs=(),
            cost=_NO_COST,
            reuse_key=sha256_hex(b"never reused"),
        )
        appended = self.ledger.append([Entry("run", run, (("check", check), ("subject", subject)))])
        return Recorded(appended[-1].id, run, title, CheckResult(outcome=outcome), ())

    def _obstacle(self, descriptor: CheckDescriptor, planned: Planned) -> Outcome | None:
        if planned.outcome is not None:
            return planned.outcome
        if planned.missing:
            keys = ", ".join(planned.missing)
            return Inconclusive(reason=f"not known yet: {keys}", needs=planned.missing)
        own = descriptor.extra if descriptor.built_in else None
        for extra, requirement, modules in (
            (own, descriptor.requirement, descriptor.modules),
            (planned.extra, f"heliotrope[{planned.extra}]", planned.modules),
        ):
            absent = ", ".join(module for module in modules if importlib.util.find_spec(module) is None)
            if absent:
                needed = f"the extra '{extra}'" if extra else "more packages"
                reason = f"needs {needed} ({absent} not installed): pip install '{requirement}'"
                return Skipped(code="missing_extra", reason=reason)
        kind = consent_kind(descriptor, planned)
        if kind != "none" and not self.consent.given:
            return Inconclusive(reason=f"{_WOULD[kind]}: {self.consent.how}", needs=self.consent.needs)
        return None

    def _executor(self, descriptor: CheckDescriptor, planned: Planned) -> Callable[..., Execution]:
        if descriptor.isolation != "worker":
            return run_inline
        kind = consent_kind(descriptor, planned)
        if self.workers is not None and kind == "none" and may_share(descriptor, planned):
            return partial(self.workers.run, modules=(*planned.modules, *descriptor.modules))
        network = kind == "network"
        return partial(run_in_worker, network=network, environment=planned.environment if network else ())

    def _record(
        self, descriptor: CheckDescriptor, task: Task, key: Sha256, execution: Execution, *, workdir: Path | None
    ) -> Recorded:
        result = self._with_blobs(execution.result, workdir)
        run = Run(
            check=descriptor.id,
            version=descriptor.version,
            subject=task.subject.urn,
            parameters_digest=content_id(task.parameters),
            inputs=task.inputs,
            seed=task.seed,
            environment=execution.environment,
            outcome=result.outcome,
            evidence=tuple(content_id(statement) for statement in result.evidence),
            findings=tuple(content_id(finding) for finding in result.findings),
            measurements=result.measurements,
            blobs=result.blobs,
            cost=execution.cost,
            reuse_key=key,
        )
        entries = [_evidence_entry(statement, task) for statement in result.evidence]
        entries += [Entry("finding", finding, (("subject", finding.subject),)) for finding in result.findings]
        keys = (("check", run.check), ("subject", run.subject), ("reuse", key), ("cost", f"{run.check} {run.subject}"))
        entries.append(Entry("run", run, keys if execution.cost.wall_seconds else keys[:2]))
        appended = self.ledger.append(entries)
        return Recorded(appended[-1].id, run, descriptor.title, result, run.evidence)

    def _with_blobs(self, result: CheckResult, workdir: Path | None) -> CheckResult:
        """Take over staged blobs; evidence that speaks of one that is not there would be a lie."""
        if workdir is None or not result.blobs:
            return result
        try:
            for blob in result.blobs:
                self._adopt(workdir, blob)
        except (HeliotropeError, OSError) as error:
            return CheckResult(outcome=Errored(kind="protocol", reason=f"a blob of this run cannot be kept: {error}"))
        return result

    def _adopt(self, workdir: Path, blob: Blob) -> None:
        adopted = self.blobs.adopt(staged_path(workdir, blob.sha256), blob.media_type)
        if (adopted.sha256, adopted.size) != (blob.sha256, blob.size):
            raise InternalError(f"blob {blob.sha256[:12]} does not have the bytes it was announced with")


def consent_kind(descriptor: CheckDescriptor, planned: Planned) -> ConsentKind:
    """What a run needs consent for: as its plan says, else as its check says."""
    if planned.consent is not None:
        return planned.consent
    return "code" if descriptor.runs_project_code else "none"


def _if_unchanged(execution: Execution, listed: Listed) -> Execution:
    """What was found, unless the inputs are no longer those that were listed."""
    changed = listed.changed()
    if not changed:
        return execution
    reason = f"changed while it was examined: {', '.join(changed)}; run again when nothing writes to it"
    return Execution(CheckResult(outcome=Inconclusive(reason=reason)), execution.cost, execution.environment)


def _hashing(progress: ProgressFunction) -> Callable[[int, int], None]:
    """Says how far the hashing is, from time to time."""
    last = time.monotonic()

    def told(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= _BETWEEN_REPORTS:
            last = time.monotonic()
            progress(done, total, "hashing")

    return told


def _reuse_key(descriptor: CheckDescriptor, task: Task) -> Sha256:
    return content_id(
        {
            "check": descriptor.id,
            "version": descriptor.version,
            "subject": task.subject.urn,
            "parameters": task.parameters,
            "inputs": task.inputs,
            "seed": task.seed,
        }
    )


def _evidence_entry(statement: Statement, task: Task) -> Entry:
    digests = sorted({descriptor.digest.sha256 for descriptor in statement.subject})
    keys: list[tuple[str, str]] = [("predicate", statement.predicate_type), ("subject", task.subject.urn)]
    keys += [("digest", digest) for digest in digests[:_MAX_DIGEST_KEYS]]
    return Entry("evidence", statement, tuple(keys))


_MAX_DIGEST_KEYS = 1000
"""Evidence about more files than this is found by subject; the digests stay in the statement."""
