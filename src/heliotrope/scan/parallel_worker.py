"""A worker of a parallel scan: reads files to inspect from standard input, one a line, and answers each with a line."""

import json
import os
import sys
from pathlib import Path

from heliotrope.scan.beside import Folders
from heliotrope.scan.inspecting import Target, inspect_target
from heliotrope.scan.limits import ScanLimits
from heliotrope.scan.registry import enable

__all__ = ["main"]


def main() -> int:
    """Serve until standard input ends."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # nothing that an analyser prints is an answer
    setup = json.loads(sys.stdin.buffer.readline())
    limits = ScanLimits(**setup["limits"])
    analysers = enable(setup["analysers"])
    folders = Folders()
    for line in sys.stdin.buffer:
        asked = json.loads(line)
        target = Target(Path(asked["path"]), asked["shown"], asked["named"], asked["size"], asked["inode"])
        inspected = inspect_target(target, limits, analysers, folders=folders)
        answer = {
            "report": inspected.report.document() if inspected.report is not None else None,
            "places": inspected.places,
            "stamp": inspected.stamp,
        }
        answers.write(json.dumps(answer, ensure_ascii=True).encode("ascii") + b"\n")
        answers.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
