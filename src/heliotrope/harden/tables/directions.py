"""From the directions of a constraints file to signs of monotone constraints.

A direction says how an attacker can move a number: `increase` where it can only rise, as the words of a mail or the imports of a
program, to which something can be added and nothing taken away. The attacker wants to leave one class, the guarded one: found to
be spam, or fraud. If the score of that class never falls when such a number rises, no move the attacker has in that column helps
(Incer et al., Adversarially robust malware detection using monotonic classification, 2018). So `increase` becomes a score of the
guarded class that never falls in the column, `decrease` one that never rises. Rows of the other class may still be moved into the
guarded one: whoever needs both can have no constraint of this kind. Columns that move both ways get none.

With more than two classes the score of one may stay and another's overtake it, so that nothing follows from a sign.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from heliotrope.config.constraints import load_constraints
from heliotrope.core.errors import InputError
from heliotrope.core.text import printable, shorten
from heliotrope.subjects.interface import Opened

__all__ = ["guarded_class", "in_order", "signs_of"]

_SIGN = {"increase": 1, "decrease": -1}


def guarded_class(names: Sequence[str], wanted: str | None) -> int:
    """The index of the class that attackers want to leave: as configured, else the second of two."""
    if len(names) != 2:
        raise InputError(
            f"monotone constraints need two classes, this model has {len(names)}: with more, the order of the scores does not follow "
            "from a sign",
            hint="take monotone out of harden.tables, or ship one model for each class against the rest",
        )
    if wanted is None:
        return 1
    if wanted not in names:
        raise InputError(
            f"harden.guarded names {printable(shorten(wanted, 80))!r}, which is no class of this model",
            hint=f"one of {', '.join(printable(shorten(name, 40)) for name in names)}",
        )
    return list(names).index(wanted)


def signs_of(opened: Opened, wanted: str | None) -> dict[str, int]:
    """By column the sign that the score of the second class gets. Raises InputError where there are none."""
    guarded = guarded_class(opened.model.names, wanted)
    source = opened.parameters.model.data.constraints
    hint = "set data.constraints, with direction: increase or decrease for the columns that an attacker can move one way only"
    if source is None:
        raise InputError(
            "monotone constraints come from the directions of a constraints file, and there is none", hint=hint
        )
    rules = load_constraints(Path(opened.task.root) / source).value.features
    types = {column.name: column.type for column in opened.data.columns}
    found = {}
    for name, rule in rules.items():
        if rule.direction is None or rule.immutable:
            continue
        if types.get(name) not in ("number", "integer"):
            raise InputError(
                f"{source} gives a direction to {printable(shorten(name, 80))!r}, which is no number of this table",
                hint="directions are for numbers",
            )
        found[name] = _SIGN[rule.direction] * (1 if guarded == 1 else -1)
    if not found:
        raise InputError(f"{source} gives no column a direction", hint=hint)
    return found


def in_order(signs: Mapping[str, int], columns: Sequence[str | None]) -> list[int]:
    """One sign for each input of an estimator; 0 where there is none."""
    return [signs.get(name, 0) if name is not None else 0 for name in columns]
