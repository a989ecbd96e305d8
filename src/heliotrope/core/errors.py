"""The one root of errors that people are meant to read, and the exit codes they lead to."""

from collections.abc import Iterable
from enum import IntEnum

__all__ = [
    "ConfigError",
    "ExitCode",
    "HeliotropeError",
    "InputError",
    "InternalError",
    "LedgerError",
    "MissingExtraError",
    "SystemRefusedError",
    "UsageError",
    "worst_exit_code",
]


class ExitCode(IntEnum):
    """What a command says to the shell; an API that scripts rely on."""

    PASS = 0
    NO = 1
    """A rule or a finding says no, on evidence."""
    USAGE = 2
    """The command line or a configuration file is wrong."""
    INCONCLUSIVE = 3
    """Denied or undecided only because evidence is missing, skipped, in error or incomplete."""
    INTERNAL = 4
    """Our own fault."""


_WORST_FIRST = (ExitCode.INTERNAL, ExitCode.USAGE, ExitCode.NO, ExitCode.INCONCLUSIVE, ExitCode.PASS)


def worst_exit_code(codes: Iterable[ExitCode]) -> ExitCode:
    """The code that wins when several hold: 4, 2, 1, 3, 0 in that order; 0 for none."""
    held = set(codes)
    return next((code for code in _WORST_FIRST if code in held), ExitCode.PASS)


class HeliotropeError(Exception):
    """An error with a stable code, one sentence of what happened and a hint of what to do next."""

    code = "error"
    exit_code = ExitCode.INTERNAL

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def diagnostics(self) -> str:
        """The message and, on a line of its own, the hint."""
        return f"{self.message}\n  hint: {self.hint}" if self.hint else self.message

    def reason(self) -> str:
        """Message and hint in one line, as the reason of an outcome."""
        return f"{self.message}; {self.hint}" if self.hint else self.message


class UsageError(HeliotropeError):
    """The command line asks for something that cannot be."""

    code = "usage"
    exit_code = ExitCode.USAGE


class ConfigError(HeliotropeError):
    """A configuration or policy file is wrong; the message names file, line and key."""

    code = "config"
    exit_code = ExitCode.USAGE


class InputError(HeliotropeError):
    """A file or data set cannot be read as what it was declared to be."""

    code = "input"
    exit_code = ExitCode.INCONCLUSIVE


class MissingExtraError(HeliotropeError):
    """An optional dependency is not installed."""

    code = "missing-extra"
    exit_code = ExitCode.INCONCLUSIVE

    def __init__(self, extra: str, *, module: str) -> None:
        super().__init__(
            f"this needs the extra '{extra}' (Python package '{module}' is not installed)",
            hint=f"pip install 'heliotrope[{extra}]'",
        )
        self.extra = extra


class LedgerError(HeliotropeError):
    """The ledger cannot be opened, written or trusted."""

    code = "ledger"
    exit_code = ExitCode.INCONCLUSIVE


class SystemRefusedError(HeliotropeError):
    """The machine lacks what is needed: space, processes, open files."""

    code = "system"
    exit_code = ExitCode.INCONCLUSIVE


class InternalError(HeliotropeError):
    """A promise this program makes to itself was broken."""

    code = "internal"
    exit_code = ExitCode.INTERNAL
