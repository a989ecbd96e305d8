"""The typed shape of a policy file, and which one holds.

A policy is a list of rules. A rule has one requirement of a kind that this module defines: there is no expression language,
so a misspelt rule is an error with a line number and never a rule that quietly allows.
"""

from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from heliotrope.config.loader import load_yaml_model
from heliotrope.config.schema import AnalyserId, HeliotropeConfig, Name
from heliotrope.core.decisions import PolicyReference
from heliotrope.core.errors import ConfigError
from heliotrope.core.findings import Severity
from heliotrope.core.predicates.scan import ScanAllowance, ScanVerdict
from heliotrope.core.records import Record, content_id
from heliotrope.core.text import printable

__all__ = [
    "CheckRequirement",
    "ConcludedRequirement",
    "EffectivePolicy",
    "EvidenceRequirement",
    "ExaminedRequirement",
    "FilesRequirement",
    "FindingsRequirement",
    "MeasurementRequirement",
    "Policy",
    "PolicyRule",
    "Requirement",
    "default_policy",
    "effective_policy",
    "load_policy",
    "model_policy",
]


class ExaminedRequirement(Record):
    """There is something to judge: a model file that was inspected, or a configured model."""

    kind: Literal["examined"]
    at_least: int = Field(default=1, ge=1)


class CheckRequirement(Record):
    """A check passed."""

    kind: Literal["check"]
    check: str


class ConcludedRequirement(Record):
    """Every run came to a conclusion: none in error, skipped or inconclusive."""

    kind: Literal["concluded"]


class FilesRequirement(Record):
    """Every inspected file has one of these verdicts; findings of the baseline do not count."""

    kind: Literal["files"]
    accept: Annotated[tuple[ScanVerdict, ...], Field(min_length=1)] = ("clean",)


class FindingsRequirement(Record):
    """At most so many findings of this severity or worse; those of the baseline do not count."""

    kind: Literal["findings"]
    at_or_above: Severity = "high"
    at_most: int = Field(default=0, ge=0)


class MeasurementRequirement(Record):
    """A measured value is good enough. Exactly one of at_least and at_most, or a floor of heliotrope.yaml."""

    kind: Literal["measurement"]
    metric: str
    check: str
    """Which check measures it, as in evasion.pgd or evasion.*; its outcome explains a missing value."""
    alternatives: tuple[str, ...] = ()
    """Metrics that stand in for it on a model of another task, as r2 for clean_accuracy; held against their own floor."""
    at_least: float | None = None
    at_most: float | None = None
    judge: Literal["interval", "point"] = "interval"
    """interval: the whole confidence interval must lie on the good side; across the limit is unknown."""

    @model_validator(mode="after")
    def _one_limit(self) -> Self:
        if self.at_least is not None and self.at_most is not None:
            raise ValueError("give at_least or at_most, not both")
        return self


class EvidenceRequirement(Record):
    """A field of a piece of evidence has one of these values."""

    kind: Literal["evidence"]
    predicate: str
    """Predicate type, as in urn:heliotrope:predicate:evasion:v1."""
    check: str
    """Which check produces it, as in evasion.pgd or evasion.*."""
    field: str
    """Dotted path into the predicate."""
    one_of: Annotated[tuple[str | int | float | bool, ...], Field(min_length=1)] | None = None
    at_least: float | None = None
    at_most: float | None = None
    unknown_if: tuple[str | int | float | bool, ...] = ()
    """Values that say the evidence itself cannot be relied on."""
    by_lowest: str | None = None
    """Dotted path of a number: where checks gave several pieces, those with the lowest one decide, and one of them that passes
    suffices, as a doubt about the weaker of two attacks does not matter. Without it every piece must pass."""
    within: str | None = None
    """With by_lowest: dotted path of the number's interval. Pieces whose number lies within the interval of the lowest decide with it:
    an attack that worked confirms a stronger one that leaves a doubt, where both found the same but for chance."""

    @model_validator(mode="after")
    def _some_test(self) -> Self:
        if self.one_of is None and self.at_least is None and self.at_most is None:
            raise ValueError("give one_of, at_least or at_most")
        return self


Requirement = Annotated[
    ExaminedRequirement
    | CheckRequirement
    | ConcludedRequirement
    | FilesRequirement
    | FindingsRequirement
    | MeasurementRequirement
    | EvidenceRequirement,
    Field(discriminator="kind"),
]


class PolicyRule(Record):
    """One rule, held against the project or against each of its models."""

    id: Name
    title: str
    applies_to: Literal["project", "model"]
    require: Requirement
    remediation: str = ""


class Policy(Record):
    """A policy file."""

    version: Literal[1]
    name: Name
    description: str = ""
    analysers: tuple[AnalyserId, ...] = ()
    """Third-party analysers that take part in scans. A policy from outside the project has the only say in this."""
    allow: tuple[ScanAllowance, ...] = ()
    """Names that model files may use, as in scan.allow. A policy from outside the project has the only say in this."""
    rules: Annotated[tuple[PolicyRule, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _ids_differ(self) -> Self:
        ids = [rule.id for rule in self.rules]
        doubles = sorted({name for name in ids if ids.count(name) > 1})
        if doubles:
            raise ValueError(f"two rules are named {doubles[0]!r}")
        return self


class EffectivePolicy(Record):
    """The rules that hold for one assessment, floors included. Its digest identifies the policy in every report."""

    policy: Policy
    floors: dict[str, float]
    fail_on: Severity | None = None
    """Overrides the severity from which findings count."""
    analysers: tuple[str, ...] = ()
    """Third-party analysers that are on, each as id and version."""
    analysers_off: tuple[str, ...] = ()
    """Those that the project names and a policy from outside does not."""
    allow: tuple[ScanAllowance, ...] = ()
    """Names of the person's own code that model files may use."""
    allow_off: tuple[str, ...] = ()
    """Those that the project allows and a policy from outside does not."""

    def reference(self, source: str) -> PolicyReference:
        return PolicyReference(
            name=self.policy.name,
            source=source,
            digest=content_id(self),
            differences=tuple(_differences(self)),
        )


def load_policy(path: Path) -> Policy:
    """Read a policy file strictly; ConfigError names file, line and key."""
    return load_yaml_model(path, Policy).value


@cache
def default_policy() -> Policy:
    """The pack that holds for projects when nothing else is said."""
    return _shipped("default")


def model_policy(floors: Mapping[str, float], *, fail_on: Severity | None = None) -> tuple[EffectivePolicy, str]:
    """The pack that holds for a model that a program has at hand, without files; and where it came from."""
    policy, own = _shipped("model"), dict(floors)
    _require_known_floors(own, policy)
    return EffectivePolicy(policy=policy, floors=own, fail_on=fail_on), "built-in"


def _shipped(name: str) -> Policy:
    return load_policy(Path(str(files("heliotrope.gate") / "packs" / f"{name}.yaml")))


def effective_policy(
    *, config: HeliotropeConfig | None, root: Path, policy_file: Path | None, fail_on: Severity | None
) -> tuple[EffectivePolicy, str]:
    """The policy that holds, and where it came from.

    A policy from outside the project can only be tightened by it: rules that the project's own pack adds are added, and a
    floor of the project counts where it is stricter. An analyser could make files readable that were not, so it is on
    only when that policy names it. The result names analysers by id; their versions are the caller's to add.
    """
    pack = config.gates.pack if config else "default"
    own = default_policy() if pack == "default" else load_policy(root / pack)
    floors = dict(config.gates.floors) if config else {}
    policy, source = own, "built-in" if pack == "default" else pack
    analysers = {*own.analysers, *(config.scan.enabled if config else ())}
    on = analysers
    allowed = _allowances((*own.allow, *(config.scan.allow if config else ())))
    allow = allowed
    if policy_file is not None:
        outer = load_policy(policy_file)
        known = {rule.id for rule in outer.rules}
        added = tuple(rule for rule in own.rules if rule.id not in known) if pack != "default" else ()
        policy, source = outer.model_copy(update={"rules": outer.rules + added}), str(policy_file)
        on = {*outer.analysers}
        allow = _allowances(outer.allow)
    _require_known_floors(floors, policy)
    effective = EffectivePolicy(
        policy=policy,
        floors=floors,
        fail_on=fail_on,
        analysers=tuple(sorted(on)),
        analysers_off=tuple(sorted(analysers - on)),
        allow=allow,
        allow_off=tuple(item.global_ for item in allowed if item not in allow),
    )
    return effective, source


def _allowances(items: Iterable[ScanAllowance]) -> tuple[ScanAllowance, ...]:
    """Each once, by name."""
    return tuple(sorted(set(items), key=lambda item: (item.global_, item.expires, item.reason)))


def _require_known_floors(floors: dict[str, float], policy: Policy) -> None:
    """A misspelt floor must not be a floor that holds nothing."""
    held = [rule.require for rule in policy.rules if isinstance(rule.require, MeasurementRequirement)]
    metrics = sorted({metric for require in held for metric in (require.metric, *require.alternatives)})
    for metric in floors:
        if metric not in metrics:
            raise ConfigError(
                f"gates.floors.{printable(metric)}: no rule of policy {policy.name} measures this",
                hint=f"known: {', '.join(metrics)}" if metrics else "this policy has no rule on a measurement",
            )


def _differences(effective: EffectivePolicy) -> list[str]:
    shipped = {rule.id: rule for rule in default_policy().rules}
    held = {rule.id: rule for rule in effective.policy.rules}
    lines = [f"rule {name} is left out" for name in shipped if name not in held]
    lines += [f"rule {name} is added" for name in held if name not in shipped]
    lines += [f"rule {name} is changed" for name, rule in held.items() if name in shipped and rule != shipped[name]]
    lines += [f"analyser {name} takes part" for name in effective.analysers]
    lines += [f"analyser {name} of the project stays off" for name in effective.analysers_off]
    lines += [
        f"files may use {item.global_} ({', '.join(item.uses)}) up to {item.expires}: {item.reason}"
        for item in effective.allow
    ]
    lines += [f"the project's allowance of {name} does not count" for name in effective.allow_off]
    lines += [f"floor {metric} is {value:g}" for metric, value in sorted(effective.floors.items())]
    if effective.fail_on not in (None, "high"):
        lines.append(f"findings count from severity {effective.fail_on}, not from high")
    return lines
