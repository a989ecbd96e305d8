"""What the scanner says about files that others made: verdicts by format, and each file that is not clean.

Takes a folder of unpacked packages, one folder each, and scans them as their users would. Nothing in them is installed or executed.
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from heliotrope.core.predicates.scan import VERDICTS, FileReport
from heliotrope.core.text import printable
from heliotrope.scan import scan_paths

__all__ = ["main"]

_SLOW_SECONDS = 2.0
"""CPU seconds per package from which it is named."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a table of verdicts by format, then one line for each file that is not clean."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="holds a folder for each package")
    folder: Path = parser.parse_args(arguments).folder
    packages = sorted(path for path in folder.iterdir() if path.is_dir())
    counts: Counter[tuple[str, str]] = Counter()
    for package in packages:
        begun = time.process_time()
        document = scan_paths([package])
        took = time.process_time() - begun
        if took > _SLOW_SECONDS:
            print(f"slow\t{took:.1f} CPU s\t{printable(package.name)}", flush=True)
        for report in document.files:
            counts[report.format or "unknown", report.verdict] += 1
            if report.verdict != "clean":
                _show(report, folder)
    _table(counts, len(packages))
    return 0


def _show(report: FileReport, folder: Path) -> None:
    name = printable(report.path.removeprefix(f"{folder.as_posix()}/"))
    print(f"{report.verdict}\t{report.format}\t{name}")
    for finding in report.findings:
        if finding.severity not in ("info", "low"):
            print(f"\t{finding.severity}\t{finding.rule}\t{printable(finding.message)}")
    for reason in report.incomplete:
        print(f"\tincomplete\t{printable(reason.reason)}")


def _table(counts: Counter[tuple[str, str]], packages: int) -> None:
    formats = sorted({label for label, _ in counts})
    print(f"\n{sum(counts.values())} files judged in {packages} packages")
    print(f"{'format':<24}" + "".join(f"{verdict:>13}" for verdict in VERDICTS))
    for label in formats:
        print(f"{label:<24}" + "".join(f"{counts[label, verdict]:>13}" for verdict in VERDICTS))
    totals = {verdict: sum(counts[label, verdict] for label in formats) for verdict in VERDICTS}
    print(f"{'all':<24}" + "".join(f"{totals[verdict]:>13}" for verdict in VERDICTS))


if __name__ == "__main__":
    sys.exit(main())
