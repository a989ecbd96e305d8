"""Where operators of TensorFlow get their paths from: from whoever calls the model, or from the model itself."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["CACHES", "FOLLOWED", "TABLES", "Paths"]

FOLLOWED = frozenset(
    "Const Placeholder PlaceholderWithDefault PlaceholderV2 ShardedFilename StringJoin Identity Pack Select SelectV2 ExpandDims Reshape".split()  # noqa: SIM905 - a table
)
"""Operators between a path and who uses it, in graphs that TensorFlow itself writes."""

_MAX_STEPS = 50
_MAX_KEPT = 200_000
TABLES = ("InitializeTableFromTextFile", "InitializeTableFromTextFileV2")
CACHES = ("CacheDataset", "CacheDatasetV2")


@dataclass(frozen=True, slots=True)
class _Step:
    inputs: tuple[str, ...]
    text: str | None
    placed: bool


class Paths:
    """The part of a model's data flow that carries paths. An empty function name stands for the graph itself."""

    def __init__(self) -> None:
        self.assets: set[str] = set()
        """Names of files that belong to the model."""
        self._steps: dict[tuple[str, str], _Step] = {}
        self._arguments: dict[str, str] = {}
        self._calls: dict[str, list[tuple[str, str]]] = {}
        self._users: list[tuple[str, str, str, int]] = []

    def function(self, name: str, first_argument: str) -> None:
        self._arguments[name] = first_argument

    def node(self, function: str, name: str, inputs: list[str], text: str | None, *, placed: bool) -> None:
        """An operator that passes a path on. Beyond a number that no model reaches they are forgotten, which makes paths suspect."""
        if len(self._steps) < _MAX_KEPT:
            self._steps[function, name] = _Step(tuple(inputs), text, placed)

    def call(self, called: str, function: str, inputs: list[str]) -> None:
        """A node may be a call of any name; only those of functions are asked for later."""
        if called[:1] == "_" or "_" in called:
            self._calls.setdefault(called, []).append((function, inputs[0] if inputs else ""))

    def user(self, operator: str, function: str, inputs: list[str], offset: int) -> None:
        """An operator that works on the path it is given."""
        self._users.append((operator, function, inputs[0] if inputs else "", offset))

    def fixed(self, leaving: re.Pattern[str]) -> Iterator[tuple[str, int, str]]:
        """Operator, offset and path of each user whose path the model fixes; an empty path where it cannot be told."""
        for operator, function, source, offset in self._users:
            chosen = list(self._chosen(function, source, _MAX_STEPS))
            if operator in CACHES:
                yield from ((operator, offset, path) for path in chosen if path)
            elif operator in TABLES:
                yield from (
                    (operator, offset, path)
                    for path in chosen
                    if path and leaving.search(path) and re.split(r"[\\/]", path)[-1] not in self.assets
                )
            else:
                yield from ((operator, offset, path or "") for path in chosen if path is None or leaving.search(path))

    def _chosen(self, function: str, source: str, left: int) -> Iterator[str | None]:
        """The constants that a path begins with; None for what cannot be followed. Nothing where the caller chooses."""
        if left <= 0:
            yield None
            return
        name = source.lstrip("^").partition(":")[0]
        step = self._steps.get((function, name))
        if step is None:
            if not function or name != self._arguments.get(function):
                yield None
                return
            for caller, passed in self._calls.get(function, ())[:_MAX_STEPS]:
                yield from self._chosen(caller, passed, left - 10)
        elif step.text is not None:
            yield step.text
        elif not step.placed:
            yield from self._chosen(function, step.inputs[0] if step.inputs else "", left - 1)
        elif step.inputs:
            yield from self._chosen(function, step.inputs[0], left - 1)
