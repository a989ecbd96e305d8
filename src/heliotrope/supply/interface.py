"""The types of this room."""

from heliotrope.core.records import Record

__all__ = ["DependenciesParameters", "InventoryParameters"]


class InventoryParameters(Record):
    """What to take an inventory of."""

    paths: tuple[str, ...] = (".",)
    """Files and folders, relative to the project folder."""


class DependenciesParameters(Record):
    """What was found of files about packages when the run was planned."""

    files: tuple[str, ...]
    """Relative to the project folder."""
    python_code: bool
    """Whether there is Python code."""
    problems: tuple[tuple[str, str], ...] = ()
    """Path and reason of what could not be looked at."""
