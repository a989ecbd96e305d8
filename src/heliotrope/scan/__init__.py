"""Static inspection of model files: nothing in them is executed, imported or unpickled."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from heliotrope.scan._service import scan_paths
    from heliotrope.scan.limits import ScanLimits
    from heliotrope.scan.policy import policy_digest
    from heliotrope.scan.registry import analyser, analysers, enable
    from heliotrope.scan.rules import RULES, find_rule, verdict_of

__all__ = [
    "RULES",
    "ScanLimits",
    "analyser",
    "analysers",
    "enable",
    "find_rule",
    "policy_digest",
    "scan_paths",
    "verdict_of",
]

_HOMES = {
    "RULES": "rules",
    "ScanLimits": "limits",
    "analyser": "registry",
    "analysers": "registry",
    "enable": "registry",
    "find_rule": "rules",
    "policy_digest": "policy",
    "scan_paths": "_service",
    "verdict_of": "rules",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for: the command line shows help without any of it."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
