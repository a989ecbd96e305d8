"""The plug-in registry: typed decorators fill it, entry points say which modules to import.

A module named by an entry point of the group heliotrope.plugins must import without heavy libraries. One that fails to
import becomes a visible unavailable entry and never hides another; what it registered before it failed is taken back.
"""

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from typing import Any

from heliotrope.core.errors import InternalError, UsageError
from heliotrope.core.findings import Rule
from heliotrope.core.records import Record
from heliotrope.engine.interface import CheckDescriptor, CheckFunction, CostClass, Isolation, Planned, Project

__all__ = [
    "ENTRY_POINT_GROUP",
    "Unavailable",
    "check",
    "checks",
    "extensions_so_far",
    "find_check",
    "register_extension",
    "registered_extensions",
    "unavailable",
]

ENTRY_POINT_GROUP = "heliotrope.plugins"

_registered: dict[str, CheckDescriptor] = {}

_extensions: dict[tuple[str, str], tuple[Any, str]] = {}
"""(kind, id) to a descriptor of that kind and the module that registered it; the room of the kind knows its type."""


@dataclass(frozen=True, slots=True)
class Unavailable:
    """A plug-in module that could not be imported."""

    name: str
    module: str
    reason: str


def check(
    *,
    id: str,  # noqa: A002 - the field's name everywhere
    version: str,
    title: str,
    applies_to: str,
    parameters: type[Record],
    plan: Callable[[Project], Iterator[Planned]],
    cost: CostClass = "quick",
    isolation: Isolation = "worker",
    runs_project_code: bool = False,
    extra: str | None = None,
    modules: tuple[str, ...] = (),
    rules: tuple[Rule, ...] = (),
    docs: str = "",
    on_request: bool = False,
) -> Callable[[CheckFunction], CheckFunction]:
    """Register a function as a check. Ids are unique; a second registration under one id is an error.

    A check of another package names the `rules` its findings use, and where it is described (`docs`, an address). One that is
    `on_request` belongs to no suite: it runs where `--only`, or a command of its own, names it.
    """

    def register(function: CheckFunction) -> CheckFunction:
        descriptor = CheckDescriptor(
            id=id,
            version=version,
            title=title,
            applies_to="project" if applies_to == "project" else "model",
            cost=cost,
            isolation=isolation,
            runs_project_code=runs_project_code,
            extra=extra,
            modules=modules,
            parameters=parameters,
            plan=plan,
            function=function,
            rules=rules,
            documentation=docs,
            on_request=on_request,
        )
        known = _registered.get(id)
        if known is not None and known.function.__module__ != function.__module__:
            raise InternalError(
                f"two plug-ins register the check {id!r}: {known.function.__module__} and {function.__module__}"
            )
        _registered[id] = descriptor
        return function

    return register


@cache
def _load() -> tuple[Unavailable, ...]:
    failed = []
    for entry in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda entry: entry.name):
        before = {*_registered}, {*_extensions}
        try:
            importlib.import_module(entry.value)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a plug-in may fail in any way
            failed.append(Unavailable(entry.name, entry.value, f"{type(error).__name__}: {error}"))
            _take_back(entry.value, *before)
    return tuple(failed)


def _take_back(module: str, checks_before: set[str], extensions_before: set[tuple[str, str]]) -> None:
    """Half a plug-in is none. What it imported of others on the way, ours among them, stays."""
    package = module.partition(".")[0]
    for check_id in [*_registered]:
        if check_id not in checks_before and _root(_registered[check_id].function.__module__) == package:
            del _registered[check_id]
    for key in [*_extensions]:
        if key not in extensions_before and _root(_extensions[key][1]) == package:
            del _extensions[key]


def _root(module: str) -> str:
    return module.partition(".")[0]


def register_extension(kind: str, extension_id: str, descriptor: Any, *, module: str) -> None:
    """Register something that is no check, under a name of its kind. Ids of a kind are unique."""
    known = _extensions.get((kind, extension_id))
    if known is not None and known[1] != module:
        raise InternalError(f"two plug-ins register the {kind} {extension_id!r}: {known[1]} and {module}")
    _extensions[kind, extension_id] = (descriptor, module)


def registered_extensions(kind: str) -> dict[str, Any]:
    """The descriptors of a kind by id, in the order of the ids; every plug-in is imported first."""
    _load()
    return extensions_so_far(kind)


def extensions_so_far(kind: str) -> dict[str, Any]:
    """The same without importing anything: what one that is just being registered is compared with."""
    return {key[1]: _extensions[key][0] for key in sorted(_extensions) if key[0] == kind}


def checks() -> tuple[CheckDescriptor, ...]:
    """All checks, by id."""
    _load()
    return tuple(_registered[key] for key in sorted(_registered))


def unavailable() -> tuple[Unavailable, ...]:
    """Plug-in modules that could not be imported, with the reason."""
    return _load()


def find_check(check_id: str) -> CheckDescriptor:
    """The check of that id, or a UsageError that names what there is."""
    _load()
    try:
        return _registered[check_id]
    except KeyError:
        known = ", ".join(sorted(_registered))
        raise UsageError(f"there is no check {check_id!r}", hint=f"known checks: {known}") from None
