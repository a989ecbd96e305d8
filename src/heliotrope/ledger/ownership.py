"""Whether a ledger is this user's own. One that came with a repository would speak for whoever wrote it."""

import os
import shutil
import subprocess
from pathlib import Path

from heliotrope.core.errors import LedgerError
from heliotrope.core.text import printable
from heliotrope.ledger import _state
from heliotrope.ledger._postgres_url import is_postgres
from heliotrope.ledger._sqlite_file import SIDECARS, check_file, identity

__all__ = ["require_own", "state_folder"]

state_folder = _state.state_folder

_GIT_SECONDS = 10.0
_GIT = (
    "--no-pager",
    "--literal-pathspecs",
    "-c",
    "core.fsmonitor=false",
    "-c",
    "core.hooksPath=/dev/null",
    "-c",
    "safe.directory=*",
)
"""Ask the index and run nothing the repository names. Any owner will do: nothing of the repository is executed."""


def require_own(path: Path) -> None:
    """Raise LedgerError unless this user created the ledger at that path and git does not track it.

    An empty file is let through, for there is nothing in it to trust. A ledger that moved is still one's own; a copy beside the original is not, since the two would part ways.
    """
    shown = printable(str(path))
    if path.parent.is_symlink():
        raise LedgerError(
            f"the folder of the ledger {shown} is a symbolic link",
            hint=f"remove {shown}, or name a ledger with --ledger",
        )
    if not check_file(path):
        raise LedgerError(f"there is no ledger at {shown}", hint="`helio assess` begins one inside a project")
    owner = path.lstat().st_uid
    if owner != os.geteuid():
        raise _foreign(f"the ledger {shown} belongs to another user (uid {owner})", shown)
    if _tracked_by_git(path):
        raise _foreign(f"the ledger {shown} is tracked by git: it came with the repository", shown)
    if _is_blank(path):
        return
    ledger_id = identity(path)
    known = _state.find(ledger_id)
    if known is None:
        raise _foreign(f"the ledger {shown} was not created by this user", shown)
    if _is_copy(path, known.path, ledger_id):
        raise LedgerError(
            f"the ledger {shown} is a copy of {printable(known.path)}",
            hint=f"remove {shown} to begin a new one, or name the one you mean with --ledger",
        )
    if known.path != str(path.resolve()):
        _state.register(ledger_id, path.resolve())


def _is_blank(path: Path) -> bool:
    """An empty file with nothing beside it says nothing: whoever was to begin the ledger there did not get further."""
    return path.lstat().st_size == 0 and not any(os.path.lexists(f"{path}{suffix}") for suffix in SIDECARS)


def _foreign(message: str, shown: str) -> LedgerError:
    return LedgerError(
        message,
        hint=f"its evidence cannot be trusted here: remove {shown} to begin your own, or name it with --ledger if you trust it",
    )


def _is_copy(path: Path, known: str, ledger_id: str) -> bool:
    if is_postgres(known):
        return True  # anybody who reads a shared ledger could make a file with its id
    original = Path(known)
    try:
        return not original.samefile(path) and identity(original) == ledger_id
    except (OSError, LedgerError):
        return False  # moved away, or something else lies there now


def _tracked_by_git(path: Path) -> bool:
    """Whether git tracks the ledger or a file that SQLite would replay into it."""
    folder = path.resolve().parent
    if not any((parent / ".git").exists() for parent in (folder, *folder.parents)):
        return False
    git = shutil.which("git")
    if git is None or not Path(git).is_absolute():  # a relative one could be the project's own
        return False
    names = [f"./{path.name}{suffix}" for suffix in ("", *SIDECARS)]
    environment = {
        "PATH": os.defpath,
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_OPTIONAL_LOCKS": "0",
    }
    try:
        answer = subprocess.run(  # noqa: S603 - fixed program and options; names are literal path specifications
            [git, *_GIT, "-C", str(folder), "ls-files", "-z", "--", *names],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_GIT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _unanswered(folder, type(error).__name__) from None
    if answer.returncode == 0:
        return bool(answer.stdout)
    complaint = answer.stderr.decode("utf-8", "replace").strip()
    if "not a git repository" in complaint:
        return False
    raise _unanswered(folder, complaint)


def _unanswered(folder: Path, reason: str) -> LedgerError:
    return LedgerError(
        f"git cannot say whether it tracks the ledger in {printable(str(folder))}: {printable(reason)[:200]}",
        hint="repair the repository, or name the ledger with --ledger if you trust it",
    )
