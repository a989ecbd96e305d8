"""Gathers what is noted about one file: one finding for each (rule, global), with a count and the first places."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from heliotrope.core.findings import SEVERITIES, Confidence, Fix, Location, Rule, fingerprint
from heliotrope.core.predicates.scan import Incomplete, ScanFinding, ScanVerdict, worst_verdict
from heliotrope.core.text import printable
from heliotrope.scan.limits import ScanLimits

__all__ = ["Collector", "worst_first"]

_MAX_INCOMPLETE = 20
"""Reasons listed; a broken archive could have one for each of its members."""

"""Severities that do not change a verdict."""

_MAX_TEXT = 300
"""Characters of a name or message taken from the file."""


@dataclass(slots=True)
class _Gathered:
    rule: str
    message: str
    global_name: str | None
    key: str
    confidence: Confidence
    fix: str = ""
    count: int = 0
    locations: list[Location] = field(default_factory=list)
    uses: set[str] = field(default_factory=set)


class Collector:
    """The Notes of one file."""

    def __init__(self, path: str, limits: ScanLimits, *, rules: tuple[Rule, ...] = ()) -> None:
        """`rules` are those of an analyser of another package."""
        self._rules = {rule.id: rule for rule in rules}
        self._path = path
        self._limits = limits
        self._gathered: dict[tuple[str, str], _Gathered] = {}
        self._counts: Counter[int] = Counter()
        """Findings of each severity; those of none are left out."""
        self._incomplete: dict[tuple[str, str | None], Incomplete] = {}
        self._damaged = False
        """Whether anything was not analysed for another reason than that it is not supported."""
        self._imports: set[str] = set()
        self.places: dict[str, str] = {}
        """Fingerprint to what it is made of beside rule and path, of the findings that were asked for."""

    def add(
        self,
        rule: str,
        message: str,
        *,
        key: str = "",
        global_name: str | None = None,
        member: str | None = None,
        offset: int | None = None,
        confidence: Confidence = "high",
        count: int = 1,
        uses: frozenset[str] = frozenset(),
        fix: str = "",
    ) -> None:
        identity = (rule, global_name or key)
        item = self._gathered.get(identity)
        if item is None:
            if len(self._gathered) >= self._limits.max_findings:
                self._overflow()
                if not self._make_room(rule):
                    return
            item = _Gathered(rule, message, global_name, key, confidence, fix)
            self._gathered[identity] = item
            self._counts[self._severity(rule)] += 1
        item.count += count
        item.uses |= uses
        if len(item.locations) < self._limits.max_locations:
            item.locations.append(Location(member=None if member is None else _shown(member), offset=offset))

    def incomplete(
        self,
        reason: str,
        *,
        limit: str | None = None,
        member: str | None = None,
        offset: int | None = None,
        unsupported: bool = False,
    ) -> None:
        if limit is not None:
            self.add("scan-limit", f"limit {limit} was reached", key=limit, member=member, offset=offset)
        identity = (reason, member)
        self._damaged |= not unsupported
        if identity in self._incomplete or len(self._incomplete) >= _MAX_INCOMPLETE:
            return
        place = None
        if member is not None or offset is not None:
            place = Location(member=None if member is None else _shown(member), offset=offset)
        self._incomplete[identity] = Incomplete(reason=_shown(reason), limit=limit, location=place)

    def imported(self, name: str) -> None:
        if len(self._imports) < self._limits.max_globals:
            self._imports.add(name)
        elif name not in self._imports:
            reason = f"more than {self._limits.max_globals} different imports"
            self.incomplete(reason, limit="max_globals")

    def imports(self) -> tuple[str, ...]:
        """The globals that a loader would import and the policy lets pass, sorted."""
        return tuple(sorted(self._imports))

    def _make_room(self, rule: str) -> bool:
        """Drop the mildest finding for a worse one: a flood of harmless things must not hide what harms."""
        least = max(self._counts, default=-1)
        if self._severity(rule) >= least:  # told without a look at the others, of which there may be millions more
            return False
        mildest = next(key for key in reversed(self._gathered) if self._severity(self._gathered[key].rule) == least)
        del self._gathered[mildest]
        self._counts -= Counter([least])
        return True

    def _severity(self, rule: str) -> int:
        """Its place, worst first."""
        return SEVERITIES.index(self._rule(rule).severity)

    def _overflow(self) -> None:
        reason = f"more than {self._limits.max_findings} different findings; the others are not listed"
        key = (reason, None)
        self._damaged = True
        self._incomplete.setdefault(key, Incomplete(reason=reason, limit="max_findings"))

    @property
    def noted(self) -> bool:
        """Whether anything was noted at all."""
        return bool(self._gathered or self._incomplete)

    def findings(self) -> tuple[ScanFinding, ...]:
        """Worst first, then by rule and name."""
        return worst_first(self._finding(item) for item in self._gathered.values())

    def incompletes(self) -> tuple[Incomplete, ...]:
        return tuple(self._incomplete.values())

    def verdict(self, *, supported: bool) -> ScanVerdict:
        """The worst that anything noted calls for."""
        verdicts: list[ScanVerdict] = []
        if self._gathered:
            from heliotrope.scan.rules import verdict_of

            verdicts.extend(verdict_of(self._rule(item.rule).severity) for item in self._gathered.values())
        if self._damaged:
            verdicts.append("incomplete")
        if not supported or self._incomplete:
            verdicts.append("unsupported")
        return worst_verdict(tuple(verdicts))

    def _rule(self, rule_id: str) -> Rule:
        from heliotrope.scan.rules import find_rule  # most files call for none

        return self._rules.get(rule_id) or find_rule(rule_id)

    def _finding(self, item: _Gathered) -> ScanFinding:
        rule = self._rule(item.rule)
        member = item.locations[0].member if item.locations else None
        place = printable("\n".join((member or "", item.global_name or item.key)))
        identity = fingerprint(rule.id, self._path, f"{printable(self._path + chr(10))}{place}")
        self.places[identity] = place
        return ScanFinding(
            rule=rule.id,
            severity=rule.severity,
            confidence=item.confidence,
            fingerprint=identity,
            message=_shown(item.message),
            global_=None if item.global_name is None else _shown(item.global_name),
            uses=tuple(sorted(item.uses)),
            why=rule.help,
            count=item.count,
            locations=tuple(item.locations),
            taxonomy=rule.taxonomy,
            fix=Fix(text=f"{rule.fix.text} {item.fix}", safe=False) if item.fix else rule.fix,
        )


def worst_first(findings: Iterable[ScanFinding]) -> tuple[ScanFinding, ...]:
    """By severity, then by rule and name."""
    return tuple(sorted(findings, key=lambda item: (SEVERITIES.index(item.severity), item.rule, item.message)))


def _shown(text: str) -> str:
    """Text from the file, short and free of control characters; valid UTF-8 also when the file's was not."""
    return printable(text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}…")
