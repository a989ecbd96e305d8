"""What the command line points at: a project with heliotrope.yaml, or a file or folder without one."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heliotrope.config.loader import LoadedConfig, load_config
from heliotrope.config.precedence import Settings, settle
from heliotrope.core.errors import UsageError
from heliotrope.core.text import printable
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
    """heliotrope.yaml in the folder itself."""
    candidate = start / CONFIG_NAME
    return candidate if candidate.is_file() else None


def resolve_target(path: Path, *, config_file: Path | None = None, options: Mapping[str, Any] | None = None) -> Target:
    """Work out what is to be assessed; `options` are settings of the command line. Raises UsageError or ConfigError."""
    if config_file is None and path.name == CONFIG_NAME and path.is_file():
        config_file = path
    if config_file is None and not path.exists():
        raise UsageError(
            f"{printable(str(path))}: no such file or folder", hint="name a project folder, a model file or a folder"
        )
    found = config_file or (find_config(path) if path.is_dir() else None)
    if found is None:
        return _static_target(path, settle(None, options=options))
    loaded = load_config(found)
    settings = settle(loaded, options=options)
    root = found.resolve().parent
    project = Project(
        name=loaded.config.project,
        root=root,
        paths=(root,),
        config=loaded.config.model_copy(update={"sample": settings.sample.value, "seed": settings.seed.value}),
        config_path=found.resolve(),
        suite=settings.suite.value,
    )
    return Target(project, str(path), root / STATE_NAME, loaded, settings)


def _static_target(path: Path, settings: Settings) -> Target:
    absolute = path.absolute()
    root = absolute if absolute.is_dir() else absolute.parent
    project = Project(
        name=project_name_of(absolute.resolve() if absolute.is_dir() else absolute),
        root=root,
        paths=(absolute,),
        config=None,
        config_path=None,
        suite=settings.suite.value,
    )
    return Target(project, str(path), Path.cwd() / STATE_NAME, None, settings)
