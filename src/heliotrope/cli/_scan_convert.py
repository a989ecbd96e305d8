"""`helio scan --convert`: tensors of a clean file as safetensors."""

from pathlib import Path

from heliotrope.cli._scan_progress import scan_progress
from heliotrope.cli._settings import Settings
from heliotrope.core.errors import UsageError
from heliotrope.core.text import counted, printable
from heliotrope.scan.converting.convert import convert

__all__ = ["convert_file"]

_MAX_NAMES = 10


def convert_file(path: Path, output: Path, settings: Settings) -> None:
    """Write it, and say what it holds and what it does not."""
    settings.choose_format("table")
    if output.exists() and path.exists() and output.samefile(path):
        raise UsageError("the file to convert would be overwritten", hint="name another file after --convert")
    with scan_progress(settings) as progress:
        done = convert(path, output, progress=progress)
    lines = [
        f"✓ {printable(str(output))}: {counted(done.tensors, 'tensor')}, {done.size:,} bytes, nothing was loaded",
        f"  from {printable(str(path))}, sha256 {done.sha256}",
    ]
    if done.shared:
        lines.append(f"  shared before, each with its own bytes now: {_names(done.shared)}")
    if done.left_out:
        lines.append(f"  left out, since they are no tensors: {_names(done.left_out)}")
    settings.emit("\n".join(lines) + "\n")


def _names(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
    return ", ".join(names[:_MAX_NAMES]) + more
