"""What a person reads of explanations alone: by model each check with its outcome, its reason and what it would do about it."""

from collections.abc import Sequence

from heliotrope.core.assessments import Assessment, RunEntry
from heliotrope.report._lines import Lines
from heliotrope.report._text import plain
from heliotrope.report._view import OUTCOME_SYMBOLS, OUTCOME_WORDS, View

__all__ = ["render_explain"]

_STYLES = {"passed": "green", "failed": "red", "error": "red", "inconclusive": "yellow", "skipped": "dim"}
_TEXT = 1200
_MAX_RUNS = 100


def render_explain(assessment: Assessment, runs: Sequence[RunEntry], *, width: int = 80, color: bool = False) -> str:
    """The runs that explain, and their findings with severity and advice, in lines of at most `width` columns."""
    lines, view = Lines(width, color), View(assessment)
    if not runs:
        lines.add("No model was explained: heliotrope.yaml names none, or the checks that suit it were not chosen.")
    for subject in dict.fromkeys(run.subject for run in runs):
        lines.heading(plain(view.subject_name(subject), 100))
        for run in [one for one in runs if one.subject == subject][:_MAX_RUNS]:
            again = ", known from an earlier run" if run.reused_from else ""
            lines.add(
                f"{plain(run.check, 100)}: {OUTCOME_WORDS[run.outcome]}{again}",
                first=f"  {OUTCOME_SYMBOLS[run.outcome]} ",
                style=_STYLES.get(run.outcome, ""),
            )
            lines.add(plain(run.reason, _TEXT), indent=4)
            for found in assessment.findings:
                if found.fingerprint in run.findings:
                    advice = f": {plain(found.fix.text, _TEXT)}" if found.fix else ""
                    lines.add(
                        f"{found.severity}, {found.confidence} confidence{advice}", first="    ! ", style="yellow"
                    )
    lines.blank()
    lines.add(f"suite {plain(assessment.suite, 40)}", style="dim")
    return lines.text()
