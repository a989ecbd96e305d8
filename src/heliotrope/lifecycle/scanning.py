"""Recording a scan that was made outside an assessment."""

from pathlib import Path

from heliotrope.core.evidence import statement
from heliotrope.core.ids import Clock, SystemClock
from heliotrope.core.predicates.scan import SCAN_PREDICATE, ScanDocument, ScanPredicate
from heliotrope.ledger.interface import Entry
from heliotrope.lifecycle.state import open_store

__all__ = ["record_scan"]


def record_scan(document: ScanDocument, *, state: Path, ledger: str | None, clock: Clock | None = None) -> str:
    """Append the scan as evidence about every file that was read; the new head."""
    digests = {report.path: report.sha256 for report in document.files if report.sha256 is not None}
    predicate = ScanPredicate(
        tool=document.tool,
        verdict=document.verdict,
        files=document.files,
        summary=document.summary,
        decision=document.decision,
    )
    evidence = statement(digests, SCAN_PREDICATE, predicate)
    keys = (("predicate", SCAN_PREDICATE), *(("digest", digest) for digest in sorted(set(digests.values()))[:1000]))
    with open_store(state, ledger, clock or SystemClock()) as store:
        store.ledger.append([Entry("evidence", evidence, keys)])
        return str(store.ledger.head())
