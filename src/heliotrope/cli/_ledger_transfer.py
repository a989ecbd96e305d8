"""`helio ledger export` and `import`: a whole ledger in one file, and from it into an empty place on either database."""

from pathlib import Path

import click

from heliotrope.cli._ledger_place import named_place, place_of
from heliotrope.cli._settings import global_options, settings_of
from heliotrope.core.errors import UsageError
from heliotrope.core.text import counted, printable

__all__ = ["export", "import_"]


@click.command(name="export")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.argument("path", type=click.Path(path_type=Path), default=Path())
@click.option("--blobs", is_flag=True, help="With the pictures and samples that runs name.")
@global_options
@click.pass_context
def export(ctx: click.Context, file: Path, path: Path, *, blobs: bool) -> None:
    """Write the ledger of the project at PATH, or the one named by --ledger, into FILE.

    It is verified first. FILE appears when it is whole; its last line is the digest of all before.
    """
    from heliotrope.core.records import canonical_bytes
    from heliotrope.ledger import open_ledger

    settings = settings_of(ctx)
    form = settings.choose_format("table", "json")
    with open_ledger(place_of(settings, path)) as ledger:
        exported = ledger.export(file, blobs=blobs)
    if exported.missing_blobs:
        settings.note(f"{counted(exported.missing_blobs, 'blob')} that runs name are not there any more")
    if form == "json":
        document = {
            "schema": "heliotrope.ledger-export/v1",
            "file": printable(str(file)),
            "records": exported.verified.records,
            "head": str(exported.verified.head),
            "blobs": exported.blobs,
            "missing_blobs": exported.missing_blobs,
            "digest": exported.digest,
        }
        settings.emit(canonical_bytes(document).decode())
        return
    settings.emit(
        f"{counted(exported.verified.records, 'record')} and {counted(exported.blobs, 'blob')} in {printable(str(file))}\n"
        f"head {exported.verified.head}\ndigest {exported.digest}"
    )


@click.command(name="import")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@global_options
@click.pass_context
def import_(ctx: click.Context, file: Path) -> None:
    """Read FILE, which export wrote, into the new or empty ledger named by --ledger.

    It becomes the ledger that was exported, with the same id and head. A file that was changed or cut off is refused,
    with the place where. Keep one of the two ledgers: appending to both would make two histories of one.
    """
    from heliotrope.core.records import canonical_bytes
    from heliotrope.ledger import import_ledger

    settings = settings_of(ctx)
    form = settings.choose_format("table", "json")
    place = named_place(settings)
    if place is None:
        raise UsageError("an import needs to be told where to", hint="name an empty place with --ledger")
    imported = import_ledger(file, place)
    if form == "json":
        document = {
            "schema": "heliotrope.ledger-import/v1",
            "records": imported.verified.records,
            "head": str(imported.verified.head),
            "pruned": imported.verified.pruned,
            "blobs": imported.blobs,
        }
        settings.emit(canonical_bytes(document).decode())
        return
    settings.emit(
        f"{counted(imported.verified.records, 'record')} and {counted(imported.blobs, 'blob')} imported, the chain holds\n"
        f"head {imported.verified.head}"
    )
