"""JSON and YAML as trees that keep what readers disagree about: keys named twice, tags, aliases that are never expanded.

Nothing is constructed: YAML is read as events, whatever its tags ask for.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from heliotrope.scan.interface import Context, LimitReachedError
from heliotrope.scan.limits import ScanLimits

__all__ = ["Document", "DocumentError", "Mapping", "mappings", "note_twice", "read_json", "read_yaml", "texts"]

_STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*+"?', re.DOTALL)
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_LONG_NUMBER = 20


class DocumentError(Exception):
    """The bytes are no such document."""


class Mapping(list[tuple[str, Any]]):
    """Keys and values in their order; a key may stand there twice."""

    __slots__ = ()

    def get(self, key: str, default: Any = None) -> Any:
        """The last value of a key, which is the one that readers take."""
        return next((value for name, value in reversed(self) if name == key), default)

    def all(self, key: str) -> list[Any]:
        """Every value of a key."""
        return [value for name, value in self if name == key]

    def has(self, key: str) -> bool:
        """Whether a key is there."""
        return any(name == key for name, _ in self)


@dataclass(slots=True)
class Document:
    """What a file holds."""

    roots: list[Any]
    """One; in YAML there may be several documents."""
    twice: list[str] = field(default_factory=list)
    """Keys named more than once in one mapping."""
    tags: list[tuple[str, Any, int]] = field(default_factory=list)
    """Tags of Python's, what they stand at, and the offset."""

    @property
    def root(self) -> Any:
        return self.roots[0] if self.roots else None


def read_json(data: bytes, limits: ScanLimits) -> Document:
    """DocumentError for what is no JSON; LimitReachedError for what would take too much memory."""
    _bound(data, limits)
    document = Document([])

    def mapping(pairs: list[tuple[str, Any]]) -> Mapping:
        made = Mapping(pairs)
        if len(made) > 1 and len({name for name, _ in pairs}) < len(pairs):
            document.twice.extend(_repeated(pairs))
        return made

    try:
        text = data.decode("utf-8-sig")
        document.roots.append(json.loads(text, object_pairs_hook=mapping, parse_int=_integer))
    except UnicodeDecodeError:
        raise DocumentError("is not UTF-8") from None
    except (ValueError, RecursionError):
        raise DocumentError("is no JSON") from None
    return document


def _bound(data: bytes, limits: ScanLimits) -> None:
    plain = _STRINGS.sub(b"", data)
    brackets = plain.translate(None, _NOT_BRACKETS)
    if plain.count(b",") + len(brackets) > limits.max_config_nodes:
        raise LimitReachedError("max_config_nodes", f"it holds more than {limits.max_config_nodes} values")
    level = 0
    for bracket in brackets:
        level += 1 if bracket in b"[{" else -1
        if level > limits.max_config_depth:
            raise LimitReachedError("max_config_depth", f"it is more than {limits.max_config_depth} levels deep")


def _repeated(pairs: list[tuple[str, Any]]) -> list[str]:
    seen: set[str] = set()
    found = []
    for name, _ in pairs:
        if name in seen:
            found.append(name)
        seen.add(name)
    return found


def _integer(digits: str) -> int:
    return int(digits) if len(digits) < _LONG_NUMBER else 2**63


def read_yaml(data: bytes, limits: ScanLimits) -> Document:
    """DocumentError for what is no YAML; LimitReachedError for what would take too long."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", None)
    if loader is None:  # the parser in Python takes other documents than libyaml's does
        raise DocumentError("is YAML, which needs a PyYAML built with libyaml: install its wheel")
    composer = _Composer(limits)
    try:
        for event in yaml.parse(data, Loader=loader):
            composer.take(event)
    except (yaml.YAMLError, ValueError, RecursionError):
        raise DocumentError("is no YAML") from None
    return composer.document


class _Composer:
    """Builds the tree from events; an alias is the very object that its anchor names."""

    def __init__(self, limits: ScanLimits) -> None:
        self._limits = limits
        self._left = limits.max_yaml_events
        self.document = Document([])
        self._open: list[tuple[Any, list[Any]]] = []
        """Containers, and for a mapping the key that waits for its value."""
        self._anchors: dict[str, Any] = {}

    def take(self, event: Any) -> None:
        self._left -= 1
        if self._left < 0:
            limit = self._limits.max_yaml_events
            raise LimitReachedError("max_yaml_events", f"it holds more than {limit} events")
        kind = type(event).__name__
        if kind == "ScalarEvent":
            self._place(event.value, event)
        elif kind == "AliasEvent":
            self._place(self._anchors.get(event.anchor), None)
        elif kind in ("MappingStartEvent", "SequenceStartEvent"):
            container: Any = Mapping() if kind == "MappingStartEvent" else []
            self._place(container, event)
            self._open.append((container, []))
            if len(self._open) > self._limits.max_config_depth:
                limit = self._limits.max_config_depth
                raise LimitReachedError("max_config_depth", f"it is more than {limit} levels deep")
        elif kind in ("MappingEndEvent", "SequenceEndEvent"):
            container, _ = self._open.pop()
            if isinstance(container, Mapping) and len({name for name, _ in container}) < len(container):
                self.document.twice.extend(_repeated(container))
        elif kind == "DocumentStartEvent":
            self._anchors.clear()

    def _place(self, value: Any, event: Any) -> None:
        if event is not None:
            if event.anchor:
                self._anchors[event.anchor] = value
            if event.tag and "python" in event.tag:
                self.document.tags.append((event.tag, value, event.start_mark.index))
        if not self._open:
            self.document.roots.append(value)
            return
        container, waiting = self._open[-1]
        if not isinstance(container, Mapping):
            container.append(value)
        elif waiting:
            container.append((waiting.pop(), value))
        else:
            waiting.append(value if isinstance(value, str) else "")


def mappings(document: Document) -> Iterator[tuple[Mapping, tuple[Mapping, ...]]]:
    """Every mapping once, with those around it, outermost first."""
    pending: list[tuple[Any, tuple[Mapping, ...]]] = [(root, ()) for root in reversed(document.roots)]
    seen: set[int] = set()
    while pending:
        value, around = pending.pop()
        if id(value) in seen or not isinstance(value, list):
            continue
        seen.add(id(value))
        if isinstance(value, Mapping):
            yield value, around
            inner = (*around, value)
            pending.extend((item, inner) for _, item in reversed(value) if isinstance(item, list))
        else:
            pending.extend((item, around) for item in reversed(value) if isinstance(item, list))


def texts(value: Any) -> list[str]:
    """A text, or the texts of a list."""
    if isinstance(value, str):
        return [value]
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def note_twice(document: Document, context: Context) -> None:
    """Say that keys are named twice."""
    for name in document.twice:
        context.notes.add(
            "config-duplicate-key", f"the key {name!r} stands there twice", key=name[:100], member=context.member
        )
