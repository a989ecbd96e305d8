"""Scans changed files in large numbers, loads some of them in the oracle, and keeps what should not have happened."""

import hashlib
import resource
import signal
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from heliotrope.core.predicates.scan import FileReport
from heliotrope.scan import scan_paths
from tests.adversary.mutations import Mutator
from tests.adversary.oracle import Oracle
from tests.adversary.variants import BESIDE, Variant

__all__ = ["Outcome", "fuzz", "scan_once"]

CAUGHT = frozenset({"malicious", "suspicious"})
_CONTAINER_WAYS = ("pickle", "torch", "joblib", "numpy", "zip", "unpacked")
_HANG_SECONDS = 20
_SLOW_SECONDS = 2.0
_LARGEST = 2**20
"""Bytes of a changed file; splicing can double it again and again."""


@dataclass
class Outcome:
    """What happened."""

    scans: int = 0
    loads: int = 0
    executed: int = 0
    """Loads in which the payload still ran."""
    verdicts: Counter[str] = field(default_factory=Counter)
    crashes: list[str] = field(default_factory=list)
    slow: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    """Files that executed and were not malicious or suspicious."""
    peak_mb: float = 0.0
    cpu_seconds: float = 0.0


class _HungError(BaseException):
    pass


def _hung(_signal: int, _frame: Any) -> None:
    raise _HungError


def scan_once(path: Path, data: bytes) -> FileReport:
    path.write_bytes(data)
    (report,) = scan_paths([path]).files
    return report


def fuzz(
    seeds: list[tuple[Variant, bool]],
    *,
    scans: int,
    loads: int,
    seed: int,
    keep: Path,
    frameworks: tuple[str, ...] = (),
    seconds: float = float("inf"),
    tell: Callable[[Outcome], None] = lambda _outcome: None,
) -> Outcome:
    """Scan `scans` changed files and load `loads` of those that come from a seed that executes (the second of each pair).

    Half of the loads go to files that are malicious or suspicious: they show how many still execute. What went wrong is kept in the folder `keep`.
    """
    outcome = Outcome()
    mutator = Mutator([variant.data for variant, _ in seeds], seed)
    until = time.monotonic() + seconds
    loaded = {True: 0, False: 0}
    began = time.process_time()
    keep.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGALRM, _hung)
    with tempfile.TemporaryDirectory(dir=_memory_folder()) as folder, Oracle(frameworks) as oracle:
        while outcome.scans < scans and time.monotonic() < until:
            number, data = mutator.draw()
            data = data[:_LARGEST]
            variant, executes = seeds[number]
            outcome.scans += 1
            report = _scanned(outcome, Path(folder, variant.file), data, keep)
            if outcome.scans % 10_000 == 0:
                tell(outcome)
            if report is None or not executes:
                continue
            caught = report.verdict in CAUGHT
            if loaded[caught] < loads / 2 * outcome.scans / scans:
                loaded[caught] += 1
                _loaded(outcome, oracle, variant, data, report, keep)
    outcome.peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    outcome.cpu_seconds = time.process_time() - began
    return outcome


def _memory_folder() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def _scanned(outcome: Outcome, path: Path, data: bytes, keep: Path) -> FileReport | None:
    begin = time.process_time()
    signal.alarm(_HANG_SECONDS)
    try:
        report = scan_once(path, data)
    except _HungError:
        outcome.slow.append(_kept(keep, "hang", data))
        return None
    except Exception:
        outcome.crashes.append(f"{_kept(keep, 'crash', data)}\n{traceback.format_exc()[-600:]}")
        return None
    finally:
        signal.alarm(0)
    if time.process_time() - begin > _SLOW_SECONDS:
        outcome.slow.append(_kept(keep, "slow", data))
    outcome.verdicts[report.verdict] += 1
    return report


def _loaded(outcome: Outcome, oracle: Oracle, variant: Variant, data: bytes, report: FileReport, keep: Path) -> None:
    try:
        ways = variant.ways if variant.file == "model.pkl" else _CONTAINER_WAYS
        seen = oracle.load(data, variant.file, ways=ways, use=False, beside=BESIDE, seconds=8)
    except RuntimeError:
        return
    outcome.loads += 1
    outcome.executed += seen.fired
    if seen.fired and report.verdict not in CAUGHT:
        outcome.missed.append(f"{_kept(keep, 'missed', data)} {report.verdict} from {variant} {seen.events[:2]}")


def _kept(keep: Path, kind: str, data: bytes) -> str:
    path = keep / f"{kind}-{hashlib.sha256(data).hexdigest()[:16]}.bin"
    path.write_bytes(data)
    return path.name
