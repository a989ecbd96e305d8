"""`helio config explain`: which setting holds, and where it comes from."""

from pathlib import Path

import click

from heliotrope.cli._settings import global_options, settings_of

__all__ = ["command"]


@click.group(name="config")
@global_options
def command() -> None:
    """Show which setting holds and where it comes from."""


@command.command(name="explain")
@click.argument("path", type=click.Path(path_type=Path), default=Path())
@global_options
@click.pass_context
def explain(ctx: click.Context, path: Path) -> None:
    """List every setting of the project at PATH with its value and origin: option, environment, file or default."""
    from heliotrope.config.precedence import explain as explain_settings
    from heliotrope.core.records import canonical_bytes
    from heliotrope.lifecycle.target import resolve_target

    settings = settings_of(ctx)
    form = settings.choose_format("table", "json")
    given = {"ledger": settings.ledger}
    target = resolve_target(path, config_file=settings.config, options=given)
    rows = explain_settings(target.loaded, options=given)
    if form == "json":
        listed = [{"key": row.key, "value": row.value, "origin": row.origin} for row in rows]
        settings.emit(canonical_bytes({"schema": "heliotrope.settings/v1", "settings": listed}).decode())
        return
    key_width = min(max((len(row.key) for row in rows), default=0), 40)
    value_width = min(max((len(row.value) for row in rows), default=0), 30)
    settings.emit("\n".join(f"{row.key:<{key_width}}  {row.value:<{value_width}}  {row.origin}" for row in rows))
