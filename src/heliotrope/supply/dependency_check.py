"""The check supply.dependencies."""

from collections.abc import Iterator
from pathlib import Path

from heliotrope.core.errors import InputError
from heliotrope.core.evidence import statement
from heliotrope.core.findings import Finding, at_least, fingerprint
from heliotrope.core.outcomes import Failed, Inconclusive, NotApplicable, Outcome, Passed
from heliotrope.core.predicates.dependencies import DEPENDENCIES_PREDICATE, DependenciesPredicate, DependencyProblem
from heliotrope.core.runs import CheckResult
from heliotrope.core.subjects import Subject, subject_urn
from heliotrope.core.text import counted, printable
from heliotrope.engine.files import is_folder
from heliotrope.engine.interface import Planned, Project, RunContext, Task
from heliotrope.engine.registry import check
from heliotrope.supply.interface import DependenciesParameters

__all__ = ["dependencies", "plan_dependencies"]

_MAX_FIRST_PROBLEMS = 100
"""Places that could not be looked at, carried in the parameters."""


def plan_dependencies(project: Project) -> Iterator[Planned]:
    """One look at all files about packages; the digests of these files, not of the whole project, identify it."""
    from heliotrope.supply.dependencies.collecting import environment_inputs, find_dependency_files, with_includes

    named = project.config.dependencies if project.config is not None else ()
    found = find_dependency_files(project.root, project.paths, named)
    inputs: dict[str, Path] = {}
    for path in with_includes(project.root, found.files):
        if is_folder(project.root / path):
            try:
                files = environment_inputs(project.root / path)
            except InputError:
                continue  # the check says so
            inputs |= {f"{path}/{name}": file for name, file in files.items()}
        else:
            inputs[path] = project.root / path
    yield Planned(
        subject=Subject(urn=subject_urn(project.name, "project", project.name), kind="project", name=project.name),
        parameters=DependenciesParameters(
            files=found.files,
            python_code=found.python_code,
            problems=tuple((problem.path, problem.reason) for problem in found.problems[:_MAX_FIRST_PROBLEMS]),
        ),
        inputs=inputs,
        estimate_seconds=0.5,
    )


@check(
    id="supply.dependencies",
    version="1",
    title="Packages are pinned and come from where they should",
    applies_to="project",
    parameters=DependenciesParameters,
    plan=plan_dependencies,
)
def dependencies(task: Task, context: RunContext) -> CheckResult:
    """Read requirements, lock files and environments, and say what is not pinned, not fixed or not in step."""
    from heliotrope.supply.dependencies.collecting import Found, read_dependencies
    from heliotrope.supply.dependencies.judging import Remark, judge

    context.progress(0, 1, "reading files about packages")
    parameters = DependenciesParameters.model_validate(task.parameters)
    problems = tuple(DependencyProblem(path=path, reason=reason) for path, reason in parameters.problems)
    predicate = read_dependencies(Path(task.root), Found(parameters.files, problems, parameters.python_code))

    def finding(remark: Remark) -> Finding:
        rule = remark.rule
        return Finding(
            rule=rule.id,
            severity=rule.severity,
            confidence="high",
            message=remark.message,
            subject=task.subject.urn,
            fingerprint=fingerprint(rule.id, task.subject.urn, remark.key),
            count=remark.count,
            locations=remark.locations,
            fix=rule.fix,
            taxonomy=rule.taxonomy,
        )

    findings = tuple(finding(remark) for remark in judge(predicate))
    subjects = {file.path: file.sha256 for file in predicate.files if file.sha256 is not None}
    subjects |= {
        f"{file.path}/{package.name}": package.record_sha256
        for file in predicate.files
        for package in file.packages
        if package.record_sha256 is not None
    }
    return CheckResult(
        outcome=_outcome(predicate, findings),
        evidence=(statement(subjects, DEPENDENCIES_PREDICATE, predicate),) if subjects else (),
        findings=findings,
    )


def _outcome(predicate: DependenciesPredicate, findings: tuple[Finding, ...]) -> Outcome:
    if predicate.problems:
        first = predicate.problems[0]
        place = f"{printable(first.path)}:{first.line}" if first.line else printable(first.path)
        more = f" (and {len(predicate.problems) - 1} more)" if len(predicate.problems) > 1 else ""
        return Inconclusive(reason=f"could not be read: {place}: {printable(first.reason)}{more}")
    if not predicate.files and not predicate.python_code:
        fact = "no Python file, and no file about packages among all files of the project"
        return NotApplicable(reason="there is nothing that needs packages", facts=(fact,))
    serious = [finding for finding in findings if at_least(finding.severity, "medium")]
    if serious:
        more = f" (and {len(serious) - 1} more)" if len(serious) > 1 else ""
        return Failed(reason=f"{serious[0].message}{more}")
    packages = {package.name for file in predicate.files for package in file.packages}
    files = counted(len(predicate.files), "file")
    return Passed(reason=f"{files} about {counted(len(packages), 'package')}, {counted(len(findings), 'remark')}")
