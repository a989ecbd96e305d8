"""Traced modules of torch.fx in a pickle: what their code gets, and whether code and parts are those that torch writes.

`reduce_graph_module(body, imports)` runs `imports + body["_code"]`, then traces `forward` on an object whose dictionary is
the body, and writes new code from the names that its parts have. So the stream is read a second time with its texts, and
code (graph_code), names and the other settings of the body are checked. Source: torch.fx.graph_module, releases 1.8 to 2.13.
"""

import re
from typing import Any, Final

from heliotrope.scan.allowing import snippet
from heliotrope.scan.converting.tensors import CannotConvertError
from heliotrope.scan.converting.values import Global, Made, build
from heliotrope.scan.interface import Context, LimitReachedError, Source, UnreadableError
from heliotrope.scan.pickles.graph_code import GraphCode, GraphProblem, graph_lists
from heliotrope.scan.policy import Policy, shipped_policy
from heliotrope.scan.repositories.python_code import check_module
from heliotrope.scan.repositories.python_source import SourceError, parse_source

__all__ = ["check_graph_modules"]

_REDUCE: Final = "torch.fx.graph_module.reduce_graph_module"
_MAX_OPCODES = 1_000_000
"""Of a stream with traced modules, whose values are kept at about a hundred bytes each. A large traced model has 50,000."""
_MAX_TEXTS = 32 * 2**20
_NAME = re.compile(r'[^"\\\x00-\x1f\x7f]*')
"""Names that torch can put between quotes when it writes code from them."""
_MAX_CODE = 2**19
"""Of all traced modules of a stream, at some ten seconds for each mebibyte. A traced ResNet-152 has 40 KiB."""
_MAX_STEPS = 4_000_000
_MAX_PATH = 40
_QUANTISED: Final = ("torch.ao.nn.", "torch.nn.quantized.", "torch.nn.intrinsic.")


def check_graph_modules(source: Source, context: Context, start: int, offsets: list[int]) -> None:
    """Judge the traced modules in the stream at `start`; `offsets` are the places where the machine saw them called."""
    check = _Check(context, offsets)
    try:
        build(
            source,
            start,
            call=check.call,
            persistent=lambda _: Made("a persistent id", ()),
            built=check.built,
            max_opcodes=_MAX_OPCODES,
            max_texts=_MAX_TEXTS,
            strict=True,
        )
    except (CannotConvertError, LimitReachedError, UnreadableError) as error:
        check.note(f"cannot be followed to the end: {error}")
        return
    if check.seen != len(offsets):
        check.note("is read differently when its values are followed")


class _Check:
    def __init__(self, context: Context, offsets: list[int]) -> None:
        self._context = context
        self._offsets = offsets
        self._policy: Policy = shipped_policy()
        self._text = _MAX_CODE
        self._steps = _MAX_STEPS
        self.seen = 0

    def note(self, message: str, *, rule: str = "pickle-graph-code", name: str = "") -> None:
        index = min(self.seen - 1, len(self._offsets) - 1)
        offset = self._context.base + self._offsets[max(index, 0)]
        self._context.notes.add(
            rule,
            f"the code of a traced module {message}",
            key=message[:80],
            global_name=name or None,
            member=self._context.member,
            offset=offset,
            uses=frozenset({"call"}) if rule == "pickle-unknown-call" else frozenset(),
            fix=f"If you know this code and vouch for it, allow it in heliotrope.yaml:\n{snippet(name, {'call'})}"
            if rule == "pickle-unknown-call"
            else "",
        )

    # what the builder asks

    def call(self, name: str, arguments: tuple[Any, ...]) -> Any:
        if name == "collections.OrderedDict" and not arguments:
            return {}
        if name == _REDUCE:
            self.seen += 1
            made = Made(name, arguments)
            self._graph_module(made)
            return made
        return NotImplemented

    def built(self, target: Any, state: Any, at: int) -> tuple[Any, int]:
        if isinstance(target, Made):
            if target.state is not None:
                raise CannotConvertError("a state is set twice")
            target.state = state
        elif not isinstance(target, dict):
            raise CannotConvertError("something else than an object gets a state")
        return target, at

    # one module

    def _graph_module(self, made: Made) -> None:
        body, imports = made.arguments if len(made.arguments) == 2 else (None, None)
        code = (body.get("_code") or body.get("code")) if isinstance(body, dict) else None
        if not isinstance(code, str) or not isinstance(imports, str) or not isinstance(body, dict):
            self.note("is no constant text")
            return
        text = imports + code
        try:
            self._check_settings(body)
            self._check_names(body)
            self._check_code(text, body)
        except GraphProblem as problem:
            rule = "pickle-dangerous-call" if problem.kind == "dangerous" else "pickle-graph-code"
            self.note(str(problem), rule=rule, name=problem.name)
            self._judge_freely(text)

    def _check_settings(self, body: dict[Any, Any]) -> None:
        tracer = body.get("_tracer_cls")
        if tracer is not None and (not isinstance(tracer, Global) or tracer.name not in graph_lists().tracers):
            raise GraphProblem("is to be traced by a class that nobody has reviewed")
        if body.get("_tracer_extras") not in (None, {}):
            raise GraphProblem("is to be traced with settings of its own")
        name = body.get("_graphmodule_cls_name", "GraphModule")
        if not isinstance(name, str) or not name.isidentifier():
            raise GraphProblem("is to be run in a class without a proper name")

    def _check_code(self, text: str, body: dict[Any, Any]) -> None:
        if not text.isascii():
            raise GraphProblem("has characters beyond ASCII")
        self._text -= len(text)
        if self._text < 0:
            raise GraphProblem(f"has, with others, more than {_MAX_CODE} bytes")
        try:
            tree = parse_source(text, self._context.limits)
        except SourceError as error:
            raise GraphProblem(str(error)) from None
        judge = GraphCode(self._policy, lambda path: self._resolve(body, path))
        judge.check(tree)
        for name, way in judge.unknown.items():
            rule = "pickle-unknown-call" if way else "pickle-unknown-import"
            verb = "calls" if way else "imports"
            self.note(f"{verb} {name}, which is not on the list of what models need", rule=rule, name=name)

    def _judge_freely(self, text: str) -> None:
        """Say what the code does, as of any source; loading runs it, `forward` included."""
        if self._text < 0:
            return
        inside = self._context.inside(
            f"code at {self._context.base + self._offsets[max(min(self.seen, len(self._offsets)) - 1, 0)]}"
        )
        check_module(f"{text}\nforward()\n".encode("utf-8", "replace"), inside)

    def _resolve(self, body: dict[Any, Any], path: list[str]) -> str:  # noqa: C901 - in the order of attribute lookup
        """What `self.a.b` leads to: a module, or a value without code; GraphProblem for anything else."""
        shown = f"self.{'.'.join(path)[:80]}"
        if len(path) > _MAX_PATH:
            raise GraphProblem(f"reaches for {shown}")
        state: Any = body
        for place, part in enumerate(path):
            taken = graph_lists().taken
            if part in taken or not isinstance(state, dict):
                raise GraphProblem(f"reaches for {shown}, which is no part of the module")
            last = place == len(path) - 1
            if part in state:
                if last and self._is_value(state[part]):
                    return "value"
                raise GraphProblem(f"reaches for {shown}, which is no part of the module")
            for kind in ("_parameters", "_buffers"):
                held = state.get(kind)
                if last and isinstance(held, dict) and part in held:
                    if self._is_value(held[part]):
                        return "value"
                    raise GraphProblem(f"takes {shown} for a tensor")
            modules = state.get("_modules")
            if not isinstance(modules, dict) or part not in modules or (place and part in graph_lists().taken_below):
                raise GraphProblem(f"reaches for {shown}, which is not there")
            if last and self._is_packed(modules[part]):
                return "module"
            state = self._state_of_module(modules[part], shown)
        return "module"

    def _state_of_module(self, value: Any, shown: str) -> dict[Any, Any]:
        if isinstance(value, Made):
            state = value.arguments[0] if value.callee == _REDUCE and value.arguments else value.state
            module, _, name = value.callee.rpartition(".")
            entry = self._policy.lookup(module, name)
            ours = value.callee == _REDUCE or (
                entry.kind == "allowed" and entry.framework == "torch" and "new" in entry.uses
            )
            # An unknown class is a finding of its own.
            if isinstance(state, dict) and "_modules" in state and (ours or entry.kind == "unknown"):
                return state
        raise GraphProblem(f"takes {shown} for a module of torch")

    def _is_packed(self, value: Any) -> bool:
        """Whether it is a quantised layer, whose state is a tuple and which has no parts."""
        if not isinstance(value, Made) or not value.callee.startswith(_QUANTISED) or not isinstance(value.state, tuple):
            return False
        module, _, name = value.callee.rpartition(".")
        entry = self._policy.lookup(module, name)
        return entry.kind == "allowed" and entry.tuple and "new" in entry.uses

    def _is_value(self, value: Any) -> bool:
        if isinstance(value, Made):
            return value.callee.startswith(("torch._utils._rebuild_", "torch._tensor._rebuild_from_type_v2"))
        if isinstance(value, Global):
            module, _, name = value.name.rpartition(".")
            entry = self._policy.lookup(module, name)
            return module == "torch" and entry.kind == "allowed" and not entry.uses
        if isinstance(value, tuple):
            return all(self._is_value(item) for item in value)
        return value is None or isinstance(value, int | float | bool | str)

    def _check_names(self, body: dict[Any, Any]) -> None:  # noqa: C901 - one branch for each kind of value
        """Names of parts are written into code again: none of them may end the quotes around it."""
        waiting: list[tuple[Any, bool]] = [(body, False)]
        checked: set[tuple[int, bool]] = set()
        while waiting:
            value, strictly = waiting.pop()
            if isinstance(value, str):
                if strictly and not _NAME.fullmatch(value):
                    raise GraphProblem("would be written again from names that hold code")
                continue
            if not isinstance(value, dict | list | tuple | Made) or (id(value), strictly) in checked:
                continue
            checked.add((id(value), strictly))
            self._steps -= 1 + (len(value) if isinstance(value, dict | list | tuple) else 0)
            if self._steps < 0:
                raise GraphProblem(f"has more than {_MAX_STEPS} values around it")
            if isinstance(value, dict):
                for key, item in value.items():
                    if isinstance(key, Made):
                        raise GraphProblem("has parts whose names are computed")
                    waiting += [(key, True), (item, strictly)]
            elif isinstance(value, Made):
                if value.callee not in (_REDUCE, "_codecs.encode"):
                    waiting += [(item, True) for item in (value.arguments, value.items)]
                    waiting.append((value.state, False))
            else:
                waiting += [(item, strictly) for item in value]
