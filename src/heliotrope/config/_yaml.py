"""Strict YAML: one document of mappings, lists and scalars, nothing that surprises or executes.

Built from PyYAML's events rather than its nodes, so that depth, aliases and duplicates are judged while reading. Scalars follow
the YAML 1.2 core schema: `yes`, `0o12`, `1:30` and dates, which YAML 1.1 turns into something else, stay text.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from heliotrope.config._source import SourceText
from heliotrope.core.errors import ConfigError
from heliotrope.core.text import printable, shorten

__all__ = ["Entry", "Mapping", "Mark", "Node", "Scalar", "Sequence", "join_path", "parse", "plain_data"]

MAX_DEPTH = 50
"""Our deepest key is at 6; recursion over the result stays safe."""

MAX_NODES = 50_000
"""Values in the file. Also the budget after aliases are expanded: 10 nested aliases of 10 each would make 10 thousand million."""

_MAX_DIGITS = 30
"""No number of a configuration has more; Python's own limit for int() is 4300."""

_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in the file, both counted from 1."""

    line: int
    column: int


@dataclass(slots=True)
class Scalar:
    """A single value."""

    mark: Mark
    value: str | int | float | bool | None
    size: int = 1
    depth: int = 1


@dataclass(slots=True)
class Sequence:
    """A list."""

    mark: Mark
    items: "list[Node]" = field(default_factory=list)
    size: int = 1
    """Values in it, aliases expanded."""
    depth: int = 1


@dataclass(slots=True)
class Entry:
    """A key's place and its value."""

    mark: Mark
    value: "Node"


@dataclass(slots=True)
class Mapping:
    """Keys, always text, to values."""

    mark: Mark
    entries: dict[str, Entry] = field(default_factory=dict)
    size: int = 1
    depth: int = 1


Node = Scalar | Sequence | Mapping


@dataclass(slots=True)
class _Open:
    """A list or mapping whose end has not come yet."""

    node: Sequence | Mapping
    anchor: str | None
    key: tuple[str, Mark] | None = None
    """In a mapping: the key whose value comes next."""


def parse(source: SourceText, *, max_nodes: int = MAX_NODES) -> Node | None:
    """The document's root, None for a file without content. ConfigError with place and hint for whatever is not allowed."""
    return _Builder(source, max_nodes).build()


def plain_data(node: Node) -> Any:
    """The node as JSON-ready data."""
    if isinstance(node, Scalar):
        return node.value
    if isinstance(node, Sequence):
        return [plain_data(item) for item in node.items]
    return {key: plain_data(entry.value) for key, entry in node.entries.items()}


def join_path(steps: "tuple[str | int, ...] | list[str | int]") -> str:
    """As in models[0].threat.eps."""
    text = ""
    for step in steps:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += f".{shorten(printable(step), 60)}" if text else shorten(printable(step), 60)
    return text


class _Builder:
    def __init__(self, source: SourceText, max_nodes: int) -> None:
        self._source = source
        self._max_nodes = max_nodes
        self._stack: list[_Open] = []
        self._anchors: dict[str, Node] = {}
        self._root: Node | None = None
        self._nodes = 0
        self._last = Mark(1, 1)

    def build(self) -> Node | None:
        documents = 0
        for event in self._events():
            self._last = _mark(event)
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise self._error("a second document starts here", hint="one file holds one document: remove '---'")
            elif isinstance(event, yaml.AliasEvent):
                self._alias(event)
            elif isinstance(event, yaml.NodeEvent):
                self._node(event)
            elif isinstance(event, yaml.CollectionEndEvent):
                opened = self._stack.pop()
                self._finish(opened.node, opened.anchor)
        return None if isinstance(self._root, Scalar) and self._root.value is None else self._root

    def _events(self) -> Iterator[yaml.Event]:
        try:
            yield from yaml.parse(self._source.text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            raise self._syntax_error(error) from None
        except (yaml.YAMLError, ValueError, OverflowError):  # as for "\U00110000", which is no character
            raise self._error(
                "not valid YAML after this place", hint="look for an escape that is no character"
            ) from None

    def _node(self, event: yaml.NodeEvent) -> None:
        self._nodes += 1
        if self._nodes > self._max_nodes:
            raise self._error(f"more than {self._max_nodes} values", hint="is this really the configuration file?")
        tag = getattr(event, "tag", None)
        if tag is not None:
            shown = _quoted(tag.replace("tag:yaml.org,2002:", "!!"))
            raise self._error(f"the tag {shown} is not allowed", hint="remove the tag (the word with '!')")
        if isinstance(event, yaml.ScalarEvent):
            self._scalar(event)
            return
        if self._expects_key():
            raise self._error("a key must be a word or a text, not a list or mapping", hint="quote it if it is text")
        if len(self._stack) >= MAX_DEPTH:
            raise self._error(f"nested more than {MAX_DEPTH} levels deep", hint="flatten it")
        node = Sequence(self._last) if isinstance(event, yaml.SequenceStartEvent) else Mapping(self._last)
        self._stack.append(_Open(node, event.anchor))

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        plain = not event.style
        self._require_characters(event.value)
        if self._expects_key():
            self._key(event.value, plain=plain)
        else:
            self._finish(Scalar(self._last, self._resolve(event.value) if plain else event.value), event.anchor)

    def _key(self, key: str, *, plain: bool) -> None:
        opened = self._stack[-1]
        assert isinstance(opened.node, Mapping)
        if plain and key == "<<":
            raise self._error("merge keys ('<<') are not allowed", hint="write the keys out where they belong")
        if plain and key in {"", "~"}:
            raise self._error("a key is missing before ':'", hint="write key: value")
        if key in opened.node.entries:
            first = opened.node.entries[key].mark.line
            opened.key = (key, self._last)
            raise self._error(f"this key is given twice, first in line {first}", hint="remove one of the two")
        opened.key = (key, self._last)

    def _alias(self, event: yaml.AliasEvent) -> None:
        name = event.anchor or ""
        shown = _quoted(f"*{name}")
        if self._expects_key():
            raise self._error(f"the alias {shown} cannot be a key", hint="write the key out")
        if any(opened.anchor == name for opened in self._stack):
            raise self._error(f"the alias {shown} contains itself", hint="write the value out")
        target = self._anchors.get(name)
        if target is None:
            raise self._error(
                f"the alias {shown} has no anchor", hint=f"define &{printable(name)} before, or quote the text"
            )
        self._finish(target, None)

    def _finish(self, node: Node, anchor: str | None) -> None:
        """Put a complete value where it belongs, and count what it adds up to."""
        if anchor is not None:
            self._anchors[anchor] = node
        if not self._stack:
            self._root = node
            return
        opened = self._stack[-1]
        parent = opened.node
        parent.size += node.size
        parent.depth = max(parent.depth, node.depth + 1)
        if parent.size > self._max_nodes:
            raise self._error(f"aliases expand to more than {self._max_nodes} values", hint="write the values out")
        if parent.depth + len(self._stack) - 1 > MAX_DEPTH:
            raise self._error(f"aliases nest more than {MAX_DEPTH} levels deep", hint="write the values out")
        if isinstance(parent, Sequence):
            parent.items.append(node)
        else:
            assert opened.key is not None
            key, mark = opened.key
            parent.entries[key] = Entry(mark, node)
            opened.key = None

    def _expects_key(self) -> bool:
        return bool(self._stack) and isinstance(self._stack[-1].node, Mapping) and self._stack[-1].key is None

    def _require_characters(self, text: str) -> None:
        if "\0" in text or any("\ud800" <= char <= "\udfff" for char in text):
            raise self._error("the text holds an escape for NUL or half a character", hint="remove the escape")

    def _resolve(self, text: str) -> str | int | float | bool | None:
        if text in _NULLS:
            return None
        if text in _BOOLS:
            return _BOOLS[text]
        if _INT.fullmatch(text):
            if len(text) > _MAX_DIGITS:
                raise self._error(f"a number of more than {_MAX_DIGITS} digits", hint="quote it if it is text")
            return int(text)
        return float(text) if _FLOAT.fullmatch(text) else text

    def _path(self) -> str:
        steps: list[str | int] = []
        for opened in self._stack:
            if isinstance(opened.node, Sequence):
                steps.append(len(opened.node.items))
            elif opened.key is not None:
                steps.append(opened.key[0])
        return join_path(steps)

    def _error(self, message: str, *, hint: str, mark: Mark | None = None) -> ConfigError:
        place = mark or self._last
        path = shorten(self._path(), 120)
        where = f"{self._source.shown}:{place.line}:{place.column}: "
        return ConfigError(f"{where}{path}: {message}" if path else f"{where}{message}", hint=hint)

    def _syntax_error(self, error: yaml.MarkedYAMLError) -> ConfigError:
        position = error.problem_mark or error.context_mark
        mark = Mark(position.line + 1, position.column + 1) if position is not None else self._last
        problem = error.problem or "it cannot be read"
        if "'\\t'" in problem:
            return self._error("a tab where only spaces may stand", hint="indent with spaces", mark=mark)
        context = f" ({error.context})" if error.context else ""
        hint = "check indentation, quotes and brackets around this place; quote a text that holds ':' or '#'"
        return self._error(f"not valid YAML: {printable(problem)}{printable(context)}", hint=hint, mark=mark)


def _mark(event: yaml.Event) -> Mark:
    start = event.start_mark
    return Mark(start.line + 1, start.column + 1) if start is not None else Mark(1, 1)


def _quoted(text: str) -> str:
    return f"'{shorten(printable(text), 60)}'"
