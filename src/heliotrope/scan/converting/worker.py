"""Converts one clean file in a process of its own: `python -I -m heliotrope.scan.converting.worker PATH OUTPUT FORMAT SHA256`.

Its memory, time and the size of what it writes are bounded. The answer is one JSON object on standard output.
"""

import json
import os
import resource
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from heliotrope.core.text import printable
from heliotrope.scan.converting.tensors import CannotConvertError
from heliotrope.scan.converting.writing import Converted, convert_clean

__all__ = ["convert_in_worker"]

_MEMORY = 2 * 2**30
"""Address space: a gibibyte of elements that are not in order, and their copy."""
_CPU_SECONDS = 600


def convert_in_worker(path: Path, output: Path, format_: str, sha256: str, limit: int) -> Converted:
    """What the worker wrote. CannotConvertError with its reason, or when it ends early."""
    command = [sys.executable, "-I", "-m", __name__, str(path), str(output), format_, sha256, str(limit)]
    environment = {key: value for key, value in os.environ.items() if key in ("PATH", "LANG", "TMPDIR", "SYSTEMROOT")}
    try:
        done = subprocess.run(  # noqa: S603 - our own program
            command, capture_output=True, timeout=2 * _CPU_SECONDS, check=False, env=environment
        )
        answer: dict[str, Any] = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        reason = f"converting {printable(str(path))} took more than {_MEMORY} bytes of memory or {_CPU_SECONDS} seconds, or crashed"
        raise CannotConvertError(reason) from None
    if "trouble" in answer:
        raise CannotConvertError(answer["trouble"], hint=str(answer.get("hint") or ""))
    return Converted(
        answer["sha256"], answer["tensors"], answer["size"], tuple(answer["shared"]), tuple(answer["left_out"])
    )


def _main(path: str, output: str, format_: str, sha256: str, limit: str) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_SECONDS, _CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    written = int(limit) + 32 * 2**20  # a header is small
    resource.setrlimit(resource.RLIMIT_FSIZE, (written, written))

    try:
        answer = asdict(convert_clean(Path(path), Path(output), format_, sha256))
    except CannotConvertError as error:
        answer = {"trouble": error.message, "hint": error.hint}
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    _main(*sys.argv[1:6])
