"""The root command, and the one place where errors become exit codes."""

import contextlib
import errno
import gc
import importlib
import os
import signal
import sys
import threading
from collections.abc import Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import TextIO

import click

from heliotrope import __version__
from heliotrope.cli._settings import Settings, flush_result, global_options
from heliotrope.core.errors import ExitCode, HeliotropeError, UsageError
from heliotrope.core.text import printable

__all__ = ["COMMANDS", "main", "root"]

COMMANDS: dict[str, tuple[str, str]] = {
    "assess": ("heliotrope.cli.assess", "Inspect, test and decide: the main job."),
    "scan": (
        "heliotrope.cli.scan",
        "Inspect model files and folders without loading, importing or executing anything.",
    ),
    "attack": ("heliotrope.cli.attack", "Attack models of heliotrope.yaml, and prove what can be proven."),
    "harden": ("heliotrope.cli.harden", "Make models more robust, and show what that is worth."),
    "explain": ("heliotrope.cli.explain", "Explain what models of heliotrope.yaml look at, and draw it."),
    "bom": (
        "heliotrope.cli.bom",
        "Write a bill of materials (CycloneDX 1.7 ML-BOM): models, data, packages and how they hang together.",
    ),
    "init": ("heliotrope.cli.init", "Write heliotrope.yaml from what is found in a repository."),
    "demo": ("heliotrope.cli.demo", "Build and assess the examples."),
    "ledger": ("heliotrope.cli.ledger", "Verify what was recorded; export, import, migrate or prune it."),
    "trust": ("heliotrope.cli.trust", "Say which projects may run their code."),
    "config": ("heliotrope.cli.config", "Show which setting holds and where it comes from."),
    "plugins": ("heliotrope.cli.plugins", "List checks and analysers, available or not, and why."),
    "doctor": ("heliotrope.cli.doctor", "Look at this installation and say what is missing."),
}
"""Command name to (module, short help). The help is repeated here so that `helio --help` imports none of them."""


class _LazyGroup(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(COMMANDS[cmd_name][0]).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 pass · 1 no, on evidence · 2 usage or configuration · 3 inconclusive · 4 our own fault.",
)
@click.version_option(__version__, "-V", "--version", prog_name="heliotrope", message="%(prog)s %(version)s")
@global_options
def root() -> None:
    """Heliotrope secures machine-learning models: inspect, test, gate, defend.

    Start with: helio init, then helio assess. For a single file: helio scan FILE.
    """
    _require_folder()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with a documented code."""
    settings = Settings()
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    _complete_streams()
    _stop_in_order()
    try:
        code = root.main(
            args=list(arguments) if arguments is not None else None,
            prog_name="helio",
            standalone_mode=False,
            obj=settings,
        )
        flush_result()
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        sys.exit(ExitCode.USAGE)
    except click.ClickException as error:
        _say_usage(error)
        sys.exit(ExitCode.USAGE)
    except (click.Abort, KeyboardInterrupt):
        _say("cancelled", "stopped before it was finished", "")
        sys.exit(ExitCode.INCONCLUSIVE)
    except (BrokenPipeError, SystemExit):  # click ends with 1 for it, which is our word for a no
        _silence(sys.stdout)  # the reader went away: nothing to say
        sys.exit(ExitCode.INCONCLUSIVE)
    except HeliotropeError as error:
        if settings.debug:
            raise
        _say(error.code, error.message, error.hint)
        _give_up_stdout()
        sys.exit(error.exit_code)
    except Exception as error:
        if settings.debug:
            raise
        code = _say_unforeseen(error)
        _give_up_stdout()
        sys.exit(code)
    sys.exit(code if isinstance(code, int) else 0)


_OBJECTS_BETWEEN_COLLECTIONS = 50_000
"""Listings and records live until the end; looking through them for garbage every 700 objects takes a tenth of a run."""

_EXHAUSTED = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO, errno.EAGAIN}
)
"""What the machine lacks; more of it helps, a change of ours would not."""


def _say_unforeseen(error: Exception) -> ExitCode:
    if isinstance(error, OSError) and error.errno in _EXHAUSTED:
        where = f" ({error.filename})" if error.filename else ""
        _say("system", f"the machine refused: {error.strerror}{where}", "make room, also for temporary files (TMPDIR)")
        return ExitCode.INCONCLUSIVE
    _say(
        "internal",
        f"{type(error).__name__}: {error}",
        "this is a fault of Heliotrope; run again with --debug and report what it prints",
    )
    return ExitCode.INTERNAL


def _complete_streams() -> None:
    """A stream that was closed before we began is None in Python, and its number would go to the next file opened."""
    with contextlib.suppress(OSError):
        while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
            os.set_inheritable(descriptor, True)
        os.close(descriptor)
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - lives as long as the process
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal of another century still shows the rest


def _stop_in_order() -> None:
    """Being asked to end, as by a time limit of CI or a closed terminal, records what was cancelled, just as Ctrl-C does."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL and threading.current_thread() is threading.main_thread():
            signal.signal(number, signal.default_int_handler)


def _require_folder() -> None:
    try:
        Path.cwd()
    except OSError as error:
        raise UsageError(
            f"the current folder cannot be used: {error.strerror}",
            hint="it may have been removed: change to another one",
        ) from None


def _give_up_stdout() -> None:
    """What was said before the error still goes out, if anybody takes it."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        _silence(sys.stdout)


def _silence(stream: TextIO) -> None:
    """What is still held back for a stream that cannot take it must not fail once more when the interpreter ends."""
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)


def _say(code: str, message: str, hint: str) -> None:
    lines = [f"error[{code}]: {_safe(message)}"]
    if hint:
        lines.append(f"  hint: {_safe(hint)}")
    try:
        click.echo("\n".join(lines), err=True)
    except OSError:
        _silence(sys.stderr)  # nobody can be told; the exit code still says it


def _safe(text: str) -> str:
    return "\n".join(printable(line) for line in text.split("\n"))


def _say_usage(error: click.ClickException) -> None:
    context = getattr(error, "ctx", None)
    where = f"{context.command_path} --help" if context is not None else "helio --help"
    _say("usage", error.format_message(), where)
