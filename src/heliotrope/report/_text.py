"""Numbers and untrusted text, written for people and for machines."""

import re
from datetime import UTC, datetime
from urllib.parse import quote

from heliotrope.core.findings import Location
from heliotrope.core.measurements import Interval, Measurement
from heliotrope.core.text import printable, shorten

__all__ = [
    "amount",
    "cell",
    "condition_text",
    "decimal",
    "duration",
    "file_uri",
    "interval_text",
    "location_text",
    "metric_name",
    "milliseconds",
    "number",
    "plain",
    "share",
    "size_text",
    "value_text",
    "when",
]

MAX_TEXT = 600
"""Characters of one untrusted text in a report; a name longer than this says nothing more to a reader."""


def plain(text: str, width: int = MAX_TEXT) -> str:
    """Untrusted text on one line, without anything invisible, and not endless."""
    return shorten(printable(text[: 4 * width + 1]), width) if len(text) > width else shorten(printable(text), width)


def share(value: float) -> str:
    """A share as a percentage with two decimals, as in 96.40 %."""
    return f"{value * 100:.2f} %"


def number(value: float) -> str:
    """Few digits, no trailing zeros, thousands apart."""
    if isinstance(value, int) or (value == int(value) and abs(value) < 1e15):
        return f"{int(value):,}"
    return f"{value:.4g}"


def decimal(value: float) -> str:
    """Two decimals, for correlations and other numbers between -1 and 1."""
    return f"{value:.2f}"


def cell(value: str | float | bool) -> str:  # noqa: FBT001 - a truth value is one of the values
    """A value of a table: words as they are, numbers with the digits that may matter."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return plain(value, 60)
    return number(value) if value == int(value) and abs(value) < 1e15 else f"{value:.6g}"


def milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:.3g} ms"


def value_text(value: float | None, unit: str) -> str:
    if value is None:
        return "undefined"
    if unit == "1":
        return share(value) if 0 <= value <= 1 else number(value)
    return f"{number(value)} {plain(unit, 20)}"


def interval_text(interval: Interval, unit: str = "1") -> str:
    """As in 95 % interval 95.98 % to 96.78 %."""
    return f"{interval.confidence * 100:g} % interval {value_text(interval.low, unit)} to {value_text(interval.high, unit)}"


def metric_name(metric: str) -> str:
    """A metric for readers: clean_accuracy becomes clean accuracy."""
    return plain(metric, 60).replace("_", " ")


def condition_text(measurement: Measurement) -> str:
    """As in norm Linf, eps 0.1."""
    return ", ".join(
        f"{plain(name, 40)} {number(value) if isinstance(value, int | float) else plain(value, 60)}"
        for name, value in measurement.conditions.items()
    )


def duration(seconds: float) -> str:
    """Seconds with the precision that matters."""
    if seconds < 10:
        return f"{seconds:.2f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min"


def size_text(size: int) -> str:
    """Bytes in binary units."""
    if size < 1024:
        return f"{size} B"
    value = float(size)
    for unit in ("KiB", "MiB", "GiB"):
        value /= 1024
        if value < 1024:
            return f"{value:.1f} {unit}"
    return f"{value / 1024:.1f} TiB"


def amount(count: int, noun: str) -> str:
    """As in 1 finding, 2 findings."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def when(moment: str) -> str:
    """A time stamp for readers, as in 2026-11-23 08:15 UTC; anything else as it stands."""
    try:
        parsed = datetime.fromisoformat(moment)
    except ValueError:
        return plain(moment, 40)
    if parsed.tzinfo is None:
        return plain(moment, 40)
    return parsed.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def location_text(location: Location) -> str:
    """As in model.pt ▸ archive/data.pkl, byte 27."""
    parts = [plain(part, 300) for part in (location.path, location.member) if part is not None]
    place = " ▸ ".join(parts)
    if location.line is not None:
        place += f", line {location.line}"
    if location.offset is not None:
        place += f", byte {location.offset:,}"
    return place.removeprefix(", ")


_DRIVE = re.compile(r"^[A-Za-z]:[\\/]")


def file_uri(path: str) -> str:
    """A path as a URI reference: relative stays relative, absolute becomes file://; every other byte is percent-encoded.

    Bytes of names that are not UTF-8 arrive as surrogates (PEP 383) and are encoded as those bytes.
    """
    if _DRIVE.match(path):
        path = "/" + path.replace("\\", "/")
    encoded = quote(_bytes(path), safe="/")
    if encoded.startswith("/"):
        return f"file:///{encoded.lstrip('/')}"
    return encoded or "."


def _bytes(path: str) -> bytes:
    try:
        return path.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return path.encode("utf-8", "surrogatepass")
