"""The checks of this room: supply.inventory here, supply.dependencies in a module of its own."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from heliotrope.core.evidence import statement
from heliotrope.core.findings import Finding, Location, fingerprint
from heliotrope.core.outcomes import Inconclusive, Outcome, Passed
from heliotrope.core.predicates.inventory import INVENTORY_PREDICATE, InventoryPredicate
from heliotrope.core.runs import CheckResult
from heliotrope.core.subjects import Subject, subject_urn
from heliotrope.core.text import counted, printable
from heliotrope.engine.files import LINK_LEAVES
from heliotrope.engine.interface import Planned, Project, RunContext, Task
from heliotrope.engine.listing import listed_tree
from heliotrope.engine.registry import check
from heliotrope.supply.dependency_check import dependencies, plan_dependencies
from heliotrope.supply.interface import InventoryParameters
from heliotrope.supply.inventory import take_inventory
from heliotrope.supply.rules import LINK_LEAVES_TREE

__all__ = ["dependencies", "inventory", "plan", "plan_dependencies"]

_MAX_FINDINGS = 100
"""Links reported one by one; a folder that is a farm of links is told in one more finding."""

_BETWEEN_REPORTS = 0.2
"""Seconds; hashing runs at gigabytes per second and would flood the pipe."""


def plan(project: Project) -> Iterator[Planned]:
    """One inventory of the project, whatever its configuration says."""
    paths = tuple(path.relative_to(project.root).as_posix() for path in project.paths)
    yield Planned(
        subject=Subject(urn=subject_urn(project.name, "project", project.name), kind="project", name=project.name),
        parameters=InventoryParameters(paths=paths),
        inputs=dict(zip(_input_names(len(paths)), project.paths, strict=True)),
    )


@check(
    id="supply.inventory",
    version="1",
    title="File inventory",
    applies_to="project",
    parameters=InventoryParameters,
    plan=plan,
)
def inventory(task: Task, context: RunContext) -> CheckResult:
    """List every file with its digest. What could not be taken in makes the outcome inconclusive."""
    parameters = InventoryParameters.model_validate(task.parameters)
    progress = _throttled(context)
    predicate = take_inventory(Path(task.root), parameters.paths, lambda path: listed_tree(context, path, progress))
    subjects = {file.artifact.path: file.artifact.sha256 for file in predicate.files if file.role in {"model", "data"}}
    subjects["."] = predicate.tree_digest
    return CheckResult(
        outcome=_outcome(predicate, task),
        evidence=(statement(subjects, INVENTORY_PREDICATE, predicate),),
        findings=_findings(predicate, task.subject),
    )


def _throttled(context: RunContext) -> Callable[[int, int], None]:
    last = 0.0

    def told(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= _BETWEEN_REPORTS:
            last = time.monotonic()
            context.progress(done, total, "hashing")

    return told


def _input_names(count: int) -> list[str]:
    return ["tree"] if count == 1 else [f"tree[{index}]" for index in range(count)]


def _outcome(predicate: InventoryPredicate, task: Task) -> Outcome:
    if predicate.problems:
        first = predicate.problems[0]
        more = f" (and {len(predicate.problems) - 1} more)" if len(predicate.problems) > 1 else ""
        return Inconclusive(reason=f"could not be taken in: {printable(first.path)}: {printable(first.reason)}{more}")
    if predicate.total_files == 0:
        return Inconclusive(reason="there is no file here")
    seen = {
        predicate.tree_digest,
        *(file.artifact.sha256 for file in predicate.files[:1] if predicate.total_files == 1),
    }
    if (
        "tree" in task.inputs and task.inputs["tree"] not in seen
    ):  # a project of one file is identified by the file's digest
        return Inconclusive(reason="files changed while they were examined; run again when nothing writes to them")
    return Passed(reason=f"{counted(predicate.total_files, 'file')}, {counted(predicate.total_bytes, 'byte')}")


def _findings(predicate: InventoryPredicate, subject: Subject) -> tuple[Finding, ...]:
    rule = LINK_LEAVES_TREE
    paths = [problem.path for problem in predicate.problems if problem.reason == LINK_LEAVES]
    groups = [[path] for path in paths[:_MAX_FINDINGS]]
    if len(paths) > _MAX_FINDINGS:
        groups.append(paths[_MAX_FINDINGS:])
    return tuple(
        Finding(
            rule=rule.id,
            severity=rule.severity,
            confidence="high",
            message="link to a file outside the project"
            if len(group) == 1
            else f"{len(group)} more links to files outside the project",
            subject=subject.urn,
            fingerprint=fingerprint(rule.id, subject.urn, group[0] if len(group) == 1 else "more"),
            count=len(group),
            locations=tuple(Location(path=path) for path in group[:5]),
            fix=rule.fix,
            taxonomy=rule.taxonomy,
        )
        for group in groups
    )
