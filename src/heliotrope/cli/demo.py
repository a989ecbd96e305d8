"""`helio demo`: the examples, end to end."""

import time
from pathlib import Path

import click

from heliotrope.cli._progress import observer_for
from heliotrope.cli._settings import Settings, global_options, settings_of
from heliotrope.core.errors import ExitCode
from heliotrope.core.text import printable
from heliotrope.lifecycle.demo import DemoRun, run_demo, write_index

__all__ = ["command"]


@click.command(name="demo")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=Path("heliotrope-demo"))
@global_options
@click.pass_context
def command(ctx: click.Context, folder: Path) -> None:
    """Build and assess the examples.

    Everything is written to FOLDER; it takes a minute or two.
    Returns 0 when every example got the verdict that is expected of it: some are made to be denied.
    """
    settings = settings_of(ctx)
    settings.choose_format("table")
    folder = folder.absolute()
    runs: list[DemoRun] = []
    began = time.monotonic()
    with observer_for(Settings(quiet=True)) as observer:
        for run in run_demo(folder, observer):
            runs.append(run)
            settings.emit(_describe(run, time.monotonic() - began))
            began = time.monotonic()
    index = write_index(folder, runs)
    unexpected = [run for run in runs if run.assessed is not None and not run.as_expected]
    skipped = [run for run in runs if run.assessed is None]
    good = len(runs) - len(unexpected) - len(skipped)
    summary = f"{good} of {len(runs)} examples got the verdict expected of them"
    settings.emit(f"{summary}\nopen {printable(str(index))}")
    ctx.exit(ExitCode.NO if unexpected else ExitCode.INCONCLUSIVE if skipped else ExitCode.PASS)


def _describe(run: DemoRun, seconds: float) -> str:
    if run.assessed is None:
        return f"· {run.title}: not run ({run.skipped})\n"
    mark = "✓" if run.as_expected else "✗"
    expectation = "as expected" if run.as_expected else f"expected {run.expected_verdict}"
    return f"{mark} {run.title}: {run.verdict.upper()} ({expectation}, {seconds:.0f} s)\n    {printable(run.reason)}\n"
