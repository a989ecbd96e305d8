"""`helio ledger verify`: whether anything recorded was changed, removed, reordered or added."""

from pathlib import Path
from typing import Any

import click

from heliotrope.cli._settings import global_options, settings_of
from heliotrope.core.errors import UsageError
from heliotrope.core.text import printable

__all__ = ["command"]


@click.group(name="ledger")
@global_options
def command() -> None:
    """Verify what was recorded."""


@command.command(name="verify")
@click.argument("path", type=click.Path(path_type=Path), default=Path())
@click.option("--head", metavar="H", help="Head printed in a report: detects truncation and rewriting, too.")
@global_options
@click.pass_context
def verify(ctx: click.Context, path: Path, head: str | None) -> None:
    """Verify the ledger of the project at PATH, or the one named by --ledger.

    Exit code 1 names the first record that was changed, deleted, reordered or inserted.
    """
    from heliotrope.core.records import canonical_bytes
    from heliotrope.engine.files import is_folder, is_present
    from heliotrope.ledger import open_ledger
    from heliotrope.ledger.interface import Head, LedgerTampered
    from heliotrope.lifecycle.names import LEDGER_NAME, STATE_NAME

    settings = settings_of(ctx)
    form = settings.choose_format("table", "json")
    wanted = Head.parse(head) if head else None
    base = path if path.name != STATE_NAME else path.parent
    location = settings.ledger or str(base / STATE_NAME / LEDGER_NAME if is_folder(base) else base)
    if settings.ledger is None and not is_present(Path(location)):
        raise UsageError(
            f"{printable(location)}: there is no ledger here", hint="run helio assess first, or name one with --ledger"
        )
    with open_ledger(location) as ledger:
        known = wanted or ledger.remembered_head()
        document: dict[str, Any] = {
            "schema": "heliotrope.ledger-verification/v1",
            "checked_against": str(known) if known else None,
        }
        try:
            verified = ledger.verify(known)
        except LedgerTampered as found:
            if form == "json":
                wrong = {
                    "problem": found.problem,
                    "record": found.sequence,
                    "id": found.record_id,
                    "detail": found.message,
                }
                settings.emit(canonical_bytes({**document, "intact": False, "first_wrong": wrong}).decode())
            raise
    if form == "json":
        document |= {"intact": True, "records": verified.records, "head": str(verified.head)}
        settings.emit(canonical_bytes(document).decode())
        return
    if wanted:
        against = "and agrees with the head given"
    elif known:
        against = f"and agrees with the last head seen on this machine ({known.sequence} records)"
    else:
        against = "(without --head, a cut-off end cannot be noticed)"
    settings.emit(f"{verified.records} records, the chain holds {against}\nhead {verified.head}")
