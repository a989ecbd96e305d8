"""Rules of what lies beside weights: configuration, templates, notebooks and modules."""

from heliotrope.core.findings import Rule

__all__ = ["RULES"]

RULES: tuple[Rule, ...] = ()
