"""Verdicts as evidence: counts, intervals, radii, the broken inputs as bytes, and what is measured."""

import io
import math
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from heliotrope.attack.certify.interface import Certificates
from heliotrope.attack.search.space import Space
from heliotrope.core.evidence import Blob, statement
from heliotrope.core.measurements import Measurement
from heliotrope.core.outcomes import Passed
from heliotrope.core.predicates.behaviour import ThreatModel
from heliotrope.core.predicates.certificates import (
    CERTIFICATE_PREDICATE,
    CertificatePredicate,
    MethodCount,
    RadiusBin,
)
from heliotrope.core.runs import CheckResult
from heliotrope.engine.interface import RunContext
from heliotrope.subjects.batching import as_table
from heliotrope.subjects.interface import Batch, Opened
from heliotrope.subjects.statistics import exact_interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["MAX_STORED", "conclude", "histogram"]

MAX_STORED = 2000
"""Broken inputs that are kept; the first by row."""

_EDGES = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 4.0)


def conclude(
    opened: Opened,
    threat: ThreatModel,
    batch: Batch,
    known: Certificates,
    context: RunContext,
    *,
    method: str,
    assumptions: tuple[str, ...],
    space: Space | None = None,
    note: str = "",
) -> CheckResult:
    """The result of a check of certificates. `space`: of tables, how points become rows."""
    n = len(batch)
    right = [bool(one) for one in known.right]
    certified = known.count("certified")
    broken = sum(one and verdict == "broken" for one, verdict in zip(right, known.verdicts, strict=True))
    interval = exact_interval(certified, n)
    radii = [float(radius) for radius, one in zip(known.radius, right, strict=True) if one and not math.isnan(radius)]
    kept = _pack(batch, known, right, space)
    blob: Blob | None = context.store(*kept) if kept is not None else None
    predicate = CertificatePredicate(
        method=method,
        norm=threat.norm,
        eps=threat.eps,
        input_low=threat.input_low,
        input_high=threat.input_high,
        changed_categories=threat.changed_categories,
        n=n,
        clean_correct=sum(right),
        certified=certified,
        broken=broken,
        undecided=known.count("undecided"),
        certified_accuracy=certified / n,
        certified_interval=interval,
        robust_at_most=(sum(right) - broken) / n,
        steps=tuple(
            MethodCount(method=name, count=count) for name, count in sorted(Counter(known.methods).items()) if name
        ),
        nodes=known.nodes,
        radii=histogram(radii, threat.eps),
        radii_n=len(radii),
        assumptions=assumptions,
        samples=blob,
        data=opened.data.digests,
    )
    reason = (
        f"certified accuracy {100 * certified / n:.2f} % (95 % interval {100 * interval.low:.2f} to {100 * interval.high:.2f} %) "
        f"at {threat.norm} eps {threat.eps:g} by {method}, n = {n}; {broken} broken, {predicate.undecided} undecided{note}"
    )
    return CheckResult(
        outcome=Passed(reason=reason),
        evidence=(statement(opened.model.digests, CERTIFICATE_PREDICATE, predicate),),
        measurements=(
            Measurement(
                metric="certified_accuracy",
                value=certified / n,
                n=n,
                interval=interval,
                direction="higher",
                subject=opened.task.subject.urn,
                conditions={"norm": threat.norm, "eps": threat.eps, "method": method},
            ),
        ),
        blobs=() if blob is None else (blob,),
    )


def histogram(radii: Iterable[float], eps: float) -> tuple[RadiusBin, ...]:
    """Counts by multiples of eps."""
    listed = list(radii)
    bins = []
    for place, low in enumerate(_EDGES):
        high = _EDGES[place + 1] * eps if place + 1 < len(_EDGES) else None
        count = sum(low * eps <= radius and (high is None or radius < high) for radius in listed)
        bins.append(RadiusBin(low=low * eps, high=high, count=count))
    return tuple(bins)


def _pack(batch: Batch, known: Certificates, right: list[bool], space: Space | None) -> tuple[bytes, str] | None:
    """Broken samples that were right by themselves."""
    import numpy as np

    which = np.array([row for row in sorted(known.examples) if right[row]][:MAX_STORED], dtype=np.int64)
    if not len(which):
        return None
    examples = np.stack([known.examples[row] for row in which.tolist()])
    rows, labels = batch.rows[which], batch.answers[which].astype(np.int64)
    if space is not None and space.names:
        return _table(space, which, examples, rows, labels)
    inputs: Any = batch.inputs
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer, allow_pickle=False, index=rows, label=labels, original=inputs[which],
        perturbed=examples.reshape(len(which), *inputs.shape[1:]),
    )  # fmt: skip
    return buffer.getvalue(), "application/x-npz"


def _table(
    space: Space, which: "NDArray[np.int64]", examples: Any, rows: "NDArray[np.int64]", labels: "NDArray[np.int64]"
) -> tuple[bytes, str]:
    import pandas as pd

    original = as_table(space.decode(space.centres[which], which)).add_prefix("original.")
    perturbed = as_table(space.decode(examples, which)).add_prefix("perturbed.")
    head = pd.DataFrame({"index": rows, "label": labels})
    buffer = io.BytesIO()
    pd.concat([head, original.reset_index(drop=True), perturbed.reset_index(drop=True)], axis=1).to_parquet(
        buffer, engine="pyarrow", index=False
    )
    return buffer.getvalue(), "application/vnd.apache.parquet"
