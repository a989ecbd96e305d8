"""`helio harden`: models made more robust, with a table of what that is worth."""

from pathlib import Path
from typing import Any, get_args

import click

from heliotrope.cli._part import part_options
from heliotrope.cli._progress import observer_for
from heliotrope.cli._settings import global_options, settings_of
from heliotrope.cli.assess import SAMPLE
from heliotrope.config.hardening import NetworkMethod, TableMethod
from heliotrope.core.errors import UsageError
from heliotrope.core.text import printable
from heliotrope.lifecycle.assessing import assess
from heliotrope.lifecycle.hardening import HARDENING, harden_exit_code, hardened_models, write_model
from heliotrope.lifecycle.planning import Selection

__all__ = ["command"]


@click.command(name="harden")
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@click.option("--project", type=click.Path(path_type=Path), default=Path(), help="Folder with heliotrope.yaml.")
@click.option(
    "--method",
    type=click.Choice(get_args(NetworkMethod)),
    help="Networks: how; default: as the file says, else trades.",
)
@click.option(
    "--tables", multiple=True, type=click.Choice(get_args(TableMethod)), help="Models of tables: how (may be repeated)."
)
@click.option("--epochs", type=click.IntRange(min=1), metavar="N", help="Passes over the training data, at most.")
@click.option("--start", type=click.Choice(["weights", "scratch"]), help="Go on from the weights, or begin anew.")
@click.option(
    "--to",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Where the hardened model is written, better or not.",
)
@click.option("--preset", type=click.Choice(["quick", "standard", "deep"]), help="How hard both models are attacked.")
@click.option("--allow-code", is_flag=True, help="Let the project's own code run, in a worker process.")
@click.option(
    "--sample",
    type=SAMPLE,
    metavar="N|all",
    help="How many held-out samples judge; at least 1,000 where there are so many.",
)
@click.option("--seed", type=click.IntRange(min=0, max=2**53 - 1), help="Seed of everything random.")
@click.option("--fresh", is_flag=True, help="Harden anew instead of taking what is known.")
@global_options
@click.pass_context
def command(ctx: click.Context, /, models: tuple[str, ...], project: Path, **chosen: Any) -> None:
    """Make models more robust, and show what that is worth.

    Networks are trained on adversarial examples, models of tables retrained on feasible ones. The original and the hardened model are
    attacked alike on the same held-out samples; a hardened model that is better is written below .heliotrope/hardened, the
    original is never touched. Exit code 1: a model did not become better; 3: one could not be hardened, or the attack on it
    did not work.
    """
    if chosen["to"] is not None and len(models) != 1:
        raise UsageError("--to names one file", hint="name the model it is for, as in helio harden NAME --to FILE")
    settings = settings_of(ctx)
    form = settings.choose_format("table", "json")
    said = {key: chosen[key] for key in ("method", "epochs", "start")} | {"tables": chosen["tables"] or None}
    options = part_options(settings, chosen, Selection(only=HARDENING, models=models), harden=said)
    with observer_for(settings) as observer:
        assessed = assess(project, options, observer=observer)
    from heliotrope import report

    document, written = assessed.assessment, []
    for one in hardened_models(document):
        if one.found.verdict == "better" or chosen["to"] is not None:
            path = write_model(one, chosen["to"], assessed.state / "hardened", assessed.read_blob)
            written.append(f"{one.name}: {printable(str(path))}")
    if form == "json":
        settings.emit(report.render_json(document))
    else:
        text = report.render_hardening(document, width=settings.width, color=settings.color)
        lines = [text.rstrip(), *(f"Hardened {line}" for line in written)]
        settings.emit("\n".join([*lines, f"Report: {printable(str(assessed.reports['html']))}", ""]))
    ctx.exit(harden_exit_code(document))
