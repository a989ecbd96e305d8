"""`helio plugins`: which checks and analysers there are, and why some cannot be used."""

from typing import Any

import click

from heliotrope.cli._settings import global_options, settings_of

__all__ = ["command"]

_MARKS = {"available": "✓", "off": "·", "unavailable": "✗"}


@click.command(name="plugins")
@global_options
@click.pass_context
def command(ctx: click.Context) -> None:
    """List checks and analysers, available or not, and why.

    Checks of installed plug-ins run in every assessment. Their analysers are off until --analyser, scan.analysers of
    heliotrope.yaml or a policy names them; with --config FILE, those that it names are shown as on.
    """
    from heliotrope.core.records import canonical_bytes
    from heliotrope.lifecycle.plugins import list_plugins

    settings = settings_of(ctx)
    form = settings.choose_format("table", "json")
    listed = list_plugins(settings.config)
    if form == "json":
        settings.emit(canonical_bytes(listed).decode())
        return
    lines = ["Checks", *_lines(listed.checks)]
    lines += ["", "Analysers of plug-ins", *(_lines(listed.analysers) or ["  none is installed"])]
    if listed.broken:
        lines += ["", "Plug-ins that cannot be loaded", *_lines(listed.broken)]
    settings.emit("\n".join(lines))


def _lines(items: Any) -> list[str]:
    from heliotrope.core.text import printable

    lines = []
    for item in items:
        version = f" {item.version}" if item.version else ""
        origin = f" ({item.package})" if item.package else ""
        name = printable(f"{item.id}{version}")
        lines.append(f"  {_MARKS[item.state]} {name:<24} {printable(item.title)}{printable(origin)}")
        if item.reason:
            lines.append(f"      {printable(item.reason)}")
    return lines
