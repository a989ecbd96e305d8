"""How much each preset spends."""

from dataclasses import dataclass
from typing import Literal

from heliotrope.attack.gradients.campaign import GradientAttack, apgd_passes
from heliotrope.attack.gradients.fab import BoundaryWalk
from heliotrope.attack.gradients.square import SquareAttack

__all__ = ["PRESETS", "Preset", "PresetName", "square_of", "white_box_of"]

_FEWEST_QUERIES = 200

PresetName = Literal["quick", "standard", "deep"]


@dataclass(frozen=True, slots=True)
class Preset:
    """One line of the table."""

    steps: int
    """Of each Auto-PGD pass, unless the threat says otherwise."""
    repeats: int
    """Random starts of cross-entropy in each restart."""
    targets: int
    """Classes that targeted passes head for."""
    walks: int
    """Classes that walks along the boundary head for."""
    queries: int
    """Questions of the Square attack for each sample that is left."""

    def forwards(self, steps: int, restarts: int, *, classes: int) -> int:
        """Forward passes of a sample that nothing breaks and nothing proves."""
        losses = self.repeats + 1 + (min(self.targets, classes - 1) if classes > 2 else 0)
        walks = min(self.walks, classes - 1)
        return 3 + (losses * restarts + walks) * (steps + 1) + self.queries * restarts


PRESETS: dict[PresetName, Preset] = {
    "quick": Preset(steps=20, repeats=1, targets=1, walks=1, queries=200),
    "standard": Preset(steps=50, repeats=2, targets=3, walks=3, queries=2000),
    "deep": Preset(steps=100, repeats=5, targets=9, walks=9, queries=5000),
}
"""On the published MNIST model at Linf 0.15, 200 images, gradients leave 65.0 %; 1,000 questions more leave 60.5 %, 2,000
54.5 %, 3,000 50.0 %. The reference ensemble leaves 58.0 %."""


def white_box_of(
    preset: PresetName, classes: int, restarts: int, *, steps: int, draws: int = 1
) -> "tuple[GradientAttack | BoundaryWalk, ...]":
    """A look at the inputs, every loss that suits the number of classes, then walks along the boundary.

    Not of a random model: a walk follows one boundary, and there each draw has its own.
    """
    chosen = PRESETS[preset]
    climbs = apgd_passes(classes, restarts, targets=chosen.targets, repeats=chosen.repeats)
    if draws > 1:
        return climbs
    return *climbs, *(BoundaryWalk(rank, steps) for rank in range(1, min(chosen.walks, classes - 1) + 1))


def square_of(preset: PresetName, restarts: int, draws: int = 1) -> tuple[SquareAttack, ...]:
    """Questions alone, with other random choices in each restart. Of a random model a question costs as many passes as draws."""
    queries = max(_FEWEST_QUERIES, PRESETS[preset].queries // draws)
    return tuple(SquareAttack(queries, restart=index) for index in range(1, restarts + 1))
