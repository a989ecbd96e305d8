"""Running checks and recording what came of them. The only writer of runs, evidence and findings."""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from heliotrope.core.errors import HeliotropeError, InternalError
from heliotrope.core.evidence import Blob, Statement
from heliotrope.core.ids import Clock
from heliotrope.core.outcomes import Errored, Inconclusive, Outcome, Skipped
from heliotrope.core.records import Sha256, content_id, sha256_hex
from heliotrope.core.runs import CheckResult, Cost, Run
from heliotrope.engine._staging import staged_path
from heliotrope.engine.executors import Execution, ProgressFunction, run_inline, working_folder
from heliotrope.engine.files import digest_inputs, stat_inputs
from heliotrope.engine.interface import CheckDescriptor, Limits, Planned, Project, Task
from heliotrope.engine.reuse import ReusePolicy, find_reusable
from heliotrope.engine.worker_executor import run_in_worker
from heliotrope.ledger.interface import Blobs, Entry, Ledger

__all__ = ["Consent", "Recorded", "Runner"]

_NO_COST = Cost(wall_seconds=0.0, cpu_seconds=0.0)


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

    def run(
        self, descriptor: CheckDescriptor, planned: Planned, project: Project, progress: ProgressFunction
    ) -> Recorded:
        """Run one check unless something stands in its way; whatever happens is recorded."""
        parameters = planned.parameters.document()
        obstacle = self._obstacle(descriptor, planned)
        inputs: dict[str, str] = {}
        if obstacle is None:
            try:
                inputs = digest_inputs(planned.inputs)
            except HeliotropeError as error:
                obstacle = Inconclusive(reason=error.reason())
        task = Task(
            check=descriptor.id,
            subject=planned.subject,
            root=str(project.root),
            parameters=parameters,
            inputs=inputs,
            seed=self.seed,
        )
        key = _reuse_key(descriptor, task)
        if obstacle is not None:
            execution = Execution(CheckResult(outcome=obstacle), _NO_COST)
            return self._record(descriptor, task, key, execution, workdir=None)
        earlier = find_reusable(self.ledger, self.blobs, key, self.reuse, now=self.clock.now())
        if earlier is not None:
            return Recorded(
                id=earlier.id,
                run=earlier.run,
                title=descriptor.title,
                result=earlier.result,
                evidence_ids=earlier.run.evidence,
                reused_from=earlier.id,
            )
        with working_folder() as workdir:
            execution = self._execute(descriptor, planned, task, workdir, progress)
            return self._record(descriptor, task, key, execution, workdir=workdir)

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
        if planned.missing:
            keys = ", ".join(planned.missing)
            return Inconclusive(reason=f"not known yet: {keys}", needs=planned.missing)
        absent = [module for module in descriptor.modules if importlib.util.find_spec(module) is None]
        if absent and descriptor.extra:
            advice = f"pip install 'heliotrope[{descriptor.extra}]'"
            return Skipped(
                code="missing_extra",
                reason=f"needs the extra '{descriptor.extra}' ({', '.join(absent)} not installed): {advice}",
            )
        if descriptor.runs_project_code and not self.consent.given:
            return Inconclusive(
                reason=f"it would run code of this project: {self.consent.how}", needs=self.consent.needs
            )
        return None

    def _execute(
        self, descriptor: CheckDescriptor, planned: Planned, task: Task, workdir: Path, progress: ProgressFunction
    ) -> Execution:
        run: Callable[..., Execution] = run_in_worker if descriptor.isolation == "worker" else run_inline
        before = stat_inputs(planned.inputs)
        execution = run(descriptor, task, workdir=workdir, limits=self.limits, progress=progress)
        changed = sorted(name for name, seen in stat_inputs(planned.inputs).items() if seen != before[name])
        if not changed:
            return execution
        reason = f"changed while it was examined: {', '.join(changed)}; run again when nothing writes to it"
        return Execution(CheckResult(outcome=Inconclusive(reason=reason)), execution.cost, execution.environment)

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
