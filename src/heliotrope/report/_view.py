"""What every format needs to know of an assessment, worked out once: rules by state, runs by outcome, the evidence under a number."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from heliotrope.core.assessments import Assessment, EvidenceEntry, RunEntry
from heliotrope.core.decisions import RuleResult, RuleState
from heliotrope.core.findings import SEVERITIES, Finding, Rule, Severity
from heliotrope.core.measurements import Measurement
from heliotrope.core.outcomes import OutcomeState
from heliotrope.core.predicates.behaviour import (
    EVASION_PREDICATE,
    PERFORMANCE_PREDICATE,
    EvasionPredicate,
    PerformancePredicate,
)
from heliotrope.core.predicates.certificates import (
    CERTIFICATE_PREDICATE,
    PROPERTIES_PREDICATE,
    SMOOTHING_PREDICATE,
    CertificatePredicate,
)
from heliotrope.core.predicates.data import LEAKAGE_PREDICATE
from heliotrope.core.predicates.dependencies import DEPENDENCIES_PREDICATE
from heliotrope.core.predicates.explanations import (
    ATTRIBUTIONS_PREDICATE,
    DRIFT_PREDICATE,
    SANITY_PREDICATE,
    SHORTCUT_PREDICATE,
    TRIGGERS_PREDICATE,
    AttributionsPredicate,
    DriftPredicate,
    SanityPredicate,
    ShortcutPredicate,
    TriggersPredicate,
)
from heliotrope.core.predicates.hardening import HARDENING_PREDICATE, HardeningPredicate
from heliotrope.core.predicates.inventory import INVENTORY_PREDICATE, InventoryPredicate
from heliotrope.core.predicates.quality import (
    CORRUPTIONS_PREDICATE,
    COST_PREDICATE,
    DETERMINISM_PREDICATE,
    INPUTS_PREDICATE,
    MISSING_VALUES_PREDICATE,
    CorruptionsPredicate,
    CostPredicate,
    MissingValuesPredicate,
)
from heliotrope.core.predicates.scan import SCAN_PREDICATE, ScanPredicate
from heliotrope.core.predicates.variations import VARIATION_PREDICATE
from heliotrope.core.records import Record
from heliotrope.report._severities import SEVERITY_SYMBOLS

__all__ = [
    "EVIDENCE_NAMES",
    "EXIT_CODE_WORDS",
    "LEVELS",
    "OUTCOME_SYMBOLS",
    "OUTCOME_WORDS",
    "RULE_SYMBOLS",
    "RULE_WORDS",
    "SEVERITY_SYMBOLS",
    "VERDICT_SYMBOLS",
    "VERDICT_WORDS",
    "Known",
    "View",
    "security_severity",
]

VERDICT_WORDS = {"allow": "allowed", "deny": "denied", "needs-review": "needs review"}
VERDICT_SYMBOLS = {"allow": "✓", "deny": "✗", "needs-review": "?"}
RULE_WORDS: dict[RuleState, str] = {
    "pass": "pass",
    "fail": "fail",
    "unknown": "unknown",
    "not_applicable": "not applicable",
}
RULE_SYMBOLS: dict[RuleState, str] = {"pass": "✓", "fail": "✗", "unknown": "?", "not_applicable": "·"}
OUTCOME_WORDS: dict[OutcomeState, str] = {
    "passed": "passed",
    "failed": "failed",
    "inconclusive": "inconclusive",
    "skipped": "skipped",
    "not_applicable": "not applicable",
    "error": "error",
}
OUTCOME_SYMBOLS: dict[OutcomeState, str] = {
    "passed": "✓",
    "failed": "✗",
    "inconclusive": "?",
    "skipped": "○",
    "not_applicable": "·",
    "error": "!",
}
LEVELS: dict[Severity, str] = {
    "critical": "error",
    "high": "error",
    "medium": "warning",
    "low": "note",
    "info": "note",
}
"""SARIF's levels."""
EXIT_CODE_WORDS = {
    0: "pass",
    1: "no, on evidence",
    2: "usage or configuration error",
    3: "inconclusive: evidence is missing",
    4: "internal error",
}
EVIDENCE_NAMES = {
    CERTIFICATE_PREDICATE: "Certificates",
    SMOOTHING_PREDICATE: "Certificates by votes",
    PROPERTIES_PREDICATE: "Properties",
    EVASION_PREDICATE: "Evasion under attack",
    VARIATION_PREDICATE: "Turned, patched and other variations",
    HARDENING_PREDICATE: "Hardening",
    PERFORMANCE_PREDICATE: "Clean performance",
    SCAN_PREDICATE: "Static inspection",
    INVENTORY_PREDICATE: "File inventory",
    DEPENDENCIES_PREDICATE: "Packages",
    CORRUPTIONS_PREDICATE: "Plain faults of inputs",
    MISSING_VALUES_PREDICATE: "Missing values",
    INPUTS_PREDICATE: "Inputs and outputs as declared",
    DETERMINISM_PREDICATE: "Determinism",
    COST_PREDICATE: "Latency and size",
    LEAKAGE_PREDICATE: "Leakage from training to evaluation data",
    ATTRIBUTIONS_PREDICATE: "Attributions",
    DRIFT_PREDICATE: "Drift of attributions",
    SANITY_PREDICATE: "Attributions against random parameters",
    SHORTCUT_PREDICATE: "Shortcuts",
    TRIGGERS_PREDICATE: "Hints at triggers",
}

_SECURITY_SEVERITIES: dict[Severity, str] = {
    "critical": "9.5",
    "high": "8.0",
    "medium": "5.5",
    "low": "2.0",
    "info": "0.0",
}
_RULE_ORDER: tuple[RuleState, ...] = ("fail", "unknown", "pass", "not_applicable")
_NOT_RUN: tuple[OutcomeState, ...] = ("error", "inconclusive", "skipped")

PredicateT = TypeVar("PredicateT", bound=Record)


def security_severity(severity: Severity) -> str:
    """A score in the bands that code-scanning services read (above 9 critical, 7 high, 4 medium, below low)."""
    return _SECURITY_SEVERITIES[severity]


@dataclass(frozen=True, slots=True)
class Known(Generic[PredicateT]):
    """A piece of evidence whose predicate was understood."""

    entry: EvidenceEntry
    predicate: PredicateT


class View:
    """An assessment, sorted for reading. Holds no more than the assessment says."""

    def __init__(self, assessment: Assessment, rules: Sequence[Rule] = ()) -> None:
        self.assessment = assessment
        self.decision = assessment.decision
        self.evidence = {entry.id: entry for entry in assessment.evidence}
        self.catalogue = {rule.id: rule for rule in rules}
        self._runs_of = {found: run for run in assessment.runs for found in run.findings}
        new = assessment.difference.new_findings if assessment.difference else ()
        self.new_findings = frozenset(new)

    @property
    def rules(self) -> tuple[RuleResult, ...]:
        """Those that stand in the way first."""
        return tuple(sorted(self.decision.rules, key=lambda rule: _RULE_ORDER.index(rule.state)))

    def rules_in(self, *states: RuleState) -> tuple[RuleResult, ...]:
        return tuple(rule for rule in self.rules if rule.state in states)

    @property
    def standing_in_the_way(self) -> tuple[RuleResult, ...]:
        return self.rules_in("fail", "unknown")

    @property
    def not_run(self) -> tuple[RunEntry, ...]:
        """Runs that did not come to a conclusion: errors first, then inconclusive, then skipped."""
        held = [run for run in self.assessment.runs if run.outcome in _NOT_RUN]
        return tuple(sorted(held, key=lambda run: _NOT_RUN.index(run.outcome)))

    @property
    def findings(self) -> tuple[tuple[Severity, tuple[Finding, ...]], ...]:
        """Severities that occur, worst first, each with its findings."""
        grouped = ((level, self._of_severity(level)) for level in SEVERITIES)
        return tuple((level, found) for level, found in grouped if found)

    def _of_severity(self, severity: Severity) -> tuple[Finding, ...]:
        return tuple(item for item in self.assessment.findings if item.severity == severity)

    @property
    def verdict_words(self) -> str:
        return VERDICT_WORDS[self.decision.verdict]

    @property
    def verdict_symbol(self) -> str:
        return VERDICT_SYMBOLS[self.decision.verdict]

    @property
    def evasions(self) -> tuple[Known[EvasionPredicate], ...]:
        return tuple(self._known(EVASION_PREDICATE, EvasionPredicate))

    @property
    def certificates(self) -> tuple[Known[CertificatePredicate], ...]:
        return tuple(self._known(CERTIFICATE_PREDICATE, CertificatePredicate))

    def certificate_for(self, known: Known[EvasionPredicate]) -> Known[CertificatePredicate] | None:
        """What is proven of the model that was attacked, in the same norm and for the same kind of change; or None."""
        run, threat = self.run_of_evidence(known.entry.id), known.predicate.threat
        if run is None or threat.kind != "norm":
            return None
        for proven in self.certificates:
            about = self.run_of_evidence(proven.entry.id)
            same = (proven.predicate.norm, proven.predicate.changed_categories) == (
                threat.norm,
                threat.changed_categories,
            )
            if about is not None and about.subject == run.subject and same and threat.channel_eps is None:
                return proven
        return None

    def certificates_alone(self) -> tuple[Known[CertificatePredicate], ...]:
        """Those that no attack of the report is drawn with."""
        drawn = {found.entry.id for one in self.evasions if (found := self.certificate_for(one)) is not None}
        return tuple(one for one in self.certificates if one.entry.id not in drawn)

    @property
    def performances(self) -> tuple[Known[PerformancePredicate], ...]:
        return tuple(self._known(PERFORMANCE_PREDICATE, PerformancePredicate))

    @property
    def attributions(self) -> tuple[Known[AttributionsPredicate], ...]:
        return tuple(self._known(ATTRIBUTIONS_PREDICATE, AttributionsPredicate))

    @property
    def shortcuts(self) -> tuple[Known[ShortcutPredicate], ...]:
        return tuple(self._known(SHORTCUT_PREDICATE, ShortcutPredicate))

    @property
    def hardenings(self) -> tuple[Known[HardeningPredicate], ...]:
        return tuple(self._known(HARDENING_PREDICATE, HardeningPredicate))

    @property
    def sanities(self) -> tuple[Known[SanityPredicate], ...]:
        return tuple(self._known(SANITY_PREDICATE, SanityPredicate))

    @property
    def triggers(self) -> tuple[Known[TriggersPredicate], ...]:
        return tuple(self._known(TRIGGERS_PREDICATE, TriggersPredicate))

    @property
    def drifts(self) -> tuple[Known[DriftPredicate], ...]:
        return tuple(self._known(DRIFT_PREDICATE, DriftPredicate))

    @property
    def corruptions(self) -> tuple[Known[CorruptionsPredicate], ...]:
        return tuple(self._known(CORRUPTIONS_PREDICATE, CorruptionsPredicate))

    @property
    def missing_values(self) -> tuple[Known[MissingValuesPredicate], ...]:
        return tuple(self._known(MISSING_VALUES_PREDICATE, MissingValuesPredicate))

    @property
    def costs(self) -> tuple[Known[CostPredicate], ...]:
        return tuple(self._known(COST_PREDICATE, CostPredicate))

    @property
    def scans(self) -> tuple[Known[ScanPredicate], ...]:
        return tuple(self._known(SCAN_PREDICATE, ScanPredicate))

    @property
    def inventories(self) -> tuple[Known[InventoryPredicate], ...]:
        return tuple(self._known(INVENTORY_PREDICATE, InventoryPredicate))

    def _known(self, predicate_type: str, model: type[PredicateT]) -> Iterable[Known[PredicateT]]:
        """Evidence of a type; what does not have the type's shape is left to the generic view."""
        for entry in self.assessment.evidence:
            if entry.predicate_type != predicate_type:
                continue
            try:
                yield Known(entry, model.model_validate(entry.predicate))
            except ValidationError:
                continue

    def run_of_finding(self, finding: Finding) -> RunEntry | None:
        return self._runs_of.get(finding.fingerprint)

    def run_of_evidence(self, digest: str) -> RunEntry | None:
        return next((run for run in self.assessment.runs if digest in run.evidence), None)

    def evidence_of_finding(self, finding: Finding) -> str | None:
        run = self.run_of_finding(finding)
        held = [digest for digest in run.evidence if digest in self.evidence] if run else []
        return held[0] if held else None

    def evidence_of_measurement(self, measurement: Measurement) -> str | None:
        """The evidence that holds exactly this value: what a rule on the metric rests on, else what a run on the subject made."""
        if measurement.value is None:
            return None
        rested = [digest for rule in self._rules_on(measurement) for digest in rule.evidence]
        made = [digest for run in self.assessment.runs if run.subject == measurement.subject for digest in run.evidence]
        for digests, key in ((rested, None), (made, measurement.metric), (made, None)):
            held = (self.evidence[digest] for digest in digests if digest in self.evidence)
            found = next((entry.id for entry in held if _holds(entry.predicate, key, measurement.value)), None)
            if found is not None:
                return found
        return None

    def _rules_on(self, measurement: Measurement) -> Iterable[RuleResult]:
        for rule in self.decision.rules:
            if rule.metric == measurement.metric and rule.subject == measurement.subject:
                yield rule

    def evidence_of_change(self, name: str) -> str | None:
        """The evidence under the present value of an entry of the difference ("metric of subject")."""
        measured = (item for item in self.assessment.measurements if f"{item.metric} of {item.subject}" == name)
        found = next(measured, None)
        return self.evidence_of_measurement(found) if found else None

    def floor(self, metric: str, subject: str) -> float | None:
        """The lowest value a rule accepts for a metric of a subject; the strictest when several rules do."""
        limits = [rule.lowest for rule in self.decision.rules if rule.subject == subject and rule.metric == metric]
        return max((limit for limit in limits if limit is not None), default=None)

    def subject_name(self, urn: str) -> str:
        """The short name of a subject, or the URN when it is not one of the assessment's."""
        return next((f"{item.kind} {item.name}" for item in self.assessment.subjects if item.urn == urn), urn)


def _holds(value: Any, key: str | None, wanted: float | None) -> bool:
    """Whether a number occurs directly under a key (any key if None) of a predicate's top two levels."""
    if not isinstance(value, dict):
        return False
    levels = [value, *(inner for inner in value.values() if isinstance(inner, dict))]
    return any(_same(inner, wanted) for level in levels for name, inner in level.items() if key in (None, name))


def _same(value: Any, wanted: float | None) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == wanted
