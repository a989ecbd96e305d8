"""`helio ledger`: whether anything recorded was changed, and looking after what is recorded."""

from pathlib import Path
from typing import Any

import click

from heliotrope.cli._ledger_care import migrate, prune
from heliotrope.cli._ledger_place import place_of
from heliotrope.cli._ledger_transfer import export, import_
from heliotrope.cli._settings import global_options, settings_of
from heliotrope.core.text import counted, printable

__all__ = ["command"]

_SHOWN_RETENTIONS = 10


@click.group(name="ledger")
@global_options
def command() -> None:
    """Verify what was recorded; export, import, migrate or prune it."""


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
    from heliotrope.ledger import open_ledger
    from heliotrope.ledger.interface import Head, LedgerTampered

    settings = settings_of(ctx)
    form = settings.choose_format("table", "json")
    wanted = Head.parse(head) if head else None
    with open_ledger(place_of(settings, path)) as ledger:
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
        retentions = list(_retentions(ledger)) if verified.pruned else []
    if form == "json":
        document |= {"intact": True, "records": verified.records, "head": str(verified.head)}
        document |= {"pruned": verified.pruned, "retentions": retentions}
        settings.emit(canonical_bytes(document).decode())
        return
    if wanted:
        against = "and agrees with the head given"
    elif known:
        against = f"and agrees with the last head seen on this machine ({known.sequence} records)"
    else:
        against = "(without --head, a cut-off end cannot be noticed)"
    lines = [f"{verified.records} records, the chain holds {against}"]
    if verified.pruned:
        lines.append(f"{counted(verified.pruned, 'record')} without content, removed under retention:")
        lines += [
            f"  {item['time']} by {printable(item['by'])}: {counted(item['contents'], 'content')}, "
            f"{counted(item['blobs'], 'blob')} from before {printable(item['older_than'])}"
            for item in retentions[:_SHOWN_RETENTIONS]
        ]
        if len(retentions) > _SHOWN_RETENTIONS:
            lines.append(f"  and {len(retentions) - _SHOWN_RETENTIONS} earlier ones (--format json lists them)")
    settings.emit("\n".join([*lines, f"head {verified.head}"]))


def _retentions(ledger: Any) -> Any:
    """Who removed what and when, newest first."""
    from heliotrope.ledger.interface import Retention

    for event in ledger.find("retention"):
        facts = Retention.model_validate_json(ledger.content(event.content_id)).document()
        yield {
            "time": event.time,
            "record": event.sequence,
            **{name: facts[name] for name in ("by", "older_than", "contents", "blobs")},
        }


for _command in (export, import_, migrate, prune):
    command.add_command(_command)
