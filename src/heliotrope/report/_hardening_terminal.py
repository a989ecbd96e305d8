"""What a person reads of hardening: by model a table of before and after, and whether it is better."""

from heliotrope.core.assessments import Assessment
from heliotrope.core.measurements import Interval
from heliotrope.core.predicates.hardening import HardenedSide, HardeningPredicate
from heliotrope.report._lines import Lines
from heliotrope.report._text import number, plain, share
from heliotrope.report._view import OUTCOME_SYMBOLS, OUTCOME_WORDS, View

__all__ = ["VERDICTS", "hardening_rows", "render_hardening"]

VERDICTS = {"better": "better", "no-better": "not better", "not-credited": "not credited"}
_STYLES = {"better": "green", "no-better": "red", "not-credited": "yellow"}
_TEXT = 1200


def hardening_rows(found: HardeningPredicate) -> list[tuple[str, str, str, str]]:
    """What, before, after and change, in words: the table of every format."""
    before, after = found.before, found.after
    robust = "certified by votes" if found.attack == "smoothing" else f"robust, by {found.attack}"
    rows = [
        (
            "clean",
            _share(before, "clean"),
            _share(after, "clean"),
            _change(found.clean_change.change, found.clean_change.interval),
        ),
        (
            robust,
            _share(before, "robust"),
            _share(after, "robust"),
            _change(found.robust_change.change, found.robust_change.interval),
        ),
    ]
    if found.attack != "smoothing" and not (before.certified is None and after.certified is None):
        known = [_certified(one, found.held_out_rows) for one in (before, after)]
        rows.append(("certified", known[0], known[1], ""))
    faster = f"x {after.latency_ms / before.latency_ms:.2f}" if before.latency_ms > 0 else ""
    rows.append(("one answer", f"{number(before.latency_ms)} ms", f"{number(after.latency_ms)} ms", faster))
    return rows


def render_hardening(assessment: Assessment, *, width: int = 80, color: bool = False) -> str:
    """The runs that hardened, in lines of at most `width` columns."""
    lines, view = Lines(width, color), View(assessment)
    runs = [run for run in assessment.runs if run.check.startswith("harden.") and run.code != "deselected"]
    known = {item.entry.id: item.predicate for item in view.hardenings}
    if not runs:
        lines.add("No model was hardened: heliotrope.yaml names none that was asked for.")
    for run in runs:
        if run.outcome == "not_applicable":
            continue
        lines.heading(plain(view.subject_name(run.subject), 100))
        found = [known[one] for one in run.evidence if one in known]
        if not found:
            lines.add(
                f"{plain(run.check, 100)}: {OUTCOME_WORDS[run.outcome]}", first=f"  {OUTCOME_SYMBOLS[run.outcome]} "
            )
            lines.add(plain(run.reason, _TEXT), indent=4)
        for one in found:
            _details(lines, one, OUTCOME_SYMBOLS[run.outcome], again=run.reused_from is not None)
    lines.blank()
    lines.add(f"suite {plain(assessment.suite, 40)}", style="dim")
    return lines.text()


def _details(lines: Lines, found: HardeningPredicate, symbol: str, *, again: bool) -> None:
    earlier = ", known from an earlier run" if again else ", went on after a stop" if found.resumed else ""
    said = f"{VERDICTS[found.verdict]}, by {plain(found.method, 60)}{earlier}"
    lines.add(said, first=f"  {symbol} ", style=_STYLES[found.verdict])
    rows = [("", "before", "after", "change (95 % interval)"), *hardening_rows(found)]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        lines.verbatim("    " + "  ".join(cell.ljust(wide) for cell, wide in zip(row, widths, strict=True)).rstrip())
    if found.verdict != "better":
        lines.add(plain(found.reason, _TEXT), indent=4)
    threat = found.threat
    lines.add(
        f"{threat.norm} eps {threat.eps:g}; {found.held_out_rows} held-out samples; trained on {found.training_rows} rows, epoch chosen on "
        f"{found.validation_rows}; {found.removed_rows} training rows left out because they are among the held-out ones",
        indent=4,
    )
    if found.stopped:
        lines.add(f"ended early: {plain(found.stopped, 300)}", indent=4)
    for name, side in (("original", found.before), ("hardened", found.after)):
        _signs(lines, name, side)


def _signs(lines: Lines, name: str, side: HardenedSide) -> None:
    for sign in side.health:
        if sign.state in ("warning", "failed"):
            lines.add(
                f"{name}: {sign.state}: {plain(sign.title, 200)}: no ({plain(sign.actual, 200)})",
                first="    ! ",
                style="red" if sign.state == "failed" else "yellow",
            )


def _share(side: HardenedSide, which: str) -> str:
    return share(side.clean_accuracy if which == "clean" else side.robust_accuracy)


def _certified(side: HardenedSide, n: int) -> str:
    return "nothing proven" if side.certified is None else share(side.certified / n)


def _change(change: float, interval: Interval) -> str:
    return f"{100 * change:+.1f} points ({100 * interval.low:+.1f} to {100 * interval.high:+.1f})"
