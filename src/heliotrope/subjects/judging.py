"""How robust a model is, sample by sample: the port between attacks, which judge, and those who change models and must be judged.

Rooms of capabilities do not import each other: attacks register what judges under the kind `JUDGES`, and others look it up.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from heliotrope.core.errors import InternalError
from heliotrope.core.evidence import Blob
from heliotrope.core.predicates.behaviour import HealthIndicator, HealthVerdict, ThreatModel
from heliotrope.engine.interface import RunContext
from heliotrope.engine.registry import register_extension, registered_extensions
from heliotrope.subjects.interface import Opened

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["JUDGES", "Judge", "Judgement", "judge_named", "judges"]

JUDGES = "robustness-judge"


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


class Judge(Protocol):
    """The standard attack on one kind of model, as the checks of an assessment run it."""

    def __call__(self, opened: Opened, context: RunContext, *, sample: int) -> Judgement:
        """Judge at most `sample` samples. Raises InputError where the model is none that this judge attacks."""


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
