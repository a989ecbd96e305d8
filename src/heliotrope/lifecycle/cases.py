"""Handing the counterexamples that a ledger keeps to the check that puts them to the present version of a model."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from heliotrope.attack.cases import MANIFEST
from heliotrope.core.errors import LedgerError
from heliotrope.core.predicates.behaviour import EVASION_PREDICATE
from heliotrope.core.predicates.counterexamples import COUNTEREXAMPLES_PREDICATE, CaseManifest, CaseSource
from heliotrope.core.records import canonical_bytes, sha256_hex
from heliotrope.ledger.interface import Ledger
from heliotrope.lifecycle.planning import PlannedRun
from heliotrope.lifecycle.state import Store

__all__ = ["CHECK", "with_cases"]

CHECK = "regression.counterexamples"

_MOST_SOURCES = 20
_MOST_READ = 200
"""Pieces of evidence that are looked at for sources: what was found long ago was mostly found again since."""


def with_cases(run: PlannedRun, store: Store, state: Path) -> PlannedRun:
    """The run with what its ledger knows of counterexamples as inputs, written below `state`; other runs as they are."""
    if run.descriptor.id != CHECK or run.preset is not None or run.planned.outcome is not None or run.planned.missing:
        return run
    manifest = _manifest(store.ledger, run.planned.subject.urn, store)
    if not manifest.sources:
        return run
    folder = state / "cases"
    inputs = dict(run.planned.inputs)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for source in manifest.sources:
            inputs[f"cases/{source.samples}"] = _written(folder / source.samples, store.blobs.get(source.samples))
        data = canonical_bytes(manifest)
        inputs[MANIFEST] = _written(folder / f"{sha256_hex(data)}.json", data)
    except OSError as error:
        raise LedgerError(f"counterexamples cannot be written below {folder}: {error.strerror}") from None
    return replace(run, planned=replace(run.planned, inputs=inputs))


def _manifest(ledger: Ledger, urn: str, store: Store) -> CaseManifest:
    """The newest attacks whose inputs are still there, each set of inputs once, and what was withstood."""
    sources: dict[str, CaseSource] = {}
    left_out = 0
    for number, (event_id, time, document) in enumerate(_evidence(ledger, urn, EVASION_PREDICATE)):
        samples = document["predicate"].get("samples")
        if samples is None or samples["sha256"] in sources or not store.blobs.has(samples["sha256"]):
            continue
        if len(sources) == _MOST_SOURCES or number >= _MOST_READ:
            left_out += 1
            continue
        sources[samples["sha256"]] = CaseSource(
            evidence=event_id,
            samples=samples["sha256"],
            media_type=samples["media_type"],
            attack=document["predicate"]["attack"],
            digests=tuple(sorted(one["digest"]["sha256"] for one in document["subject"])),
            found=time,
        )
    held = next((doc["predicate"]["held"] for _, _, doc in _evidence(ledger, urn, COUNTEREXAMPLES_PREDICATE)), ())
    return CaseManifest(sources=tuple(sources.values()), left_out=left_out, held=tuple(held))


def _evidence(ledger: Ledger, urn: str, predicate: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Evidence of a type about a model, newest first; what retention removed is gone."""
    import json

    for event in ledger.find("evidence", subject=urn, predicate=predicate):
        with contextlib.suppress(LedgerError):
            yield event.content_id, event.time, json.loads(ledger.content(event.content_id))


def _written(path: Path, data: bytes) -> Path:
    """A file named by its content: one that is there is right unless it was changed, and then it is written anew."""
    if not path.is_file() or sha256_hex(path.read_bytes()) != sha256_hex(data):
        fresh = path.with_name(f"{path.name}.new")
        with fresh.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    return path
