"""`helio plugins`: which checks there are."""

import importlib.util

import click

from heliotrope.cli._settings import global_options, settings_of

__all__ = ["command"]


@click.command(name="plugins")
@global_options
@click.pass_context
def command(ctx: click.Context) -> None:
    """List checks, available or not, and why."""
    from heliotrope.core.records import canonical_bytes
    from heliotrope.core.text import printable
    from heliotrope.engine.registry import checks, unavailable

    settings = settings_of(ctx)
    form = settings.choose_format("table", "json")
    rows = []
    for item in checks():
        absent = [module for module in item.modules if importlib.util.find_spec(module) is None]
        reason = f"needs: pip install 'heliotrope[{item.extra}]'" if absent else ""
        rows.append(
            {
                "id": item.id,
                "version": item.version,
                "title": item.title,
                "available": not absent,
                "reason": reason,
                "docs": item.docs,
            }
        )
    rows += [
        {
            "id": f"plugin.{broken.name}",
            "version": "",
            "title": broken.module,
            "available": False,
            "reason": broken.reason,
            "docs": "",
        }
        for broken in unavailable()
    ]
    if form == "json":
        settings.emit(canonical_bytes({"schema": "heliotrope.plugins/v1", "checks": rows}).decode())
        return
    lines = []
    for row in rows:
        lines.append(f"{'✓' if row['available'] else '✗'} {row['id']:<22} {printable(str(row['title']))}")
        if row["reason"]:
            lines.append(f"    {printable(str(row['reason']))}")
    settings.emit("\n".join(lines))
