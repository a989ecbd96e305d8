"""Which old contents of a ledger may go: what nothing that still counts speaks of.

Kept are decisions, notes and retention records for ever; everything younger than asked for; the latest assessment of every
target and the baselines that kept assessments were held against; and whatever those mention.
"""

import getpass
import json
import os
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from heliotrope.core.events import Event
from heliotrope.core.ids import timestamp
from heliotrope.core.text import printable, shorten
from heliotrope.ledger.blobs import blobs_of_run
from heliotrope.ledger.interface import (
    MAX_KEYS,
    PRUNED_BLOB_KEY,
    PRUNED_KEY,
    EntryKind,
    Ledger,
    PrunedError,
    Retention,
)

__all__ = ["PRUNABLE", "Plan", "Removed", "plan_pruning", "prune"]

PRUNABLE: frozenset[EntryKind] = frozenset({"evidence", "finding", "run", "assessment"})
"""What makes a ledger large and may be about people. Decisions are small, and what one has to answer for."""

_MENTIONED_CONTENT = re.compile(rb'"([0-9a-f]{64})"')
_MENTIONED_RECORD = re.compile(rb'"([0-9A-Z]{26})"')


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be removed."""

    retention: Retention
    contents: tuple[str, ...]
    blobs: tuple[str, ...]
    leftover_blobs: tuple[str, ...]
    """Removed on record already, and still there: whoever removed them was stopped."""
    size: int
    """Bytes of the contents."""

    @property
    def empty(self) -> bool:
        return not (self.contents or self.blobs or self.leftover_blobs)


@dataclass(frozen=True, slots=True)
class Removed:
    """What was removed."""

    contents: int
    blobs: int


def plan_pruning(ledger: Ledger, *, keep: timedelta, now: datetime) -> Plan:
    """Look through the whole ledger. Held in memory: some 200 bytes for each record that is old enough."""
    cutoff = timestamp(now - keep)
    survey = _Survey(ledger, cutoff)
    for event in ledger.events():
        survey.note(event)
    survey.protect()
    doomed, leftover = survey.blobs()
    retention = Retention(
        by=_who(), keep_days=keep / timedelta(days=1), older_than=cutoff, horizon=survey.horizon, contents=0, blobs=0
    )
    return Plan(retention, tuple(sorted(survey.old)), doomed, leftover, sum(survey.old.values()))


def prune(ledger: Ledger, plan: Plan) -> Removed:
    """Remove what was planned, as far as nothing refers to it meanwhile. Each step is recorded before it is done."""
    contents = 0
    named = [(True, item) for item in plan.contents] + [(False, item) for item in plan.blobs]
    for start in range(0, len(named), MAX_KEYS):
        part = named[start : start + MAX_KEYS]
        contents += len(
            ledger.prune(
                plan.retention,
                [item for is_content, item in part if is_content],
                [item for is_content, item in part if not is_content],
            )
        )
    used = _blobs_since(ledger, plan.retention.horizon)
    blobs = sum(ledger.blobs.remove(item) for item in (*plan.blobs, *plan.leftover_blobs) if item not in used)
    if contents or blobs:
        ledger.reclaim()
    return Removed(contents, blobs)


class _Survey:
    """What is old, and what still counts."""

    def __init__(self, ledger: Ledger, cutoff: str) -> None:
        self._ledger = ledger
        self._cutoff = cutoff
        self.horizon = 0
        self.old: dict[str, int] = {}
        """Content id to size, of what may go."""
        self._kept: set[str] = set()
        self._roots: set[str] = set()
        self._runs: dict[str, str] = {}
        """Record id to content id."""
        self._assessments: dict[str, str] = {}
        self._latest: dict[str, str] = {}
        """Target to content id of its last assessment."""
        self._removed_blobs: set[str] = set()

    def note(self, event: Event) -> None:
        """Events in their order: a content that was removed may have been recorded anew after that."""
        self.horizon = event.sequence
        if event.kind == "retention":
            for name, value in event.keys:
                if name == PRUNED_KEY:
                    self.old.pop(value, None)
                elif name == PRUNED_BLOB_KEY:
                    self._removed_blobs.add(value)
        young = event.time >= self._cutoff
        if event.kind in PRUNABLE and not young:
            self.old[event.content_id] = event.data.size
        else:
            self._kept.add(event.content_id)
        if event.kind == "run":
            self._runs[event.id] = event.content_id
        if event.kind == "assessment":
            keys = dict(event.keys)
            self._assessments[keys.get("assessment", "")] = event.content_id
            self._latest[keys.get("target", "")] = event.content_id
        if young and event.kind in ("assessment", "decision", "run"):
            self._roots.add(event.content_id)

    def protect(self) -> None:
        """Follow what counts to all that it mentions; what is reached is not old any more."""
        for content_id in self._kept:
            self.old.pop(content_id, None)
        assessments = set(self._assessments.values())
        waiting, seen = [*self._roots, *self._latest.values()], set[str]()
        while waiting:
            content_id = waiting.pop()
            if content_id in seen:
                continue
            seen.add(content_id)
            self.old.pop(content_id, None)
            body = self._body(content_id)
            mentioned = (item.decode() for item in _MENTIONED_CONTENT.findall(body))
            waiting += [item for item in mentioned if item in self.old]
            records = (item.decode() for item in _MENTIONED_RECORD.findall(body))
            waiting += [self._runs[item] for item in records if item in self._runs]
            if content_id in assessments:
                waiting += [self._assessments[item] for item in _baseline_of(body) if item in self._assessments]

    def blobs(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Those only old runs name, and those that should be gone already."""
        used, unused = set[str](), set[str]()
        for content_id in set(self._runs.values()):
            (unused if content_id in self.old else used).update(blobs_of_run(self._body(content_id)))
        there = self._ledger.blobs.has
        leftover = {item for item in self._removed_blobs - used - unused if there(item)}
        return tuple(sorted(unused - used)), tuple(sorted(leftover))

    def _body(self, content_id: str) -> bytes:
        try:
            return self._ledger.content(content_id)
        except PrunedError:
            return b"{}"


def _baseline_of(body: bytes) -> Iterable[str]:
    baseline = json.loads(body).get("baseline")
    return (baseline,) if isinstance(baseline, str) else ()


def _blobs_since(ledger: Ledger, horizon: int) -> set[str]:
    used: set[str] = set()
    for event in ledger.events(horizon):
        if event.kind == "run":
            used.update(blobs_of_run(ledger.content(event.content_id)))
    return used


def _who() -> str:
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        user = f"uid {os.geteuid()}"
    return shorten(printable(f"{user}@{socket.gethostname()}"), 200)
