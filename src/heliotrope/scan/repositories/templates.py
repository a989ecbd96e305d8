"""Chat templates: Jinja programs that a tokenizer renders. They are parsed and folded here, never rendered.

Sources: CVE-2024-34359 (a template of a GGUF file rendered outside a sandbox), CVE-2026-5760 (the same through reranking);
Jinja's documentation of the sandbox for what an attribute can reach; transformers' own tag {% generation %}.
"""

import re
from functools import cache
from typing import TYPE_CHECKING

from heliotrope.core.characters import without_later
from heliotrope.core.text import printable, shorten
from heliotrope.scan.interface import Context

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["check_template", "looks_like_chat"]

_MAX_BRACKETS = 40
_MAX_BLOCKS = 40
"""Levels of brackets and of blocks: the parser calls itself about ten times for each of them."""
_MAX_PREFIXES = 60
_PREFIXES = re.compile(rf"(?:\bnot\s+|[-+]\s*){{{_MAX_PREFIXES}}}")
_BLOCKS = re.compile(r"\{%[-+]?\s*(end)?(if|for|macro|call|filter|set|with|block|generation|autoescape|raw)\b([^%]*)")
_NO_CODE = frozenset({"data", "comment", "comment_begin", "comment_end"})
"""Kinds of tokens, as Jinja's lexer calls them, that the parser does not go into."""
_ELSE = re.compile(r"\belse\b")
_CODE = re.compile(r"__\w{2,40}__|\bmro\b|\bsubclasses\b|\bpopen\s*\(|\bos\s*\.\s*system|\|\s*attr\b")
"""What is looked for in text that Jinja does not parse: other engines may."""
_CHAT = re.compile(r"\bmessages\b")


def looks_like_chat(text: str) -> bool:
    """Whether a template reads a conversation, as opposed to those of web pages."""
    return _CHAT.search(text) is not None


def check_template(text: str, context: Context, *, chat: bool = True, offset: int | None = None) -> None:
    """Note what rendering could reach. `chat`: loading other templates and the web's globals have no place in it."""
    from jinja2.exceptions import TemplateSyntaxError
    from jinja2.parser import Parser

    from heliotrope.scan.repositories.template_walk import TemplateWalk

    text = without_later(text)
    limit = context.limits.max_template
    if len(text) > limit:
        reason = f"a template has {len(text)} characters, more than the limit of {limit}"
        context.notes.incomplete(reason, limit="max_template", member=context.member, offset=offset)
        _check_tokens(text, context, offset)
        return
    context.budget.templates -= len(text)
    if context.budget.templates < 0:
        reason = f"its templates have more than {context.limits.max_templates} characters together"
        context.notes.incomplete(reason, limit="max_templates")
        _check_tokens(text, context, offset)
        return
    if _too_deep(text):
        _unread("is nested too deeply", text, context, offset)
        return
    try:
        tree = Parser(_environment(), text).parse()
    except TemplateSyntaxError:  # its words are those of one release of Jinja
        _unread("cannot be parsed", text, context, offset)
        return
    except RecursionError:
        _unread("is nested too deeply", text, context, offset)
        return
    TemplateWalk(context, chat=chat, offset=offset).run(tree)


@cache
def _environment() -> "Environment":
    """An environment that parses; nothing is ever loaded or rendered with it."""
    from jinja2 import Environment, nodes
    from jinja2.ext import Extension
    from jinja2.parser import Parser

    class Generation(Extension):
        """transformers' mark around what the model itself says."""

        tags = {"generation"}

        def parse(self, parser: Parser) -> list[nodes.Node]:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    extensions: list[str | type[Extension]] = ["jinja2.ext.loopcontrols", "jinja2.ext.do", Generation]
    return Environment(trim_blocks=True, lstrip_blocks=True, extensions=extensions)  # noqa: S701 - renders nothing


def _too_deep(text: str) -> bool:
    """Whether the parser might exhaust the stack, told by the text alone so that every Python says the same."""
    text = _code_of(text)
    level = 0
    for character in re.findall(r"[][(){}]", text):
        level = level + 1 if character in "([{" else max(level - 1, 0)
        if level > _MAX_BRACKETS:
            return True
    level = 0
    for end, name, rest in _BLOCKS.findall(text):
        if name == "set" and not end and "=" in rest:
            continue
        level = max(level - 1, 0) if end else level + 1
        if level > _MAX_BLOCKS:
            return True
    longest = max((len(_ELSE.findall(part)) for part in text.split("}}")), default=0)
    chained = max((len(_ELSE.findall(part)) for part in text.split("%}")), default=0)
    return min(longest, chained) > _MAX_PREFIXES or _PREFIXES.search(text) is not None


def _code_of(text: str) -> str:
    """The template without comments, plain text and the content of texts; all of it when it cannot be split."""
    from jinja2.exceptions import TemplateSyntaxError

    try:
        tokens = list(_environment().lex(text))
    except TemplateSyntaxError:
        return text
    return "".join("''" if kind == "string" else word for _, kind, word in tokens if kind not in _NO_CODE)


def _unread(why: str, text: str, context: Context, offset: int | None) -> None:
    context.notes.incomplete(f"a template {why}", member=context.member, offset=offset)
    _check_tokens(text, context, offset)


def _check_tokens(text: str, context: Context, offset: int | None) -> None:
    match = _CODE.search(text)
    if match is not None:
        message = f"a template that cannot be parsed mentions {shorten(printable(match[0]), 60)}"
        context.notes.add(
            "template-code-access", message, key="text", member=context.member, offset=offset, confidence="medium"
        )
