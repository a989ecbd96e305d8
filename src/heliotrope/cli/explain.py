"""`helio explain`: what models look at, nothing else."""

from pathlib import Path
from typing import Any

import click

from heliotrope.cli._part import part_options
from heliotrope.cli._progress import observer_for
from heliotrope.cli._settings import global_options, settings_of
from heliotrope.cli.assess import SAMPLE
from heliotrope.core.text import printable
from heliotrope.lifecycle.assessing import assess
from heliotrope.lifecycle.explaining import EXPLANATIONS, explain_exit_code, explain_runs, export_pictures
from heliotrope.lifecycle.planning import Selection

__all__ = ["command"]


@click.command(name="explain")
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@click.option("--project", type=click.Path(path_type=Path), default=Path(), help="Folder with heliotrope.yaml.")
@click.option(
    "--preset",
    type=click.Choice(["quick", "standard", "deep"]),
    default="deep",
    show_default=True,
    help="How much to look at; tests of attributions, hints at triggers and drift belong to deep.",
)
@click.option("--only", multiple=True, metavar="CHECK", help="These checks only (may be repeated; wildcards).")
@click.option(
    "--export",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write the pictures as SVG and PNG, with an index.",
)
@click.option("--allow-code", is_flag=True, help="Let the project's own code run, in a worker process.")
@click.option(
    "--fail-on", type=click.Choice(["critical", "high", "medium", "low", "info"]), help="Lowest severity that denies."
)
@click.option("--sample", type=SAMPLE, metavar="N|all", help="How many samples are looked at.")
@click.option("--seed", type=click.IntRange(min=0, max=2**53 - 1), help="Seed of everything random.")
@click.option("--fresh", is_flag=True, help="Explain anew instead of reusing evidence.")
@global_options
@click.pass_context
def command(ctx: click.Context, /, models: tuple[str, ...], project: Path, **chosen: Any) -> None:
    """Explain what models of heliotrope.yaml look at, and draw it.

    Without MODEL all models are explained. Everything is recorded and reported as by `helio assess`, which runs all other
    checks too and decides. Exit code 1: a finding as severe as --fail-on; 3: something did not conclude.
    """
    settings = settings_of(ctx)
    form = settings.choose_format("table", "json")
    options = part_options(
        settings, chosen, Selection(only=chosen["only"] or EXPLANATIONS, models=models), fail_on=chosen["fail_on"]
    )
    with observer_for(settings) as observer:
        assessed = assess(project, options, observer=observer)
    from heliotrope import report

    document, folder = assessed.assessment, chosen["export"]
    pictures = export_pictures(document, folder, read_blob=assessed.read_blob) if folder is not None else ()
    if form == "json":
        settings.emit(report.render_json(document))
        if pictures:
            settings.note(f"pictures: {printable(str(pictures[0]))}")
    else:
        text = report.render_explain(document, explain_runs(document), width=settings.width, color=settings.color)
        drawn = f"Pictures: {printable(str(pictures[0]))}, and {len(pictures) - 1} files\n" if pictures else ""
        settings.emit(f"{text.rstrip()}\n{drawn}Report: {printable(str(assessed.reports['html']))}\n")
    ctx.exit(explain_exit_code(document))
