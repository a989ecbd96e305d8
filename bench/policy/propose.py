"""Proposes what the shipped policy lacks: every global of ordinary files that a scan did not let pass, and how it was used.

`python bench/policy/propose.py FOLDER...` scans what bench/policy/models.py (or anybody) wrote. A proposal is a line of
JSON for src/heliotrope/scan/data/allowed/*.json without its review; nothing is ever accepted by this program. A
person reads what the call, `__setstate__` and the filling methods of the global do with arguments and state that an
attacker chose, and writes that down; an entry without it does not count.
"""

import json
import sys
from collections import Counter, defaultdict
from pathlib import Path

from heliotrope.scan import scan_paths


def main(folders: list[Path]) -> int:
    seen: Counter[tuple[str, str]] = Counter()
    messages: dict[tuple[str, str], set[str]] = defaultdict(set)
    first: dict[tuple[str, str], str] = {}
    files = clean = 0
    for path in sorted(item for folder in folders for item in folder.rglob("*") if item.is_file()):
        (report,) = scan_paths([path]).files
        files += 1
        clean += report.verdict == "clean"
        for incomplete in report.incomplete:
            key = ("(incomplete)", incomplete.reason)
            seen[key] += 1
            first.setdefault(key, str(path))
        for finding in report.findings:
            if finding.severity in ("info", "low"):
                continue
            key = (finding.global_ or "", finding.rule)
            seen[key] += 1
            messages[key].add(finding.message)
            first.setdefault(key, str(path))
    for (name, rule), count in sorted(seen.items()):
        line = {
            "global": name,
            "rule": rule,
            "files": count,
            "first": first[name, rule],
            "why": sorted(messages[name, rule])[:3],
        }
        print(json.dumps(line))
    print(f"{files} files, {clean} clean, {len(seen)} proposals", file=sys.stderr)
    return 0 if not seen else 1


if __name__ == "__main__":
    sys.exit(main([Path(name) for name in sys.argv[1:]]))
