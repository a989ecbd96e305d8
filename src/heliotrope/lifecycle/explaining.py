"""Explanations alone: a part of an assessment, recorded like one, with an answer and pictures of its own."""

from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path

from heliotrope.core.assessments import Assessment, RunEntry
from heliotrope.core.text import printable
from heliotrope.lifecycle.state import OutputError, write_bytes, write_text
from heliotrope.report import explanation_files, render_explanations

__all__ = ["EXPLANATIONS", "explain_exit_code", "explain_runs", "export_pictures"]

EXPLANATIONS = ("explain.*",)
"""What explains, as patterns of check ids."""

_FINDINGS_RULE = "no-serious-findings"


def explain_runs(assessment: Assessment) -> tuple[RunEntry, ...]:
    """Runs that explain, without those that were not asked for."""
    return tuple(
        run
        for run in assessment.runs
        if any(fnmatchcase(run.check, pattern) for pattern in EXPLANATIONS) and run.code != "deselected"
    )


def explain_exit_code(assessment: Assessment) -> int:
    """1: a finding as severe as the policy forbids. 3: something did not conclude, or nothing was explained."""
    runs = explain_runs(assessment)
    if any(rule.rule == _FINDINGS_RULE and rule.state == "fail" for rule in assessment.decision.rules):
        return 1
    concluded = [run for run in runs if run.outcome in ("passed", "failed")]
    open_ = [
        run
        for run in runs
        if run.outcome in ("inconclusive", "error") or (run.outcome == "skipped" and run.code != "suite")
    ]
    return 3 if open_ or not concluded else 0


def export_pictures(
    assessment: Assessment, folder: Path, *, read_blob: Callable[[str], bytes | None]
) -> tuple[Path, ...]:
    """Write every picture as SVG or PNG and index.html, which shows and links them; their paths, the index first.

    Files of the same names are replaced, others left alone. Raises OutputError.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{printable(str(folder))} cannot be made: {error.strerror}", hint="choose another folder with --export"
        ) from None
    files = explanation_files(assessment, read_blob)
    for file in files:
        write_bytes(folder / file.name, file.data)
    index = folder / "index.html"
    write_text(index, render_explanations(assessment, read_blob=read_blob, files=files))
    return (index, *(folder / file.name for file in files))
