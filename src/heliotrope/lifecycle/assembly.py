"""Putting what the runs returned together: facts for the gate, and the document every report is drawn from."""

from collections.abc import Sequence
from datetime import datetime

import heliotrope
from heliotrope.core.assessments import (
    Assessment,
    EvidenceEntry,
    LedgerReference,
    ProjectReference,
    RunEntry,
    Tool,
)
from heliotrope.core.decisions import PolicyReference
from heliotrope.core.findings import Finding
from heliotrope.core.ids import timestamp
from heliotrope.core.measurements import Measurement
from heliotrope.core.records import content_id
from heliotrope.core.subjects import Subject
from heliotrope.core.text import printable
from heliotrope.engine.interface import Planned, Project
from heliotrope.engine.runner import Recorded
from heliotrope.gate import EffectivePolicy, Facts, Observed, decide, exit_code_of
from heliotrope.ledger.interface import Entry
from heliotrope.lifecycle.planning import PlannedRun, project_subject
from heliotrope.lifecycle.state import Store
from heliotrope.lifecycle.target import Target

__all__ = ["conclude", "facts_of", "gather", "target_key"]


def gather(
    project: Project,
    runs: Sequence[PlannedRun],
    recorded: Sequence[Recorded],
    known: frozenset[str],
    baseline: str | None,
) -> Facts:
    """What was learned about a project: its subjects, runs, numbers, findings and evidence."""
    return facts_of(_subjects(project, [run.planned for run in runs]), recorded, known, baseline)


def facts_of(
    subjects: tuple[Subject, ...],
    recorded: Sequence[Recorded],
    known: frozenset[str] = frozenset(),
    baseline: str | None = None,
) -> Facts:
    """The same for subjects that are given; `known` are fingerprints of the baseline."""
    entries = tuple(_run_entry(one) for one in recorded)
    observed = [
        Observed(measurement, entry, entry.evidence)
        for one, entry in zip(recorded, entries, strict=True)
        for measurement in one.result.measurements
    ]
    evidence: dict[str, EvidenceEntry] = {}
    findings: dict[str, Finding] = {}
    for one in recorded:
        for digest, statement in zip(one.evidence_ids, one.result.evidence, strict=True):
            evidence[digest] = EvidenceEntry(
                id=digest,
                predicate_type=statement.predicate_type,
                subject={item.name: item.digest.sha256 for item in statement.subject},
                predicate=statement.predicate,
            )
        findings |= {finding.fingerprint: finding for finding in one.result.findings}
    return Facts(
        subjects=subjects,
        runs=entries,
        observed=tuple(observed),
        findings=tuple(findings.values()),
        evidence=tuple(evidence.values()),
        known_fingerprints=known,
        baseline=baseline,
    )


def _subjects(project: Project, planned: Sequence[Planned]) -> tuple[Subject, ...]:
    first = project_subject(project)
    subjects = {first.urn: first}
    for item in planned:
        subjects.setdefault(item.subject.urn, item.subject)
    return tuple(subjects.values())


def _run_entry(one: Recorded) -> RunEntry:
    outcome = one.run.outcome
    return RunEntry(
        id=one.id,
        check=one.run.check,
        version=one.run.version,
        title=one.title,
        subject=one.run.subject,
        outcome=outcome.state,
        reason=printable(outcome.reason),
        code=getattr(outcome, "code", None) or getattr(outcome, "kind", None),
        needs=getattr(outcome, "needs", ()),
        evidence=one.evidence_ids,
        findings=tuple(finding.fingerprint for finding in one.result.findings),
        inputs=one.run.inputs,
        parameters_digest=one.run.parameters_digest,
        seed=one.run.seed,
        environment=one.run.environment,
        cost=one.run.cost,
        reused_from=one.reused_from,
    )


def conclude(
    target: Target,
    *,
    effective: EffectivePolicy,
    reference: PolicyReference,
    facts: Facts,
    store: Store,
    assessment_id: str,
    started: datetime,
    finished: datetime,
) -> Assessment:
    decision = decide(effective, reference, facts)
    store.ledger.append([Entry("decision", decision, (("assessment", assessment_id),))])
    project = target.project
    measurements: tuple[Measurement, ...] = tuple(item.measurement for item in facts.observed)
    return Assessment(
        id=assessment_id,
        tool=Tool(version=heliotrope.__version__, policy_digest=reference.digest),
        project=ProjectReference(
            name=project.name,
            path=printable(target.shown_path),
            configuration=project.config_path.name if project.config_path else None,
        ),
        suite=project.suite,
        started_at=timestamp(started),
        finished_at=timestamp(finished),
        subjects=facts.subjects,
        runs=facts.runs,
        measurements=measurements,
        findings=facts.findings,
        evidence=facts.evidence,
        decision=decision,
        exit_code=int(exit_code_of(decision)),
        ledger=LedgerReference(location=printable(store.location), head=str(store.ledger.head())),
        baseline=facts.baseline,
    )


def target_key(target: Target) -> str:
    project = target.project
    return content_id(
        {
            "name": project.name,
            "paths": [printable(str(path)) for path in project.paths],
            "configured": project.config is not None,
        }
    )
