"""Consent to run code of a project: an option for one run, or a trust mark in the user's own configuration folder.

A trust mark holds for one path and one digest over heliotrope.yaml and every Python file of the project. The loader alone
would not do: it imports its neighbours, and a changed neighbour would run under an old consent.
"""

import json
import os
import tempfile
from datetime import datetime
from pathlib import Path

from heliotrope.core.errors import UsageError
from heliotrope.core.ids import timestamp
from heliotrope.core.records import content_id
from heliotrope.core.text import printable
from heliotrope.engine.files import sha256_file
from heliotrope.engine.interface import Project
from heliotrope.engine.runner import Consent
from heliotrope.lifecycle.project_code import code_files

__all__ = ["code_digest", "configuration_home", "consent_for", "forget", "marks", "trust"]

_FILE = "trusted-projects.json"


def configuration_home() -> Path:
    """The user's own configuration folder; never inside a project. UsageError for a user without a home."""
    named = os.environ.get("HELIOTROPE_CONFIG_HOME")
    if named:
        return Path(named)
    shared = os.environ.get("XDG_CONFIG_HOME", "")
    if os.path.isabs(shared):  # noqa: PTH117 - the specification ignores a relative one; an empty Path is relative too
        return Path(shared) / "heliotrope"
    try:
        return Path.home() / ".config" / "heliotrope"
    except RuntimeError:
        raise UsageError(
            "this user has no home folder to keep trust marks in",
            hint="set HELIOTROPE_CONFIG_HOME to a folder that only you can write",
        ) from None


def code_digest(project: Project) -> str:
    """Digest over the configuration and every Python file of the project, by relative path."""
    files: list[list[str]] = []
    if project.config_path is not None:
        files.append(["", sha256_file(project.config_path).sha256])
    files += [[relative, sha256_file(path).sha256] for relative, path in code_files(project.root).items()]
    return content_id({"files": files})


def consent_for(project: Project, *, allow_code: bool) -> Consent:
    """Whether project code may run now, and why."""
    if allow_code:
        return Consent(given=True, how="--allow-code")
    mark = marks().get(str(project.root)) if _has_home() else None
    if mark is None:
        return Consent(
            given=False, how="give consent with --allow-code, or once for this state with: helio trust project"
        )
    if mark.get("digest") != code_digest(project):
        return Consent(
            given=False, how="its code or configuration changed since it was trusted; review it and trust it again"
        )
    return Consent(given=True, how=f"trust mark of {mark.get('time', 'unknown time')}")


def _has_home() -> bool:
    try:
        configuration_home()
    except UsageError:
        return False
    return True


def marks() -> dict[str, dict[str, str]]:
    """All trust marks: path of the project to digest and time. A file that others may write is refused."""
    path = configuration_home() / _FILE
    try:
        status = path.stat()
        if status.st_uid != os.geteuid() or status.st_mode & 0o022:
            raise UsageError(
                f"{path}: trust marks that others can write are not believed",
                hint=f"check the file, then: chown {os.geteuid()} and chmod 600",
            )
        content = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{printable(str(path))}: cannot be read: {getattr(error, 'strerror', None) or error}",
            hint="remove the file and trust the projects again",
        ) from None
    if not isinstance(content, dict):
        raise UsageError(f"{path}: is no set of trust marks", hint="remove the file and trust the projects again")
    return {str(key): value for key, value in content.items() if isinstance(value, dict)}


def trust(project: Project, now: datetime) -> str:
    """Remember that this state of the project may run; returns the digest."""
    digest = code_digest(project)
    _save({**marks(), str(project.root): {"digest": digest, "time": timestamp(now)}})
    return digest


def forget(root: Path) -> bool:
    """Take a trust mark back; whether there was one."""
    kept = marks()
    existed = kept.pop(str(root), None) is not None
    _save(kept)
    return existed


def _save(content: dict[str, dict[str, str]]) -> None:
    folder = configuration_home()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=folder, prefix=".trusted-")
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        json.dump(content, stream, indent=2, sort_keys=True)
        stream.write("\n")
        stream.flush()
        os.fsync(stream.fileno())
    Path(name).replace(folder / _FILE)
