"""Runs helio again and again, each time in a fork that has everything imported: `python kill_server.py`.

One JSON request a line on standard input, one JSON answer a line on standard output.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import heliotrope.cli.assess
import heliotrope.cli.ledger
import heliotrope.ledger._sql
import heliotrope.ledger._sqlite
import heliotrope.report._html  # noqa: F401
from heliotrope.cli import main
from heliotrope.engine.registry import checks
from kill_steps import install


def serve(request: dict[str, Any]) -> dict[str, Any]:
    folder = Path(request["folder"])
    sys.stdout.flush()
    process = os.fork()
    if process == 0:
        os.setsid()
        steps = os.open(folder / "steps", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC)
        for number, name in enumerate(("in", "out", "err")):
            flags = os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC
            os.dup2(os.open(os.devnull if number == 0 else folder / name, flags), number)
        os.chdir(request["cwd"])
        os.environ.update(request["env"])
        write = os.write
        if request["at"] is not None:
            install(request["at"], lambda count, name: write(steps, f"{name}\n".encode()), group=request["group"])
        main(request["arguments"])
    _, status = os.waitpid(process, 0)
    return {
        "code": os.waitstatus_to_exitcode(status),
        "out": (folder / "out").read_text("utf-8", "replace"),
        "err": (folder / "err").read_text("utf-8", "replace"),
        "steps": (folder / "steps").read_text("utf-8", "replace").splitlines(),
    }


if __name__ == "__main__":
    checks()
    sys.path.insert(0, sys.argv[1])  # workers look here as well, and find a sitecustomize of ours
    for line in sys.stdin:
        sys.stdout.write(json.dumps(serve(json.loads(line))) + "\n")
        sys.stdout.flush()
