"""Options that every command takes, before or after its name, and how results reach the person."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import Any, TypeVar

import click

from heliotrope.core.errors import ExitCode, HeliotropeError, UsageError
from heliotrope.core.text import printable

__all__ = ["Settings", "flush_result", "global_options", "remark", "settings_of"]

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(slots=True)
class Settings:
    """What the global options say."""

    format: str | None = None
    output: Path | None = None
    quiet: bool = False
    no_color: bool = False
    ledger: str | None = None
    config: Path | None = None
    debug: bool = False

    def choose_format(self, *known: str) -> str:
        """The format asked for, or the first known one; UsageError for another."""
        chosen = self.format or known[0]
        if chosen not in known:
            raise UsageError(f"--format {printable(chosen)} is not possible here", hint=f"choose {', '.join(known)}")
        return chosen

    @property
    def color(self) -> bool:
        """Colour only for a person at a terminal."""
        import os

        return not self.no_color and self.output is None and sys.stdout.isatty() and "NO_COLOR" not in os.environ

    @property
    def width(self) -> int:
        """Columns to fill: the terminal's, between 60 and 120; 80 when nobody is looking."""
        import shutil

        return min(max(shutil.get_terminal_size((80, 24)).columns, 60), 120) if sys.stdout.isatty() else 80

    def emit(self, text: str) -> None:
        """The result, to standard output or to --output."""
        ended = text if text.endswith("\n") else text + "\n"
        if self.output is None:
            if self.format not in (None, "table") and isinstance(sys.stdout, TextIOWrapper):
                sys.stdout.reconfigure(encoding="utf-8")  # as JSON and the others are, whatever the terminal speaks
            with _result_reaches():
                sys.stdout.write(ended.encode("utf-8", "backslashreplace").decode("utf-8"))
            return
        from heliotrope.lifecycle.writing import write_whole

        try:
            write_whole(self.output, ended, follow=True)
        except OSError as error:
            raise UsageError(
                f"--output {printable(str(self.output))} cannot be written: {error.strerror}",
                hint="name a file in a folder that exists and is writable",
            ) from None

    def note(self, text: str) -> None:
        """A remark beside the result, on standard error."""
        if not self.quiet:
            remark(text)


class OutputClosedError(HeliotropeError):
    """Standard output does not take the result."""

    code = "output"
    exit_code = ExitCode.INCONCLUSIVE


@contextmanager
def _result_reaches() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise  # the reader has seen enough
    except OSError as error:
        raise OutputClosedError(
            f"the result cannot be written to standard output: {error.strerror}",
            hint="make room, or write to a file with --output",
        ) from None


def flush_result() -> None:
    """Have standard output take what it still holds back."""
    with _result_reaches():
        sys.stdout.flush()


def remark(text: str) -> None:
    """A line beside the result, on standard error. Losing it loses nothing of the result."""
    with contextlib.suppress(OSError):
        click.echo(text, err=True)


def _keep(ctx: click.Context, parameter: click.Parameter, value: Any) -> None:
    if parameter.name and value not in (None, False):
        setattr(ctx.ensure_object(Settings), parameter.name, value)


_OPTIONS = (
    click.option("--format", metavar="FORMAT", help="table, json, sarif, … as the command offers."),
    click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="Write the result to a file."),
    click.option("--quiet", "-q", is_flag=True, help="Nothing but the result."),
    click.option("--no-color", is_flag=True, help="No colours."),
    click.option("--ledger", metavar="URL", help="Ledger to use instead of the project's own."),
    click.option("--config", type=click.Path(path_type=Path), help="heliotrope.yaml to use."),
    click.option("--debug", is_flag=True, help="Show tracebacks."),
)


def global_options(function: F) -> F:
    """Add the options that every command takes; a value after the command wins over one before it."""
    for option in reversed(_OPTIONS):
        function = option(function)
    for parameter in getattr(function, "__click_params__", []):
        if parameter.name in Settings.__slots__:
            parameter.expose_value = False
            parameter.callback = _keep
    return function


def settings_of(ctx: click.Context) -> Settings:
    return ctx.ensure_object(Settings)
