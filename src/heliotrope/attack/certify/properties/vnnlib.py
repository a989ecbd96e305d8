"""Properties of networks in VNN-LIB: which inputs, and which outputs would be unsafe.

Read is version 1 of the format (https://www.vnnlib.org, the standard of the verification competitions): constants X_i and Y_j,
and assertions that compare linear terms, joined by `and` and `or`. Version 2, which declares networks, is refused by name.
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from heliotrope.core.errors import InputError
from heliotrope.core.text import printable, shorten

__all__ = ["Case", "Constraint", "Property", "parse_vnnlib"]

MAX_BYTES = 64 * 2**20
"""The largest files of the competitions describe images of 200,000 values in about 20 MB."""

MAX_DEPTH = 64
"""Of brackets; published files have five."""

MAX_CASES = 20_000
"""Of the property as a list of alternatives; published files have some thousands at most."""

MAX_VARIABLES = 1_000_000

_TOKEN = re.compile(r"""[()]|[^\s();"|]+|"[^"]*"|\|[^|]*\|""")
_VARIABLE = re.compile(r"([XY])_(\d{1,7})")
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d{1,4})?")
_IGNORED = frozenset({"set-logic", "set-info", "set-option", "check-sat", "exit"})
_VERSION_2 = frozenset({"vnnlib-version", "declare-network", "declare-input", "declare-output", "declare-hidden"})


@dataclass(frozen=True, slots=True)
class Constraint:
    """A sum of weight * Y_j is at most `limit`; below it where strict."""

    weights: tuple[tuple[int, float], ...]
    limit: float
    strict: bool = False


@dataclass(frozen=True, slots=True)
class Case:
    """Unsafe: an input within the bounds whose outputs meet every constraint."""

    low: tuple[float, ...]
    high: tuple[float, ...]
    constraints: tuple[Constraint, ...]


@dataclass(frozen=True, slots=True)
class Property:
    """It holds when no case has such an input."""

    inputs: int
    outputs: int
    cases: tuple[Case, ...]


Term = tuple[dict[str, float], float]
"""Weights by variable, and a constant."""
Atom = tuple[Term, bool]
"""term <= 0, or < 0."""


def parse_vnnlib(text: str) -> Property:
    """Raises InputError with line and reason for whatever is not understood: nothing is passed over in silence."""
    if len(text) > MAX_BYTES:
        raise InputError(f"the property is larger than {MAX_BYTES // 2**20} MiB", hint="split it into several files")
    declared: set[str] = set()
    alternatives: list[list[Atom]] = [[]]
    for line, command in _commands(text):
        head = command[0] if command and isinstance(command[0], str) else ""
        if head in _IGNORED:
            continue
        if head in _VERSION_2:
            raise InputError(
                f"line {line}: {printable(head)} belongs to version 2 of VNN-LIB",
                hint="write the property in version 1",
            )
        if head in ("declare-const", "declare-fun"):
            _declare(declared, command, line)
        elif head == "assert" and len(command) == 2:
            alternatives = _product(alternatives, _alternatives(command[1], declared, line, 0), line)
        else:
            raise _fault(line, f"{printable(shorten(str(head), 40)) or 'a list'} is no command of VNN-LIB")
    inputs, outputs = (_count(declared, letter) for letter in "XY")
    return Property(inputs, outputs, tuple(_case(atoms, inputs) for atoms in alternatives))


def _fault(line: int, what: str) -> InputError:
    return InputError(f"line {line}: {what}", hint="see https://www.vnnlib.org for the format, version 1")


def _commands(text: str) -> Iterator[tuple[int, list[Any]]]:
    """Bracketed lists on the first level, with the line on which each begins."""
    stack: list[list[Any]] = []
    begun = 0
    for line, word in _words(text):
        if word == "(":
            begun = begun if stack else line
            stack.append([])
            if len(stack) > MAX_DEPTH:
                raise _fault(line, f"brackets are nested more than {MAX_DEPTH} deep")
        elif not stack:
            shown = printable(shorten(word, 40))
            raise _fault(line, f"{shown!r} stands outside brackets")
        elif word == ")":
            done = stack.pop()
            if not stack:
                yield begun, done
            else:
                stack[-1].append(done)
        else:
            stack[-1].append(word)
    if stack:
        raise _fault(begun, "a bracket is not closed: the file is cut short")


def _words(text: str) -> Iterator[tuple[int, str]]:
    """Brackets and what stands between them, with line numbers; comments begin with a semicolon."""
    for number, whole in enumerate(text.split("\n"), start=1):
        line = whole.split(";", 1)[0]
        covered = 0
        for match in _TOKEN.finditer(line):
            if line[covered : match.start()].strip():
                raise _fault(number, "a quotation is not closed")
            covered = match.end()
            yield number, match.group()
        if line[covered:].strip():
            raise _fault(number, "a quotation is not closed")


def _declare(declared: set[str], command: list[Any], line: int) -> None:
    name = command[1] if len(command) in (3, 4) and isinstance(command[1], str) else ""
    if not _VARIABLE.fullmatch(name) or command[-1] != "Real":
        raise _fault(line, "a constant must be X_i or Y_j of the sort Real")
    if name in declared:
        raise _fault(line, f"{name} is declared twice")
    if len(declared) >= MAX_VARIABLES:
        raise _fault(line, f"there are more than {MAX_VARIABLES} constants")
    declared.add(name)


def _count(declared: set[str], letter: str) -> int:
    """How many there are; they must be numbered from 0 on."""
    own = {int(name[2:]) for name in declared if name[0] == letter}
    if not own or own != set(range(len(own))):
        raise InputError(
            f"the constants {letter}_0, {letter}_1, ... are not all declared",
            hint="declare one for each value of the network's input and output",
        )
    return len(own)


def _alternatives(expression: Any, declared: set[str], line: int, depth: int) -> list[list[Atom]]:
    """A formula as alternatives, each a list of comparisons that hold together."""
    if not isinstance(expression, list) or not expression or not isinstance(expression[0], str):
        raise _fault(line, "an assertion is no list that begins with a comparison, and, or")
    head, *parts = expression
    if head == "and":
        whole: list[list[Atom]] = [[]]
        for part in parts:
            whole = _product(whole, _alternatives(part, declared, line, depth + 1), line)
        return whole
    if head == "or":
        either = [atoms for part in parts for atoms in _alternatives(part, declared, line, depth + 1)]
        if len(either) > MAX_CASES:
            raise _fault(line, f"the property has more than {MAX_CASES} cases")
        return either
    if head not in ("<=", ">=", "<", ">", "=") or len(parts) != 2:
        raise _fault(line, f"{printable(shorten(head, 40))!r} with {len(parts)} terms is not understood")
    left, right = (_term(part, declared, line) for part in parts)
    below, above = _difference(left, right), _difference(right, left)
    match head:
        case "<=" | "<":
            return [[(below, head == "<")]]
        case ">=" | ">":
            return [[(above, head == ">")]]
        case _:
            return [[(below, False), (above, False)]]


def _product(one: list[list[Atom]], other: list[list[Atom]], line: int) -> list[list[Atom]]:
    if len(one) * len(other) > MAX_CASES:
        raise _fault(line, f"the property has more than {MAX_CASES} cases")
    if len(other) == 1:  # the usual one: bounds of inputs, a thousand times over
        for atoms in one:
            atoms.extend(other[0])
        return one
    return [left + right for left in one for right in other]


def _term(expression: Any, declared: set[str], line: int) -> Term:
    """A linear term."""
    if isinstance(expression, str):
        return _single(expression, declared, line)
    if not expression or not isinstance(expression[0], str):
        raise _fault(line, "a term is no list that begins with +, - or *")
    head, *parts = expression
    terms = [_term(part, declared, line) for part in parts]
    if head in ("+", "-") and terms:
        if head == "-" and len(terms) == 1:
            return _plus(({}, 0.0), terms[0], -1.0)
        total = terms[0]
        for term in terms[1:]:
            total = _plus(total, term, 1.0 if head == "+" else -1.0)
        return total
    if head == "*" and len(terms) == 2:
        factor, term = (terms[0], terms[1]) if not terms[0][0] else (terms[1], terms[0])
        if not factor[0]:
            return _plus(({}, 0.0), term, factor[1])
    raise _fault(line, f"the term {printable(shorten(head, 40))!r} is not linear")


def _single(word: str, declared: set[str], line: int) -> Term:
    """A variable or a number."""
    if word in declared:
        return {word: 1.0}, 0.0
    value = float(word) if _NUMBER.fullmatch(word) else math.nan
    if not math.isfinite(value):
        raise _fault(line, f"{printable(shorten(word, 40))!r} is neither a finite number nor declared")
    return {}, value


def _plus(one: Term, other: Term, factor: float) -> Term:
    weights = dict(one[0])
    for name, weight in other[0].items():
        weights[name] = weights.get(name, 0.0) + factor * weight
    return weights, one[1] + factor * other[1]


def _difference(left: Term, right: Term) -> Term:
    return _plus(left, right, -1.0)


def _case(atoms: Sequence[Atom], inputs: int) -> Case:
    low, high = [-math.inf] * inputs, [math.inf] * inputs
    constraints = []
    for (weights, constant), strict in atoms:
        used = {name: weight for name, weight in weights.items() if weight != 0}
        of_inputs = [name for name in used if name[0] == "X"]
        if not of_inputs:
            ordered = tuple(sorted((int(name[2:]), weight) for name, weight in used.items()))
            constraints.append(Constraint(ordered, -constant, strict))
            continue
        if len(used) != 1:
            raise InputError(
                "a comparison joins several inputs, or inputs and outputs",
                hint="bounds of single inputs are understood",
            )
        ((name, weight),) = used.items()
        place, bound = int(name[2:]), -constant / weight
        if weight > 0:
            high[place] = min(high[place], bound)
        else:
            low[place] = max(low[place], bound)
    if any(not math.isfinite(end) for end in (*low, *high)):
        raise InputError("an input has no lower or no upper bound", hint="bound every X_i on both sides")
    return Case(tuple(low), tuple(high), tuple(constraints))
