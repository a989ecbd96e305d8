"""`helio init`: a first heliotrope.yaml."""

from pathlib import Path

import click

from heliotrope.cli._settings import global_options, settings_of
from heliotrope.core.text import printable

__all__ = ["command"]


@click.command(name="init")
@click.argument("path", type=click.Path(path_type=Path), default=Path())
@click.option("--force", is_flag=True, help="Replace an existing heliotrope.yaml.")
@global_options
@click.pass_context
def command(ctx: click.Context, path: Path, *, force: bool) -> None:
    """Write heliotrope.yaml from what is found in a repository.

    Nothing is imported or executed. What cannot be known is left as a comment that says how to fill it.
    """
    from heliotrope.lifecycle.initialise import initialise

    settings = settings_of(ctx)
    settings.choose_format("table")
    result = initialise(path, force=force)
    lines = [f"wrote {printable(str(result.path))}"]
    lines += [f"  found {printable(item)}" for item in result.found]
    lines += [f"  note: {printable(note)}" for note in result.notes]
    if result.gitignore_changed:
        lines.append("  added .heliotrope/ to .gitignore")
    lines.append("next: read it, fill what is commented out, then run: helio assess")
    settings.emit("\n".join(lines))
