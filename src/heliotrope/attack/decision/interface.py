"""What a decision-based attack knows of each sample, and how it may be stopped."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from heliotrope.attack.search.space import Points, Rows

__all__ = ["BoundaryState"]


@dataclass(slots=True)
class BoundaryState:
    """Where each sample stands between two rounds: all that the rest of the attack depends on."""

    current: "Points"
    """n x d: a misleading point near the boundary, from which the next round goes on; the sample itself where none is known."""
    best: "Points"
    """The nearest misleading point seen so far, as float32."""
    reach: "NDArray[np.float64]"
    """Its distance in the norm: 0 where the model errs by itself, infinite where nothing is known."""
    begun: "NDArray[np.float64]"
    """The distance after the first search of the boundary."""
    asked: "Rows"
    """Questions about each sample."""
    round: int = 0
    """Rounds that are done; 0: the boundary was searched once."""
    late: int = 0
    """Samples that came within the threat's radius in the last quarter of their questions."""

    def kept(self) -> "tuple[dict[str, Any], dict[str, NDArray[Any]]]":
        """As facts and arrays."""
        facts = {"round": self.round, "late": self.late}
        names = ("current", "best", "reach", "begun", "asked")
        return facts, {name: getattr(self, name) for name in names}

    @classmethod
    def of(cls, facts: "dict[str, Any]", arrays: "dict[str, NDArray[Any]]") -> "BoundaryState":
        """From what was kept."""
        return cls(**arrays, round=int(facts["round"]), late=int(facts["late"]))
