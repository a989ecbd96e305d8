"""What is proven, what an attack has broken, and what neither decides: the bands behind the curve of accuracy."""

from dataclasses import dataclass

from markupsafe import Markup

from heliotrope.core.predicates.behaviour import EvasionPredicate
from heliotrope.core.predicates.certificates import CertificatePredicate
from heliotrope.report._text import share

__all__ = ["Proven", "proven_bar", "proven_share"]


@dataclass(frozen=True, slots=True)
class Proven:
    """A lower bound of accuracy by perturbation size, as steps that fall."""

    steps: tuple[tuple[float, float], ...]
    """Size up to which a share of the samples is proven, the smallest size first."""
    note: str
    """Where it comes from."""

    def at(self, eps: float) -> float:
        return next((part for reach, part in self.steps if eps <= reach), 0.0)


def proven_share(evasion: EvasionPredicate, certificate: CertificatePredicate | None) -> Proven | None:
    """What is proven at each size; None where nothing was tried.

    A proof at the size of the threat holds at every smaller one. Radii are known for some of the samples that are right;
    beyond the threat the lower end of the exact interval of their share is taken, times the share that is right.
    """
    if evasion.threat.kind != "norm":
        return None
    steps: dict[float, float] = {}
    notes = []
    if evasion.certified is not None:
        steps[evasion.threat.eps] = evasion.certified / evasion.n
        notes.append(f"n = {evasion.n}")
    if certificate is not None:
        part = certificate.certified / certificate.n
        steps[certificate.eps] = max(part, steps.get(certificate.eps, 0.0))
        notes.append(f"{certificate.method}, n = {certificate.n}")
        notes += _radii(certificate, steps)
    if not steps:
        return None
    falling: list[tuple[float, float]] = []
    for eps in sorted(steps, reverse=True):
        best = max(steps[eps], falling[-1][1] if falling else 0.0)
        falling.append((eps, best))
    return Proven(tuple(reversed(falling)), "; ".join(notes))


def _radii(certificate: CertificatePredicate, steps: dict[float, float]) -> list[str]:
    """Add what radii say; exact where they are known of all samples that are right."""
    n, right = certificate.radii_n, certificate.clean_correct
    if not n:
        return []
    reached = 0
    for one in sorted(certificate.radii, key=lambda one: -one.low):
        reached += one.count
        if one.low > 0 and reached:
            low = reached / n if n >= right else _lower_end(reached, n)
            steps[one.low] = max(steps.get(one.low, 0.0), low * right / certificate.n)
    return [f"radii of {n} of {right}"] if n < right else [f"radii of all {n}"]


def _lower_end(successes: int, n: int, tail: float = 0.025) -> float:
    """The lower end of the Clopper-Pearson interval, by halving: reports are drawn without scipy."""
    from math import exp, lgamma, log, log1p

    logs = [lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1) for k in range(successes, n + 1)]

    def beyond(p: float) -> float:
        """Chance of so many or more."""
        return sum(
            exp(part + k * log(p) + (n - k) * log1p(-p)) for k, part in zip(range(successes, n + 1), logs, strict=True)
        )

    low, high = 0.0, successes / n
    for _ in range(60):
        middle = (low + high) / 2
        if 0 < middle < 1 and beyond(middle) > tail:
            high = middle
        else:
            low = middle
    return low


def proven_bar(certificate: CertificatePredicate) -> Markup:
    """Of a proof by itself: how many are proven, undecided, broken, and wrong already, as one bar."""
    n = certificate.n
    wrong = n - certificate.clean_correct
    rest = certificate.clean_correct - certificate.certified - certificate.broken
    parts = (
        ("proven", "proven", certificate.certified),
        ("open", "neither proven nor broken", rest),
        ("broken", "broken", certificate.broken),
        ("wrong", "wrong by themselves", wrong),
    )
    drawn, begin = [], 0.0
    for kind, name, count in parts:
        width = 100 * count / n
        drawn.append(
            Markup(
                '<rect class="{}" x="{:.2f}%" y="2" width="{:.2f}%" height="22"><title>{}: {} of {}</title></rect>'
            ).format(kind, begin, width, name, count, n)
        )
        begin += width
    said = ", ".join(f"{share(count / n)} {name}" for _, name, count in parts)
    return Markup('<svg class="bands" role="img" width="100%" height="26"><title>{}</title>{}</svg>').format(
        said, Markup("").join(drawn)
    )
