"""`python -m tests.adversary.check [GROUP...]`: every variant scanned and loaded; `known_open.txt` beside this gets what slips through."""

import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.adversary.fuzz import CAUGHT, scan_once
from tests.adversary.oracle import Oracle
from tests.adversary.variants import BESIDE, variants

__all__ = ["KNOWN_OPEN", "known_open"]

KNOWN_OPEN = Path(__file__).with_name("known_open.txt")


def known_open() -> frozenset[str]:
    """Variants that execute and are known to be called something else than malicious or suspicious."""
    if not KNOWN_OPEN.exists():
        return frozenset()
    return frozenset(line for line in KNOWN_OPEN.read_text().splitlines() if line and not line.startswith("#"))


def main(groups: list[str]) -> None:
    counts: Counter[tuple[str, str, str]] = Counter()
    still_open = []
    with tempfile.TemporaryDirectory() as folder, Oracle() as oracle:
        for variant in variants():
            if groups and variant.group not in groups:
                continue
            report = scan_once(Path(folder, variant.file), variant.data)
            seen = oracle.load(variant.data, variant.file, ways=variant.ways, beside=BESIDE)
            state = "executes" if seen.fired else "too late" if seen.timed_out else "silent"
            counts[variant.group, report.verdict, state] += 1
            if seen.fired and report.verdict not in CAUGHT:
                still_open.append(str(variant))
            if seen.fired == (report.verdict not in CAUGHT):
                print(f"{variant!s:70} {report.verdict:11} {state} {' '.join(seen.events[:1])}", flush=True)
    for key, count in sorted(counts.items()):
        print(*key, count)
    if not groups:
        head = "# Written by python -m tests.adversary.check: attacks that succeed and are not called malicious or suspicious.\n"
        KNOWN_OPEN.write_text(head + "".join(f"{name}\n" for name in still_open) if still_open else "")


if __name__ == "__main__":
    main(sys.argv[1:])
