"""Pictures of the evidence beside each other in one SVG, each pixel as a square however large it is drawn."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from heliotrope.report._pictures import Picture
from heliotrope.report._text import plain

__all__ = ["Cell", "sheet"]

_SIDE, _GAP, _TOP, _CAPTION, _HEAD = 132, 14, 44, 36, 22
_LINE = 21
"""Characters of a caption that fit below a picture."""


@dataclass(frozen=True, slots=True)
class Cell:
    """Pictures that belong together, with up to two lines below them."""

    pictures: tuple[Picture, ...]
    caption: str
    note: str = ""


def sheet(cells: Sequence[Cell], *, title: str, columns: int) -> Markup:
    """Cells in rows of `columns`; a picture that cannot be shown is a box that says why."""
    each = max((len(cell.pictures) for cell in cells), default=1)
    wide = each * (_SIDE + 6) + _GAP
    tall = _SIDE + _HEAD + _CAPTION + _GAP
    rows = -(-len(cells) // columns)
    width = max(32 + min(columns, max(len(cells), 1)) * wide, 420)
    height = _TOP + rows * tall
    drawn = [
        _cell(cell, 16 + (place % columns) * wide, _TOP + (place // columns) * tall) for place, cell in enumerate(cells)
    ]
    return Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {0} {1}" width="{0}" height="{1}"><title>{2}</title>'
        '<text x="16" y="26" style="fill:var(--ink);font-weight:650">{2}</text>{3}</svg>'
    ).format(width, height, plain(title, 90), Markup("").join(drawn))


def _cell(cell: Cell, left: int, top: int) -> Markup:
    parts = []
    for place, one in enumerate(cell.pictures):
        x, y = left + place * (_SIDE + 6), top + _HEAD
        parts.append(
            Markup('<text x="{}" y="{}" text-anchor="middle" style="fill:var(--soft);font-size:12px">{}</text>').format(
                x + _SIDE / 2, y - 7, plain(one.title, _LINE)
            )
        )
        box = Markup('<rect x="{}" y="{}" width="{s}" height="{s}" style="fill:var(--sunk);stroke:var(--line)"/>')
        parts.append(box.format(x, y, s=_SIDE))
        if one.uri is not None:
            shown = Markup(
                '<image x="{}" y="{}" width="{s}" height="{s}" style="image-rendering:pixelated" href="{}"/>'
            )
            parts.append(shown.format(x, y, one.uri, s=_SIDE))
        else:
            missing = Markup(
                '<text x="{}" y="{}" text-anchor="middle" style="fill:var(--soft);font-size:11px">{}</text>'
            )
            parts.append(missing.format(x + _SIDE / 2, y + _SIDE / 2, plain(one.problem, _LINE)))
    below = top + _HEAD + _SIDE + 17
    for line, text in enumerate((cell.caption, cell.note)):
        style = "fill:var(--ink)" if line == 0 else "fill:var(--soft);font-size:12px"
        parts.append(
            Markup('<text x="{}" y="{}" style="{}">{}</text>').format(
                left, below + 16 * line, style, plain(text, _LINE * len(cell.pictures))
            )
        )
    return Markup("").join(parts)
