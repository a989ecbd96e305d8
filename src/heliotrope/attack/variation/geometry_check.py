"""Accuracy on images that are turned and moved a little: what a camera does without meaning harm."""

from typing import TYPE_CHECKING, Any

from heliotrope.attack.decision.check import no_images
from heliotrope.attack.outcome import ticker
from heliotrope.attack.variation.evidence import Variation, concluded, images_of, not_images, point
from heliotrope.attack.variation.turning import DEGREES, SHIFT, Turn, attack_by_turns, grid, random_turns, turned
from heliotrope.core.runs import CheckResult
from heliotrope.engine.interface import RunContext
from heliotrope.subjects.checking import model_check
from heliotrope.subjects.interface import Opened

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from heliotrope.attack.variation.interface import Images

__all__ = ["evasion_geometry"]

_SAMPLES = {"quick": 100, "standard": 200, "deep": 1000}
_ROTATIONS = {"quick": 7, "standard": 11, "deep": 31}
_SHIFTS = 5
_RANDOM = 10
"""Of the quick suite: the worst of k random points."""


@model_check(
    id="evasion.geometry",
    version="1",
    title="Accuracy on images turned and moved",
    needs=("loader", "input", "output", "data.evaluate"),
    cost="standard",
    estimate=30.0,
    excludes=no_images,
)
def evasion_geometry(opened: Opened, context: RunContext) -> CheckResult:
    """The worst of a grid: rotations up to 30 degrees, translations up to a tenth of each side, dark outside.

    Standard: 11 rotations x 25 translations on at most 200 samples; deep: 31 x 25 on 1,000; quick: 7 rotations and the worst
    of 10 random points on 100. Inconclusive when a health indicator failed.
    """
    none = not_images(opened)
    if none is not None:
        return CheckResult(outcome=none)
    suite = opened.parameters.suite or "standard"
    rotations = _ROTATIONS[suite]
    many = rotations + (_RANDOM if suite == "quick" else rotations * _SHIFTS**2) + 3
    subject, note = images_of(opened, context, _SAMPLES[suite], many)
    height, width = subject.images.shape[2:]
    turns = grid(height, width, rotations=rotations, shifts=_SHIFTS)
    if suite == "quick":
        turns = random_turns(height, width, _RANDOM, opened.task.seed)
    tick = ticker(context, 0.0, 0.9, "turning images")
    found = attack_by_turns(subject.oracle, subject.images, subject.labels, turns, rotations=rotations, tick=tick)

    def again(images: "Images", which: "NDArray[np.int64]", numbers: "dict[str, NDArray[Any]]") -> "NDArray[np.bool_]":
        import numpy as np

        fine = np.zeros(len(which), dtype=bool)
        for place, sample in enumerate(which.tolist()):
            turn = Turn(*(float(numbers[name][place]) for name in ("degrees", "down", "right")))
            within = (
                abs(turn.degrees) <= DEGREES and abs(turn.down) <= SHIFT * height and abs(turn.right) <= SHIFT * width
            )
            made = turned(subject.images[sample : sample + 1], turn, subject.oracle.low)[0]
            fine[place] = within and bool(np.allclose(made, images[place], atol=1e-6))
        return fine

    n = len(subject.labels)
    how = f"the worst of {found.turns} rotations up to {DEGREES:g} degrees with translations up to {100 * SHIFT:g} %"
    variation = Variation(
        attack="geometry",
        metric="geometric_accuracy",
        said=f"under {how}",
        allowed={"degrees": DEGREES, "shift": SHIFT, "turns": found.turns},
        clean=found.clean,
        held=found.held,
        points=tuple(point(f"rotation by {angle:g} degrees", right, n) for angle, right in found.rotations),
        broken=found.broken,
        again=again,
    )
    return concluded(opened, context, subject, variation, note)
