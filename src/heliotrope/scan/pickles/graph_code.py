"""The code of a traced module of torch.fx: judged by its syntax tree, against what the code generator writes.

It runs when the module is loaded (the imports and `forward`, which is traced again), so anything else than calls of
operators, of the module's own parts and of methods of tensors is a finding. Source: torch.fx.graph.CodeGen and
torch.fx.graph_module, releases 1.8 to 2.13.
"""

import ast
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Final, Literal

from heliotrope.scan.frameworks.torch_operators import judge_operator
from heliotrope.scan.policy import Policy

__all__ = ["GraphCode", "GraphProblem", "Lists", "graph_lists"]

_MAX_NODES = 2_000_000
_MAX_WHOLE = 2**31
"""Of whole numbers in code. They are shapes and places; only the ends of ranges of 64 bits are larger."""
_ENDS: Final = frozenset({2**63 - 1, 2**63, 2**64 - 1})
_MAX_CREATED = 2**28
"""Elements of a tensor whose shape stands in the code, for which loading would take the memory."""
_CREATORS = re.compile(
    r"torch\.(?:ops\.aten\.)?(?:new_)?(?:zeros|ones|empty|full|rand|randn|randint|eye|arange|range|linspace|logspace|tril_indices|triu_indices"
    r"|empty_strided|bartlett_window|blackman_window|hann_window|hamming_window|kaiser_window)(?:_like)?(?:\.\w+)?"
)
_PART = re.compile(r"\w+(?:\.\w+)*")
_IMPORTED_MODULES: Final = frozenset(
    {
        "torch",
        "torch.fx",
        "torch.fx._pytree",
        "torch.utils._pytree",
        "math",
        "operator",
        "_operator",
        "typing",
        "builtins",
    }
)
_WRAPS: Final = frozenset({"torch.fx._symbolic_trace.wrap", "torch.fx.wrap"})
_TYPES: Final = frozenset(
    {
        "torch.Tensor",
        "torch.device",
        "torch.dtype",
        "torch.Size",
        "torch.layout",
        "torch.memory_format",
        "torch.Generator",
    }
)
_CONSTANTS: Final = frozenset(
    {"math.inf", "math.nan", "math.pi", "math.e", "torch.inf", "torch.nan", "torch.pi", "torch.e"}
)
_LITERALS = (ast.Tuple, ast.List, ast.Set)

Kind = Literal["odd", "unknown", "dangerous"]


class GraphProblem(Exception):  # noqa: N818 - it is an answer, not a failure
    """The code does something that generated code does not."""

    def __init__(self, message: str, *, kind: Kind = "odd", name: str = "") -> None:
        super().__init__(message)
        self.kind = kind
        self.name = name
        """The global in question."""


@dataclass(frozen=True, slots=True)
class Lists:
    """The reviewed names of data/torch_graphs.json."""

    functions: frozenset[str]
    methods: frozenset[str]
    attributes: frozenset[str]
    tracers: frozenset[str]
    taken: frozenset[str]
    taken_below: frozenset[str]


@cache
def graph_lists() -> Lists:
    """The shipped lists."""
    document = json.loads((resources.files("heliotrope.scan") / "data" / "torch_graphs.json").read_bytes())
    functions = {f"{module}.{name}" for module, names in document["functions"].items() for name in names.split()}
    for module in ("builtins", "math", "operator"):
        functions |= {f"{module}.{name}" for name in document[module].split()}
    sets = (frozenset(document[key].split()) for key in ("methods", "attributes", "tracers", "taken", "taken_below"))
    return Lists(frozenset(functions), *sets)


Resolve = Callable[[list[str]], str]
"""What a path of names below the module leads to: module, value; GraphProblem for anything else."""


class GraphCode:
    """The judge of one module's code."""

    def __init__(self, policy: Policy, resolve: Resolve) -> None:
        self._policy = policy
        self._resolve = resolve
        self._lists = graph_lists()
        self._names: dict[str, str] = {"getattr": "builtins.getattr", "type": "builtins.type"}
        """What a name stands for by imports; empty text for a value of the code's own."""
        self._self = ""
        self.unknown: dict[str, str] = {}
        """Functions of others that the code imports, and what it does with them: call, or nothing."""

    def check(self, tree: ast.Module) -> None:
        """Raises GraphProblem for the first thing that is not as it should be."""
        if sum(1 for _ in ast.walk(tree)) > _MAX_NODES:
            raise GraphProblem("is too long to be judged")
        forwards = 0
        for statement in tree.body:
            if isinstance(statement, ast.Import | ast.ImportFrom):
                self._import(statement)
            elif isinstance(statement, ast.FunctionDef):
                forwards += 1
                self._function(statement)
            elif not self._is_preamble(statement):
                raise GraphProblem(f"has {_described(statement)} outside of its function")
        if forwards != 1:
            raise GraphProblem(f"has {forwards} functions instead of one")

    # what stands above the function

    def _import(self, statement: ast.Import | ast.ImportFrom) -> None:
        if isinstance(statement, ast.Import):
            for item in statement.names:
                if item.name not in _IMPORTED_MODULES:
                    self._foreign(item.name, "")
                self._names[item.asname or item.name.partition(".")[0]] = (
                    item.name if item.asname else item.name.partition(".")[0]
                )
            return
        if statement.level or statement.module is None:
            raise GraphProblem("imports from a package around it")
        for item in statement.names:
            full = f"{statement.module}.{item.name}".replace("_operator.", "operator.", 1)
            if not self._is_known(full):
                self._foreign(statement.module, item.name)
            self._names[item.asname or item.name] = full

    def _is_known(self, full: str) -> bool:
        known = full in self._lists.functions or full in _CONSTANTS or full in _TYPES or full == "builtins.getattr"
        return known or full in ("builtins.slice", "builtins.type") or full.startswith("typing.")

    def _foreign(self, module: str, name: str) -> None:
        """An import of something that is not torch's own: the policy decides."""
        entry = self._policy.lookup(module, name)
        full = f"{module}.{name}" if name else module
        if entry.kind in ("dangerous", "dotted") or (
            not name and module.partition(".")[0] in self._policy.dangerous_modules
        ):
            raise GraphProblem(
                f"imports {full}, which {entry.reason or 'can harm the machine'}", kind="dangerous", name=full
            )
        if entry.kind != "allowed" or entry.shape or "call" not in entry.uses:
            self.unknown.setdefault(full, "")

    def _is_preamble(self, statement: ast.stmt) -> bool:
        """`NoneType = type(None)`, and marks for functions that are not traced into."""
        if isinstance(statement, ast.Assign):
            return ast.unparse(statement) == "NoneType = type(None)" and self._names["type"] == "builtins.type"
        if not isinstance(statement, ast.Expr) or not isinstance(statement.value, ast.Call):
            return False
        call = statement.value
        marked = call.args[0] if len(call.args) == 1 and not call.keywords else None
        return (
            self._global(call.func) in _WRAPS
            and isinstance(marked, ast.Constant)
            and isinstance(marked.value, str)
            and (marked.value in self._names or f"builtins.{marked.value}" in self._lists.functions)
        )

    # the function

    def _function(self, node: ast.FunctionDef) -> None:
        arguments = node.args
        names = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        if node.name != "forward" or node.decorator_list or not names:
            raise GraphProblem("has a function that is not `forward`, or is decorated")
        for default in [*arguments.defaults, *arguments.kw_defaults]:
            if default is not None:
                self._default(default)
        rest = [item for item in (arguments.vararg, arguments.kwarg) if item is not None]
        for item in [*names, *rest]:
            if item.annotation is not None:
                self._annotation(item.annotation)
        if node.returns is not None:
            self._annotation(node.returns)
        self._self = names[0].arg
        for item in [*names[1:], *rest]:
            self._bind(item.arg)
        for statement in node.body:
            self._statement(statement)

    def _default(self, node: ast.expr) -> None:
        for inner in ast.walk(node):
            if not isinstance(
                inner,
                ast.Constant | ast.Name | ast.Attribute | ast.Load | ast.UnaryOp | ast.unaryop | ast.Tuple | ast.List,
            ):
                raise GraphProblem("computes the default of an argument")
        self._value(node)

    def _annotation(self, node: ast.expr) -> None:
        """Types of torch, of typing and Python's own, and brackets of them."""
        if isinstance(node, ast.Subscript):
            self._annotation(node.value)
            self._annotation(node.slice)
        elif isinstance(node, _LITERALS):
            for item in node.elts:
                self._annotation(item)
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            self._annotation(node.left)
            self._annotation(node.right)
        elif isinstance(node, ast.Constant):
            if node.value is not None and node.value is not Ellipsis:
                raise GraphProblem("has a text for a type")
        else:
            full = self._global(node) or (f"builtins.{node.id}" if isinstance(node, ast.Name) else "")
            plain = full in self._lists.functions and full.startswith("builtins.")
            if not (
                full in _TYPES
                or full.startswith("typing.")
                or plain
                or full in ("builtins.NoneType", "builtins.object")
            ):
                raise GraphProblem(f"has the type {ast.unparse(node)[:80]}")

    def _statement(self, node: ast.stmt) -> None:
        if isinstance(node, ast.Return):
            if node.value is not None:
                self._value(node.value)
        elif isinstance(node, ast.Assign):
            self._value(node.value)
            for target in node.targets:
                self._target(target)
        elif isinstance(node, ast.AnnAssign):
            self._annotation(node.annotation)
            if node.value is not None:
                self._value(node.value)
            self._target(node.target)
        elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            self._value(ast.Name(node.target.id, ast.Load()))
            self._value(node.value)
        elif isinstance(node, ast.Expr):
            self._value(node.value)
        elif not isinstance(node, ast.Pass):
            raise GraphProblem(f"has {_described(node)} in its function")

    def _target(self, node: ast.expr) -> None:
        if isinstance(node, ast.Name):
            self._bind(node.id)
        elif isinstance(node, ast.Tuple | ast.List):
            for item in node.elts:
                self._target(item)
        elif (
            isinstance(node, ast.Subscript)
            and isinstance(node.value, ast.Name)
            and self._names.get(node.value.id) == ""
        ):
            self._value(node.slice)
        else:
            raise GraphProblem(f"assigns to {ast.unparse(node)[:80]}")

    def _bind(self, name: str) -> None:
        if name == self._self or name.startswith("__"):
            raise GraphProblem(f"gives {name} another meaning")
        self._names[name] = ""

    # expressions

    def _value(self, node: ast.expr) -> None:  # noqa: C901, PLR0912 - one branch for each kind of expression
        if isinstance(node, ast.Constant):
            _constant(node.value)
        elif isinstance(node, ast.Name):
            self._name(node)
        elif isinstance(node, _LITERALS):
            for item in node.elts:
                self._value(item)
        elif isinstance(node, ast.Dict):
            for key, item in zip(node.keys, node.values, strict=True):
                if key is None:
                    raise GraphProblem("unpacks a dictionary")
                self._value(key)
                self._value(item)
        elif isinstance(node, ast.Slice):
            for part in (node.lower, node.upper, node.step):
                if part is not None:
                    self._value(part)
        elif isinstance(node, ast.Subscript):
            self._value(node.value)
            self._value(node.slice)
        elif isinstance(node, ast.BinOp):
            if not any(isinstance(inner, ast.Name | ast.Call | ast.Attribute) for inner in ast.walk(node)):
                raise GraphProblem("computes with constants")
            self._value(node.left)
            self._value(node.right)
        elif isinstance(node, ast.UnaryOp):
            self._value(node.operand)
        elif isinstance(node, ast.Compare):
            self._value(node.left)
            for item in node.comparators:
                self._value(item)
        elif isinstance(node, ast.Attribute):
            self._attribute(node)
        elif isinstance(node, ast.Call):
            self._call(node)
        else:
            raise GraphProblem(f"has {_described(node)} in its function")

    def _name(self, node: ast.Name) -> None:
        stands_for = self._names.get(node.id)
        if stands_for is None and f"builtins.{node.id}" in self._lists.functions:
            return
        if node.id == "NoneType" or stands_for == "" or stands_for in _CONSTANTS or stands_for in _TYPES:
            return
        if stands_for is not None and stands_for.startswith("builtins.") and stands_for in self._lists.functions:
            return
        raise GraphProblem(f"refers to {stands_for or node.id}", name=stands_for or "")

    def _attribute(self, node: ast.Attribute) -> None:
        path = self._path(node)
        if path is not None:
            if self._resolve(path) != "value":
                raise GraphProblem(f"takes self.{'.'.join(path)[:80]} for a value")
            return
        full = self._global(node)
        if full:
            if full not in _CONSTANTS and full not in _TYPES and not self._is_constant(full):
                self._refuse(full, "refers to")
            return
        if node.attr not in self._lists.attributes:
            raise GraphProblem(f"reads the attribute {node.attr[:80]}")
        self._value(node.value)

    def _is_constant(self, full: str) -> bool:
        module, _, name = full.rpartition(".")
        entry = self._policy.lookup(module, name)
        return module == "torch" and entry.kind == "allowed" and not entry.uses

    def _refuse(self, full: str, verb: str) -> None:
        """Raises GraphProblem for a name of torch or of Python that is not on the lists."""
        parts = full.split(".")
        for start in range(len(parts) - 1):  # torch.os.system is os.system
            entry = self._policy.lookup(".".join(parts[start:-1]), parts[-1])
            if entry.kind == "dangerous":
                raise GraphProblem(f"{verb} {full[:120]}, which {entry.reason}", kind="dangerous", name=full[:120])
        raise GraphProblem(f"{verb} {full[:120]}", name=full[:120])

    def _call(self, node: ast.Call) -> None:  # noqa: C901 - one branch for each kind of callee
        whole = self._path(node)
        if whole is not None:  # getattr(self, "0_scale")
            if self._resolve(whole) != "value":
                raise GraphProblem(f"takes self.{'.'.join(whole)[:80]} for a value")
            return
        for item in node.args:
            self._value(item)
        for keyword in node.keywords:
            if keyword.arg is None or keyword.arg.startswith("__"):
                raise GraphProblem("unpacks arguments")
            self._value(keyword.value)
        callee = node.func
        path = self._path(callee)
        if path is not None:
            if self._resolve(path) != "module":
                raise GraphProblem(f"calls self.{'.'.join(path)[:80]}, which is no part of the module")
            return
        full = self._global(callee)
        if not full and isinstance(callee, ast.Name) and callee.id not in self._names:
            full = f"builtins.{callee.id}"
        if full:
            self._function_call(full, node)
        elif isinstance(callee, ast.Attribute):
            if callee.attr not in self._lists.methods:
                raise GraphProblem(f"calls the method {callee.attr[:80]}")
            self._value(callee.value)
        else:
            raise GraphProblem(f"calls {_described(callee)}")

    def _function_call(self, full: str, node: ast.Call) -> None:
        if full == "builtins.getattr":
            names = [item.value for item in node.args[1:] if isinstance(item, ast.Constant)]
            if len(node.args) != 2 or node.keywords or len(names) != 1 or names[0] not in self._lists.attributes:
                raise GraphProblem("takes an attribute by a name that tensors do not have")
            return
        operator = full.removeprefix("torch.ops.").split(".")
        if full.startswith("torch.ops.") and 2 <= len(operator) <= 3:
            problem = judge_operator(operator[0], operator[1])
            if problem is not None or "__" in full or "higher_order" in full:
                what = problem[1] if problem is not None else "calls what it is given"
                raise GraphProblem(f"calls {full[:120]}, which {what}", name=full)
        elif full not in self._lists.functions and full not in ("torch.device", "torch.Size"):
            self._foreign_call(full)
        if _CREATORS.fullmatch(full):
            size = 1
            given = [*node.args, *(keyword.value for keyword in node.keywords)]
            for inner in (part for item in given for part in ast.walk(item)):
                if isinstance(inner, ast.Constant) and type(inner.value) is int:
                    size *= max(inner.value, 1)
            if size > _MAX_CREATED:
                raise GraphProblem(f"makes a tensor of {size} elements")

    def _foreign_call(self, full: str) -> None:
        module, _, name = full.rpartition(".")
        if full in self.unknown:
            self.unknown[full] = "call"
            return
        entry = self._policy.lookup(module, name)
        if full not in self._names.values() or entry.kind != "allowed" or entry.shape or "call" not in entry.uses:
            self._refuse(full, "calls")

    def _global(self, node: ast.expr) -> str:
        """The full name of a chain that begins with something imported; empty for anything else."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return ""
        first = self._names.get(node.id, "")
        return ".".join([first, *reversed(parts)]) if first else ""

    def _path(self, node: ast.expr) -> list[str] | None:
        """The names behind `self`, as in getattr(self.layers, "0").weight; None when it does not begin there."""
        parts: list[str] = []
        while True:
            if isinstance(node, ast.Attribute):
                parts.append(node.attr)
                node = node.value
            elif (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and self._names.get(node.func.id) == "builtins.getattr"
                and len(node.args) == 2
                and not node.keywords
                and isinstance(node.args[1], ast.Constant)
                and isinstance(node.args[1].value, str)
            ):
                name = node.args[1].value
                if not _PART.fullmatch(name):
                    return None
                parts += reversed(name.split("."))
                node = node.args[0]
            else:
                break
        if not parts or not isinstance(node, ast.Name) or node.id != self._self or not self._self:
            return None
        if any(part.startswith("__") for part in parts):
            raise GraphProblem(f"reads {'.'.join(reversed(parts))[:80]}")
        return parts[::-1]


def _constant(value: object) -> None:
    if isinstance(value, bytes):
        raise GraphProblem("has bytes in it")
    if type(value) is int and abs(value) > _MAX_WHOLE and abs(value) not in _ENDS:
        raise GraphProblem(f"has a number of {value.bit_length()} bits in it")


def _described(node: ast.AST) -> str:
    name = type(node).__name__
    return {
        "ClassDef": "a class",
        "FunctionDef": "a function",
        "AsyncFunctionDef": "a function",
        "Lambda": "a function",
        "Import": "an import",
        "ImportFrom": "an import",
        "Expr": "an expression",
    }.get(name, f"a statement ({name})" if isinstance(node, ast.stmt) else f"an expression ({name})")
