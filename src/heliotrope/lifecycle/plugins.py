"""What is installed: checks, analysers of other packages and plug-ins that cannot be loaded, each with the reason."""

import importlib.util
from functools import cache
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import Literal

from pydantic import Field

from heliotrope.config.loader import load_config
from heliotrope.core.records import Record
from heliotrope.engine.interface import CheckDescriptor
from heliotrope.engine.registry import Unavailable, checks, unavailable
from heliotrope.scan.registry import AnalyserDescriptor, analysers

__all__ = ["PLUGINS_SCHEMA", "PluginEntry", "PluginList", "list_plugins"]

PLUGINS_SCHEMA = "heliotrope.plugins/v1"

State = Literal["available", "off", "unavailable"]


class PluginEntry(Record):
    """One check, analyser or broken plug-in."""

    id: str
    version: str
    title: str
    state: State
    """off: it could be used, but nothing names it."""
    available: bool
    """Whether it could be used."""
    reason: str
    """What stands in the way and what to do; empty for what is available."""
    docs: str
    package: str
    """Name and version of the package that brings it; empty for Heliotrope's own."""
    formats: tuple[str, ...] = ()
    """Of an analyser."""
    rules: tuple[str, ...] = ()
    """Rules that it brings."""


class PluginList(Record):
    """Everything that `helio plugins` shows."""

    schema_: Literal["heliotrope.plugins/v1"] = Field(default="heliotrope.plugins/v1", alias="schema")
    checks: tuple[PluginEntry, ...]
    analysers: tuple[PluginEntry, ...]
    broken: tuple[PluginEntry, ...]


def list_plugins(config: Path | None = None) -> PluginList:
    """What there is; analysers that `config` names count as on. ConfigError for a file that cannot be read."""
    named = frozenset(load_config(config).config.scan.enabled) if config is not None else frozenset[str]()
    return PluginList(
        checks=tuple(_check(item) for item in checks()),
        analysers=tuple(_analyser(item, named) for item in analysers()),
        broken=tuple(_broken(item) for item in unavailable()),
    )


def _check(item: CheckDescriptor) -> PluginEntry:
    absent = [module for module in item.modules if importlib.util.find_spec(module) is None]
    reason = f"needs: pip install '{item.requirement}'" if absent else ""
    return PluginEntry(
        id=item.id,
        version=item.version,
        title=item.title,
        state="unavailable" if absent else "available",
        available=not absent,
        reason=reason,
        docs=item.docs,
        package="" if item.built_in else _package(item.function.__module__),
        rules=tuple(rule.id for rule in item.rules),
    )


def _install(absent: list[str]) -> str:
    return f"needs: {', '.join(absent)} (not installed)"


def _analyser(item: AnalyserDescriptor, named: frozenset[str]) -> PluginEntry:
    state: State = "available" if item.id in named else "off"
    reason = "" if state == "available" else f"off: name it with --analyser {item.id} or in scan.analysers"
    if item.absent:
        state = "unavailable"
        reason = f"needs: pip install '{item.extra}'" if item.extra else _install([*item.absent])
    return PluginEntry(
        id=item.id,
        version=item.version,
        title=item.title,
        state=state,
        available=not item.absent,
        reason=reason,
        docs=item.docs,
        package=_package(item.module),
        formats=item.formats,
        rules=tuple(rule.id for rule in item.rules),
    )


def _broken(item: Unavailable) -> PluginEntry:
    return PluginEntry(
        id=f"plugin.{item.name}",
        version="",
        title=item.module,
        state="unavailable",
        available=False,
        reason=item.reason,
        docs="",
        package=_package(item.module),
    )


@cache
def _distributions() -> dict[str, list[str]]:
    return {name: [*found] for name, found in packages_distributions().items()}


def _package(module: str) -> str:
    """Name and version of the package a module came with; empty when nothing says so."""
    for name in _distributions().get(module.partition(".")[0], []):
        return f"{name} {version(name)}"
    return ""
