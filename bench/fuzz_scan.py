"""Changed malicious and ordinary files in large numbers: does the scanner stand, and does it miss what still executes?

`make bench` runs a short one; for a long one, `python bench/fuzz_scan.py --scans 1000000 --loads 20000 --seed 1`, which
also keeps what went wrong. `--processes` shares it out.
"""

import argparse
import itertools
import multiprocessing
import pickle
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.adversary.fuzz import CAUGHT, Outcome, fuzz, scan_once  # noqa: E402
from tests.adversary.oracle import FRAMEWORKS  # noqa: E402
from tests.adversary.variants import Variant, variants  # noqa: E402

SCANS, LOADS = 20_000, 400
"""Of a run within `make bench`."""
_LARGEST_SEED = 4_000
"""Bytes; a change to a large file is a change to a small one, only slower."""
_FRAMEWORK_SHARE = 0.1
"""Of scans and loads go to files that need frameworks; a load of those costs ten times as much."""


def ordinary() -> list[Variant]:
    """Files nobody means harm with."""
    import numpy as np

    values: list[Any] = [
        {"a": [1, 2.5, ("x", b"y")], "b": {1, 2}, "c": None},
        np.arange(12.0).reshape(3, 4),
        [np.zeros(3, dtype=[("a", "<f4"), ("b", "<i8")]), np.float64(1.5)],
        Counter("model"),
    ]
    return [
        Variant(f"ordinary {number}, protocol {protocol}", "ordinary", pickle.dumps(value, protocol))
        for (number, value), protocol in itertools.product(enumerate(values), (0, 2, 4, 5))
    ]


def seeds(*, frameworks: bool) -> list[tuple[Variant, bool]]:
    """Variants that the scanner catches as they are, which then count when they execute, and ordinary files."""
    groups = {"container", "allowlisted"} if frameworks else {"encoding", "gadget"}
    chosen = []
    with tempfile.TemporaryDirectory() as folder:
        for variant in variants():
            if variant.group in groups and len(variant.data) < _LARGEST_SEED:
                report = scan_once(Path(folder, variant.file), variant.data)
                chosen.append((variant, report.verdict in CAUGHT))
    return [*chosen, *((variant, False) for variant in ordinary())]


def run(scans: int, loads: int, seed: int, keep: Path, *, tell: bool = False) -> Outcome:
    """Both parts; the sum of their outcomes."""
    parts = []
    for frameworks, share in ((False, 1 - _FRAMEWORK_SHARE), (True, _FRAMEWORK_SHARE)):
        parts.append(
            fuzz(
                seeds(frameworks=frameworks),
                scans=round(scans * share),
                loads=round(loads * share),
                seed=seed,
                keep=keep,
                frameworks=FRAMEWORKS if frameworks else (),
                tell=_tell if tell else lambda _outcome: None,
            )
        )
    return total(parts)


def total(parts: list[Outcome]) -> Outcome:
    result = Outcome()
    for part in parts:
        for name in ("scans", "loads", "executed", "verdicts", "crashes", "slow", "missed", "cpu_seconds"):
            setattr(result, name, getattr(result, name) + getattr(part, name))
        result.peak_mb = max(result.peak_mb, part.peak_mb)
    return result


def _tell(outcome: Outcome) -> None:
    print(
        f"{outcome.scans:,} scans, {outcome.loads:,} loads, {outcome.executed:,} executed, {len(outcome.crashes)} crashes,"
        f" {len(outcome.slow)} slow, {len(outcome.missed)} missed",
        flush=True,
    )


def rows(outcome: Outcome) -> list[dict[str, Any]]:
    return [
        _row("changed files scanned", outcome.scans, "", ">= 1,000,000 in a long run"),
        _row("loaded in the oracle", outcome.loads, "", ">= 20,000 in a long run"),
        _row("still executed", outcome.executed, "", ">= 500 in a long run"),
        _row("executed, and not malicious or suspicious", len(outcome.missed), "", "0"),
        _row("crashes of the scanner", len(outcome.crashes), "", "0"),
        _row("scans of more than 2 CPU s", len(outcome.slow), "", "0"),
        _row("peak of the scanning process, its seeds with it", round(outcome.peak_mb), "MB", "<= 256"),
        _row("scans in a CPU second", round(outcome.scans / max(outcome.cpu_seconds, 1e-9)), "", ""),
    ]


def _row(name: str, value: int, unit: str, target: str) -> dict[str, Any]:
    return {"name": name, "value": f"{value:,}", "unit": unit, "target": target}


def main() -> list[dict[str, Any]]:
    """A short run; rows of name, value, unit and target."""
    with tempfile.TemporaryDirectory() as folder:
        return rows(run(SCANS, LOADS, 1, Path(folder)))


def _command() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scans", type=int, default=SCANS)
    parser.add_argument("--loads", type=int, default=LOADS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--keep", type=Path, default=Path("fuzz-findings"))
    options = parser.parse_args()
    count = options.processes
    work = [
        (options.scans // count, options.loads // count, options.seed * 1000 + number, options.keep / str(number))
        for number in range(count)
    ]
    if count == 1:
        outcome = run(*work[0], tell=True)
    else:
        with multiprocessing.get_context("spawn").Pool(count) as pool:
            outcome = total(pool.starmap(run, work))
    for line in (*outcome.missed, *outcome.crashes, *outcome.slow):
        print(line)
    for row in rows(outcome):
        print(f"{row['name']:50} {row['value']:>12} {row['unit']:6} {row['target']}")
    print(dict(outcome.verdicts))
    return 1 if outcome.missed or outcome.crashes or outcome.slow else 0


if __name__ == "__main__":
    sys.exit(_command())
