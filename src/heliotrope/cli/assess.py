"""`helio assess`: the main job."""

from pathlib import Path
from typing import Any

import click

from heliotrope.cli._progress import observer_for
from heliotrope.cli._settings import Settings, global_options, settings_of
from heliotrope.core.errors import UsageError
from heliotrope.core.text import printable
from heliotrope.lifecycle.assessing import Assessed, AssessOptions, assess
from heliotrope.lifecycle.planning import Selection
from heliotrope.lifecycle.rules import all_rules

__all__ = ["SAMPLE", "command"]

_FORMATS = ("table", "json", "sarif", "junit", "markdown", "html")


class _Sample(click.ParamType[Any]):
    """A positive number, or all."""

    name = "sample"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "all":
            return value
        return click.IntRange(min=1).convert(value, param, ctx)


SAMPLE = _Sample()


@click.command(name="assess")
@click.argument("path", type=click.Path(path_type=Path, readable=False), default=Path())
@click.option("--allow-code", is_flag=True, help="Let the project's own code run, in a worker process.")
@click.option("--suite", type=click.Choice(["quick", "standard", "deep"]), help="How much to test.")
@click.option("--only", multiple=True, metavar="CHECK", help="Run these checks only (may be repeated; wildcards).")
@click.option("--skip", multiple=True, metavar="CHECK", help="Leave these checks out (may be repeated; wildcards).")
@click.option("--fresh", is_flag=True, help="Run everything anew instead of reusing evidence.")
@click.option("--baseline", metavar="RUN", help="Only findings that RUN does not have count; 'last' is possible.")
@click.option("--policy", type=click.Path(path_type=Path), help="Policy file; the project may only tighten it.")
@click.option(
    "--fail-on", type=click.Choice(["critical", "high", "medium", "low", "info"]), help="Lowest severity that denies."
)
@click.option("--seed", type=click.IntRange(min=0, max=2**53 - 1), help="Seed of everything random.")
@click.option("--sample", type=SAMPLE, metavar="N|all", help="How many samples an attack takes.")
@click.option("--report-dir", type=click.Path(), help="Folder for the reports of this run.")
@global_options
@click.pass_context
def command(ctx: click.Context, /, path: Path, **chosen: Any) -> None:
    """Inspect, test and decide: the main job.

    PATH is a project with heliotrope.yaml, or any file or folder for the static checks alone.
    Reports are written to .heliotrope/reports/RUN/ as html, json, sarif, junit and markdown, with a bill of materials beside them.
    """
    settings = settings_of(ctx)
    form = settings.choose_format(*_FORMATS)
    options = AssessOptions(
        config_file=settings.config,
        policy_file=chosen["policy"],
        settings={
            "ledger": settings.ledger,
            **{name: chosen[name] for name in ("suite", "seed", "sample", "report_dir")},
        },
        selection=Selection(only=chosen["only"], skip=chosen["skip"]),
        baseline=chosen["baseline"],
        fresh=chosen["fresh"],
        allow_code=chosen["allow_code"],
        fail_on=chosen["fail_on"],
    )
    with observer_for(settings) as observer:
        assessed = assess(path, options, observer=observer)
    settings.emit(_render(assessed, form, settings))
    if form != "table":
        settings.note(f"reports: {printable(str(assessed.reports['html'].parent))}")
    ctx.exit(assessed.assessment.exit_code)


def _render(assessed: Assessed, form: str, settings: Settings) -> str:
    from heliotrope import report

    document = assessed.assessment
    match form:
        case "table":
            text = report.render_terminal(document, width=settings.width, color=settings.color)
            return f"{text.rstrip()}\nReport: {printable(str(assessed.reports['html']))}\n"
        case "json":
            return report.render_json(document)
        case "sarif":
            return report.render_sarif(document, all_rules())
        case "junit":
            return report.render_junit(document)
        case "markdown":
            return report.render_markdown(document)
        case "html":
            return report.render_html(document, read_blob=assessed.read_blob, rules=all_rules())
        case _:
            raise UsageError(f"--format {form} is not possible here")
