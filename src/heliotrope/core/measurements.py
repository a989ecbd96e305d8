"""A number with its meaning."""

from typing import Literal, Self

from pydantic import Field, model_validator

from heliotrope.core.records import Record

__all__ = ["Interval", "Measurement"]


class Interval(Record):
    """A confidence interval."""

    low: float
    high: float
    confidence: float = Field(default=0.95, gt=0, lt=1)
    method: str
    """For example "clopper-pearson": exact, never narrower than promised."""


class Measurement(Record):
    """A metric's value, how sure we are of it, and which direction is good."""

    metric: str
    """Snake case, as in clean_accuracy or robust_accuracy."""
    value: float | None
    undefined_reason: str | None = None
    """Why there is no value; required when value is null."""
    n: int = Field(ge=0)
    """How many samples it rests on."""
    interval: Interval | None = None
    direction: Literal["higher", "lower"]
    """Which way is better."""
    unit: str = "1"
    """"1" for shares in [0, 1]."""
    subject: str
    """URN of the subject."""
    conditions: dict[str, str | float | int] = {}
    """What it holds for, as in {"norm": "Linf", "eps": 0.1}."""

    @model_validator(mode="after")
    def _undefined_has_a_reason(self) -> Self:
        if self.value is None and not self.undefined_reason:
            raise ValueError("a measurement without a value needs undefined_reason")
        return self
