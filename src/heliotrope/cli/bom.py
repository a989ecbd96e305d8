"""`helio bom`: the bill of materials."""

from pathlib import Path

import click

from heliotrope.cli._settings import global_options, settings_of
from heliotrope.core.errors import ExitCode

__all__ = ["command"]


@click.command(name="bom")
@click.argument("path", type=click.Path(path_type=Path, readable=False), default=Path())
@click.option("--run", metavar="RUN", help="Assessment whose measurements to take; 'last' is possible.")
@click.option("--environment", metavar="FOLDER|current", help="Read installed packages and their licences as well.")
@global_options
@click.pass_context
def command(ctx: click.Context, path: Path, run: str | None, environment: str | None) -> None:
    """Write a bill of materials (CycloneDX 1.7 ML-BOM): models, data, packages and how they hang together.

    Looks at what lies at PATH now, imports nothing and writes no ledger. Measurements come from the last assessment, as far
    as it is about the same bytes. Exit code: 3 when something that is there could not be read.
    """
    from heliotrope.lifecycle.bom import BomOptions, make_bom

    settings = settings_of(ctx)
    settings.choose_format("cyclonedx-json")
    made = make_bom(
        path,
        BomOptions(config_file=settings.config, ledger=settings.ledger, run=run, environment=environment),
    )
    settings.emit(made.text)
    for sentence in made.missing:
        settings.note(f"not in it: {sentence}")
    ctx.exit(ExitCode.PASS if made.complete else ExitCode.INCONCLUSIVE)
