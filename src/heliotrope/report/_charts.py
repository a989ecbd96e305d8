"""Static SVG: no script, colours from the page's CSS variables, a title and a description for those who listen."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from heliotrope.core.measurements import Interval
from heliotrope.core.predicates.behaviour import CurvePoint, EvasionPredicate
from heliotrope.core.predicates.hardening import HardeningPredicate
from heliotrope.report._bands import Proven
from heliotrope.report._text import number, plain, share

__all__ = ["accuracy_curve", "curve_points", "interval_bar", "training_curve"]

_WIDTH, _HEIGHT = 600, 352
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 22, 30, 62
_MAX_POINTS = 200
"""More points than this are thinned: nobody sees them, and the page stays small."""
_UNITS = {False: "in units of the input range", True: "in spreads of each column"}
"""By whether the inputs are a table."""
_LABEL_ROOM = 22
_LABEL_SHARE = 0.15
"""Height of a label beside the line, as a share of the chart."""


def curve_points(evasion: EvasionPredicate) -> tuple[CurvePoint, ...]:
    """Accuracy by perturbation size, smallest first, the clean point included."""
    points = {point.eps: point for point in evasion.curve}
    clean = CurvePoint(eps=0.0, accuracy=evasion.clean_accuracy, n=evasion.n, interval=evasion.clean_interval)
    points.setdefault(0.0, clean)
    ordered = [points[eps] for eps in sorted(points)]
    step = max(math.ceil(len(ordered) / _MAX_POINTS), 1)
    return tuple(dict.fromkeys([*ordered[::step], ordered[-1]]))


@dataclass(frozen=True, slots=True)
class _Scale:
    """From perturbation size and accuracy to the drawing's units."""

    largest: float

    def x(self, eps: float) -> float:
        return round(_LEFT + (_WIDTH - _LEFT - _RIGHT) * (eps / self.largest), 1)

    def y(self, accuracy: float) -> float:
        bounded = min(max(accuracy, 0.0), 1.0)
        return round(_TOP + (_HEIGHT - _TOP - _BOTTOM) * (1 - bounded), 1)


def accuracy_curve(evasion: EvasionPredicate, *, floor: float | None, key: str, proven: Proven | None = None) -> Markup:
    """Accuracy against perturbation size with its confidence band. `key` makes the ids unique on the page.

    With `proven` the area below is divided into what is proven and what is neither proven nor broken, and that above into
    what an attack broke and what was wrong by itself.
    """
    points = curve_points(evasion)
    scale = _Scale(points[-1].eps or 1.0)
    norm = "L∞" if evasion.threat.norm == "Linf" else "L2"
    parts = [
        *(_areas(points, scale, proven) if proven is not None else ()),
        *_grid(scale),
        _axis_title(
            "changed words"
            if evasion.threat.kind == "text"
            else f"perturbation size ε ({norm}, {_UNITS[evasion.threat.input_low is None]})"
        ),
        _band(points, scale),
    ]
    if floor is not None:
        close = 0 <= points[0].accuracy - floor < _LABEL_SHARE  # no room for a name between line and floor
        parts.append(_floor_line(floor, scale, above=points[-1].accuracy < floor and not close))
    parts += [_line(points, scale), *(_dot(point, scale) for point in points), *_labels(points, scale, floor)]
    description = "; ".join(f"ε {number(point.eps)}: {share(point.accuracy)}" for point in points[:40])
    return Markup(
        '<svg class="curve" role="img" viewBox="0 0 {} {}" aria-labelledby="{}-title {}-desc">'
        '<title id="{}-title">Accuracy under {} by perturbation size</title><desc id="{}-desc">{}</desc>{}</svg>'
    ).format(_WIDTH, _HEIGHT, key, key, key, plain(evasion.attack, 60), key, description, Markup("").join(parts))


def _grid(scale: _Scale) -> list[Markup]:
    lines = [
        Markup(
            '<line class="grid" x1="{}" x2="{}" y1="{}" y2="{}"/><text class="tick" x="{}" y="{}" text-anchor="end">{}</text>'
        ).format(_LEFT, _WIDTH - _RIGHT, scale.y(level), scale.y(level), _LEFT - 8, scale.y(level) + 5, f"{level:.0%}")
        for level in (0.0, 0.25, 0.5, 0.75, 1.0)
    ]
    lines += [
        Markup(
            '<line class="mark" x1="{}" x2="{}" y1="{}" y2="{}"/><text class="tick" x="{}" y="{}" text-anchor="middle">{}</text>'
        ).format(scale.x(eps), scale.x(eps), scale.y(0), scale.y(0) + 5, scale.x(eps), scale.y(0) + 21, f"{eps:g}")
        for eps in _ticks(scale.largest)
    ]
    return lines


def _ticks(largest: float) -> list[float]:
    """About five round numbers from 0 to the largest value."""
    raw = largest / 5
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw * 0.999)
    return [round(step * position, 12) for position in range(int(largest / step + 1e-9) + 1)]


def _axis_title(text: str) -> Markup:
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    return Markup('<text class="axis" x="{}" y="{}" text-anchor="middle">{}</text>').format(middle, _HEIGHT - 8, text)


def _path(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:g},{y:g}" for x, y in points)


def _band(points: Sequence[CurvePoint], scale: _Scale) -> Markup:
    upper = [(scale.x(point.eps), scale.y(point.interval.high)) for point in points]
    lower = [(scale.x(point.eps), scale.y(point.interval.low)) for point in reversed(points)]
    return Markup('<polygon class="band" points="{}"/>').format(_path([*upper, *lower]))


def _areas(points: Sequence[CurvePoint], scale: _Scale, proven: Proven) -> list[Markup]:
    """From below: proven, neither, broken, wrong without any perturbation."""
    curve = [(scale.x(point.eps), scale.y(point.accuracy)) for point in points]
    clean, left, right = curve[0][1], scale.x(0), curve[-1][0]
    steps = _staircase(points, scale, proven)
    low, top = scale.y(0), scale.y(1)
    shapes = (
        ("wrong", [(left, top), (right, top), (right, clean), (left, clean)]),
        ("broken", [(left, clean), (right, clean), *reversed(curve)]),
        ("open", [*curve, *reversed(steps)]),
        ("proven", [*steps, (right, low), (left, low)]),
    )
    return [Markup('<polygon class="area {}" points="{}"/>').format(kind, _path(places)) for kind, places in shapes]


def _staircase(points: Sequence[CurvePoint], scale: _Scale, proven: Proven) -> list[tuple[float, float]]:
    """What is proven, from left to right: level up to each size that a proof reaches, then down."""
    largest = points[-1].eps
    places, begin = [], 0.0
    for reach, part in (*proven.steps, (largest, 0.0)):
        if begin >= largest:
            break
        end = min(reach, largest)
        places += [(scale.x(begin), scale.y(part)), (scale.x(end), scale.y(part))]
        begin = end
    return places or [(scale.x(0), scale.y(0)), (scale.x(largest), scale.y(0))]


def _line(points: Sequence[CurvePoint], scale: _Scale) -> Markup:
    places = [(scale.x(point.eps), scale.y(point.accuracy)) for point in points]
    return Markup('<polyline class="line" points="{}"/>').format(_path(places))


def _dot(point: CurvePoint, scale: _Scale) -> Markup:
    """The clean point is hollow."""
    kind = "dot clean" if point.eps == 0 else "dot"
    span = f"{share(point.interval.low)} to {share(point.interval.high)}"
    return Markup('<circle class="{}" cx="{}" cy="{}" r="5"><title>ε {}: {} ({}, n = {})</title></circle>').format(
        kind, scale.x(point.eps), scale.y(point.accuracy), number(point.eps), share(point.accuracy), span, point.n
    )


def _floor_line(floor: float, scale: _Scale, *, above: bool) -> Markup:
    y = scale.y(floor)
    return Markup(
        '<line class="floor" x1="{}" x2="{}" y1="{}" y2="{}"/><text class="floor-name" x="{}" y="{}">floor {}</text>'
    ).format(_LEFT, _WIDTH - _RIGHT, y, y, _LEFT + 8, y - 7 if above else y + 18, share(floor))


def _labels(points: Sequence[CurvePoint], scale: _Scale, floor: float | None) -> list[Markup]:
    """The clean accuracy and the last one, away from the line and from the floor."""
    first, last = points[0], points[-1]
    label = Markup('<text class="value" x="{}" y="{}" text-anchor="{}">{}</text>')
    labels = [
        label.format(scale.x(0) + 12, max(scale.y(first.accuracy) - 9, 15), "start", f"clean {share(first.accuracy)}")
    ]
    if last.eps > 0:
        below = last.accuracy > 0.15 and (floor is None or last.accuracy < floor)
        y = scale.y(last.interval.low) + 20 if below else scale.y(last.interval.high) - 11
        labels.append(label.format(scale.x(last.eps) - 2, max(y, 15), "end", share(last.accuracy)))
    return labels


def training_curve(found: HardeningPredicate, *, key: str) -> Markup:
    """Clean and robust accuracy on the validation part by round, and which round is kept."""
    step = max(math.ceil(len(found.rounds) / _MAX_POINTS), 1)
    rounds = found.rounds[::step]
    scale = _Scale(float(found.rounds[-1].number))
    parts = [*_grid(scale), _axis_title("round, as judged on the validation part")]
    for kind, name, values in (
        ("line second", "clean", [one.clean_accuracy for one in rounds]),
        ("line", "under a short attack", [one.robust_accuracy for one in rounds]),
    ):
        places = [(scale.x(one.number), scale.y(value)) for one, value in zip(rounds, values, strict=True)]
        parts.append(Markup('<polyline class="{}" points="{}"/>').format(kind, _path(places)))
        x, y = places[-1]
        above = y - 10 if y > _TOP + _LABEL_ROOM else y + 20
        parts.append(Markup('<text class="tick" x="{}" y="{}" text-anchor="end">{}</text>').format(x, above, name))
    if found.chosen:
        x = scale.x(found.chosen)
        parts.append(
            Markup('<line class="kept" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(x, x, scale.y(1.0), scale.y(0.0))
        )
    said = f"round {found.chosen} is kept" if found.chosen else "the original is kept"
    return Markup(
        '<svg class="curve" role="img" viewBox="0 0 {} {}" aria-labelledby="{}-title"><title id="{}-title">Accuracy by round; {}</title>{}</svg>'
    ).format(_WIDTH, _HEIGHT, key, key, said, Markup("").join(parts))


def interval_bar(value: float, interval: Interval | None, floor: float | None) -> Markup:
    """Where a share lies between 0 and 1, with its interval and the floor, if any."""
    low, high = (interval.low, interval.high) if interval else (value, value)
    said = f"{share(value)}, between {share(low)} and {share(high)}" if interval else share(value)
    said += f"; floor {share(floor)}" if floor is not None else ""
    parts = [
        Markup('<rect class="track" x="0" y="8" width="100%" height="6" rx="3"/>'),
        Markup('<rect class="span" x="{}%" y="4" width="{}%" height="14" rx="3"/>').format(
            _percent(low if high - low >= 0.012 else (low + high) / 2 - 0.006), _percent(max(high - low, 0.012))
        ),
        Markup('<line class="value" x1="{0}%" x2="{0}%" y1="2" y2="20"/>').format(_percent(value)),
    ]
    if floor is not None:
        parts.insert(1, Markup('<line class="floor" x1="{0}%" x2="{0}%" y1="1" y2="21"/>').format(_percent(floor)))
    return Markup('<svg class="bar" role="img" width="100%" height="22"><title>{}</title>{}</svg>').format(
        said, Markup("").join(parts)
    )


def _percent(part: float) -> str:
    return f"{min(max(part, 0.0), 1.0) * 100:.2f}"
