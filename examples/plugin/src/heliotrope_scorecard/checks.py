"""The check scorecard.bins: every value falls into exactly one bin, and no score leaves the declared range."""

import math
from collections.abc import Iterator
from pathlib import Path

from heliotrope.core.errors import InputError
from heliotrope.core.evidence import statement
from heliotrope.core.findings import Finding, Location, Rule, fingerprint
from heliotrope.core.outcomes import Failed, Inconclusive, NotApplicable, Outcome, Passed
from heliotrope.core.records import Record
from heliotrope.core.runs import CheckResult
from heliotrope.core.subjects import Subject, subject_urn
from heliotrope.core.text import printable
from heliotrope.engine.files import WalkedFile, read_verified, walk
from heliotrope.engine.interface import Planned, Project, RunContext, Task
from heliotrope.engine.registry import check
from heliotrope_scorecard import __version__
from heliotrope_scorecard.rules import GAP, OUT_OF_RANGE

__all__ = ["bins", "plan"]

PREDICATE = "urn:heliotrope-scorecard:predicate:bins:v1"

_MAX_BYTES = 16 * 2**20
"""Of a scorecard; the check keeps one at a time in memory."""


class Parameters(Record):
    """The check takes none."""


class ScorecardFacts(Record):
    """What was seen in one file."""

    features: int
    bins: int
    lowest: float
    highest: float
    problems: tuple[str, ...]


class Predicate(Record):
    """The evidence: facts by path."""

    scorecards: dict[str, ScorecardFacts]


def plan(project: Project) -> Iterator[Planned]:
    """One run on the whole project. Planning must be cheap: it looks at nothing."""
    yield Planned(
        subject=Subject(urn=subject_urn(project.name, "project", project.name), kind="project", name=project.name),
        parameters=Parameters(),
        inputs={"tree": project.root},
    )


@check(
    id="scorecard.bins",
    version=__version__,
    title="Every value falls into exactly one bin",
    applies_to="project",
    parameters=Parameters,
    plan=plan,
    rules=(GAP, OUT_OF_RANGE),
    docs="the README of heliotrope-scorecard",
)
def bins(task: Task, context: RunContext) -> CheckResult:
    """Read every scorecard and compare bins and points with what it declares."""
    root = Path(task.root)
    files = [item for item in walk(root) if isinstance(item, WalkedFile) and item.path.suffix == ".scard"]
    if not files:
        return CheckResult(outcome=NotApplicable(reason="there is no scorecard", facts=("no file is called *.scard",)))
    facts: dict[str, ScorecardFacts] = {}
    digests: dict[str, str] = {}
    findings: list[Finding] = []
    for number, item in enumerate(files):
        context.progress(number, len(files), printable(item.relative))
        read = read_verified(item.path, max_bytes=_MAX_BYTES)
        digests[item.relative] = read.sha256
        facts[item.relative], found = _examine(read.data.decode("utf-8", "replace"), item.relative)
        findings += [_finding(task.subject, rule, item.relative, text) for rule, text in found]
    evidence = statement(digests, PREDICATE, Predicate(scorecards=facts))
    return CheckResult(outcome=_outcome(facts, findings), evidence=(evidence,), findings=tuple(findings))


def _outcome(facts: dict[str, ScorecardFacts], findings: list[Finding]) -> Outcome:
    gaps = [finding for finding in findings if finding.rule == GAP.id]
    if gaps:
        more = f" (and {len(gaps) - 1} more)" if len(gaps) > 1 else ""
        return Failed(reason=f"{gaps[0].message}{more}")
    if not all(item.bins for item in facts.values()):
        return Inconclusive(reason="a scorecard has no bins to look at")
    return Passed(reason=f"{len(facts)} scorecards, {sum(item.bins for item in facts.values())} bins")


def _examine(text: str, path: str) -> tuple[ScorecardFacts, list[tuple[Rule, str]]]:
    """Facts and (rule, what is wrong) of one file. InputError when a number is none."""
    base, declared = 0.0, (-math.inf, math.inf)
    features: dict[str, tuple[tuple[float, float], list[tuple[float, float, float]]]] = {}
    current: list[tuple[float, float, float]] = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        try:
            if line.startswith("base:"):
                base = float(words[1])
            elif line.startswith("range:"):
                declared = (float(words[1]), float(words[2]))
            elif line.startswith("feature "):
                current = []
                features[words[1]] = ((float(words[2]), float(words[3])), current)
            elif words and (words[0][0].isdigit() or words[0][0] == "-"):
                low, high, points = (float(word) for word in words)
                current.append((low, high, points))
        except (ValueError, IndexError):
            raise InputError(f"{printable(path)}:{number}: is no line of a scorecard", hint="correct it") from None
    problems = [(GAP, problem) for name, (limits, found) in features.items() for problem in _gaps(name, limits, found)]
    lowest = base + sum(min((points for *_, points in found), default=0.0) for _, found in features.values())
    highest = base + sum(max((points for *_, points in found), default=0.0) for _, found in features.values())
    if lowest < declared[0] or highest > declared[1]:
        said = f"scores from {lowest:g} to {highest:g} are possible, {declared[0]:g} to {declared[1]:g} is declared"
        problems.append((OUT_OF_RANGE, said))
    facts = ScorecardFacts(
        features=len(features),
        bins=sum(len(found) for _, found in features.values()),
        lowest=lowest,
        highest=highest,
        problems=tuple(problem for _, problem in problems),
    )
    return facts, problems


def _gaps(name: str, limits: tuple[float, float], found: list[tuple[float, float, float]]) -> Iterator[str]:
    edge = limits[0]
    for low, high, _ in sorted(found):
        if low != edge:
            what = "no bin" if low > edge else "two bins"
            yield f"{name}: values from {min(low, edge):g} to {max(low, edge):g} fall into {what}"
        edge = max(edge, high)
    if edge != limits[1]:
        yield f"{name}: values from {edge:g} to {limits[1]:g} fall into no bin"


def _finding(subject: Subject, rule: Rule, path: str, message: str) -> Finding:
    return Finding(
        rule=rule.id,
        severity=rule.severity,
        confidence="high",
        message=f"{printable(path)}: {printable(message)}",
        subject=subject.urn,
        fingerprint=fingerprint(rule.id, subject.urn, f"{path}\n{message}"),
        locations=(Location(path=path),),
        fix=rule.fix,
        taxonomy=rule.taxonomy,
    )
