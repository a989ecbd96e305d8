"""What a person reads of attacks alone: by model each attack with its number, whether it worked, and what a floor says."""

from collections.abc import Sequence

from heliotrope.core.assessments import Assessment, RunEntry
from heliotrope.core.decisions import RuleResult
from heliotrope.core.predicates.behaviour import EVASION_PREDICATE, EvasionPredicate
from heliotrope.report._lines import Lines
from heliotrope.report._text import number, plain
from heliotrope.report._view import OUTCOME_SYMBOLS, OUTCOME_WORDS, RULE_SYMBOLS, RULE_WORDS, View

__all__ = ["render_attack"]

_STYLES = {"passed": "green", "failed": "red", "error": "red", "inconclusive": "yellow", "skipped": "dim"}
_RULE_STYLES = {"pass": "green", "fail": "red", "unknown": "yellow", "not_applicable": "dim"}
_TEXT = 1200
_MAX_RUNS = 100
_MAX_TEXTS = 50
_SHOWN_TEXT = 300


def render_attack(
    assessment: Assessment,
    runs: Sequence[RunEntry],
    rules: Sequence[RuleResult],
    *,
    width: int = 80,
    color: bool = False,
) -> str:
    """The runs of attacks and proofs, and the rules on what they measured, in lines of at most `width` columns."""
    lines, view = Lines(width, color), View(assessment)
    if not runs:
        lines.add("No model was attacked: heliotrope.yaml names none, or the attacks that suit it were not chosen.")
    for subject in dict.fromkeys(run.subject for run in runs):
        lines.heading(plain(view.subject_name(subject), 100))
        for run in [one for one in runs if one.subject == subject][:_MAX_RUNS]:
            _run(lines, assessment, run)
        for rule in (one for one in rules if one.subject == subject):
            lines.add(
                f"{plain(rule.title, 200)} ({RULE_WORDS[rule.state]}): wanted {plain(rule.wanted, 200)}, "
                f"actual {plain(rule.actual, 200)}{_why(rule)}",
                first=f"  {RULE_SYMBOLS[rule.state]} ",
                style=_RULE_STYLES[rule.state],
            )
    lines.blank()
    lines.add(f"suite {plain(assessment.suite, 40)}, policy {plain(assessment.decision.policy.name, 100)}", style="dim")
    return lines.text()


def _run(lines: Lines, assessment: Assessment, run: RunEntry) -> None:
    again = ", known from an earlier run" if run.reused_from else ""
    lines.add(
        f"{plain(run.check, 100)}: {OUTCOME_WORDS[run.outcome]}{again}",
        first=f"  {OUTCOME_SYMBOLS[run.outcome]} ",
        style=_STYLES.get(run.outcome, ""),
    )
    lines.add(plain(run.reason, _TEXT), indent=4)
    for entry in assessment.evidence:
        if entry.id in run.evidence and entry.predicate_type == EVASION_PREDICATE:
            _details(lines, EvasionPredicate.model_validate(entry.predicate))


def _details(lines: Lines, known: EvasionPredicate) -> None:
    broken = [f"{entry.attack} {entry.broken}" for entry in known.restarts if entry.attack and entry.broken]
    if broken:
        lines.add(f"broken by: {', '.join(plain(one, 80) for one in broken)}", indent=4)
    if known.proof:
        lines.add(f"proof: {plain(known.proof, 300)}", indent=4)
    each = known.forward_passes / max(known.n, 1)
    lines.add(
        f"cost: {number(each)} forward and {number(known.gradient_passes / max(known.n, 1))} gradient passes a sample",
        indent=4,
    )
    for sign in known.health:
        if sign.state in ("warning", "failed"):
            following = f"; next: {sign.next_attack}" if sign.next_attack else ""
            lines.add(
                f"{sign.state}: {plain(sign.title, 200)}: no ({plain(sign.actual, 200)}){plain(following, 300)}",
                first="    ! ",
                style="red" if sign.state == "failed" else "yellow",
            )
    _texts(lines, known)


def _texts(lines: Lines, known: EvasionPredicate) -> None:
    """Rewritten texts: whether they still say the same is for whoever reads this."""
    shown = [example for example in known.examples if example.after_text is not None][:_MAX_TEXTS]
    if shown:
        lines.add("rewritten texts, for you to judge (do they still say the same?):", indent=4)
    for example in shown:
        changed = ", ".join(
            f"{plain(str(one.before), 60)} > {plain(str(one.after), 60)}" for one in example.changes or ()
        )
        lines.add(
            f"row {example.index}, {plain(example.label_name, 40)} taken for {plain(example.adversarial_name, 40)}: {changed}: "
            f"{plain(example.after_text or '', _SHOWN_TEXT)}",
            first="    - ",
        )


def _why(rule: RuleResult) -> str:
    return f"; {plain(rule.reason, 200)}" if rule.reason and rule.state in ("fail", "unknown") else ""
