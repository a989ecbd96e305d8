"""`helio doctor`: whether this installation is whole."""

import click

from heliotrope.cli._settings import global_options, settings_of
from heliotrope.core.errors import ExitCode
from heliotrope.core.text import printable

__all__ = ["command"]

_MARKS = {"ok": "✓", "note": "·", "broken": "✗"}


@click.command(name="doctor")
@global_options
@click.pass_context
def command(ctx: click.Context) -> None:
    """Look at this installation and say what is missing."""
    from heliotrope.core.records import canonical_bytes
    from heliotrope.lifecycle.diagnosis import diagnose

    settings = settings_of(ctx)
    form = settings.choose_format("table", "json")
    rows = diagnose()
    if form == "json":
        listed = [{"what": row.what, "state": row.state, "found": row.found, "advice": row.advice} for row in rows]
        settings.emit(canonical_bytes({"schema": "heliotrope.doctor/v1", "rows": listed}).decode())
    else:
        lines = []
        for row in rows:
            lines.append(f"{_MARKS[row.state]} {row.what:<20} {printable(row.found)}")
            if row.advice:
                lines.append(f"  {'':<20} → {printable(row.advice)}")
        settings.emit("\n".join(lines))
    ctx.exit(ExitCode.INTERNAL if any(row.state == "broken" for row in rows) else ExitCode.PASS)
