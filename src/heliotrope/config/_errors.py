"""Saying in people's words, with line and key, what a validation found wrong with a file."""

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from heliotrope.config._docs import field_docs, key_names, models_in
from heliotrope.config._yaml import Mapping, Mark, Node, Scalar, Sequence, join_path
from heliotrope.core.errors import ConfigError
from heliotrope.core.text import printable, shorten

__all__ = ["MAX_REPORTED", "PATTERN_MEANINGS", "describe", "explain_errors"]

MAX_REPORTED = 10
"""Problems shown at once; the first ones usually explain the rest."""

_Path = tuple[str | int, ...]

_EXPECTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "string_type": "text",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a mapping of keys to values",
    "model_type": "a mapping of keys to values",
    "model_attributes_type": "a mapping of keys to values",
}
_BOUNDS = {"gt": "above", "ge": "of at least", "lt": "below", "le": "of at most"}
PATTERN_MEANINGS = {
    r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$": "a name (letters, digits, '.', '_', '-'; at most 100; a letter or digit first)",
    r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$": "module:function",
    r"^(?:identity|[A-Za-z_][\w.]*:[A-Za-z_]\w*)$": "identity or module:function",
    r"^https?://[^\s/@?#]+(?:[/?#]\S*)?$": "an http or https address without user name and password",
    r"^[A-Za-z_][A-Za-z0-9_]*$": "the name of an environment variable",
    r"^\d{4}-\d{2}-\d{2}$": "a day, as in 2027-01-31",
    r"^[a-z][a-z0-9-]{0,49}(\.[a-z][a-z0-9-]{0,49}){1,2}$": "the id of an analyser, as in mine.format",
    r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)+(\.\*)?$": "a full name, as in mypackage.models.Net",
    r"^\d{1,9}[smhd]$": "a number of at most nine digits with the unit s, m, h or d, as in 7d",
}
"""What the patterns of the schema ask for. A test holds this against the schema."""

_NUMBER_LIKE = re.compile(r"[-+]?[0-9][0-9_]*(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?")


@dataclass(frozen=True, slots=True)
class _Problem:
    """One error with its place in the file."""

    path: _Path
    mark: Mark
    node: Node | None
    detail: ErrorDetails
    models: tuple[type[BaseModel], ...]
    """What may stand where the error's parent is."""


def explain_errors(
    shown: str, root: Node, model: type[BaseModel], details: Iterable[ErrorDetails], *, docs: str | None
) -> ConfigError:
    """One error for all that is wrong, in the order of the file. `docs` names the page that describes the keys."""
    groups: dict[_Path, list[_Problem]] = {}
    for detail in details:
        problem = _locate(root, model, detail)
        groups.setdefault(problem.path, []).append(problem)
    deepest = [path for path in groups if not any(_extends(other, path) for other in groups)]
    told = [_tell(shown, groups[path], docs) for path in sorted(deepest, key=lambda path: _order(groups[path][0]))]
    if len(told) == 1:
        return ConfigError(told[0][0], hint=told[0][1])
    lines = [f"{message} ({hint})" if hint else message for message, hint in told[:MAX_REPORTED]]
    left = len(told) - len(lines)
    return ConfigError(
        "\n".join(lines), hint=f"{left} more problems are not shown" if left > 0 else "correct each of these"
    )


def describe(node: Node | None) -> str:
    """A value as a message shows it."""
    if isinstance(node, Mapping):
        return "a mapping"
    if isinstance(node, Sequence):
        return f"a list of {len(node.items)}"
    value = node.value if node is not None else None
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f"'{shorten(printable(value), 60)}'"
    return str(value)


def _extends(longer: _Path, shorter: _Path) -> bool:
    return len(longer) > len(shorter) and longer[: len(shorter)] == shorter


def _order(problem: _Problem) -> tuple[int, int]:
    return problem.mark.line, problem.mark.column


def _locate(root: Node, model: type[BaseModel], detail: ErrorDetails) -> _Problem:
    """Find the place of an error. Its location also names union branches, which are no part of the file."""
    location = tuple(detail["loc"])
    lacks = detail["type"] in {"missing", "union_tag_not_found"}
    path, node = _follow(root, location[:-1] if detail["type"] == "missing" else location)
    parent_path = path if lacks else path[:-1]
    parent, _ = _descend(root, parent_path)
    models = _models_at(model, location[:-1])
    if detail["type"] == "missing":
        return _Problem((*path, location[-1]), node.mark, None, detail, models)
    if detail["type"].startswith("union_tag"):
        return _tag_problem(path, node, detail, models)
    mark = node.mark
    if detail["type"] == "extra_forbidden" and isinstance(parent, Mapping) and path:
        mark = parent.entries[str(path[-1])].mark
    return _Problem(path, mark, node, detail, models)


def _tag_problem(path: _Path, node: Node, detail: ErrorDetails, models: tuple[type[BaseModel], ...]) -> _Problem:
    key = str(detail.get("ctx", {}).get("discriminator", "'kind'")).strip("'")
    entry = node.entries.get(key) if isinstance(node, Mapping) else None
    if entry is None:
        return _Problem((*path, key), node.mark, None, detail, models)
    return _Problem((*path, key), entry.value.mark, entry.value, detail, models)


def _follow(node: Node, location: tuple[str | int, ...]) -> tuple[_Path, Node]:
    """The longest path through the nodes that the location allows, leaving out names of union branches."""
    if not location:
        return (), node
    step, rest = location[0], location[1:]
    best: tuple[_Path, Node] = _follow(node, rest) if isinstance(step, str) else ((), node)
    child = _child(node, step)
    if child is not None:
        path, found = _follow(child, rest)
        if len(path) + 1 > len(best[0]):
            best = ((step, *path), found)
    return best


def _child(node: Node, step: str | int) -> Node | None:
    if isinstance(node, Mapping) and isinstance(step, str):
        entry = node.entries.get(step)
        return entry.value if entry is not None else None
    if isinstance(node, Sequence) and isinstance(step, int) and step < len(node.items):
        return node.items[step]
    return None


def _descend(node: Node, path: _Path) -> tuple[Node, int]:
    for depth, step in enumerate(path):
        child = _child(node, step)
        if child is None:
            return node, depth
        node = child
    return node, len(path)


def _models_at(model: type[BaseModel], location: tuple[str | int, ...]) -> tuple[type[BaseModel], ...]:
    """The models that may stand at a location; a branch name narrows a union."""
    models: tuple[type[BaseModel], ...] = (model,)
    for step in location:
        narrowed = tuple(item for item in models if item.__name__ == step or _has_tag(item, step))
        inner = tuple(
            found
            for item in models
            for key, name in key_names(item).items()
            if key == step
            for found in models_in(item.model_fields[name].annotation)
        )
        models = inner or narrowed or models
    return models


def _has_tag(model: type[BaseModel], tag: str | int) -> bool:
    annotations = (field.annotation for field in model.model_fields.values())
    return any(get_origin(item) is Literal and get_args(item) == (tag,) for item in annotations)


def _tell(shown: str, problems: list[_Problem], docs: str | None) -> tuple[str, str]:
    """Message and hint for all that was found at one place."""
    first = problems[0]
    where = f"{shown}:{first.mark.line}:{first.mark.column}: "
    name = shorten(join_path(first.path), 120)
    where = f"{where}{name}: " if name else where
    kind = first.detail["type"]
    if kind == "extra_forbidden":
        return f"{where}there is no such key", _key_hint(first, docs)
    if kind in {"missing", "union_tag_not_found"}:
        return f"{where}is required and missing", _meaning(first, docs)
    if kind == "value_error":
        return where + printable(str(first.detail.get("ctx", {}).get("error", first.detail["msg"]))), _see(docs)
    wanted = " or ".join(dict.fromkeys(_expectation(problem.detail) for problem in problems))
    return f"{where}expected {wanted}, got {describe(first.node)}", _value_hint(problems, wanted, docs)


def _expectation(detail: ErrorDetails) -> str:
    context: dict[str, Any] = detail.get("ctx", {})
    kind = detail["type"]
    if kind in _EXPECTED:
        return _EXPECTED[kind]
    if kind in {"literal_error", "union_tag_invalid"}:
        return str(context.get("expected") or context["expected_tags"])
    if kind == "string_pattern_mismatch":
        return PATTERN_MEANINGS.get(context["pattern"], f"text of the form {context['pattern']}")
    if kind in {"too_short", "too_long"}:
        count = context["min_length"] if kind == "too_short" else context["max_length"]
        return f"{'at least' if kind == 'too_short' else 'at most'} {count} {'value' if count == 1 else 'values'}"
    for bound, word in _BOUNDS.items():
        if bound in context:
            limit = context[bound]
            return f"a number {word} {int(limit) if float(limit).is_integer() else limit}"
    return f"something else ({printable(detail['msg'])})"


def _key_hint(problem: _Problem, docs: str | None) -> str:
    key = str(problem.path[-1])
    known = sorted({name for model in problem.models for name in key_names(model)})
    close = difflib.get_close_matches(key, known, n=1)
    advice = f"did you mean '{close[0]}'?" if close else f"keys known here: {', '.join(known)}" if known else ""
    return "; ".join(part for part in (advice, _see(docs) if docs else "") if part) or _see(docs)


def _value_hint(problems: list[_Problem], wanted: str, docs: str | None) -> str:
    problem = problems[0]
    value = problem.node.value if isinstance(problem.node, Scalar) else problem.node
    if value is None:
        return "fill in a value, or remove the key"
    kinds = {item.detail["type"] for item in problems}
    if "string_type" in kinds and isinstance(value, int | float):
        return f'put it in quotes: "{describe(problem.node)}"'
    if isinstance(value, str):
        if "bool_type" in kinds:
            return "write true or false, without quotes"
        if "number" in wanted and _NUMBER_LIKE.fullmatch(value):
            return "write the number without quotes, leading zeros or underscores"
        close = difflib.get_close_matches(value, re.findall(r"'([^']*)'", wanted), n=1)
        if close:
            return f"did you mean '{close[0]}'?"
    return _meaning(problem, docs)


def _meaning(problem: _Problem, docs: str | None) -> str:
    key = next((step for step in reversed(problem.path) if isinstance(step, str)), "")
    for model in problem.models:
        text = field_docs(model).get(key_names(model).get(key, ""), "")
        if text:
            return f"{key}: {text}"
    return _see(docs)


def _see(docs: str | None) -> str:
    return f"see {docs}" if docs else "correct it or take it out"
