"""The rules of all capabilities in one list, for reports and for the reference pages."""

from heliotrope.attack.rules import RULES as ATTACK_RULES
from heliotrope.core.findings import Rule
from heliotrope.quality.rules import RULES as QUALITY_RULES
from heliotrope.scan.rules import RULES as SCAN_RULES
from heliotrope.supply.rules import RULES as SUPPLY_RULES

__all__ = ["all_rules"]


def all_rules() -> tuple[Rule, ...]:
    """Every rule that a finding can name, by id."""
    rules = (*SCAN_RULES, *SUPPLY_RULES, *QUALITY_RULES, *ATTACK_RULES)
    return tuple(sorted(rules, key=lambda rule: rule.id))
