"""Running one check on a folder as an assessment does, and the contract that every check keeps."""

from dataclasses import dataclass, replace
from pathlib import Path

from heliotrope.core.outcomes import Errored, Inconclusive
from heliotrope.core.records import content_id
from heliotrope.core.runs import CheckResult
from heliotrope.core.taxonomy import TAXONOMY
from heliotrope.engine._staging import staged_path
from heliotrope.engine.executors import run_inline
from heliotrope.engine.files import digest_inputs, digest_tree
from heliotrope.engine.interface import CheckDescriptor, Limits, Planned, Project, Task
from heliotrope.engine.registry import find_check
from heliotrope.engine.workdirs import working_folder
from heliotrope.engine.worker_executor import run_in_worker
from heliotrope.lifecycle.rules import all_rules
from heliotrope.lifecycle.target import resolve_target

__all__ = ["CheckRun", "assert_check_contract", "run_check"]


@dataclass(frozen=True, slots=True)
class CheckRun:
    """One planned run of a check and what came of it."""

    planned: Planned
    result: CheckResult
    blobs: dict[str, bytes]
    """What it stored, by SHA-256."""
    log: str
    """The end of what it printed, in a worker."""


def run_check(
    check_id: str,
    folder: Path,
    *,
    in_worker: bool = False,
    seed: int = 0,
    limits: Limits | None = None,
    analysers: tuple[str, ...] = (),
) -> tuple[CheckRun, ...]:
    """Plan a registered check on a folder, with its heliotrope.yaml if it has one, and run all that was planned.

    Consent is taken as given: run this on projects of your own. Nothing is written to a ledger or to the folder.
    """
    descriptor = find_check(check_id)
    project = replace(resolve_target(folder).project, analysers=analysers)
    return tuple(
        _run(descriptor, planned, project, in_worker=in_worker, seed=seed, limits=limits or Limits())
        for planned in descriptor.plan(project)
    )


def _run(
    descriptor: CheckDescriptor, planned: Planned, project: Project, *, in_worker: bool, seed: int, limits: Limits
) -> CheckRun:
    if planned.missing:
        reason = f"not known yet: {', '.join(planned.missing)}"
        return CheckRun(planned, CheckResult(outcome=Inconclusive(reason=reason, needs=planned.missing)), {}, "")
    task = Task(
        check=descriptor.id,
        subject=planned.subject,
        root=str(project.root),
        parameters=planned.parameters.document(),
        inputs=digest_inputs(planned.inputs),
        seed=seed,
    )
    execute = run_in_worker if in_worker else run_inline
    with working_folder() as workdir:
        execution = execute(descriptor, task, workdir=workdir, limits=limits, progress=lambda *_: None)
        stored = {blob.sha256: staged_path(workdir, blob.sha256).read_bytes() for blob in execution.result.blobs}
    return CheckRun(planned, execution.result, stored, execution.log_tail)


def assert_check_contract(check_id: str, folder: Path) -> tuple[CheckRun, ...]:
    """Hold a check to what every check promises, on a folder on which it finds something to do; its runs in a worker.

    It plans the same twice, comes to the same result inline and in a worker, changes nothing in the folder, names only
    rules that are registered with it, gives each finding a fingerprint of its own, and never ends in an error.
    """
    descriptor = find_check(check_id)
    _require(descriptor.title and descriptor.version, f"{check_id}: title and version must say something")
    _require(descriptor.built_in or descriptor.documentation, f"{check_id}: docs must say where it is described")
    before = digest_tree(folder).digest
    first = run_check(check_id, folder)
    second = run_check(check_id, folder, in_worker=True)
    _require(first, f"{check_id} plans nothing on {folder}")
    plans = [[content_id(run.planned.parameters) for run in runs] for runs in (first, second)]
    _require(plans[0] == plans[1], f"{check_id} plans something else the second time")
    for one, other in zip(first, second, strict=True):
        outcome = other.result.outcome
        _require(not isinstance(outcome, Errored), f"{check_id} ends in an error: {outcome.reason}\n{other.log}")
        _require(one.result == other.result, f"{check_id} comes to another result:\n{one.result}\n{other.result}")
        _require_findings(descriptor, other.result)
    _require(digest_tree(folder).digest == before, f"{check_id} changes the folder it examines")
    return second


def _require_findings(descriptor: CheckDescriptor, result: CheckResult) -> None:
    known = {rule.id for rule in (descriptor.rules if not descriptor.built_in else all_rules())}
    for finding in result.findings:
        _require(
            finding.rule in known, f"{descriptor.id} names the rule {finding.rule}, which is not registered with it"
        )
        unknown = [name for name in finding.taxonomy if name not in TAXONOMY]
        _require(not unknown, f"{descriptor.id}: {', '.join(unknown)} is not in the catalogue")
    fingerprints = [finding.fingerprint for finding in result.findings]
    _require(len(fingerprints) == len(set(fingerprints)), f"{descriptor.id}: two findings share a fingerprint")


def _require(condition: object, message: str) -> None:
    if not condition:
        raise AssertionError(message)
