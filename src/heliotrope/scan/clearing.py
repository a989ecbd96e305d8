"""Clearances: the verdict on bytes in memory, turned into what a loader may do with them."""

import heliotrope
from heliotrope.core.clearances import Clearance
from heliotrope.core.errors import InputError
from heliotrope.core.predicates.scan import ScanVerdict
from heliotrope.core.records import sha256_hex
from heliotrope.core.text import printable
from heliotrope.scan.collector import Collector
from heliotrope.scan.dispatch import analyse, analyse_nested
from heliotrope.scan.interface import Context, Recognised
from heliotrope.scan.limits import Budget, ScanLimits
from heliotrope.scan.policy import policy_digest
from heliotrope.scan.sources import BytesSource

__all__ = ["clear_bytes"]

_HINTS: dict[ScanVerdict, str] = {
    "malicious": "do not load it anywhere; get the model from its publisher and compare digests",
    "suspicious": "run helio scan on it to see every finding; ask for the model in a format without code",
    "incomplete": "run helio scan on it to see what was not inspected; only what was read to the last byte is loaded",
    "unsupported": "export the model in a format that can be inspected",
}


def clear_bytes(data: bytes, name: str) -> Clearance:
    """Inspect the bytes; their clearance when the verdict is clean, else InputError with verdict, finding and hint."""
    limits = ScanLimits()
    notes = Collector(name, limits)
    context = Context(notes, limits, Budget.of(limits), analyse_nested)
    recognised = (analyse(BytesSource(data), name, context) if data else None) or Recognised("unknown", supported=False)
    verdict = notes.verdict(supported=recognised.supported)
    if verdict != "clean":
        raise _refusal(name, verdict, recognised.format, notes)
    return Clearance(
        sha256=sha256_hex(data),
        size=len(data),
        format=recognised.format,
        scanner_version=heliotrope.__version__,
        policy_digest=policy_digest(),
        globals=notes.imports(),
    )


def _refusal(name: str, verdict: ScanVerdict, format_: str, notes: Collector) -> InputError:
    findings, incomplete = notes.findings(), notes.incompletes()
    hint = _HINTS[verdict]
    if verdict in ("malicious", "suspicious") and findings:
        why = f"{findings[0].message} ({findings[0].rule})"
    elif verdict == "incomplete" and incomplete:
        why = incomplete[0].reason
    else:
        why = f"the format {format_} cannot be inspected"
    return InputError(f"{printable(name)} is not loaded: the scan's verdict is {verdict}: {why}", hint=hint)
