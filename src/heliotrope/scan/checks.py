"""The check scan.files: every model file of a project, inspected without loading it; and the clearances of loaders."""

import os
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

from heliotrope.core.clearances import Clearance
from heliotrope.core.errors import InputError
from heliotrope.core.evidence import Statement, statement
from heliotrope.core.findings import Finding, fingerprint
from heliotrope.core.outcomes import Failed, Inconclusive, NotApplicable, Outcome, Passed
from heliotrope.core.predicates.scan import (
    SCAN_PREDICATE,
    FileReport,
    ScanAllowance,
    ScanDocument,
    ScanFinding,
)
from heliotrope.core.records import Record
from heliotrope.core.runs import CheckResult
from heliotrope.core.subjects import Subject, subject_urn
from heliotrope.core.text import printable
from heliotrope.engine.clearance import clearer
from heliotrope.engine.interface import Planned, Project, RunContext, Task
from heliotrope.engine.registry import check
from heliotrope.scan.archives import seven_zip as seven_zip  # noqa: PLC0414 - registers its analyser

__all__ = ["ScanParameters", "clear_file", "scan_files"]

_SECONDS_PER_BYTE = 2e-9
"""Reading, hashing and searching, on one slow core."""


class ScanParameters(Record):
    """What of the project is scanned."""

    paths: tuple[str, ...]
    """Relative to the root, with forward slashes; "." is all of it."""
    policy_digest: str
    """Evidence made under another policy is not reused."""
    analysers: tuple[str, ...] = ()
    """Ids of third-party analysers that are on."""
    allow: tuple[ScanAllowance, ...] = ()
    """What files may use."""
    expired: tuple[str, ...] = ()
    """What they might use up to a day that has passed: evidence from before that day is not reused."""


@clearer
def clear_file(data: bytes, name: str) -> Clearance:
    """The clearance of these bytes for a loader; InputError unless they are clean."""
    from heliotrope.scan.clearing import clear_bytes

    return clear_bytes(data, name)


def _plan(project: Project) -> Iterator[Planned]:
    from heliotrope.scan.policy import policy_digest
    from heliotrope.scan.registry import enable

    names = enable(project.analysers).names
    paths = tuple(_relative(path, project.root) for path in project.paths)
    inputs = {("tree" if name == "." else name): project.root / name for name in paths}
    size = sum(_size(path) for path in inputs.values())
    yield Planned(
        subject=Subject(urn=subject_urn(project.name, "project", project.name), kind="project", name=project.name),
        parameters=ScanParameters(
            paths=paths,
            policy_digest=policy_digest(names),
            analysers=tuple(name for name, _ in names),
            allow=project.allow,
            expired=tuple(item.global_ for item in project.allow if not item.holds_on(_today())),
        ),
        inputs=inputs,
        estimate_seconds=1.0 + size * _SECONDS_PER_BYTE,
    )


@check(
    id="scan.files",
    version="1",
    title="Model files hold nothing but a model",
    applies_to="project",
    parameters=ScanParameters,
    plan=_plan,
    cost="quick",
    isolation="worker",
)
def scan_files(task: Task, context: RunContext) -> CheckResult:
    """Scan the project's files; every judged file is a subject of the evidence."""
    from heliotrope.engine.files import WalkProblem
    from heliotrope.engine.listing import listed_tree
    from heliotrope.scan._service import listed_folder, predicate_of, scan_targets
    from heliotrope.scan.deciding import decide
    from heliotrope.scan.inspecting import Target
    from heliotrope.scan.registry import enable

    root = Path(task.root)
    parameters = ScanParameters.model_validate(task.parameters)
    analysers = enable(parameters.analysers)
    found: list[Target | WalkProblem] = []
    for name in parameters.paths:
        path = root / name
        if path.is_dir():
            found.extend(listed_folder(listed_tree(context, path), "" if name == "." else f"{name}/"))
        else:
            found.append(Target(path, name, named=True))
    scanned = scan_targets(found, progress=context.progress, analysers=analysers)
    if scanned.tool.policy_digest != parameters.policy_digest:
        raise InputError("the policy or an analyser changed since this was planned", hint="run again")
    document = decide(_in_project(scanned, task.subject.urn), parameters.allow, _today())
    allowed = {} if document.decision is None else _reasons(document)
    subjects = {report.path: report.sha256 for report in document.files if report.sha256 is not None}
    evidence: tuple[Statement, ...] = ()
    if subjects:
        evidence = (statement(subjects, SCAN_PREDICATE, predicate_of(document)),)
    return CheckResult(
        outcome=_outcome(document),
        evidence=evidence,
        findings=tuple(
            _finding(task.subject.urn, report, finding, allowed.get(finding.fingerprint))
            for report in document.files
            for finding in report.findings
        ),
    )


def _today() -> date:
    return datetime.now(UTC).date()


def _reasons(document: ScanDocument) -> dict[str, str]:
    """Fingerprint of each finding that was lifted, to why."""
    assert document.decision is not None
    lifted = {fingerprint for item in document.decision.files for fingerprint in item.lifted}
    return dict.fromkeys(lifted, f"allowed by scan.allow, decided on {document.decision.decided_on}")


def _outcome(document: ScanDocument) -> Outcome:
    from heliotrope.scan._service import predicate_of

    if not document.files:
        seen = document.summary.files_seen
        fact = f"{seen} files seen, none of them a model file by content or by name"
        return NotApplicable(reason="there is no model file", facts=(fact,))
    verdict, lifted = document.decided, set[str]()
    reports = predicate_of(document).decided_files
    if document.decision is not None:
        lifted = {fingerprint for item in document.decision.files for fingerprint in item.lifted}
    worst = next(report for report in reports if report.verdict == verdict)
    name = printable(worst.path)
    count = sum(1 for report in reports if report.verdict == verdict)
    others = f" (and {count - 1} more)" if count > 1 else ""
    if verdict in ("malicious", "suspicious"):
        why = next((item.message for item in worst.findings if item.fingerprint not in lifted), worst.format)
        return Failed(reason=f"{name} is {verdict}: {why}{others}")
    if verdict == "incomplete":
        return Inconclusive(reason=f"{name} was not fully inspected: {worst.incomplete[0].reason}{others}")
    if verdict == "unsupported":
        return Inconclusive(reason=f"{name} is of a format that cannot be inspected ({worst.format}){others}")
    files = document.summary.files_judged
    allowed = f", {len(lifted)} of their findings allowed by scan.allow" if lifted else ""
    return Passed(reason=f"{files} model {'file is' if files == 1 else 'files are'} clean{allowed}")


def _in_project(document: ScanDocument, subject: str) -> ScanDocument:
    """The scan with fingerprints of this project's lineage: evidence and findings name the same thing alike."""
    reports = tuple(
        report.model_copy(
            update={"findings": tuple(_with_lineage(subject, report, finding) for finding in report.findings)}
        )
        for report in document.files
    )
    return document.model_copy(update={"files": reports})


def _with_lineage(subject: str, report: FileReport, finding: ScanFinding) -> ScanFinding:
    member = finding.locations[0].member if finding.locations else None
    place = "\n".join((report.path, member or "", finding.global_ or finding.message))
    return finding.model_copy(update={"fingerprint": fingerprint(finding.rule, subject, place)})


def _finding(subject: str, report: FileReport, finding: ScanFinding, allowed: str | None) -> Finding:
    """The finding; one that a person's allowance lifts stays visible as information."""
    return Finding(
        rule=finding.rule,
        severity=finding.severity if allowed is None else "info",
        confidence=finding.confidence,
        message=f"{printable(report.path)} {finding.message}" + ("" if allowed is None else f" ({allowed})"),
        subject=subject,
        fingerprint=finding.fingerprint,
        count=finding.count,
        locations=tuple(location.model_copy(update={"path": report.path}) for location in finding.locations),
        fix=finding.fix,
        taxonomy=finding.taxonomy,
    )


def _relative(path: Path, root: Path) -> str:
    """The path below the root; InputError for one that lies elsewhere or has no UTF-8 name."""
    try:
        name = path.relative_to(root).as_posix()
        name.encode("utf-8")
    except UnicodeEncodeError:
        raise InputError(f"{printable(str(path))}: the name is not UTF-8", hint="rename it") from None
    except ValueError:
        raise InputError(f"{printable(str(path))}: lies outside {printable(str(root))}") from None
    return name


def _size(path: Path) -> int:
    """Bytes of a file, or of those directly in a folder: an estimate must not cost a walk."""
    try:
        if not path.is_dir():
            return path.stat().st_size
        with os.scandir(path) as items:
            return sum(item.stat().st_size for item in items if item.is_file())
    except OSError:
        return 0
