"""Which ledger a command of `helio ledger` is about."""

from pathlib import Path

from heliotrope.cli._settings import Settings
from heliotrope.core.errors import UsageError
from heliotrope.core.text import printable

__all__ = ["named_place", "place_of"]


def named_place(settings: Settings) -> str | None:
    """What --ledger or HELIOTROPE_LEDGER names. heliotrope.yaml has no say in it: it comes with a repository."""
    from heliotrope.config.precedence import settle

    return settle(None, options={"ledger": settings.ledger}).ledger.value


def place_of(settings: Settings, path: Path) -> str:
    """The ledger that is named, else that of the project at `path`; UsageError where there is none."""
    from heliotrope.engine.files import is_folder, is_present
    from heliotrope.lifecycle.names import LEDGER_NAME, STATE_NAME

    named = named_place(settings)
    if named is not None:
        return named
    base = path if path.name != STATE_NAME else path.parent
    location = base / STATE_NAME / LEDGER_NAME if is_folder(base) else base
    if not is_present(location):
        raise UsageError(
            f"{printable(str(location))}: there is no ledger here",
            hint="run helio assess first, or name one with --ledger",
        )
    return str(location)
