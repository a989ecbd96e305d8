"""`helio ledger migrate` and `prune`: bringing a ledger to another format, and taking old contents out of it."""

import sys
from datetime import timedelta
from pathlib import Path

import click

from heliotrope.cli._ledger_place import place_of
from heliotrope.cli._settings import global_options, settings_of
from heliotrope.core.errors import UsageError
from heliotrope.core.text import counted

__all__ = ["migrate", "prune"]

_MAX_DAYS = 36_500


@click.command(name="migrate")
@click.argument("path", type=click.Path(path_type=Path), default=Path())
@click.option(
    "--to", "target", type=click.IntRange(min=1), metavar="N", help="Format to bring it to; the newest if left out."
)
@global_options
@click.pass_context
def migrate(ctx: click.Context, path: Path, target: int | None) -> None:
    """Bring the ledger of the project at PATH, or the one named by --ledger, to another format.

    All or nothing; records, head and id stay as they are. A file is brought to the newest format by itself when helio
    assess works with it. A ledger on a server is not: others may use it with an older version.
    """
    from heliotrope.ledger import migrate_ledger

    settings = settings_of(ctx)
    settings.choose_format("table")
    before, after = migrate_ledger(place_of(settings, path), target)
    settings.emit(f"format {after}" if before == after else f"brought from format {before} to {after}")


@click.command(name="prune")
@click.argument("path", type=click.Path(path_type=Path), default=Path())
@click.option(
    "--keep-days",
    type=click.FloatRange(min=0, max=_MAX_DAYS),
    required=True,
    metavar="N",
    help="Leave everything that was recorded in the last N days.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Say what would be removed, and remove nothing.")
@global_options
@click.pass_context
def prune(ctx: click.Context, path: Path, keep_days: float, *, yes: bool, dry_run: bool) -> None:
    """Remove old evidence, findings, runs and assessments from the ledger of the project at PATH, and their blobs.

    The chain stays and still names what was removed; a record says who removed it and when. Decisions are kept, and so is
    what the latest assessments, their baselines and everything recent speak of. Run it when no assessment is running.
    """
    from heliotrope.core.ids import SystemClock
    from heliotrope.core.records import canonical_bytes
    from heliotrope.ledger import open_ledger
    from heliotrope.lifecycle import retention

    settings = settings_of(ctx)
    form = settings.choose_format("table", "json")
    with open_ledger(place_of(settings, path)) as ledger:
        ledger.verify(ledger.remembered_head())
        plan = retention.plan_pruning(ledger, keep=timedelta(days=keep_days), now=SystemClock().now())
        what = (
            f"{counted(len(plan.contents), 'content')} ({plan.size:,} bytes) and "
            f"{counted(len(plan.blobs) + len(plan.leftover_blobs), 'blob')} from before {plan.retention.older_than}"
        )
        removed = retention.Removed(0, 0)
        if not (dry_run or plan.empty):
            _confirm(what, yes=yes)
            removed = retention.prune(ledger, plan)
        head = ledger.head()
    if form == "json":
        document = {
            "schema": "heliotrope.ledger-retention/v1",
            "older_than": plan.retention.older_than,
            "planned": {"contents": len(plan.contents), "bytes": plan.size, "blobs": len(plan.blobs)},
            "removed": {"contents": removed.contents, "blobs": removed.blobs},
            "head": str(head),
        }
        settings.emit(canonical_bytes(document).decode())
        return
    if plan.empty:
        settings.emit(
            f"nothing is old enough: everything before {plan.retention.older_than} is still spoken of\nhead {head}"
        )
    elif dry_run:
        settings.emit(f"would remove {what}\nhead {head}")
    else:
        done = f"removed {counted(removed.contents, 'content')} and {counted(removed.blobs, 'blob')}"
        settings.emit(f"{done} from before {plan.retention.older_than}\nhead {head}")


def _confirm(what: str, *, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(f"this would remove {what}", hint="say --yes, or --dry-run to look only")
    click.confirm(f"Remove {what} for ever?", abort=True, err=True)
