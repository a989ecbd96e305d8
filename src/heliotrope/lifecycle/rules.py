"""The rules of all capabilities in one list, for reports and for the reference pages."""

from heliotrope.attack.rules import RULES as ATTACK_RULES
from heliotrope.core.findings import Rule
from heliotrope.engine.registry import checks
from heliotrope.explain.rules import RULES as EXPLAIN_RULES
from heliotrope.harden.rules import RULES as HARDEN_RULES
from heliotrope.quality.rules import RULES as QUALITY_RULES
from heliotrope.scan import analysers
from heliotrope.scan.rules import RULES as SCAN_RULES
from heliotrope.supply.rules import RULES as SUPPLY_RULES

__all__ = ["all_rules", "own_rules"]


def own_rules() -> tuple[Rule, ...]:
    """Every rule that Heliotrope itself brings, by id."""
    rules = (*SCAN_RULES, *SUPPLY_RULES, *QUALITY_RULES, *ATTACK_RULES, *EXPLAIN_RULES, *HARDEN_RULES)
    return tuple(sorted(rules, key=lambda rule: rule.id))


def all_rules() -> tuple[Rule, ...]:
    """Those and the rules of installed plug-ins, by id; nobody takes over a rule of ours."""
    rules = {rule.id: rule for item in analysers() for rule in item.rules}
    rules |= {rule.id: rule for item in checks() for rule in item.rules}
    rules |= {rule.id: rule for rule in own_rules()}
    return tuple(rules[name] for name in sorted(rules))
