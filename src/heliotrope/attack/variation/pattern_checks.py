"""One pattern that misleads many images: added to all of them, or put somewhere in them as a patch."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from heliotrope.attack.decision.check import no_images
from heliotrope.attack.outcome import ticker
from heliotrope.attack.variation.evidence import Subject, Variation, concluded, images_of, not_images, point
from heliotrope.attack.variation.interface import Broken
from heliotrope.attack.variation.patterns import AddedPattern, PatchPattern, Pattern, by_gradients, by_questions
from heliotrope.core.errors import InputError
from heliotrope.core.predicates.behaviour import HealthIndicator
from heliotrope.core.runs import CheckResult
from heliotrope.engine.interface import RunContext
from heliotrope.subjects.checking import model_check
from heliotrope.subjects.interface import Opened
from heliotrope.subjects.torch_model import TorchModel

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from heliotrope.attack.variation.interface import Images
    from heliotrope.attack.variation.patterns import Gradient

__all__ = ["evasion_patch", "evasion_universal"]

_SAMPLES = {"quick": 100, "standard": 400, "deep": 2000}
"""Half of them make the pattern, half judge it."""

_GRADIENT_STEPS = {"quick": 30, "standard": 100, "deep": 300}
_QUESTIONS = {"quick": 100, "standard": 400, "deep": 2000}
"""Patterns that are tried where there are no gradients."""

_PATCH_AREA = 0.05
_PLACES = 5
_FEWEST = 20
_UNSEEN = 1_000_000
"""Number of the first draw of places that was not used while the pattern was made."""

_NEEDS: Any = ("loader", "input", "output", "data.evaluate")


@dataclass(frozen=True, slots=True)
class _Halves:
    made_on: Subject
    judged_on: Subject


@model_check(
    id="evasion.universal",
    version="1",
    title="Accuracy under one perturbation for all images",
    needs=(*_NEEDS, "threat"),
    cost="deep",
    estimate=40.0,
    excludes=no_images,
)
def evasion_universal(opened: Opened, context: RunContext) -> CheckResult:
    """Make one perturbation within the threat on half of the samples; measure accuracy on the other half under it.

    Along gradients of torch models, by questions of all others. Inconclusive when a health indicator failed.
    """
    threat = opened.parameters.threat

    def make(shape: tuple[int, int, int], low: float, high: float) -> AddedPattern:
        if threat is None:
            raise InputError("the model lacks a threat", hint="fill threat, as in threat: {eps: 0.1}")
        return AddedPattern(shape, threat.norm, threat.eps, low, high)

    allowed: dict[str, str | float | int] = {} if threat is None else {"norm": threat.norm, "eps": threat.eps}
    said = "" if threat is None else f"under one perturbation within {threat.norm} {threat.eps:g} for all images"
    return _attack(opened, context, "universal", make, allowed=allowed, said=said)


@model_check(
    id="evasion.patch",
    version="1",
    title="Accuracy with an adversarial patch at a random place",
    needs=_NEEDS,
    cost="deep",
    estimate=40.0,
    excludes=no_images,
)
def evasion_patch(opened: Opened, context: RunContext) -> CheckResult:
    """Make a square patch of 5 % of the area on half of the samples; measure accuracy on the other half with it.

    The patch lies at a random place of each image; a sample holds if it is right at five of them. Inconclusive when a health
    indicator failed.
    """

    def make(shape: tuple[int, int, int], low: float, high: float) -> PatchPattern:
        side = max(1, round(math.sqrt(_PATCH_AREA * shape[1] * shape[2])))
        return PatchPattern(shape, side, low, high, opened.task.seed)

    allowed: dict[str, str | float | int] = {"area": _PATCH_AREA, "places": _PLACES}
    said = f"with one patch of {100 * _PATCH_AREA:g} % of the area at each of {_PLACES} random places"
    return _attack(opened, context, "patch", make, allowed=allowed, said=said)


def _attack(
    opened: Opened,
    context: RunContext,
    attack: Literal["universal", "patch"],
    make: "Callable[[tuple[int, int, int], float, float], Pattern]",
    *,
    allowed: dict[str, str | float | int],
    said: str,
) -> CheckResult:
    none = not_images(opened)
    if none is not None:
        return CheckResult(outcome=none)
    suite = opened.parameters.suite or "standard"
    subject, note = images_of(opened, context, _SAMPLES[suite], _QUESTIONS[suite])
    halves = _halved(subject, opened.task.seed)
    judged, places = halves.judged_on, _PLACES if attack == "patch" else 1
    channels, height, width = subject.images.shape[1:]
    how = make((channels, height, width), subject.oracle.low, subject.oracle.high)
    noise = how.start(opened.task.seed)
    pattern = _made(opened, context, halves.made_on, how, noise)
    clean = ~judged.oracle.wrong(judged.images, judged.labels)
    control, _ = _under(judged, how, noise, clean, places)
    held, broken = _under(judged, how, pattern, clean, places)

    def again(images: "Images", which: "NDArray[np.int64]", numbers: "dict[str, NDArray[Any]]") -> "NDArray[np.bool_]":
        import numpy as np

        fine = np.zeros(len(which), dtype=bool)
        for place, sample in enumerate(which.tolist()):
            one = slice(sample, sample + 1)
            remade = how.on(judged.images[one], judged.rows[one], pattern, int(numbers["draw"][place]))[0]
            fine[place] = bool(np.array_equal(remade, images[place]))
        return fine & np.array_equal(how.allowed(pattern), pattern)

    n = len(judged.labels)
    shown = pattern
    if attack == "universal":
        low, high = how.ends()
        span = judged.oracle.high - judged.oracle.low
        shown = judged.oracle.low + span * (pattern - low) / (high - low)
    variation = Variation(
        attack=attack,
        metric=f"{attack}_accuracy",
        said=said,
        allowed=allowed,
        clean=clean,
        held=held,
        points=(point("a pattern of noise", int(control.sum()), n), point("the pattern", int(held.sum()), n)),
        broken=broken,
        again=again,
        health=(_beats_noise(int(control.sum()), int(held.sum()), n, int(clean.sum())),),
        fitted=len(halves.made_on.labels),
        pattern=shown,
    )
    return concluded(opened, context, judged, variation, note)


def _made(opened: Opened, context: RunContext, fit: Subject, how: Pattern, noise: "Images") -> "Images":
    """On samples that are right by themselves: the others need no pattern."""
    suite, tick = opened.parameters.suite or "standard", ticker(context, 0.0, 0.8, "making the pattern")
    right = ~fit.oracle.wrong(fit.images, fit.labels)
    images, labels, rows = fit.images[right], fit.labels[right], fit.rows[right]
    if not len(labels):
        return noise
    if isinstance(opened.model, TorchModel):
        gradient = _gradient(opened.model, fit)
        return by_gradients(how, gradient, images, labels, rows, start=noise, steps=_GRADIENT_STEPS[suite], tick=tick)
    seed, steps = opened.task.seed, _QUESTIONS[suite]
    return by_questions(how, fit.oracle, images, labels, rows, start=noise, steps=steps, seed=seed, tick=tick)


def _halved(subject: Subject, seed: int) -> _Halves:
    """A seeded cut; equal images never lie on both sides."""
    import numpy as np

    n = len(subject.labels)
    if n < _FEWEST:
        raise InputError(
            f"{n} samples are too few to make a pattern and to judge it", hint=f"evaluate on {_FEWEST} or more"
        )
    order = np.random.default_rng(seed).permutation(n)
    made, judged = np.sort(order[: n // 2]), np.sort(order[n // 2 :])
    seen = {subject.images[one].tobytes() for one in made}
    judged = np.array([one for one in judged if subject.images[one].tobytes() not in seen], dtype=np.int64)
    if not len(judged):
        raise InputError(
            "all samples are alike, so none is left to judge a pattern", hint="evaluate on different samples"
        )
    parts = [Subject(subject.oracle, subject.images[w], subject.labels[w], subject.rows[w]) for w in (made, judged)]
    return _Halves(parts[0], parts[1])


def _under(
    subject: Subject, how: Pattern, pattern: "Images", clean: "NDArray[np.bool_]", places: int
) -> "tuple[NDArray[np.bool_], Broken]":
    """Which samples are right at every place, and the first image of each that is not."""
    import numpy as np

    held, worst, draws = clean.copy(), subject.images.copy(), np.zeros(len(clean), dtype=np.int64)
    for place in range(places):
        draw = _UNSEEN + place
        which = held.nonzero()[0]
        if not len(which):
            break
        changed = how.on(subject.images[which], subject.rows[which], pattern, draw)
        wrong = subject.oracle.wrong(changed, subject.labels[which])
        worst[which[wrong]], draws[which[wrong]] = changed[wrong], draw
        held[which[wrong]] = False
    fallen = (clean & ~held).nonzero()[0]
    return held, Broken(fallen, worst[fallen], {"draw": draws[fallen]})


def _gradient(model: TorchModel, fit: Subject) -> "Gradient":
    import torch

    from heliotrope.attack.gradients.losses import Objective
    from heliotrope.attack.gradients.model import GradientModel

    inner = GradientModel(model.logits, batch=fit.oracle.batch, device=model.device)

    def gradient(images: "Images", labels: "NDArray[np.int64]") -> "Images":
        import numpy as np

        parts = []
        for begin in range(0, len(images), inner.batch):
            part = slice(begin, begin + inner.batch)
            here = torch.from_numpy(np.ascontiguousarray(images[part])).to(model.device)
            objective = Objective("cross-entropy", torch.from_numpy(labels[part]).to(model.device))
            parts.append(inner.climb(here, objective, settle=True).gradient.nan_to_num(0.0, 0.0, 0.0).cpu().numpy())
            fit.oracle.asked += len(here)
        joined: Images = np.concatenate(parts)
        return joined

    return gradient


def _beats_noise(control: int, held: int, n: int, clean: int) -> HealthIndicator:
    """A pattern that does no more harm than noise of the same size was not made well, or there is none to be found."""
    worse = held > control
    same = held == control and control > 0
    return HealthIndicator(
        id="beats-random",
        title="The pattern does more harm than noise",
        state="unknown" if not clean else "failed" if worse else "warning" if same else "ok",
        wanted="fewer samples right under the pattern than under a pattern of noise of the same size",
        actual=f"{held} of {n} right under the pattern, {control} under noise",
        explanation="The pattern was made on other samples. If noise misleads as many, the number says what covering or shaking "
        "the image does, not what an attacker can.",
        applies="patterns for all images",
        test="more right than under noise fails, as many warns",
        effect=(control - held) / n,
        consequence="invalidates" if worse else "warns",
        next_attack="the suite deep, which makes the pattern on more samples in more steps",
    )
