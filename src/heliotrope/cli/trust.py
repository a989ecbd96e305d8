"""`helio trust`: whose code may run."""

from pathlib import Path

import click

from heliotrope.cli._settings import global_options, settings_of
from heliotrope.core.text import printable

__all__ = ["command"]


@click.group(name="trust")
@global_options
def command() -> None:
    """Say which projects may run their code."""


@command.command(name="project")
@click.argument("path", type=click.Path(path_type=Path, exists=True), default=Path())
@global_options
@click.pass_context
def project(ctx: click.Context, path: Path) -> None:
    """Let the project at PATH run its code from now on, as it is at this moment.

    A change of heliotrope.yaml or of any Python file in the project ends it. A worker process contains crashes, hangs and
    memory; it does not contain malice. Read the code first.
    """
    from heliotrope.core.ids import SystemClock
    from heliotrope.lifecycle.consent import trust
    from heliotrope.lifecycle.target import resolve_target

    settings = settings_of(ctx)
    target = resolve_target(path, config_file=settings.config)
    digest = trust(target.project, SystemClock().now())
    settings.emit(f"{printable(str(target.project.root))} may run its code while it stays as it is ({digest[:16]}…)")


@command.command(name="forget")
@click.argument("path", type=click.Path(path_type=Path), default=Path())
@global_options
@click.pass_context
def forget(ctx: click.Context, path: Path) -> None:
    """Take the trust in the project at PATH back."""
    from heliotrope.lifecycle.consent import forget as forget_mark

    root = path.resolve()
    existed = forget_mark(root)
    settings_of(ctx).emit(f"{printable(str(root))}: {'trust taken back' if existed else 'it was not trusted'}")


@command.command(name="list")
@global_options
@click.pass_context
def list_marks(ctx: click.Context) -> None:
    """Show which projects are trusted."""
    from heliotrope.lifecycle.consent import marks

    held = marks()
    lines = [
        f"{mark.get('time', '?')}  {mark.get('digest', '?')[:16]}  {printable(path)}"
        for path, mark in sorted(held.items())
    ]
    settings_of(ctx).emit("\n".join(lines) or "no project is trusted")
