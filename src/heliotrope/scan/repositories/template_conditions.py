"""Text that a template adds only under a condition on what a message says, or on the date: a place for hidden instructions."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from jinja2 import nodes

from heliotrope.core.characters import without_later
from heliotrope.core.findings import Confidence
from heliotrope.core.text import printable, shorten
from heliotrope.scan.repositories.template_values import Unknown

__all__ = ["Condition", "Watch"]

_CONTENT = frozenset({"content", "text"})
"""Keys of a message under which stands what was said."""
_MARKUP = re.compile(r"<[^<>]{0,80}>|\[/?[A-Z_]{2,40}\]|\|[^|]{0,40}\|")
_NATURAL = re.compile(r"[^\W\d_]{3}")
_COMMAND = ("/", "<", "[", "{", "|", "#", "@", "`")
"""What marks and switches begin with, as in </think> and /no_think."""
_URL = re.compile(r"\b(?:https?|ftp)://|\bwww\.")
_WORD = re.compile(r"[^\W\d_]{2,}")
_MANY_WORDS = 8
_FEW_WORDS = 3
_NEGATIVE = frozenset({"ne", "notin"})


@dataclass(frozen=True, slots=True)
class Condition:
    """A test of a message's text, or of the date, against a constant."""

    what: str
    constant: str
    negative: bool


class _Note(Protocol):
    def __call__(self, rule: str, message: str, key: str, confidence: Confidence = "high") -> None: ...


class Watch:
    """Collects the conditions met while a test is evaluated, and judges the text that hangs on them."""

    def __init__(self, note: _Note) -> None:
        self._note = note
        self._open: list[list[Condition]] = []
        self._negative = False

    def begin(self) -> None:
        self._open.append([])

    def end(self) -> list[Condition]:
        return self._open.pop()

    @contextmanager
    def negated(self) -> Iterator[None]:
        """Inside `not`."""
        self._negative = not self._negative
        try:
            yield
        finally:
            self._negative = not self._negative

    @staticmethod
    def tags_of(name: str) -> frozenset[str]:
        """Tags of an attribute or item of that name."""
        return frozenset({"content"}) if name in _CONTENT else frozenset()

    def compared(self, left: Any, operator: str, right: Any) -> None:
        for value, constant in ((left, right), (right, left)):
            if isinstance(value, Unknown):
                for text in constant if isinstance(constant, (list, tuple)) else (constant,):
                    self._met(value, text, negative=operator in _NEGATIVE)

    def method(self, name: str, value: Any, arguments: list[Any]) -> None:
        if name in ("startswith", "endswith", "find", "count", "index", "rfind") and isinstance(value, Unknown):
            for argument in arguments:
                for text in argument if isinstance(argument, (list, tuple)) else (argument,):
                    self._met(value, text, negative=False)

    def _met(self, value: Unknown, constant: Any, *, negative: bool) -> None:
        if not self._open or not isinstance(constant, str):
            return
        if "content" in value.tags and _NATURAL.search(constant) and not constant.strip().startswith(_COMMAND):
            self._open[-1].append(Condition("a message says", constant, negative is not self._negative))
        elif "date" in value.tags and any(character.isdigit() for character in without_later(constant)):
            self._open[-1].append(Condition("the date is", constant, negative is not self._negative))

    def judge(self, conditions: list[Condition], body: list[nodes.Node], otherwise: list[nodes.Node]) -> None:
        """Judge the text in the branch that a condition leads to."""
        for condition in conditions:
            texts = list(_texts(otherwise if condition.negative else body))
            self._judge(condition, " ".join(texts))

    def judge_texts(self, conditions: list[Condition], first: Any, second: Any) -> None:
        """The same for `first if test else second`."""
        for condition in conditions:
            text = second if condition.negative else first
            self._judge(condition, text if isinstance(text, str) else "")

    def _judge(self, condition: Condition, text: str) -> None:
        plain = _MARKUP.sub(" ", text)
        words = len(_WORD.findall(plain))
        trigger = shorten(printable(condition.constant), 40)
        added = shorten(printable(" ".join(plain.split())), 60)
        message = f"the template adds {added!r} only when {condition.what} {trigger!r}"
        if _URL.search(plain) or words >= _MANY_WORDS:
            self._note("template-hidden-instruction", message, trigger, confidence="medium")
        elif words >= _FEW_WORDS:
            self._note("template-conditional-text", message, trigger, confidence="low")


def _texts(body: list[nodes.Node]) -> Iterator[str]:
    """Text that a branch writes or sets, but not what it raises."""
    pending: list[nodes.Node] = list(reversed(body))
    while pending:
        node = pending.pop()
        if isinstance(node, nodes.TemplateData):
            yield node.data
        elif isinstance(node, nodes.Const) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, nodes.Call) and isinstance(node.node, nodes.Name) and node.node.name == "raise_exception":
            continue
        elif isinstance(node, (nodes.If, nodes.CondExpr)):  # its tests are no text
            inner = [child for child in node.iter_child_nodes() if child is not node.test]
            pending.extend(reversed(inner))
        else:
            pending.extend(reversed(list(node.iter_child_nodes())))
