"""The plug-in registry: typed decorators fill it, entry points say which modules to import.

A module named by an entry point of the group heliotrope.plugins must import without heavy libraries. One that fails to
import becomes a visible unavailable entry and never hides another.
"""

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points

from heliotrope.core.errors import InternalError, UsageError
from heliotrope.core.records import Record
from heliotrope.engine.interface import CheckDescriptor, CheckFunction, CostClass, Isolation, Planned, Project

__all__ = ["ENTRY_POINT_GROUP", "Unavailable", "check", "checks", "find_check", "unavailable"]

ENTRY_POINT_GROUP = "heliotrope.plugins"

_registered: dict[str, CheckDescriptor] = {}


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
) -> Callable[[CheckFunction], CheckFunction]:
    """Register a function as a check. Ids are unique; a second registration under one id is an error."""

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
        try:
            importlib.import_module(entry.value)
        except Exception as error:  # noqa: BLE001 - a plug-in may fail in any way
            failed.append(Unavailable(entry.name, entry.value, f"{type(error).__name__}: {error}"))
    return tuple(failed)


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
