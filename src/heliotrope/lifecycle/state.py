"""The local state of a project: its ledger, its blobs and its reports in .heliotrope, which keeps itself out of git."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from heliotrope.core.errors import ExitCode, HeliotropeError, LedgerError
from heliotrope.core.ids import Clock
from heliotrope.core.text import printable
from heliotrope.ledger import is_postgres, open_ledger
from heliotrope.ledger.interface import Blobs, Ledger
from heliotrope.ledger.ownership import require_own
from heliotrope.lifecycle.names import LEDGER_NAME
from heliotrope.lifecycle.writing import write_whole

__all__ = ["OutputError", "Store", "open_store", "prepare_state", "unfinished_runs", "write_bytes", "write_text"]

_UNFINISHED_SECONDS = 7 * 86400


class OutputError(HeliotropeError):
    """A report or the state folder cannot be written."""

    code = "output"
    exit_code = ExitCode.INCONCLUSIVE


@dataclass(frozen=True, slots=True)
class Store:
    """An open ledger with its blobs."""

    ledger: Ledger
    blobs: Blobs
    location: str
    """For reports: never with a password."""

    def require_in_place(self, assessment: str) -> None:
        """Raise LedgerError unless whoever opens the ledger now finds that assessment in it.

        A database file that was removed or replaced meanwhile goes on taking records that nobody will see again. A server
        has no such files: what it acknowledges, it has.
        """
        if is_postgres(self.location):
            return
        try:
            with open_ledger(self.location) as found:
                if found.id == self.ledger.id and found.latest("assessment", "assessment", assessment) is not None:
                    return
            reason = "what lies there now does not hold this run"
        except LedgerError as error:
            reason = error.message
        raise LedgerError(
            f"the ledger {printable(self.location)} was removed or replaced during the run: {reason}",
            hint="nothing of this run is acknowledged: put the ledger back if you have it, and run again",
        )


def unfinished_runs(state: Path, clock: Clock) -> Path:
    """Where runs keep what they go on from; what nobody went on with for a week is removed."""
    folder = state / "unfinished"
    if folder.is_dir() and not folder.is_symlink():
        for one in folder.iterdir():
            with suppress(OSError):
                if clock.now().timestamp() - one.stat().st_mtime > _UNFINISHED_SECONDS:
                    shutil.rmtree(one, ignore_errors=True)
    return folder


def prepare_state(state: Path) -> None:
    """Make the folder, unless something else stands in its place."""
    if state.is_symlink():
        raise LedgerError(
            f"{printable(str(state))} is a link: local state behind a link is not trusted",
            hint="remove the link, or name a ledger with --ledger",
        )
    try:
        state.mkdir(mode=0o755, exist_ok=True)
        ignore = state / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n", "utf-8")
    except OSError as error:
        raise OutputError(
            f"{printable(str(state))} cannot be written: {error.strerror}",
            hint="make room or make the folder writable, or use --ledger and --report-dir to write elsewhere",
        ) from None


@contextmanager
def open_store(state: Path, ledger: str | None, clock: Clock) -> Iterator[Store]:
    """The ledger named by --ledger, else the project's own, which must have been made by this user on this machine.

    The chain is verified before anything is taken from it or added to it, up to the newest head this user has seen.
    """
    if ledger is None:
        prepare_state(state)
        path = state / LEDGER_NAME
        if path.exists() or path.is_symlink():
            require_own(path)
    location = str(state / LEDGER_NAME) if ledger is None else ledger
    with open_ledger(location, create=True, clock=clock) as opened:
        opened.verify(opened.remembered_head())
        yield Store(opened, opened.blobs, opened.location if is_postgres(location) else location)


def write_text(path: Path, text: str) -> None:
    """Write a report whole or not at all."""
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file of a report whole or not at all."""
    try:
        write_whole(path, data)
    except OSError as error:
        raise OutputError(
            f"{printable(str(path))} cannot be written: {error.strerror}",
            hint="make room or make the folder writable, or use --report-dir",
        ) from None
