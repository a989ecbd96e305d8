"""The abstract run of a template: every branch is taken, constants are followed, and what expressions reach is noted."""

from typing import Any

from jinja2 import nodes

from heliotrope.core.findings import Confidence
from heliotrope.core.text import printable, shorten
from heliotrope.scan.interface import Context
from heliotrope.scan.repositories.template_conditions import Condition, Watch
from heliotrope.scan.repositories.template_names import DUNDER, INNER, MAKERS, RUNS, WEB
from heliotrope.scan.repositories.template_values import (
    MAX_TEXT,
    Macro,
    Namespace,
    Unknown,
    call_method,
    combine,
    filtered,
    is_constant,
    item_of,
    merged,
)

__all__ = ["TemplateWalk"]

_HUGE = 10**6
_POWER = 12
"""Up to which base and exponent a power is computed; beyond, it is simply huge."""
_MAX_DEPTH = 100
"""Levels of an expression: far below what exhausts the stack, so that every Python says the same."""
_MAX_CALLS = 8
_MAX_RECURSION = 3
"""Calls of a macro within itself where an argument is unknown, as in descriptions of tools, which call themselves in many places."""
_PASSES = 2
"""Turns of a loop over unknown items, so that what one turn sets is seen by the next."""
_OPERATORS: dict[type[nodes.BinExpr], Any] = {
    nodes.Add: lambda a, b: a + b,
    nodes.Sub: lambda a, b: a - b,
    nodes.Div: lambda a, b: a / b,
    nodes.FloorDiv: lambda a, b: a // b,
}


class _StopError(Exception):
    """A limit is reached, whose name comes first, and the reason."""


_MacroCall = tuple[nodes.Macro, dict[str, Any], dict[str, Any]]
"""A macro, its arguments, and the outermost variables."""


def _held(scope: dict[str, Any]) -> dict[str, Any]:
    """What variables hold at the moment; that of namespaces may change."""
    return {name: dict(value.values) if isinstance(value, Namespace) else value for name, value in scope.items()}


class TemplateWalk:
    """One template."""

    def __init__(self, context: Context, *, chat: bool, offset: int | None) -> None:
        self._context = context
        self._chat = chat
        self._offset = offset
        self._scopes: list[dict[str, Any]] = [{}]
        self._steps = context.limits.max_template_steps
        self._running: list[_MacroCall] = []
        """Those that are going on."""
        self._finished: dict[int, list[tuple[_MacroCall, Any]]] = {}
        """Of a macro, the first calls that changed nothing, and their text."""
        self._depth = 0
        self._judged: set[int] = set()
        self._built = 0
        self._watch = Watch(self._note)

    def run(self, tree: nodes.Template) -> None:
        try:
            self._body(tree.body)
        except _StopError as error:
            limit, reason = error.args
            self._context.notes.incomplete(reason, limit=limit, member=self._context.member, offset=self._offset)

    # statements

    def _body(self, body: list[nodes.Node]) -> str | None:
        """Run statements; their output when it is constant."""
        output: list[Any] = [self._statement(node) for node in body]
        texts = [item for item in output if item is not None]
        if all(isinstance(item, str) for item in texts):
            whole = "".join(texts)
            return whole if len(whole) <= MAX_TEXT else None
        return None

    def _statement(self, node: nodes.Node) -> Any:  # noqa: C901, PLR0912 - one branch for each kind
        self._step()
        if isinstance(node, nodes.Output):
            parts = [self._value(item) for item in node.nodes]
            known = all(is_constant(part) for part in parts)
            return "".join(map(str, parts)) if known else Unknown()
        if isinstance(node, nodes.If):
            return self._if(node)
        if isinstance(node, nodes.For):
            return self._for(node)
        if isinstance(node, nodes.Assign):
            self._assign(node.target, self._value(node.node))
        elif isinstance(node, nodes.AssignBlock):
            text = self._body(node.body)
            self._assign(node.target, Unknown() if text is None else text)
        elif isinstance(node, nodes.Macro):
            self._scopes[-1][node.name] = Macro(node)
            self._macro(node, [], {})
        elif isinstance(node, nodes.CallBlock):
            self._value(node.call)
            self._body(node.body)
        elif isinstance(node, nodes.FilterBlock):
            self._body(node.body)
            if node.filter.node is None:
                node.filter.node = nodes.TemplateData("")
            self._value(node.filter)
            return Unknown()
        elif isinstance(node, nodes.With):
            for target, value in zip(node.targets, node.values, strict=True):
                self._assign(target, self._value(value))
            return self._body(node.body)
        elif isinstance(node, (nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)):
            self._loads(node)
        elif isinstance(node, nodes.ExprStmt):
            self._value(node.node)
        else:
            for child in node.iter_child_nodes():
                self._value(child) if isinstance(child, nodes.Expr) else self._statement(child)
        return None

    def _if(self, node: nodes.If) -> Any:
        branches: list[tuple[nodes.Node | None, list[nodes.Node]]] = [(node.test, node.body)]
        branches += [(item.test, item.body) for item in node.elif_]
        before = dict(self._scopes[-1])
        outcomes: list[dict[str, Any]] = []
        for test, body in [*branches, (None, node.else_)]:
            if test is not None:
                self._watch.begin()
                self._value(test)
                conditions = self._watch.end()
                if id(test) not in self._judged:
                    self._judged.add(id(test))
                    self._watch.judge(conditions, body, node.else_)
            self._scopes[-1] = dict(before)
            self._body(body)
            outcomes.append(self._scopes[-1])
        self._scopes[-1] = merged(outcomes)
        return Unknown()

    def _for(self, node: nodes.For) -> Any:
        iterable = self._value(node.iter)
        items = list(iterable) if isinstance(iterable, (list, tuple, str, dict)) else None
        known = items is not None and node.test is None
        if items is None:
            tags = iterable.tags if isinstance(iterable, Unknown) else frozenset()
            items = [Unknown(tags)] * _PASSES
        output: list[Any] = []
        for item in items:
            self._assign(node.target, item)
            self._scopes[-1]["loop"] = Unknown()
            if node.test is not None:
                self._value(node.test)
            output.append(self._body(node.body))
        self._body(node.else_)
        whole = known and all(isinstance(text, str) for text in output)
        return "".join(output) if whole else Unknown()

    def _assign(self, target: nodes.Node, value: Any) -> None:
        if isinstance(target, nodes.Name):
            self._scopes[-1][target.name] = value
        elif isinstance(target, nodes.NSRef):
            holder = self._lookup(target.name)
            if isinstance(holder, Namespace):
                holder.values[target.attr] = value
        elif isinstance(target, nodes.Tuple):
            whole = isinstance(value, (list, tuple, str)) and len(value) == len(target.items)
            for index, item in enumerate(target.items):
                self._assign(item, value[index] if whole else Unknown(getattr(value, "tags", frozenset())))

    def _loads(self, node: nodes.Node) -> None:
        template = getattr(node, "template", None)
        if isinstance(template, nodes.Expr):
            self._value(template)
        if self._chat:
            word = type(node).__name__.lower().replace("fromimport", "import")
            self._note("template-loads-template", f"the template uses {word}, which loads another template", word)

    # expressions

    def _value(self, node: nodes.Node) -> Any:
        """What an expression gives, as far as it is known."""
        self._depth += 1
        try:
            if self._depth > _MAX_DEPTH:
                raise _StopError(None, "a template's expressions are nested too deeply")
            return self._expression(node)
        finally:
            self._depth -= 1

    def _expression(self, node: nodes.Node) -> Any:  # noqa: C901, PLR0911, PLR0912 - one branch for each kind
        self._step()
        if isinstance(node, nodes.Const):
            self._text(node.value)
            return node.value
        if isinstance(node, nodes.TemplateData):
            return node.data
        if isinstance(node, nodes.Name):
            return self._name(node)
        if isinstance(node, nodes.Getattr):
            return self._attribute(self._value(node.node), node.attr)
        if isinstance(node, nodes.Getitem):
            return self._item(node)
        if isinstance(node, nodes.Call):
            return self._call(node)
        if isinstance(node, nodes.Filter):
            return self._filter(node)
        if isinstance(node, nodes.Concat):
            parts = [self._value(item) for item in node.nodes]
            return self._made(combine(lambda *items: "".join(map(str, items)), *parts, built=True))
        if isinstance(node, nodes.BinExpr):
            return self._binary(node)
        if isinstance(node, nodes.Compare):
            return self._compare(node)
        if isinstance(node, nodes.Not):
            with self._watch.negated():
                self._value(node.node)
            return Unknown()
        if isinstance(node, nodes.UnaryExpr):
            return combine(lambda number: -number if isinstance(node, nodes.Neg) else number, self._value(node.node))
        if isinstance(node, nodes.CondExpr):
            return self._conditional(node)
        if isinstance(node, (nodes.List, nodes.Tuple)):
            return [self._value(item) for item in node.items]
        if isinstance(node, nodes.Dict):
            pairs = [(self._value(pair.key), self._value(pair.value)) for pair in node.items]
            return {key: value for key, value in pairs if isinstance(key, (str, int, float, bool, type(None)))}
        if isinstance(node, nodes.Slice):
            return self._slice(node)
        for child in node.iter_child_nodes():
            self._value(child)
        return Unknown()

    def _name(self, node: nodes.Name) -> Any:
        found = self._lookup(node.name)
        if found is not None:
            return found
        if self._chat and (node.name in WEB or node.name in MAKERS):
            self._note("template-internals", f"the template uses the object {node.name} itself", node.name)
        if DUNDER.fullmatch(node.name):
            self._access(node.name)
        return Unknown(frozenset({"date"}) if "date" in node.name.lower() else frozenset())

    def _lookup(self, name: str) -> Any:
        return next((scope[name] for scope in reversed(self._scopes) if name in scope), None)

    def _attribute(self, value: Any, name: str) -> Any:
        if DUNDER.search(name) or name in INNER:
            self._access(name)
        if isinstance(value, Namespace):
            return value.values.get(name, Unknown())
        if isinstance(value, dict) and name in value:
            return value[name]
        return Unknown(self._watch.tags_of(name))

    def _item(self, node: nodes.Getitem) -> Any:
        value, key = self._value(node.node), self._value(node.arg)
        if isinstance(key, str):
            if DUNDER.search(key) or key in INNER:
                self._access(key)
            if isinstance(value, Unknown):
                return Unknown(self._watch.tags_of(key))
        elif isinstance(key, Unknown):
            self._computed(key)
        return item_of(value, key)

    def _computed(self, key: Unknown) -> None:
        if "opaque" in key.tags:
            self._note("template-computed-attribute", "an item is chosen by a name that is computed", "item")
        elif "built" in key.tags:
            self._built += 1
            if self._built > 1:  # one may be a key of a tool's arguments; a way through objects takes several
                message = "items are chosen by names that are put together"
                self._note("template-computed-attribute", message, "built", confidence="medium")

    def _arguments(self, node: nodes.Call | nodes.Filter | nodes.Test) -> tuple[list[Any], dict[str, Any]]:
        arguments = [self._value(item) for item in node.args or ()]
        named = {str(item.key): self._value(item.value) for item in node.kwargs or ()}
        for extra in (node.dyn_args, node.dyn_kwargs):
            if extra is not None:
                arguments.append(Unknown())
                self._value(extra)
        return arguments, named

    def _call(self, node: nodes.Call) -> Any:
        callee = node.node
        if isinstance(callee, nodes.Getattr):
            value = self._value(callee.node)
            self._attribute(value, callee.attr)
            if callee.attr in RUNS:
                self._access(f"{callee.attr}()")
            arguments, named = self._arguments(node)
            self._watch.method(callee.attr, value, arguments)
            return self._made(call_method(value, callee.attr, arguments, named))
        if isinstance(callee, nodes.Name) and self._lookup(callee.name) is None:
            return self._global_call(callee.name, node)
        target = self._value(callee)
        arguments, named = self._arguments(node)
        if isinstance(target, Macro):
            return self._macro(target.node, arguments, named)
        return Unknown()

    def _global_call(self, name: str, node: nodes.Call) -> Any:
        if self._chat and name in WEB:
            self._note("template-internals", f"the template calls {name}", name)
        if name in RUNS or name in ("open", "__import__", "compile"):
            self._access(f"{name}()")
        arguments, named = self._arguments(node)
        if name == "namespace":
            first = arguments[0] if arguments and isinstance(arguments[0], dict) else {}
            return Namespace({**{str(key): value for key, value in first.items()}, **named})
        if name == "dict":
            return self._made(named)
        if name == "range":
            return self._range(arguments)
        return Unknown(frozenset({"date"})) if name == "strftime_now" else Unknown()

    def _range(self, arguments: list[Any]) -> Any:
        if not arguments or not all(type(item) is int for item in arguments):
            return Unknown()
        try:
            numbers = range(*arguments)
        except (TypeError, ValueError):
            return Unknown()
        if len(numbers) > _HUGE:
            self._note("template-exhausts", f"a loop counts to {len(numbers)}", "range")
        return list(numbers) if len(numbers) <= 1000 else Unknown()

    def _macro(self, node: nodes.Macro, arguments: list[Any], named: dict[str, Any]) -> Any:
        if len(self._running) >= _MAX_CALLS:
            return Unknown()
        names = [item.name for item in node.args]
        defaults = [self._value(item) for item in node.defaults]
        scope: dict[str, Any] = dict.fromkeys(names, Unknown())
        scope.update(zip(names[len(names) - len(defaults) :], defaults, strict=True))
        scope.update(zip(names, arguments, strict=False))
        scope.update((name, value) for name, value in named.items() if name in scope)
        scope |= {"varargs": Unknown(), "kwargs": Unknown(), "caller": Unknown()}
        call = node, _held(scope), _held(self._scopes[0])
        finished: list[tuple[_MacroCall, Any]] = []
        if self._scopes[0].get(node.name) == Macro(node):  # others see more than their arguments and what is outermost
            inside = [running for running in self._running if running[0] is node]
            open_ended = not all(is_constant(value) for value in (*arguments, *named.values()))
            if call in inside or (open_ended and len(inside) >= _MAX_RECURSION):  # it would do once more what it does
                return Unknown(frozenset({"opaque"}))
            finished = self._finished.setdefault(id(node), [])
            for earlier, known in finished:
                if earlier == call:
                    return known
        self._running.append(call)
        self._scopes.append(scope)
        try:
            text = self._body(node.body)
        finally:
            self._scopes.pop()
            self._running.pop()
        made = Unknown() if text is None else text
        changeable = any(isinstance(value, Namespace) for value in (*arguments, *named.values()))
        if len(finished) < _MAX_CALLS and not changeable and _held(self._scopes[0]) == call[2]:
            finished.append((call, made))
        return made

    def _filter(self, node: nodes.Filter) -> Any:
        value = Unknown() if node.node is None else self._value(node.node)
        arguments, named = self._arguments(node)
        if node.name == "attr":
            name = arguments[0] if arguments else named.get("name")
            if isinstance(name, str):
                return self._attribute(value, name)
            self._note("template-computed-attribute", "the filter attr takes a name that is computed", "attr")
            return Unknown()
        for argument in (*arguments, *named.values()):
            if isinstance(argument, str) and argument.split(".")[-1] in INNER:
                self._access(argument)
        return self._made(filtered(node.name, value, arguments, named))

    def _binary(self, node: nodes.BinExpr) -> Any:
        left, right = self._value(node.left), self._value(node.right)
        if isinstance(node, (nodes.And, nodes.Or)):
            return Unknown(getattr(left, "tags", frozenset()) | getattr(right, "tags", frozenset()))
        if isinstance(node, nodes.Mod) and isinstance(left, str):
            parts = right if isinstance(right, (list, tuple)) else [right]
            return self._made(filtered("format", left, list(parts), {}))
        if isinstance(node, nodes.Mul):
            return self._product(left, right)
        if isinstance(node, nodes.Pow):
            return combine(lambda a, b: a**b if abs(a) <= _POWER and abs(b) <= _POWER else _HUGE + 1, left, right)
        function = _OPERATORS.get(type(node))
        return Unknown() if function is None else self._made(combine(function, left, right))

    def _product(self, left: Any, right: Any) -> Any:
        for text, times in ((left, right), (right, left)):
            if isinstance(text, (str, list)) and type(times) is int:
                if len(text) * times > _HUGE:
                    self._note("template-exhausts", f"text is repeated {times} times", "product")
                    return Unknown()
                return self._made(text * times if len(text) * times <= MAX_TEXT else Unknown())
        return combine(lambda a, b: a * b if abs(a) < _HUGE and abs(b) < _HUGE else None, left, right)

    def _compare(self, node: nodes.Compare) -> Any:
        left = self._value(node.expr)
        for operand in node.ops:
            right = self._value(operand.expr)
            self._watch.compared(left, operand.op, right)
            left = right
        return Unknown()

    def _conditional(self, node: nodes.CondExpr) -> Any:
        self._watch.begin()
        self._value(node.test)
        triggers: list[Condition] = self._watch.end()
        first = self._value(node.expr1)
        second = None if node.expr2 is None else self._value(node.expr2)
        self._watch.judge_texts(triggers, first, second)
        return first if first == second else Unknown(getattr(first, "tags", frozenset()))

    def _slice(self, node: nodes.Slice) -> Any:
        parts = [None if item is None else self._value(item) for item in (node.start, node.stop, node.step)]
        whole = all(item is None or type(item) is int for item in parts)
        return slice(*parts) if whole else Unknown()

    # what is noted

    def _made(self, value: Any) -> Any:
        """A value put together: names hidden in parts show here."""
        if isinstance(value, str):
            self._text(value)
        elif isinstance(value, dict):
            for key in value:
                self._text(key)
        return value

    def _text(self, value: Any) -> None:
        match = DUNDER.search(value) if isinstance(value, str) else None
        if match is not None:
            self._access(match[0])

    def _access(self, name: str) -> None:
        shown = shorten(printable(name), 60)
        self._note("template-code-access", f"the template reaches for {shown}", shown)

    def _note(self, rule: str, message: str, key: str, confidence: Confidence = "high") -> None:
        self._context.notes.add(
            rule, message, key=key, member=self._context.member, offset=self._offset, confidence=confidence
        )

    def _step(self) -> None:
        self._steps -= 1
        if self._steps < 0:
            limit = self._context.limits.max_template_steps
            raise _StopError("max_template_steps", f"a template takes more than {limit} steps")
