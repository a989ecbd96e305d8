"""The draft of constraints.yaml that `helio init` writes beside heliotrope.yaml, for people to correct."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from heliotrope.core.text import printable, shorten

if TYPE_CHECKING:
    from heliotrope.subjects.tables.drafting import ColumnFacts, TableFacts

__all__ = ["CONSTRAINTS_NAME", "draft_constraints"]

CONSTRAINTS_NAME = "constraints.yaml"

_MOST_LINES = 500
"""Columns that are listed."""

_HEAD = """\
# Which changes of a row an attacker can really make. Written by helio init from the first {rows} rows of
# {place}: what holds there need not hold always. Read it, correct it, and fill what only people know:
#   NAME: {{immutable: true}}                      nobody can change it
#   NAME: {{direction: increase}}                  or decrease: the only way it can move
#   NAME: {{range: [0, 10], step: 0.5, max_change: 2}}
#   NAME: {{missing: true, cost: 2}}               the value can be left out; what a change costs
# Every key is described in docs/design/tables.md.
version: 1
"""


def draft_constraints(
    root: Path, place: str, *, answers: frozenset[str], quoted: Callable[[str], str]
) -> tuple[str | None, str]:
    """The text, or None and why there is none."""
    try:
        from heliotrope.subjects.tables.drafting import table_facts

        facts = table_facts(root / place, leave_out=answers)
    except ImportError:
        return None, f"no {CONSTRAINTS_NAME} was drafted: reading tables needs the extra 'data'"
    if facts is None:
        return None, f"no {CONSTRAINTS_NAME} was drafted: {place} has too few rows or cannot be read"
    lines = [_HEAD.format(rows=facts.rows, place=printable(shorten(place, 80))).rstrip("\n")]
    lines += _features(facts.columns, quoted)
    lines += _relations(facts, quoted)
    lines.append("# budget: 5  # of the costs of all changes of a row")
    return "\n".join(lines) + "\n", ""


def _features(columns: "Sequence[ColumnFacts]", quoted: Callable[[str], str]) -> list[str]:
    said, kept = [], []
    for one in columns[:_MOST_LINES]:
        seen = f"{one.low:g} to {one.high:g} seen" if one.low is not None and one.high is not None else one.kind
        seen += ", sometimes missing" if one.missing else ""
        if one.whole:
            kept.append(f"  {quoted(one.name)}: {{integer: true}}  # {seen}")
        elif one.kind == "identifier":
            said.append(
                f"  # {quoted(one.name)}: looks like an identifier, which is no feature; if it is one: {{immutable: true}}"
            )
        elif one.kind == "time":
            said.append(f"  # {quoted(one.name)}: {{immutable: true}}  # times are never changed")
        else:
            said.append(f"  # {quoted(one.name)}: {{}}  # {one.kind}, {seen}")
    if not kept:  # so that taking the marks away leaves a mapping
        return ["# features:", *(f"#   {line.removeprefix('  # ')}" for line in said)]
    return ["features:", *kept, *said]


def _relations(facts: "TableFacts", quoted: Callable[[str], str]) -> list[str]:
    if facts.groups:
        lines = ["one_hot:  # exactly one of each is 1"]
        lines += [f"  - [{', '.join(quoted(name) for name in group)}]" for group in facts.groups]
    else:
        lines = ["# one_hot: [[colour_red, colour_blue]]  # groups of which exactly one is 1; none was found"]
    if not facts.sums:
        return [*lines, '# relations: [{terms: {total: 1, part: -1, rest: -1}, holds: "="}]  # no sum was found']
    lines.append("relations:  # hold on every row that was read")
    for one in facts.sums:
        terms = ", ".join([f"{quoted(one.total)}: 1", *(f"{quoted(part)}: -1" for part in one.parts)])
        lines.append(f'  - {{terms: {{{terms}}}, holds: "=", tolerance: {one.tolerance:.6f}}}')
    return lines
