"""Pieces of SARIF 2.1.0 that do not depend on what is reported: messages, locations, rules, taxonomies.

Source: OASIS Static Analysis Results Interchange Format 2.1.0.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from heliotrope.core.findings import Finding, Fix, Location, Rule
from heliotrope.core.predicates.scan import ScanFinding
from heliotrope.report._text import file_uri, location_text, plain
from heliotrope.report._view import LEVELS, security_severity

__all__ = ["RuleIndex", "artifact_location", "location", "message", "taxonomies"]

_PLACEHOLDER = re.compile(r"\{(\d+)\}")
_CWE = re.compile(r"^CWE-(\d+)$")
_BASE = "%SRCROOT%"


@dataclass(frozen=True, slots=True)
class _Taxonomy:
    name: str
    organization: str
    description: str
    pattern: re.Pattern[str]


_TAXONOMIES = (
    _Taxonomy("CWE", "MITRE", "Common Weakness Enumeration", _CWE),
    _Taxonomy("ATLAS", "MITRE", "Adversarial Threat Landscape for AI Systems", re.compile(r"^AML\.")),
    _Taxonomy("CVE", "MITRE", "Common Vulnerabilities and Exposures", re.compile(r"^CVE-")),
    _Taxonomy("GHSA", "GitHub", "GitHub Security Advisories", re.compile(r"^GHSA-")),
    _Taxonomy("NIST AI 100-2", "NIST", "Adversarial machine learning: taxonomy and terminology", re.compile(r"^NIST")),
    _Taxonomy("OWASP", "OWASP", "OWASP Top 10 lists for ML, LLM and agentic systems", re.compile(r"")),
)
"""The last one takes what no other does."""


def message(text: str) -> dict[str, str]:
    """A plain-text message: square brackets and numbered braces would be read as links and placeholders."""
    safe = plain(text, 2000).replace("[", "\\[").replace("]", "\\]")
    return {"text": _PLACEHOLDER.sub(r"{{\1}}", safe) or "(no text)"}


def location(place: Location, *, identifier: int | None = None) -> dict[str, Any]:
    """A location: the file, a region where the offset counts in that file, and the archive member by name."""
    found: dict[str, Any] = {} if identifier is None else {"id": identifier}
    if place.path is not None:
        physical: dict[str, Any] = {"artifactLocation": artifact_location(place.path)}
        region: dict[str, int] = {}
        if place.line is not None and place.line >= 1:
            region["startLine"] = place.line
        if place.member is None and place.offset is not None and place.offset >= 0:
            region["byteOffset"] = place.offset
            region["byteLength"] = 0
        if region:
            physical["region"] = region
        found["physicalLocation"] = physical
    if place.member is not None:
        whole = f"{place.path}!/{place.member}" if place.path else place.member
        logical = {"name": plain(place.member), "fullyQualifiedName": plain(whole, 2000), "kind": "resource"}
        found["logicalLocations"] = [logical]
    if place.member is not None or place.offset is not None:
        found["message"] = message(location_text(place))
    return found


def artifact_location(path: str) -> dict[str, str]:
    uri = file_uri(path)
    return {"uri": uri} if uri.startswith("file:") else {"uri": uri, "uriBaseId": _BASE}


def _taxonomy_of(identifier: str) -> int:
    return next(index for index, known in enumerate(_TAXONOMIES) if known.pattern.search(identifier))


def _reference(identifier: str, used: Sequence[int]) -> dict[str, Any]:
    index = _taxonomy_of(identifier)
    component = {"name": _TAXONOMIES[index].name, "index": used.index(index)}
    return {"id": plain(identifier, 60), "toolComponent": component}


def taxonomies(identifiers: Iterable[str]) -> list[dict[str, Any]]:
    """The taxonomies that these ids come from, each with the ids that are used."""
    grouped: dict[int, list[str]] = {}
    for identifier in sorted(set(identifiers)):
        grouped.setdefault(_taxonomy_of(identifier), []).append(plain(identifier, 60))
    return [
        {
            "name": _TAXONOMIES[index].name,
            "organization": _TAXONOMIES[index].organization,
            "shortDescription": {"text": _TAXONOMIES[index].description},
            "taxa": [{"id": identifier} for identifier in sorted(set(grouped[index]))],
        }
        for index in sorted(grouped)
    ]


@dataclass
class RuleIndex:
    """The rules that results use, in the order of their first use."""

    catalogue: dict[str, Rule]
    taxonomy: tuple[str, ...]
    """Every taxonomy id of the run."""
    docs_base: str | None = None
    """Absolute address below which docs/reference/rules.md is published; without it rules have no helpUri of ours."""
    descriptors: list[dict[str, Any]] = field(default_factory=list)
    _positions: dict[str, int] = field(default_factory=dict)

    @property
    def used_taxonomies(self) -> list[int]:
        return sorted({_taxonomy_of(identifier) for identifier in self.taxonomy})

    def references(self, identifiers: Iterable[str]) -> list[dict[str, Any]]:
        return [_reference(identifier, self.used_taxonomies) for identifier in dict.fromkeys(identifiers)]

    def position(self, descriptor: dict[str, Any]) -> int:
        identifier = str(descriptor["id"])
        if identifier not in self._positions:
            self._positions[identifier] = len(self.descriptors)
            self.descriptors.append(descriptor)
        return self._positions[identifier]

    def of_finding(self, finding: Finding | ScanFinding) -> int:
        return self.position(self._described(self.catalogue.get(finding.rule) or _rule_from(finding)))

    def _described(self, rule: Rule) -> dict[str, Any]:
        described: dict[str, Any] = {
            "id": plain(rule.id, 200),
            "shortDescription": {"text": plain(rule.title)},
            "fullDescription": {"text": plain(rule.help)},
            "help": {
                "text": f"{plain(rule.help)}\nWhat to do: {plain(rule.fix.text)}",
                "markdown": f"{_markdown(rule.help)}\n\n**What to do:** {_markdown(rule.fix.text)}",
            },
            "defaultConfiguration": {"level": LEVELS[rule.severity]},
            "properties": {
                "security-severity": security_severity(rule.severity),
                "tags": ["security", *dict.fromkeys(tag for item in rule.taxonomy for tag in _tags(item))],
            },
        }
        address = self._help_uri(rule)
        if address:
            described["helpUri"] = address
        if rule.taxonomy:
            described["relationships"] = [
                {"target": target, "kinds": ["relevant"]} for target in self.references(rule.taxonomy)
            ]
        return described

    def _help_uri(self, rule: Rule) -> str | None:
        """Our own page where it is published, else the page of the first weakness the rule names."""
        if self.docs_base:
            return f"{self.docs_base.rstrip('/')}/reference/rules.md#{file_uri(rule.id)}"
        weaknesses = (_CWE.match(item) for item in rule.taxonomy)
        found = next((match for match in weaknesses if match), None)
        return f"https://cwe.mitre.org/data/definitions/{found[1]}.html" if found else None


def _tags(identifier: str) -> tuple[str, ...]:
    match = _CWE.match(identifier)
    return (identifier, f"external/cwe/cwe-{int(match[1]):03d}") if match else (plain(identifier, 60),)


def _markdown(text: str) -> str:
    return re.sub(r"([\\`*_{}\[\]()<>#|!])", r"\\\1", plain(text))


def _rule_from(finding: Finding | ScanFinding) -> Rule:
    """A rule that is in no catalogue, as far as the finding tells."""
    return Rule(
        id=finding.rule,
        title=finding.rule.replace("-", " "),
        severity=finding.severity,
        help=f"Reported by the rule {finding.rule}.",
        fix=finding.fix or Fix(text="See the message of the finding."),
        taxonomy=finding.taxonomy,
    )
