"""Values of template expressions as far as they are known without rendering: constants are folded, the rest is unknown."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

__all__ = [
    "MAX_TEXT",
    "Macro",
    "Namespace",
    "Unknown",
    "call_method",
    "combine",
    "filtered",
    "is_constant",
    "item_of",
    "merged",
]

MAX_TEXT = 5_000
"""Characters of a folded text, or items of a folded list; longer ones are unknown."""
_MAX_NUMBER = 10**12


@dataclass(frozen=True, slots=True)
class Unknown:
    """A value that only rendering would give."""

    tags: frozenset[str] = frozenset()
    """content: from a message; date: from the clock; built: put together from parts; opaque: made of constants in a way
    that is not folded."""

    def with_tags(self, *tags: str) -> "Unknown":
        return Unknown(self.tags | set(tags))


@dataclass(slots=True)
class Namespace:
    """namespace(): the one object that a template can change."""

    values: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Macro:
    """A macro of the template itself."""

    node: Any


def is_constant(value: Any) -> bool:
    """Whether nothing of it is unknown, and it is small enough to compute with."""
    left = 2 * MAX_TEXT
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, (Unknown, Namespace, Macro)):
            return False
        left -= 1
        if isinstance(item, str):
            left -= len(item)
        elif isinstance(item, (list, tuple)):
            pending.extend(item[:MAX_TEXT])
        elif isinstance(item, dict):
            pending.extend(item.values())
        if left < len(pending):
            return False
    return True


def _tags(values: Iterable[Any], depth: int = 0) -> frozenset[str]:
    found: frozenset[str] = frozenset()
    for value in values:
        if isinstance(value, Unknown):
            found |= value.tags
        elif isinstance(value, (list, tuple)) and depth < 3:
            found |= _tags(value, depth + 1)
        elif isinstance(value, dict) and depth < 3:
            found |= _tags(value.values(), depth + 1)
    return found


def combine(function: Callable[..., Any], *values: Any, built: bool = False) -> Any:
    """The function of constants; of unknown values an unknown one with all their tags."""
    if not all(is_constant(value) for value in values):
        tags = _tags(values)
        return Unknown(tags | {"built"}) if built else Unknown(tags)
    try:
        result = function(*values)
    except Exception:  # noqa: BLE001 - what rendering would raise is of no interest, and no class of errors covers it
        return Unknown(frozenset({"opaque"}))
    return _bounded(result)


def _bounded(result: Any) -> Any:
    if isinstance(result, (str, bytes, list, tuple, dict)):
        return result if len(result) <= MAX_TEXT else Unknown(frozenset({"opaque"}))
    if result is None or isinstance(result, (bool, float)):
        return result
    if isinstance(result, int):
        return result if abs(result) <= _MAX_NUMBER else Unknown(frozenset({"opaque"}))
    return Unknown(frozenset({"opaque"}))


def item_of(value: Any, key: Any) -> Any:
    """value[key] where both are known."""
    if isinstance(value, Namespace) and isinstance(key, str):
        return value.values.get(key, Unknown())
    if isinstance(value, dict) and isinstance(key, (str, int)):
        return value.get(key, Unknown())
    if isinstance(value, (str, list, tuple)) and isinstance(key, (int, slice)):
        try:
            return value[key]
        except (IndexError, ValueError, TypeError):
            return Unknown()
    if isinstance(value, Unknown):
        return Unknown(value.tags)
    return Unknown()


_PLACEHOLDER = re.compile(r"%[-+ #0]*\d{0,3}(?:\.\d{0,3})?[sdcrxXofeg%]")
_FIELD = re.compile(r"\{(?:\d{0,3}|[a-zA-Z_]\w*)(?:![rsa])?(?::[<>^]?\d{0,3}[scdx]?)?\}")


def _printf(text: str, arguments: tuple[Any, ...]) -> str:
    if _PLACEHOLDER.sub("", text).count("%"):
        raise ValueError
    return text % arguments


def _format(text: str, *arguments: Any, **named: Any) -> str:
    """str.format without attributes, items or wide padding: those are reported as they stand."""
    if "{" in _FIELD.sub("", text.replace("{{", "").replace("}}", "")):
        raise ValueError
    return text.format(*arguments, **named)


def _replaced(text: Any, old: Any, new: Any, count: int = -1) -> str:
    whole, part, instead = str(text), str(old), str(new)
    if whole.count(part) * len(instead) > 2 * MAX_TEXT:  # what is longer is unknown, but takes its time
        raise ValueError
    return whole.replace(part, instead, count)


def _joined(items: Any, between: Any = "") -> str:
    if isinstance(items, (list, tuple, dict, str)) and len(items) * len(str(between)) <= 2 * MAX_TEXT:
        return str(between).join(str(item) for item in items)
    raise TypeError


def _reversed(value: Any) -> Any:
    return value[::-1]


_FILTERS: dict[str, Callable[..., Any]] = {
    "join": _joined,
    "replace": _replaced,
    "reverse": _reversed,
    "lower": lambda text: str(text).lower(),
    "upper": lambda text: str(text).upper(),
    "title": lambda text: str(text).title(),
    "capitalize": lambda text: str(text).capitalize(),
    "trim": lambda text, chars=None: str(text).strip(chars),
    "string": str,
    "safe": str,
    "list": list,
    "first": lambda items: next(iter(items)),
    "last": lambda items: list(items)[-1],
    "length": len,
    "count": len,
    "int": int,
    "sum": sum,
    "sort": sorted,
    "unique": lambda items: list(dict.fromkeys(items)),
    "items": lambda value: list(value.items()),
}


def filtered(name: str, value: Any, arguments: list[Any], named: dict[str, Any]) -> Any:
    """value|name(arguments)."""
    if name in {"default", "d"}:
        return value if is_constant(value) else Unknown(_tags([value, *arguments]))
    if name == "format" and isinstance(value, str):
        return combine(lambda *parts: _printf(value, parts), *arguments, built=True)
    function = _FILTERS.get(name)
    if name == "join" and isinstance(value, dict):
        value = list(value)
    if function is None or named:
        known = is_constant(value) and all(is_constant(item) for item in (*arguments, *named.values()))
        tags = _tags([value, *arguments, *named.values()])
        return Unknown(tags | {"opaque"}) if known else Unknown(tags)
    return combine(function, value, *arguments, built=name in ("join", "replace", "reverse"))


_METHODS: dict[str, Callable[..., Any]] = {
    "format": _format,
    "join": lambda text, items: _joined(items, text),
    "replace": _replaced,
    "lower": str.lower,
    "upper": str.upper,
    "title": str.title,
    "capitalize": str.capitalize,
    "swapcase": str.swapcase,
    "strip": str.strip,
    "lstrip": str.lstrip,
    "rstrip": str.rstrip,
    "split": str.split,
    "removeprefix": str.removeprefix,
    "removesuffix": str.removesuffix,
}


def call_method(value: Any, name: str, arguments: list[Any], named: dict[str, Any]) -> Any:
    """value.name(arguments) for methods of text and of dictionaries."""
    if isinstance(value, str) and name in _METHODS:
        names = list(named)
        count = len(arguments)

        def call(*everything: Any) -> Any:
            return _METHODS[name](value, *everything[:count], **dict(zip(names, everything[count:], strict=True)))

        return combine(call, *arguments, *named.values(), built=name in ("format", "join", "replace"))
    if isinstance(value, dict) and name in ("items", "keys", "values") and not arguments:
        return [list(pair) for pair in value.items()] if name == "items" else list(getattr(value, name)())
    if isinstance(value, Unknown):
        return Unknown(_tags([value, *arguments]))
    known = is_constant(value) and all(is_constant(item) for item in arguments)
    return Unknown(frozenset({"opaque"})) if known else Unknown(_tags([value, *arguments]))


def merged(outcomes: list[dict[str, Any]]) -> dict[str, Any]:
    """What holds after branches: a value that all agree on, the only constant there is, or the first one."""
    result: dict[str, Any] = {}
    for name in dict.fromkeys(name for outcome in outcomes for name in outcome):
        values = [outcome[name] for outcome in outcomes if name in outcome]
        known = [value for value in values if not isinstance(value, Unknown)]
        if known:
            result[name] = known[-1]
        else:
            result[name] = values[0]
    return result
