"""How robust a model is, sample by sample: the port between attacks, which judge, and those who change models and must be judged.

Rooms of capabilities do not import each other: attacks register what judges under the kind `JUDGES`, and what only looks for
changed rows under `MISLEADERS`; others look them up.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from heliotrope.core.errors import InternalError
from heliotrope.core.evidence import Blob
from heliotrope.core.predicates.behaviour import HealthIndicator, HealthVerdict, ThreatModel
from heliotrope.engine.interface import RunContext
from heliotrope.engine.registry import register_extension, registered_extensions
from heliotrope.subjects.interface import Batch, Opened

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "JUDGES",
    "MISLEADERS",
    "Judge",
    "Judgement",
    "Misleader",
    "Misled",
    "judge_named",
    "judges",
    "misleader_named",
    "misleaders",
]

JUDGES = "robustness-judge"
MISLEADERS = "robustness-misleader"


@dataclass(frozen=True, slots=True)
class Judgement:
    """What an attack made of each sample."""

    attack: str
    """As in ensemble or search."""
    threat: ThreatModel
    """As it was carried out."""
    rows: "NDArray[np.int64]"
    """Which samples of the data were judged; those are equal for two models with equal data, threat and seed."""
    clean: "NDArray[np.bool_]"
    """Which are right as they are."""
    robust: "NDArray[np.bool_]"
    """Which are right as they are and under every change that was found."""
    proven: "NDArray[np.bool_] | None"
    """Which are proven right for all changes; None where nothing can be proven."""
    health: tuple[HealthIndicator, ...]
    health_verdict: HealthVerdict
    asked: int
    """Samples sent through the model."""
    blobs: tuple[Blob, ...] = ()
    """What was stored on the way."""
    misled: Batch | None = None
    """Of tables: inputs as they were changed, with the right answers and the rows they come from; None where none are kept."""


@dataclass(frozen=True, slots=True)
class Misled:
    """What a short attack found: for those who train on it, or choose between models by it. It is no result."""

    rows: "NDArray[np.int64]"
    """Which samples were attacked; those that break the constraints themselves are not."""
    clean: "NDArray[np.bool_]"
    robust: "NDArray[np.bool_]"
    around: Batch
    """For each attacked row some inputs that keep the threat and the constraints, with numbers at random ends of what they may be;
    whether they mislead or not was not asked."""
    found: Batch
    """Changed inputs that keep the threat and the constraints and mislead the model, with the right answers; as far
    from the row as it may be in the direction that was found, where that misleads as well."""


class Judge(Protocol):
    """The standard attack on one kind of model, as the checks of an assessment run it."""

    def __call__(self, opened: Opened, context: RunContext, *, sample: int) -> Judgement:
        """Judge at most `sample` samples. Raises InputError where the model is none that this judge attacks."""


class Misleader(Protocol):
    """A short attack on one kind of model."""

    def __call__(self, opened: Opened, context: RunContext, *, sample: int, questions: int) -> Misled:
        """Attack at most `sample` samples once, with `questions` questions each. Raises InputError as a Judge does."""


def judges(name: str, judge: Judge) -> Judge:
    """Register what judges a kind of model, as gradients or queries."""
    register_extension(JUDGES, name, judge, module=judge.__module__)
    return judge


def judge_named(name: str) -> Judge:
    """The judge of that name. Raises InternalError where the room that brings it could not be imported."""
    known: dict[str, Judge] = registered_extensions(JUDGES)
    if name not in known:
        raise InternalError(f"no attack judges models by {name}: the plug-in attack could not be imported")
    return known[name]


def misleaders(name: str, misleader: Misleader) -> Misleader:
    """Register what finds changed inputs, under the name of the judge whose attack it is."""
    register_extension(MISLEADERS, name, misleader, module=misleader.__module__)
    return misleader


def misleader_named(name: str) -> Misleader:
    """As `judge_named`."""
    known: dict[str, Misleader] = registered_extensions(MISLEADERS)
    if name not in known:
        raise InternalError(f"no attack looks for rows by {name}: the plug-in attack could not be imported")
    return known[name]
