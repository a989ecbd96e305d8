"""Which files go to worker processes, and what becomes of those whose worker died."""

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from heliotrope.core.predicates.scan import FileReport, Incomplete
from heliotrope.core.text import printable
from heliotrope.engine.files import stamp_of
from heliotrope.scan.inspecting import Inspected, Target
from heliotrope.scan.limits import ScanLimits
from heliotrope.scan.parallel import Asked, Outcome, inspect_in_workers, worthwhile_jobs
from heliotrope.scan.registry import Enabled

if TYPE_CHECKING:
    from heliotrope.scan.caching import ResultCache

__all__ = ["share_out"]


def share_out(
    targets: Mapping[int, Target],
    *,
    jobs: int | None,
    limits: ScanLimits,
    analysers: Enabled,
    cache: "ResultCache | None",
    progress: Callable[[float, float, str], None] | None,
) -> dict[int, Inspected]:
    """Inspect targets in worker processes where that pays, by number; empty where it does not."""
    known = (
        {} if cache is None else {number: made for number, item in targets.items() if (made := _cached(item, cache))}
    )
    asked = [
        Asked(number, os.fspath(item.path), item.shown, item.named, item.size, item.inode)
        for number, item in targets.items()
        if number not in known
    ]
    count = min(worthwhile_jobs([item.size for item in asked]) if jobs is None else jobs, len(asked))
    if count < 2:
        return known
    total = float(sum(item.size for item in targets.values()))
    done = total - sum(item.size for item in asked)

    def finished(item: Asked) -> None:
        nonlocal done
        done += item.size
        if progress is not None:
            progress(done, total, printable(item.shown))

    if progress is not None:
        progress(done, total, printable(asked[0].shown))
    outcomes = inspect_in_workers(
        asked, jobs=count, limits=limits, analysers=[name for name, _ in analysers.names], finished=finished
    )
    for number, outcome in outcomes.items():
        known[number] = _inspected(targets[number], outcome, cache)
    return known


def _cached(target: Target, cache: "ResultCache") -> Inspected | None:
    try:
        stamp = stamp_of(target.path.stat())
    except (OSError, ValueError):
        return None
    if target.inode is not None and stamp[1] != target.inode:
        return None
    digest = cache.digest(stamp)
    kept = cache.result(digest, target.path.name, named=target.named) if digest is not None else None
    return Inspected(kept.at(target.shown)) if kept is not None else None


def _inspected(target: Target, outcome: Outcome, cache: "ResultCache | None") -> Inspected:
    if outcome.died:
        return Inspected(
            FileReport(
                path=target.shown,
                sha256=None,
                size=None,
                format="unknown",
                verdict="incomplete",
                supported=False,
                incomplete=(Incomplete(reason=outcome.died),),
            )
        )
    if cache is not None and outcome.report is not None and outcome.places is not None:
        from heliotrope.scan.caching import Kept

        cache.keep(Kept(outcome.report, outcome.places), target.path.name, named=target.named, stamp=outcome.stamp)
    return Inspected(outcome.report, outcome.places)
