"""7z archives, when the person has asked for them: a worker of its own unpacks them with py7zr.

Off by default: the verdict would otherwise depend on what is installed. No loader of models opens 7z by itself.
"""

import importlib.metadata
import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from heliotrope.core.errors import SystemRefusedError
from heliotrope.engine.workdirs import working_folder
from heliotrope.scan.archives.names import Names, leaves
from heliotrope.scan.interface import Context, LimitReachedError, Recognised, Source
from heliotrope.scan.registry import analyser
from heliotrope.scan.sources import FileSource

__all__ = ["SEVEN_ZIP", "SevenZipAnalyser"]

SEVEN_ZIP = "heliotrope.seven-zip"
_MAGIC = b"7z\xbc\xaf\x27\x1c"
_WORKER = Path(__file__).with_name("seven_zip_worker.py")
_SECONDS = 120
_CHUNK = 2**20


def _version() -> str:
    """The unpacking library's version counts: what it can read decides what is seen."""
    with suppress(importlib.metadata.PackageNotFoundError):
        return f"1-py7zr-{importlib.metadata.version('py7zr')}"
    return "1"


@analyser(
    id=SEVEN_ZIP,
    version=_version(),
    title="7z archives, unpacked in a worker",
    formats=("7z",),
    docs="docs/design/scanning.md",
    modules=("py7zr",),
    extra="heliotrope[sevenzip]",
)
class SevenZipAnalyser:
    """Every member is inspected as a file of its own."""

    format = "7z"

    def accepts(self, source: Source, name: str) -> bool:
        del name
        return source.read(0, len(_MAGIC)) == _MAGIC

    def analyse(self, source: Source, name: str, context: Context) -> Recognised:
        del name
        limit = context.limits.max_seven_zip_bytes
        if source.size > limit:
            raise LimitReachedError("max_seven_zip_bytes", f"the archive has more than {limit} bytes")
        try:
            with working_folder() as folder:
                return _analyse(source, folder, context)
        except SystemRefusedError as error:
            context.notes.incomplete(error.message, member=context.member)
            return Recognised("7z")


def _analyse(source: Source, folder: Path, context: Context) -> Recognised:
    archive, members = folder / "archive", folder / "members"
    members.mkdir()
    with archive.open("wb") as file:
        for offset in range(0, source.size, _CHUNK):
            file.write(source.read(offset, _CHUNK))
    answer = _unpacked(archive, members, context)
    names = answer.get("names")
    if not isinstance(names, list):
        _say_why(str(answer.get("trouble")), context)
        names = []
    context.budget.members -= len(names)
    seen = Names()
    found = [_member(members / str(number), str(name), context, seen) for number, name in enumerate(names)]
    models = any(item is not None and item.model for item in found)
    return Recognised("7z", supported=models, model=models)


def _unpacked(archive: Path, members: Path, context: Context) -> dict[str, Any]:
    limits = str(context.limits.max_seven_zip_bytes), str(max(context.budget.members, 0))
    command = [sys.executable, "-I", str(_WORKER), str(archive), str(members), *limits]
    try:
        done = subprocess.run(  # noqa: S603 - our own program, with our own arguments
            command, capture_output=True, timeout=_SECONDS, check=False, env={}, cwd=members
        )
        answer = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        return {"trouble": "time"}
    except (OSError, ValueError):
        return {"trouble": "crash"}
    return answer if isinstance(answer, dict) else {"trouble": "crash"}


def _say_why(trouble: str, context: Context) -> None:
    if trouble == "limit":
        limit = context.limits.max_seven_zip_bytes
        reason = f"it unpacks to more than {limit} bytes, or to more members than are allowed"
        context.notes.incomplete(reason, limit="max_seven_zip_bytes", member=context.member)
    elif trouble in ("memory", "time", "crash"):
        context.notes.incomplete(f"unpacking it ended early ({trouble})", member=context.member)
    else:
        context.notes.incomplete(f"it cannot be unpacked ({trouble})", member=context.member)


def _member(path: Path, name: str, context: Context, seen: Names) -> Recognised | None:
    if leaves(name) or seen.problem(name) is not None:
        context.notes.incomplete("a member's name leaves the folder, or is there twice", member=context.member)
    with path.open("rb") as file:
        source = FileSource(file.fileno(), path.stat().st_size)
        return context.nested(source, name, context.inside(name)) if source.size else None
