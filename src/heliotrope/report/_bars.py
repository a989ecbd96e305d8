"""Horizontal bars as static SVG, on a page or as a file of their own: colours by CSS variables, every label escaped."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from heliotrope.report._text import plain

__all__ = ["Bar", "bars", "standalone"]

_WIDTH, _LEFT, _RIGHT, _TOP = 680, 230, 84, 44
_ROW, _THICK = 26, 12
_LABEL = 32
"""Characters of a label; the whole name is its title."""

_COLOURS = """
:root { --page: #ffffff; --card: #ffffff; --ink: #211a2e; --soft: #655d75; --line: #e4deed; --sunk: #f3f0f8; --accent: #7434b4; --band: #cbb0e8; }
@media (prefers-color-scheme: dark) {
  :root { --page: #1d1827; --card: #1d1827; --ink: #eeeaf5; --soft: #aba2bb; --line: #352d43; --sunk: #251f31; --accent: #c9a2f5; --band: #5b4280; }
}
svg { font: 14px system-ui, sans-serif; background: var(--page); }
"""
"""Those of the page, for files that stand alone."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One row."""

    label: str
    value: float
    shown: str
    """The value as text."""
    low: float | None = None
    high: float | None = None
    """Interval, drawn as a whisker."""
    second: float | None = None
    """A value to compare with, drawn pale below."""


def bars(
    rows: Sequence[Bar],
    *,
    title: str,
    first: str = "",
    second: str = "",
    mark: float | None = None,
    scale: float | None = None,
) -> Markup:
    """Rows from 0 to `scale`, else to the largest value or end of an interval. `first` and `second` name the two bars of a row."""
    ends = [abs(end) for row in rows for end in (row.value, row.high or 0.0, row.second or 0.0)]
    largest = scale or max([*ends, mark or 0.0, 0.0]) or 1.0
    height = _TOP + _ROW * len(rows) + (34 if second else 12)
    parts = [
        Markup('<text x="16" y="26" style="fill:var(--ink);font-weight:650">{}</text>').format(plain(title, 90)),
        *(_row(row, _TOP + _ROW * place, largest) for place, row in enumerate(rows)),
    ]
    if mark is not None:
        x = _x(mark, largest)
        parts.append(
            Markup(
                '<line x1="{0}" x2="{0}" y1="{1}" y2="{2}" style="stroke:var(--ink);stroke-width:1.6;stroke-dasharray:5 4"/>'
            ).format(x, _TOP - 6, _TOP + _ROW * len(rows))
        )
    if second:
        parts.append(_key(height - 14, first, second))
    return Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {0} {1}" width="{0}" height="{1}"><title>{2}</title>{3}</svg>'
    ).format(_WIDTH, height, plain(title, 90), Markup("").join(parts))


def standalone(drawing: Markup) -> str:
    """A drawing as the text of an SVG file, with its colours; it asks nothing of anybody."""
    opened, rest = str(drawing).split(">", 1)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{opened}><style>{_COLOURS}</style>{rest}\n'


def _x(value: float, largest: float) -> float:
    return round(_LEFT + (_WIDTH - _LEFT - _RIGHT) * min(max(value / largest, 0.0), 1.0), 1)


def _row(row: Bar, y: int, largest: float) -> Markup:
    end, middle = _x(abs(row.value), largest), y + _THICK / 2
    full = _WIDTH - _LEFT - _RIGHT
    parts = [
        Markup('<text x="{}" y="{}" text-anchor="end" style="fill:var(--ink)">{}<title>{}</title></text>').format(
            _LEFT - 10, y + 11, plain(row.label, _LABEL), plain(row.label, 200)
        ),
        Markup('<rect x="{}" y="{}" width="{}" height="{}" rx="3" style="fill:var(--sunk)"/>').format(
            _LEFT, y, full, _THICK
        ),
        Markup('<rect x="{}" y="{}" width="{}" height="{}" rx="3" style="fill:var(--accent)"/>').format(
            _LEFT, y, max(end - _LEFT, 0), _THICK if row.second is None else _THICK / 2
        ),
        Markup('<text x="{}" y="{}" style="fill:var(--soft)">{}</text>').format(
            _WIDTH - _RIGHT + 10, y + 11, row.shown
        ),
    ]
    if row.second is not None:
        width = max(_x(abs(row.second), largest) - _LEFT, 0)
        parts.append(
            Markup('<rect x="{}" y="{}" width="{}" height="{}" rx="3" style="fill:var(--band)"/>').format(
                _LEFT, middle, width, _THICK / 2
            )
        )
    if row.low is not None and row.high is not None:
        parts.append(
            Markup('<line x1="{}" x2="{}" y1="{y}" y2="{y}" style="stroke:var(--ink);stroke-width:1.5"/>').format(
                _x(row.low, largest), _x(row.high, largest), y=middle
            )
        )
    return Markup("").join(parts)


def _key(y: int, first: str, second: str) -> Markup:
    return Markup(
        '<rect x="{a}" y="{t}" width="22" height="8" rx="2" style="fill:var(--accent)"/><text x="{b}" y="{y}" style="fill:var(--soft)">{}</text>'
        '<rect x="{c}" y="{t}" width="22" height="8" rx="2" style="fill:var(--band)"/><text x="{d}" y="{y}" style="fill:var(--soft)">{}</text>'
    ).format(plain(first, 30), plain(second, 30), a=_LEFT, b=_LEFT + 30, c=_LEFT + 190, d=_LEFT + 220, t=y - 8, y=y)
