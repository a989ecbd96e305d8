"""What a certificate is about, and what it says of each sample."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

from heliotrope.core.predicates.behaviour import Norm

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Inputs = NDArray[np.floating]
    Served = Callable[[Inputs], Floats]

__all__ = ["Budget", "Certificates", "Certifier", "Region", "Tick", "Verdict"]

Verdict = Literal["certified", "undecided", "broken"]
"""certified: right for every input of the region, proven. broken: an input of the region, on which the model was asked, is
classified otherwise; for a sample that is wrong by itself that is the sample. undecided: neither."""

Tick = Callable[[float], None]
"""Called now and then with the share of the work done, in [0, 1]; may raise to stop."""


def silent(_share: float) -> None:
    """Nobody is watching."""


@dataclass(frozen=True, slots=True)
class Region:
    """The inputs an attacker may choose for each sample: within `eps` of it in the norm, and in the range of valid inputs.

    eps is counted in `scale` for each value: the spread of a column, 1 for images. A scale of 0 leaves a value as it is.
    """

    norm: Norm
    eps: float
    low: "float | Floats" = 0.0
    """Lowest valid value, of all or by position."""
    high: "float | Floats" = 1.0
    scale: "float | Floats" = 1.0

    def box(self, inputs: "Inputs", eps: float | None = None) -> "tuple[Floats, Floats]":
        """Around each sample; a value outside the valid range stays where it is."""
        import numpy as np

        exact = np.asarray(inputs, dtype=np.float64)
        reach = (self.eps if eps is None else eps) * np.asarray(self.scale, dtype=np.float64)
        low = np.minimum(np.maximum(exact - reach, self.low), exact)
        high = np.maximum(np.minimum(exact + reach, self.high), exact)
        return low, high

    def lengths(self, inputs: "Inputs", others: "Inputs") -> "Floats":
        """The norm of each change, in scales."""
        import numpy as np

        moved = np.abs(np.asarray(others, dtype=np.float64) - np.asarray(inputs, dtype=np.float64))
        with np.errstate(divide="ignore", invalid="ignore"):
            scaled = np.where(moved == 0, 0.0, moved / np.asarray(self.scale, dtype=np.float64))
        flat = scaled.reshape(len(scaled), -1)
        lengths: Floats = flat.max(axis=1, initial=0.0) if self.norm == "Linf" else np.sqrt(np.square(flat).sum(axis=1))
        return lengths

    def contains(self, inputs: "Inputs", others: "Inputs") -> "NDArray[np.bool_]":
        """Whether each input is in the region of its sample, measured in float64."""
        low, high = self.box(inputs)
        inside = ((others >= low) & (others <= high)).reshape(len(others), -1).all(axis=1)
        contained: NDArray[np.bool_] = inside & (self.lengths(inputs, others) <= self.eps * (1 + 1e-9))
        return contained


@dataclass(frozen=True, slots=True)
class Budget:
    """How much may be spent. Where only `nodes` and `steps` are given, equal inputs give equal verdicts."""

    nodes: int = 0
    """Parts into which branch and bound may divide the region of one sample; 0: no branch and bound."""
    steps: int = 20
    """Of the ascent that improves bounds."""
    seconds: float | None = None
    """Of wall time for all samples together; what is not decided by then is undecided."""
    attack: bool = True
    """Whether a short attack looks for counterexamples of what bounds leave open; off where only proofs are wanted."""
    radii: int = 0
    """Halvings that narrow down the largest certified radius of each sample; 0: no radii."""


@dataclass(slots=True)
class Certificates:
    """Verdicts, sample by sample."""

    verdicts: list[Verdict]
    right: "NDArray[np.bool_]"
    """Whether the model is right on the sample itself."""
    radius: "Floats"
    """Largest radius up to which the sample is proven right; 0 where it is wrong by itself; NaN where none was computed."""
    margin: "Floats"
    """Proven lead of the right class at eps, in scores; NaN where the method gives none."""
    examples: "dict[int, Inputs]" = field(default_factory=dict)
    """By sample, an input of the region that the model gets wrong."""
    methods: list[str] = field(default_factory=list)
    """Which step decided each sample; empty where undecided."""
    nodes: int = 0
    """Parts that branch and bound looked at, summed over samples."""

    def count(self, verdict: Verdict) -> int:
        return self.verdicts.count(verdict)


class Certifier(Protocol):
    """Decides regions of one model. Sound: what is certified stays right, up to the assumptions that it states."""

    @property
    def method(self) -> str:
        """As in linear-exact or crown."""

    @property
    def assumptions(self) -> tuple[str, ...]:
        """What is taken for granted, in words."""

    def certify(
        self, inputs: "Inputs", labels: "NDArray[np.int64]", region: Region, budget: Budget, tick: Tick = ...
    ) -> Certificates:
        """Verdicts on labelled samples."""
