"""Converting one file to safetensors, if its verdict is clean: here, or in a process with limits."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from heliotrope.core.predicates.scan import FileReport
from heliotrope.core.text import printable
from heliotrope.scan.converting.tensors import CannotConvertError
from heliotrope.scan.converting.worker import convert_in_worker
from heliotrope.scan.converting.writing import Converted, convert_clean, largest
from heliotrope.scan.inspecting import Inspected, Target, inspect_target
from heliotrope.scan.limits import ScanLimits

__all__ = ["convert"]

_IN_WORKER: Final = frozenset({"skops"})
"""Formats whose description is a tree of any shape and size, which is read in a process with limits."""


def convert(path: Path, output: Path, *, progress: Callable[[float, float, str], None] | None = None) -> Converted:
    """Write the tensors of a file to another one; whole or not at all.

    CannotConvertError unless the file's raw verdict is clean, and for what has no place in a safetensors file.
    """
    report = _require_clean(path)
    if report.format in _IN_WORKER:
        size = path.stat().st_size
        return convert_in_worker(path, output, report.format, report.sha256 or "", largest(size))
    return convert_clean(path, output, report.format, report.sha256 or "", progress=progress)


def _require_clean(path: Path) -> FileReport:
    inspected: Inspected = inspect_target(Target(path, str(path), named=True), ScanLimits())
    report = inspected.report
    assert report is not None
    if report.verdict != "clean":
        raise CannotConvertError(
            f"{printable(str(path))} is not converted: the scan's verdict is {report.verdict}",
            hint="run helio scan on it to see why; only what is clean is converted",
        )
    return report
