"""SARIF 2.1.0. A check that did not conclude makes the invocation unsuccessful and speaks as a notification."""

from collections.abc import Iterable, Sequence
from typing import Any

from heliotrope.core.assessments import Assessment, RunEntry
from heliotrope.core.decisions import RuleResult
from heliotrope.core.findings import Finding, Location, Rule
from heliotrope.core.predicates.scan import FileReport, ScanDecision, ScanDocument, ScanFinding
from heliotrope.core.records import content_id
from heliotrope.report._json import dump
from heliotrope.report._sarif_parts import RuleIndex, artifact_location, location, message, taxonomies
from heliotrope.report._text import plain
from heliotrope.report._view import EXIT_CODE_WORDS, LEVELS, View

__all__ = ["render_sarif"]

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_FINGERPRINT = "heliotrope/v1"
_NOTIFICATION_LEVELS = {"error": "error", "inconclusive": "warning", "skipped": "warning"}


def render_sarif(result: Assessment | ScanDocument, rules: Sequence[Rule], *, docs_base: str | None = None) -> str:
    """The findings as SARIF 2.1.0.

    `rules` is the catalogue; only rules that a result uses are written. `docs_base` is the absolute address below which
    reference/rules.md is published.
    """
    catalogue = {rule.id: rule for rule in rules}
    run = (
        _assessment_run(result, catalogue, docs_base)
        if isinstance(result, Assessment)
        else _scan_run(result, catalogue, docs_base)
    )
    return dump({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]})


def _run(version: str, index: RuleIndex, results: list[dict[str, Any]], invocation: dict[str, Any]) -> dict[str, Any]:
    driver: dict[str, Any] = {
        "name": "Heliotrope",
        "organization": "The Heliotrope authors",
        "version": plain(version, 60),
        "rules": index.descriptors,
    }
    run: dict[str, Any] = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "originalUriBaseIds": {"%SRCROOT%": {"description": {"text": "The folder that was examined."}}},
        "invocations": [invocation],
        "results": results,
    }
    if index.taxonomy:
        run["taxonomies"] = taxonomies(index.taxonomy)
        driver["supportedTaxonomies"] = [
            {"name": found["name"], "index": position} for position, found in enumerate(run["taxonomies"])
        ]
    return run


def _taxonomy_ids(findings: Iterable[Finding | ScanFinding], catalogue: dict[str, Rule]) -> tuple[str, ...]:
    ids: set[str] = set()
    for finding in findings:
        ids.update(finding.taxonomy)
        ids.update(catalogue[finding.rule].taxonomy if finding.rule in catalogue else ())
    return tuple(sorted(ids))


def _finding_result(index: RuleIndex, finding: Finding | ScanFinding, places: Sequence[Location]) -> dict[str, Any]:
    advice = f" Fix: {finding.fix.text}" if finding.fix else ""
    result: dict[str, Any] = {
        "ruleId": plain(finding.rule, 200),
        "ruleIndex": index.of_finding(finding),
        "kind": "fail",
        "level": LEVELS[finding.severity],
        "message": message(finding.message + advice),
        "locations": [location(place) for place in places[:1]],
        "occurrenceCount": max(finding.count, 1),
        "partialFingerprints": {_FINGERPRINT: plain(finding.fingerprint, 100)},
        "properties": {"severity": finding.severity, "confidence": finding.confidence},
    }
    if len(places) > 1:
        result["relatedLocations"] = [location(place, identifier=number) for number, place in enumerate(places[1:], 1)]
    if finding.taxonomy:
        result["taxa"] = index.references(finding.taxonomy)
    return result


def _notification(text: str, level: str, descriptor: str, places: Sequence[Location] = ()) -> dict[str, Any]:
    made: dict[str, Any] = {"level": level, "message": message(text), "descriptor": {"id": plain(descriptor, 200)}}
    if places:
        made["locations"] = [location(place) for place in places]
    return made


def _assessment_run(assessment: Assessment, catalogue: dict[str, Rule], docs_base: str | None) -> dict[str, Any]:
    view = View(assessment)
    index = RuleIndex(catalogue, _taxonomy_ids(assessment.findings, catalogue), docs_base)
    results = [_assessed_finding(view, index, finding) for finding in assessment.findings]
    results += [_rule_result(view, index, rule) for rule in view.standing_in_the_way]
    invocation = {
        "executionSuccessful": not view.not_run,
        "startTimeUtc": plain(assessment.started_at, 40),
        "endTimeUtc": plain(assessment.finished_at, 40),
        "exitCode": assessment.exit_code,
        "exitCodeDescription": EXIT_CODE_WORDS.get(assessment.exit_code, "unknown"),
        "toolExecutionNotifications": [_not_concluded(run) for run in view.not_run],
    }
    run = _run(assessment.tool.version, index, results, invocation)
    run["automationDetails"] = {"id": f"heliotrope/{plain(assessment.project.name, 100)}/{assessment.id}"}
    artifacts = {item.path: item for subject in assessment.subjects for item in subject.artifacts}
    run["artifacts"] = [_artifact(item.path, item.sha256, item.size) for item in artifacts.values()]
    run["properties"] = {
        "verdict": assessment.decision.verdict,
        "reason": plain(assessment.decision.reason),
        "policyDigest": assessment.decision.policy.digest,
        "ledgerHead": assessment.ledger.head,
    }
    return run


def _assessed_finding(view: View, index: RuleIndex, finding: Finding) -> dict[str, Any]:
    places = finding.locations or _home(view, finding.subject)
    result = _finding_result(index, finding, places)
    result["properties"]["subject"] = plain(finding.subject)
    evidence = view.evidence_of_finding(finding)
    if evidence:
        result["properties"]["evidence"] = evidence
    if view.assessment.difference is not None:
        result["properties"]["new"] = finding.fingerprint in view.new_findings
    return result


def _home(view: View, subject: str) -> tuple[Location, ...]:
    """Where to show something that has no place of its own: the configuration, or the subject's first file."""
    if view.assessment.project.configuration is not None:
        return (Location(path=view.assessment.project.configuration),)
    held = next((item for item in view.assessment.subjects if item.urn == subject), None)
    return (Location(path=held.artifacts[0].path),) if held and held.artifacts else (Location(path="."),)


def _not_concluded(run: RunEntry) -> dict[str, Any]:
    kind = f" ({run.code})" if run.code else ""
    needs = f"; needs {', '.join(run.needs)}" if run.needs else ""
    text = f"{run.check} on {run.subject}: {run.outcome}{kind}: {run.reason}{needs}"
    return _notification(text, _NOTIFICATION_LEVELS[run.outcome], run.check)


def _rule_result(view: View, index: RuleIndex, rule: RuleResult) -> dict[str, Any]:
    """A policy rule that failed is a failure; one that is unknown is open. Neither may be missed by a reader of results."""
    identifier = f"policy/{plain(rule.rule, 150)}"
    text = f"{rule.title}: wanted {rule.wanted}, got {rule.actual}"
    text += "".join(f". {part}" for part in (rule.reason, rule.remediation) if part)
    descriptor = {
        "id": identifier,
        "shortDescription": {"text": plain(rule.title) or identifier},
        "help": {"text": plain(rule.remediation) or "A rule of the policy."},
        "properties": {"tags": ["policy"]},
    }
    failed = rule.state == "fail"
    return {
        "ruleId": identifier,
        "ruleIndex": index.position(descriptor),
        "kind": "fail" if failed else "open",
        "level": "error" if failed else "none",
        "message": message(text),
        "locations": [location(place) for place in _home(view, rule.subject)],
        "partialFingerprints": {_FINGERPRINT: content_id({"policy": plain(rule.rule), "on": plain(rule.subject)})[:32]},
        "properties": {"subject": plain(rule.subject), "state": rule.state, "evidence": list(rule.evidence)},
    }


def _artifact(path: str, sha256: str | None, size: int | None) -> dict[str, Any]:
    artifact: dict[str, Any] = {"location": artifact_location(path)}
    if sha256 is not None:
        artifact["hashes"] = {"sha-256": sha256}
    if size is not None:
        artifact["length"] = size
    return artifact


def _scan_run(document: ScanDocument, catalogue: dict[str, Rule], docs_base: str | None) -> dict[str, Any]:
    found = [(report, finding) for report in document.files for finding in report.findings]
    index = RuleIndex(catalogue, _taxonomy_ids((finding for _, finding in found), catalogue), docs_base)
    lifted = {} if document.decision is None else _lifted(document.decision)
    results = []
    for report, finding in found:
        result = _finding_result(index, finding, _places(report, finding))
        if finding.fingerprint in lifted:
            result["suppressions"] = [
                {"kind": "external", "status": "accepted", "justification": lifted[finding.fingerprint]}
            ]
        results.append(result)
    notes = [note for report in document.files for note in _unseen(report)]
    invocation = {"executionSuccessful": not notes, "toolExecutionNotifications": notes}
    run = _run(document.tool.version, index, results, invocation)
    run["artifacts"] = [_artifact(report.path, report.sha256, report.size) for report in document.files]
    run["properties"] = {"verdict": document.verdict, "policyDigest": document.tool.policy_digest}
    if document.decision is not None:
        run["properties"] |= {
            "decision": document.decision.verdict,
            "decidedOn": document.decision.decided_on.isoformat(),
        }
    return run


def _lifted(decision: ScanDecision) -> dict[str, str]:
    """Fingerprints of what a person's allowances lift, and why."""
    reasons = "; ".join(f"{item.global_} up to {item.expires}: {item.reason}" for item in decision.applied)
    return {
        fingerprint: plain(f"scan.allow: {reasons}", 1000) for item in decision.files for fingerprint in item.lifted
    }


def _places(report: FileReport, finding: ScanFinding) -> tuple[Location, ...]:
    held = finding.locations or (Location(),)
    return tuple(place if place.path else place.model_copy(update={"path": report.path}) for place in held)


def _unseen(report: FileReport) -> list[dict[str, Any]]:
    """What of a file was not analysed."""
    here = Location(path=report.path)
    notes = [
        _notification(
            f"{report.path}: not analysed to the end: {item.reason}" + (f" (limit {item.limit})" if item.limit else ""),
            "warning",
            "scan/incomplete",
            [item.location.model_copy(update={"path": report.path}) if item.location else here],
        )
        for item in report.incomplete
    ]
    if not notes and report.verdict in ("incomplete", "unsupported"):
        notes = [_notification(f"{report.path}: {report.verdict}", "warning", f"scan/{report.verdict}", [here])]
    return notes
