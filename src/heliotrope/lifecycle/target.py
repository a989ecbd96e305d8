"""What the command line points at: a project with heliotrope.yaml, or a file or folder without one."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heliotrope.config.loader import LoadedConfig, load_config
from heliotrope.config.precedence import Settings, settle
from heliotrope.core.errors import InputError, UsageError
from heliotrope.core.text import printable
from heliotrope.engine.files import is_folder, is_present
from heliotrope.engine.interface import Project
from heliotrope.lifecycle.names import CONFIG_NAME, STATE_NAME

__all__ = ["Target", "find_config", "project_name_of", "resolve_target"]


@dataclass(frozen=True, slots=True)
class Target:
    """A project, how its path was written by the person, and where its local state lives."""

    project: Project
    shown_path: str
    state: Path
    """The .heliotrope folder: beside heliotrope.yaml, else in the current folder."""
    loaded: LoadedConfig | None
    settings: Settings
    """What option, environment and file say, settled."""


def project_name_of(folder: Path) -> str:
    """A name for a folder that is safe in URNs and file names."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", printable(folder.name)).strip("-._")
    return name[:100] or "project"


def find_config(start: Path) -> Path | None:
    """heliotrope.yaml in the folder itself: whatever has that name, for without its gates the folder would be let off lightly."""
    candidate = start / CONFIG_NAME
    return candidate if is_present(candidate) else None


def resolve_target(path: Path, *, config_file: Path | None = None, options: Mapping[str, Any] | None = None) -> Target:
    """Work out what is to be assessed; `options` are settings of the command line. Raises UsageError or ConfigError."""
    if config_file is None and path.name == CONFIG_NAME and is_present(path):
        config_file = path
    if config_file is None and not is_present(path):
        raise UsageError(
            f"{printable(str(path))}: no such file or folder", hint="name a project folder, a model file or a folder"
        )
    if config_file is not None and path != Path():
        _require_same_folder(path, config_file)
    found = config_file or (find_config(path) if is_folder(path) else None)
    if found is None:
        return _static_target(path, settle(None, options=options))
    loaded = load_config(found)
    settings = settle(loaded, options=options)
    root = found.parent.resolve()  # of the folder that was named, should the file in it be a link to another project's
    _require_text(root)
    project = Project(
        name=loaded.config.project,
        root=root,
        paths=(root,),
        config=loaded.config.model_copy(update={"sample": settings.sample.value, "seed": settings.seed.value}),
        config_path=root / found.name,
        suite=settings.suite.value,
    )
    return Target(project, str(path), root / STATE_NAME, loaded, settings)


def _require_same_folder(path: Path, config_file: Path) -> None:
    """Two names for two projects would leave the person thinking that the other one was assessed."""
    home = os.path.realpath(config_file.parent)
    if os.path.realpath(path) not in {home, os.path.realpath(config_file)}:
        raise UsageError(
            f"{printable(str(path))} is not the folder of --config {printable(str(config_file))}",
            hint="a configuration describes the folder it lies in: leave one of the two out",
        )


def _require_text(path: Path) -> None:
    """Evidence names what it is about, and a record is valid UTF-8."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise InputError(
            f"{printable(str(path))}: the path is not UTF-8", hint="rename it, or copy it to a folder with another name"
        ) from None


def _static_target(path: Path, settings: Settings) -> Target:
    absolute = path.absolute()
    _require_text(absolute)
    root = absolute if is_folder(absolute) else absolute.parent
    project = Project(
        name=project_name_of(absolute.resolve() if is_folder(absolute) else absolute),
        root=root,
        paths=(absolute,),
        config=None,
        config_path=None,
        suite=settings.suite.value,
    )
    return Target(project, str(path), Path.cwd() / STATE_NAME, None, settings)
