"""`helio attack`: attacks and proofs of models, nothing else."""

from pathlib import Path
from typing import Any

import click

from heliotrope.cli._part import part_options
from heliotrope.cli._progress import observer_for
from heliotrope.cli._settings import global_options, settings_of
from heliotrope.cli.assess import SAMPLE
from heliotrope.core.text import printable
from heliotrope.lifecycle.assessing import assess
from heliotrope.lifecycle.attacking import ATTACKS, attack_exit_code, attack_rules, attack_runs
from heliotrope.lifecycle.planning import Selection

__all__ = ["command"]


@click.command(name="attack")
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@click.option("--project", type=click.Path(path_type=Path), default=Path(), help="Folder with heliotrope.yaml.")
@click.option(
    "--preset",
    type=click.Choice(["quick", "standard", "deep"]),
    help="How much to spend; default: the suite of the file.",
)
@click.option(
    "--only", multiple=True, metavar="CHECK", help="These attacks or proofs only (may be repeated; wildcards)."
)
@click.option("--allow-code", is_flag=True, help="Let the project's own code run, in a worker process.")
@click.option("--sample", type=SAMPLE, metavar="N|all", help="How many samples an attack takes.")
@click.option("--seed", type=click.IntRange(min=0, max=2**53 - 1), help="Seed of everything random.")
@click.option("--fresh", is_flag=True, help="Attack anew instead of reusing evidence.")
@global_options
@click.pass_context
def command(ctx: click.Context, /, models: tuple[str, ...], project: Path, **chosen: Any) -> None:
    """Attack models of heliotrope.yaml, and prove what can be proven.

    Without MODEL all models are attacked. Everything is recorded and reported as by `helio assess`, which runs all other
    checks too and decides. Exit code 1: a floor of the policy is not reached; 3: something did not conclude.
    """
    settings = settings_of(ctx)
    form = settings.choose_format("table", "json")
    options = part_options(settings, chosen, Selection(only=chosen["only"] or ATTACKS, models=models))
    with observer_for(settings) as observer:
        assessed = assess(project, options, observer=observer)
    from heliotrope import report

    document = assessed.assessment
    if form == "json":
        settings.emit(report.render_json(document))
    else:
        runs, rules = attack_runs(document), attack_rules(document)
        text = report.render_attack(document, runs, rules, width=settings.width, color=settings.color)
        settings.emit(f"{text.rstrip()}\nReport: {printable(str(assessed.reports['html']))}\n")
    ctx.exit(attack_exit_code(document))
