"""Before and after: both models judged by the same attack on the same samples, and whether the gain may be called one."""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from heliotrope.core.errors import InternalError
from heliotrope.core.predicates.hardening import HardenedSide, HardeningVerdict, PairedChange
from heliotrope.subjects.interface import Opened
from heliotrope.subjects.judging import Judgement
from heliotrope.subjects.statistics import exact_interval, paired_interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]

__all__ = ["Comparison", "compared", "median_latency"]

_ANSWERS = 50
_WARM_UP = 5


@dataclass(frozen=True, slots=True)
class Comparison:
    """What hardening is worth."""

    before: HardenedSide
    after: HardenedSide
    clean: PairedChange
    robust: PairedChange
    verdict: HardeningVerdict
    reason: str


def compared(
    before: tuple[Opened, Judgement], after: tuple[Opened, Judgement], *, clean_loss: float, certifies: bool = False
) -> Comparison:
    """Hold two judgements of the same samples against each other.

    `clean_loss`: share of clean accuracy that may be lost. `certifies`: the judge proves and does not attack, so that there is no
    attack that could have failed.
    """
    first, second = before[1], after[1]
    if first.rows.tolist() != second.rows.tolist():
        raise InternalError("the two models were judged on different samples")
    clean, robust = _change(first.clean, second.clean), _change(first.robust, second.robust)
    sides = _side(*before), _side(*after)
    verdict, reason = _verdict(first, second, clean, robust, clean_loss, certifies=certifies)
    return Comparison(*sides, clean, robust, verdict, reason)


def median_latency(opened: Opened) -> float:
    """Milliseconds of one answer about one sample: the median of 50 after some to warm up."""
    import numpy as np

    one = opened.data.take(np.zeros(1, dtype=np.int64)).inputs
    times = []
    for index in range(_WARM_UP + _ANSWERS):
        began = time.perf_counter()
        opened.model.scores(one)
        if index >= _WARM_UP:
            times.append(time.perf_counter() - began)
    return 1000 * float(np.median(times))


def _change(before: "Mask", after: "Mask") -> PairedChange:
    gained, lost, n = int((after & ~before).sum()), int((before & ~after).sum()), len(before)
    interval = paired_interval(gained, lost, n)
    return PairedChange(gained=gained, lost=lost, n=n, change=(gained - lost) / n, interval=interval)


def _side(opened: Opened, seen: Judgement) -> HardenedSide:
    n, clean, robust = len(seen.rows), int(seen.clean.sum()), int(seen.robust.sum())
    return HardenedSide(
        digests=opened.model.digests,
        clean_correct=clean,
        clean_accuracy=clean / n,
        clean_interval=exact_interval(clean, n),
        robust_correct=robust,
        robust_accuracy=robust / n,
        robust_interval=exact_interval(robust, n),
        certified=None if seen.proven is None else int(seen.proven.sum()),
        latency_ms=median_latency(opened),
        health=seen.health,
        health_verdict=seen.health_verdict,
        forward_passes=seen.asked,
    )


def _verdict(
    before: Judgement,
    after: Judgement,
    clean: PairedChange,
    robust: PairedChange,
    clean_loss: float,
    *,
    certifies: bool,
) -> tuple[HardeningVerdict, str]:
    what = "certified" if certifies else "robust"
    gain = (
        f"{what} accuracy {_percent(before.robust)} to {_percent(after.robust)}, a change of {_points(robust)}; "
        f"clean accuracy {_percent(before.clean)} to {_percent(after.clean)}, a change of {_points(clean)}; "
        f"n = {robust.n}, the same samples"
    )
    for name, seen in (("hardened", after), ("original", before)):
        failed = [one for one in seen.health if one.state == "failed"]
        if failed:
            signs = "; ".join(f"{one.title}: no ({one.actual})" for one in failed)
            return (
                "not-credited",
                f"the attack on the {name} model did not work ({signs}), so its number says nothing: {gain}",
            )
    if robust.interval.low <= 0:
        known = "is a loss" if robust.interval.high < 0 else "may be chance"
        return "no-better", f"the change {known}: {gain}"
    if clean.interval.high < -clean_loss:
        return "no-better", f"more than {100 * clean_loss:g} points of clean accuracy are lost: {gain}"
    return "better", gain


def _percent(right: "Mask") -> str:
    return f"{100 * float(right.mean()):.2f} %"


def _points(change: PairedChange) -> str:
    low, high = 100 * change.interval.low, 100 * change.interval.high
    return f"{100 * change.change:+.2f} points (95 % interval {low:+.2f} to {high:+.2f})"
