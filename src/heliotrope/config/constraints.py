"""The shape of constraints.yaml, version 1: which changes of a row of a table an attacker can really make."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from heliotrope.config.loader import Loaded, load_yaml_model
from heliotrope.core.records import Record

__all__ = ["CONSTRAINTS_DOCS", "ConstraintsFile", "FeatureRule", "Relation", "load_constraints"]

CONSTRAINTS_DOCS = "docs/design/tables.md"


class FeatureRule(Record):
    """How one column may change, beyond what heliotrope.yaml says of it."""

    immutable: bool = False
    """It stays as it is."""
    integer: bool = False
    """It takes whole numbers only."""
    range: tuple[float, float] | None = None
    """Lowest and highest value after a change."""
    step: float | None = Field(default=None, gt=0)
    """A changed value differs from the original by a whole number of steps."""
    direction: Literal["increase", "decrease"] | None = None
    """The only way in which a number can move."""
    max_change: float | None = Field(default=None, gt=0)
    """How far a number can move, in its own units."""
    cost: float = Field(default=1.0, ge=0)
    """Of a change by one spread of the column; of a choice or of a value that goes missing, each time."""
    missing: bool = False
    """Whether an attacker can leave the value out. Counts as a change of category."""

    @model_validator(mode="after")
    def _range_rises(self) -> Self:
        if self.range is not None and not self.range[0] <= self.range[1]:
            raise ValueError(f"range must rise, got {list(self.range)}")
        return self


class Relation(Record):
    """A weighted sum of columns that every valid row keeps, as in total - a - b = 0."""

    terms: Annotated[dict[str, float], Field(min_length=1)]
    """Column to weight. A ratio a / b <= r with b above 0 is a - r b <= 0."""
    holds: Literal["<=", "=", ">="]
    value: float = 0.0
    tolerance: float = Field(default=1e-6, ge=0)
    """By how much a valid row may miss it, in the units of the sum."""


class ConstraintsFile(Record):
    """What every changed row must keep."""

    version: Literal[1]
    features: dict[str, FeatureRule] = {}
    """By column; columns that are not named follow heliotrope.yaml alone."""
    one_hot: tuple[Annotated[tuple[str, ...], Field(min_length=2)], ...] = ()
    """Groups of columns of which exactly one is 1 and all others are 0."""
    relations: tuple[Relation, ...] = ()
    budget: float | None = Field(default=None, gt=0)
    """The largest sum of the costs of all changes of a row."""

    @model_validator(mode="after")
    def _groups_are_apart(self) -> Self:
        members = [name for group in self.one_hot for name in group]
        doubles = sorted({name for name in members if members.count(name) > 1})
        if doubles:
            raise ValueError(f"column {doubles[0]!r} stands twice in one_hot")
        return self

    def named(self) -> frozenset[str]:
        """Every column that the file speaks of."""
        members = {name for group in self.one_hot for name in group}
        return frozenset({*self.features, *members, *(name for one in self.relations for name in one.terms)})


def load_constraints(path: Path) -> Loaded[ConstraintsFile]:
    """Read constraints.yaml. ConfigError says file, line, column, key, what was expected and what is there."""
    return load_yaml_model(path, ConstraintsFile, docs=CONSTRAINTS_DOCS)
