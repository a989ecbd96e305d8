"""`helio scan`: static inspection of model files."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from heliotrope.cli._settings import Settings, global_options, settings_of
from heliotrope.core.errors import ExitCode, UsageError
from heliotrope.core.predicates.scan import ScanAllowance, ScanDocument, ScanVerdict
from heliotrope.core.text import printable

if TYPE_CHECKING:
    from heliotrope.engine.files import WalkProblem
    from heliotrope.scan.inspecting import Target
    from heliotrope.scan.registry import Enabled

__all__ = ["command"]

_EXIT_CODES: dict[ScanVerdict, ExitCode] = {
    "malicious": ExitCode.NO,
    "suspicious": ExitCode.NO,
    "incomplete": ExitCode.INCONCLUSIVE,
    "unsupported": ExitCode.INCONCLUSIVE,
    "clean": ExitCode.PASS,
}
_STDIN = Path("-")
_CACHED_BYTES = 8 * 2**20
_CACHED_FILES = 100
"""Smaller scans are over before a cache is open."""


@click.command(name="scan")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path, readable=False, allow_dash=True))
@click.option(
    "--analyser", multiple=True, metavar="ID", help="Let an analyser of a plug-in take part (may be repeated)."
)
@click.option("--seven-zip", is_flag=True, help="Open 7z archives, in a worker; needs heliotrope[sevenzip].")
@click.option(
    "--hf-cache",
    is_flag=False,
    flag_value="",
    default=None,
    metavar="[REPO]",
    help="Inspect the local cache of the Hugging Face hub, or one repository in it (owner/name).",
)
@click.option(
    "--jobs",
    type=click.IntRange(1, 64),
    default=None,
    metavar="N",
    help="Inspect with N processes; as many as pay by default.",
)
@click.option("--no-cache", is_flag=True, help="Neither believe nor keep results of other scans.")
@click.option("--explain", is_flag=True, help="Show the decoded program around the findings of one file.")
@click.option(
    "--finding", metavar="FINGERPRINT", help="With --explain: the finding, by the beginning of its fingerprint."
)
@click.option(
    "--offset", type=click.IntRange(min=0), metavar="N", help="With --explain: the place, by its byte offset."
)
@click.option("--member", metavar="NAME", help="With --explain: the member that the offset counts in.")
@click.option(
    "--convert",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="OUT",
    help="Write the tensors of one clean file to OUT in safetensors format, without loading anything.",
)
@global_options
@click.pass_context
def command(  # noqa: PLR0917 - click hands them over by name
    ctx: click.Context,
    paths: tuple[Path, ...],
    analyser: tuple[str, ...],
    seven_zip: bool,  # noqa: FBT001 - how click hands flags over
    hf_cache: str | None,
    jobs: int | None,
    no_cache: bool,  # noqa: FBT001
    explain: bool,  # noqa: FBT001
    finding: str | None,
    offset: int | None,
    member: str | None,
    convert: Path | None,
) -> None:
    """Inspect model files and folders without loading, importing or executing anything.

    A file named here is judged whatever it is; inside a folder, only models, their data and their configuration are. - is
    standard input. Exit code: 1 suspicious or malicious, 3 not fully analysed or unsupported, 0 clean; after the decision
    where scan.allow of the file that --config names allows something.

    Analysers of plug-ins are off. --analyser names those that take part, else scan.analysers of the file that --config
    names; a heliotrope.yaml in what is scanned is not asked.
    """
    settings = settings_of(ctx)
    _require_sensible(paths, hf_cache, explain=explain, place=(finding, offset, member), convert=convert)
    if explain:
        from heliotrope.cli._scan_explain import explain_file

        explain_file(paths[0], settings, finding=finding, offset=offset, member=member)
        return
    if convert is not None:
        from heliotrope.cli._scan_convert import convert_file

        convert_file(paths[0], convert, settings)
        return
    form = settings.choose_format("table", "json", "sarif", "junit")
    enabled, allowances = _configured(analyser, settings, seven_zip=seven_zip)
    with _found(paths, hf_cache) as found:
        document = _scanned(found, enabled, settings, jobs=jobs, cached=not no_cache)
    if allowances:
        from datetime import UTC, datetime

        from heliotrope.scan.deciding import decide

        document = decide(document, allowances, datetime.now(UTC).date())
    settings.emit(_render(document, form, settings, enabled))
    _record(document, settings)
    ctx.exit(_EXIT_CODES[document.decided])


def _require_sensible(
    paths: tuple[Path, ...],
    hf_cache: str | None,
    *,
    explain: bool,
    place: tuple[object, ...],
    convert: Path | None,
) -> None:
    from heliotrope.engine.files import is_present

    if not paths and hf_cache is None:
        raise UsageError("nothing is named to scan", hint="name files or folders, - for standard input, or --hf-cache")
    if any(item is not None for item in place) and not explain:
        raise UsageError("--finding, --offset and --member belong to --explain")
    if explain and convert is not None:
        raise UsageError("--explain and --convert are two different things", hint="ask for one of them")
    if (explain or convert is not None) and (len(paths) != 1 or hf_cache is not None or paths[0] == _STDIN):
        raise UsageError(f"{'--explain' if explain else '--convert'} takes one file", hint="name the file")
    if paths.count(_STDIN) > 1:
        raise UsageError("standard input can be read once", hint="name - once")
    for path in paths:
        if path != _STDIN and not is_present(path):
            raise UsageError(
                f"{printable(str(path))}: no such file or folder", hint="name a model file, or a folder that holds some"
            )


@contextmanager
def _found(paths: tuple[Path, ...], hf_cache: str | None) -> "Iterator[list[Target | WalkProblem]]":
    """The files to inspect, as long as they are there."""
    from heliotrope.scan._service import list_paths

    with ExitStack() as stack:
        found: list[Target | WalkProblem] = []
        for path in paths:
            if path == _STDIN:
                from heliotrope.scan.spooling import spooled

                found.append(stack.enter_context(spooled(sys.stdin.buffer, "<stdin>")))
            else:
                found.extend(list_paths([path]))
        if hf_cache is not None:
            from heliotrope.scan.hub_cache import hub_cache_folder, list_hub_cache

            found.extend(list_hub_cache(hub_cache_folder(), hf_cache))
        yield found


def _scanned(
    found: "list[Target | WalkProblem]", enabled: "Enabled", settings: Settings, *, jobs: int | None, cached: bool
) -> ScanDocument:
    from heliotrope.cli._scan_progress import scan_progress
    from heliotrope.scan._service import scan_targets

    size = sum(getattr(item, "size", 0) for item in found)
    with ExitStack() as stack:
        cache = None
        if cached and (size >= _CACHED_BYTES or len(found) >= _CACHED_FILES):
            from heliotrope.scan import ScanLimits
            from heliotrope.scan._service import scan_tool
            from heliotrope.scan.caching import ResultCache

            cache = stack.enter_context(ResultCache(scan_tool(enabled), ScanLimits()))
        progress = stack.enter_context(scan_progress(settings))
        return scan_targets(found, progress=progress, analysers=enabled, jobs=jobs, cache=cache)


def _configured(
    named: tuple[str, ...], settings: Settings, *, seven_zip: bool
) -> "tuple[Enabled, tuple[ScanAllowance, ...]]":
    """The analysers that take part and what is allowed: both only from what the person names."""
    from heliotrope.scan.registry import NONE, enable

    allowed: tuple[ScanAllowance, ...] = ()
    if settings.config is not None:
        from heliotrope.config.loader import load_config
        from heliotrope.scan.deciding import require_allowable

        scan = load_config(settings.config).config.scan
        require_allowable(scan.allow)
        named, allowed = named or scan.enabled, scan.allow
    if seven_zip:
        from heliotrope.scan.archives.seven_zip import SEVEN_ZIP

        named = tuple(dict.fromkeys((*named, SEVEN_ZIP)))
    return (enable(named) if named else NONE), allowed


def _render(document: ScanDocument, form: str, settings: Settings, enabled: "Enabled") -> str:
    if form == "json":
        from heliotrope.report import render_json

        return render_json(document)
    if form == "sarif":
        from heliotrope.report import render_sarif
        from heliotrope.scan.rules import RULES

        return render_sarif(document, (*RULES, *enabled.rules))
    if form == "junit":
        from heliotrope.report import render_scan_junit

        return render_scan_junit(document)
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
