"""Run every benchmark and write docs/benchmarks.md: `make bench`, or `python bench/run.py scan ledger` for some."""

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PARTS = (
    "startup",
    "scan",
    "peers",
    "fuzz_scan",
    "assess_static",
    "tables",
    "ledger",
    "evasion",
    "attack",
    "certify",
    "trees",
)
PAGE = ROOT / "docs" / "benchmarks.md"


def section(part: str) -> str:
    began = time.perf_counter()
    rows = _rows(part)
    lines = [f"## {part}", "", "| what | measured | target |", "|---|---|---|"]
    for row in rows:
        value = row["value"]
        shown = (
            f"{value:,.3g}"
            if isinstance(value, float) and abs(value) < 100
            else f"{value:,.0f}"
            if isinstance(value, float)
            else value
        )
        lines.append(f"| {row['name']} | {shown} {row['unit']} | {row.get('target') or ''} |")
        print(f"{part}: {row['name']}: {shown} {row['unit']} (target {row.get('target')})", flush=True)
    lines += ["", f"Measured on {datetime.now(UTC):%Y-%m-%d} in {time.perf_counter() - began:.0f} s of wall time.", ""]
    return "\n".join(lines)


def _rows(part: str) -> list[dict[str, Any]]:
    """In a process of its own: what one part used must not show in the figures of the next."""
    with tempfile.NamedTemporaryFile("r", suffix=".json") as out:
        code = (
            "import json, importlib, sys; sys.path.insert(0, sys.argv[1]); rows = importlib.import_module(sys.argv[2]).main();"
            " json.dump(rows, open(sys.argv[3], 'w'))"
        )
        subprocess.run([sys.executable, "-c", code, str(ROOT / "bench"), part, out.name], check=True, cwd=ROOT)
        rows: list[dict[str, Any]] = json.load(out)
    return rows


def main(parts: list[str]) -> int:
    kept = _existing()
    for part in parts or PARTS:
        kept[part] = section(part)
    head = (
        "# Benchmarks\n\nWritten by `make bench`; nothing here is typed by hand. CPU seconds are user + system of the process"
        " and its children. Machines are noisy: take ratios and medians, not single figures.\n\n"
        f"Machine of the last run: {os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}.\n"
    )
    PAGE.write_text("\n".join([head, *(kept[part] for part in PARTS if part in kept)]), "utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}")
    return 0


def _existing() -> dict[str, str]:
    if not PAGE.exists():
        return {}
    parts = PAGE.read_text("utf-8").split("\n## ")[1:]
    return {text.split("\n", 1)[0]: f"## {text.rstrip()}\n" for text in parts}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
