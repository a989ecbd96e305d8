"""Whether certificates pay: a few samples tell, before all are tried."""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from heliotrope.attack.certify.interface import Budget, Certifier, Region

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from heliotrope.attack.certify.interface import Inputs

__all__ = ["Worth", "probe"]

PROBED = 16
"""Samples: if a tenth of all can be proven, the chance that none of sixteen is among them is 18 %, and little is lost then."""


@dataclass(frozen=True, slots=True)
class Worth:
    """What a few samples say of a certificate stage in front of an attack."""

    pays: bool
    """Whether proving first costs less than the attack on those samples that would be proven."""
    probed: int
    certified: int
    seconds: float
    """CPU seconds that the probe took."""
    reason: str


def probe(
    certifier: Certifier,
    inputs: "Inputs",
    labels: "NDArray[np.int64]",
    region: Region,
    *,
    attack_seconds: float,
    samples: int = PROBED,
) -> Worth:
    """Try the cheapest bounds on the first samples. `attack_seconds`: CPU seconds that the attack takes for one sample.

    Give samples that the cheap attacks did not break. Stops after the first two where nothing was proven and it has cost
    more than a twentieth of attacking all samples, so that on ordinary models the stage costs next to nothing.
    """
    limit = attack_seconds * len(inputs) / 20
    begin = time.process_time()
    tried = proven = 0
    step = max(1, samples // 8)
    for first in range(0, min(samples, len(inputs)), step):
        part = slice(first, min(first + step, samples, len(inputs)))
        found = certifier.certify(inputs[part], labels[part], region, Budget(steps=0, attack=False))
        tried += part.stop - part.start
        proven += found.count("certified")
        if not proven and time.process_time() - begin > limit:
            break
    seconds = time.process_time() - begin
    if not tried:
        return Worth(pays=False, probed=0, certified=0, seconds=seconds, reason="there are no samples")
    saved, spent = proven / tried * attack_seconds, seconds / tried
    reason = f"{proven} of {tried} samples proven in {spent:.3g} s each, against {attack_seconds:.3g} s for an attack"
    return Worth(pays=saved > spent, probed=tried, certified=proven, seconds=seconds, reason=reason)
