"""`helio scan`: static inspection of model files."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from heliotrope.cli._settings import Settings, global_options, settings_of
from heliotrope.core.errors import ExitCode, UsageError
from heliotrope.core.predicates.scan import ScanDocument, ScanVerdict
from heliotrope.core.text import printable

if TYPE_CHECKING:
    from heliotrope.scan.registry import Enabled

__all__ = ["command"]

_EXIT_CODES: dict[ScanVerdict, ExitCode] = {
    "malicious": ExitCode.NO,
    "suspicious": ExitCode.NO,
    "incomplete": ExitCode.INCONCLUSIVE,
    "unsupported": ExitCode.INCONCLUSIVE,
    "clean": ExitCode.PASS,
}


@click.command(name="scan")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path, readable=False))
@click.option(
    "--analyser", multiple=True, metavar="ID", help="Let an analyser of a plug-in take part (may be repeated)."
)
@click.option("--seven-zip", is_flag=True, help="Open 7z archives, in a worker; needs heliotrope[sevenzip].")
@global_options
@click.pass_context
def command(ctx: click.Context, paths: tuple[Path, ...], analyser: tuple[str, ...], *, seven_zip: bool) -> None:
    """Inspect model files and folders without loading, importing or executing anything.

    A file named here is judged whatever it is; inside a folder, only models, their data and their configuration are.
    Exit code: 1 suspicious or malicious, 3 not fully analysed or unsupported, 0 clean.

    Analysers of plug-ins are off. --analyser names those that take part, else scan.analysers of the file that --config
    names; a heliotrope.yaml in what is scanned is not asked.
    """
    from heliotrope.engine.files import is_present
    from heliotrope.scan import scan_paths

    settings = settings_of(ctx)
    form = settings.choose_format("table", "json", "sarif")
    for path in paths:
        if not is_present(path):
            raise UsageError(
                f"{printable(str(path))}: no such file or folder", hint="name a model file, or a folder that holds some"
            )
    enabled = _enabled(analyser, settings, seven_zip=seven_zip)
    document = scan_paths(paths, analysers=enabled)
    settings.emit(_render(document, form, settings, enabled))
    _record(document, settings)
    ctx.exit(_EXIT_CODES[document.verdict])


def _enabled(named: tuple[str, ...], settings: Settings, *, seven_zip: bool) -> "Enabled":
    from heliotrope.scan.registry import NONE, enable

    if not named and settings.config is not None:
        from heliotrope.config.loader import load_config

        named = load_config(settings.config).config.scan.enabled
    if seven_zip:
        from heliotrope.scan.archives.seven_zip import SEVEN_ZIP

        named = (*named, SEVEN_ZIP)
    return enable(named) if named else NONE


def _render(document: ScanDocument, form: str, settings: Settings, enabled: "Enabled") -> str:
    if form == "json":
        from heliotrope.report import render_json

        return render_json(document)
    if form == "sarif":
        from heliotrope.report import render_sarif
        from heliotrope.scan.rules import RULES

        return render_sarif(document, (*RULES, *enabled.rules))
    from heliotrope.report import render_scan_terminal

    return render_scan_terminal(document, width=settings.width, color=settings.color)


def _record(document: ScanDocument, settings: Settings) -> None:
    """Keep the result where there already is a ledger: named by --ledger, or of the project around us."""
    from heliotrope.engine.files import is_folder
    from heliotrope.lifecycle.names import LEDGER_NAME, STATE_NAME

    state = Path.cwd() / STATE_NAME
    if settings.ledger is None and not (is_folder(state) and (state / LEDGER_NAME).is_file()):
        return
    from heliotrope.lifecycle.scanning import record_scan

    head = record_scan(document, state=state, ledger=settings.ledger)
    settings.note(f"recorded; ledger head {head}")
