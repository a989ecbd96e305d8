"""How severities look in text."""

from heliotrope.core.findings import Severity

__all__ = ["SEVERITY_STYLES", "SEVERITY_SYMBOLS"]

SEVERITY_SYMBOLS: dict[Severity, str] = {"critical": "◆", "high": "▲", "medium": "■", "low": "●", "info": "○"}
SEVERITY_STYLES: dict[Severity, str] = {
    "critical": "bold red",
    "high": "red",
    "medium": "yellow",
    "low": "",
    "info": "dim",
}
