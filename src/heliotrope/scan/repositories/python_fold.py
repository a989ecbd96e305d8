"""Names and constants in Python source: what a name stands for, and which text an expression makes."""

import ast
import re
from typing import Any

from heliotrope.scan.repositories.python_names import effect_of

__all__ = ["ModuleNames", "constant_of"]

_MAX_TEXT = 10_000
_MAX_DEPTH = 30
_MAX_NUMBER = 2**64
"""Beyond it a number stands for no text, and Python may refuse to write it."""
_MAX_NAMED = 160
"""Steps to the full name of an expression, which is no deeper than `max_module_depth`; a name in between counts as five."""
_MAX_STARS = 20
"""Modules whose names are all imported; more of them are in no model's code, and each is asked for every name."""
_WIDE = re.compile(r"%[^a-zA-Z%]*(?:\*|\d{4})")
"""A placeholder that would fill memory."""
_BUILTINS = frozenset(
    [
        "exec",
        "eval",
        "compile",
        "__import__",
        "getattr",
        "setattr",
        "delattr",
        "open",
        "input",
        "globals",
        "locals",
        "vars",
        "breakpoint",
        "execfile",
        "bytes",
        "str",
        "bytearray",
        "chr",
        "map",
        "filter",
        "dict",
        "list",
    ]
)
_NOT_KNOWN = object()


class ModuleNames:
    """The names of a module: imports, and those that are assigned once."""

    def __init__(self, tree: ast.Module) -> None:
        self._imports: dict[str, str] = {}
        self._assigned: dict[str, ast.expr | None] = {}
        self._calls: dict[int, ast.Call] = {}
        self._shadowed: set[str] = set()
        self.folded: dict[int, tuple[Any]] = {}
        """What expressions make, by the identity of their nodes."""
        self._stars: list[str] = []
        """Modules all of whose names were imported."""
        self._starred: dict[str, str | None] = {}
        self._named: dict[int, tuple[str | None, int]] = {}
        """Full names by the identity of nodes, and how deep they were asked for if that mattered."""
        self._cut = False
        for node in ast.walk(tree):
            self._take(node)

    def _take(self, node: ast.AST) -> None:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            self._import(node)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            self._shadowed.add(node.name)
        elif isinstance(node, ast.arg):
            self._shadowed.add(node.arg)
        elif isinstance(node, ast.Call):
            self._calls[id(node.func)] = node
        else:
            for target, value in _assignments(node):
                self._assign(target, value)

    def _import(self, node: ast.Import | ast.ImportFrom) -> None:
        for item in node.names:
            if isinstance(node, ast.ImportFrom):
                module = "." * node.level + (node.module or "")
                self._imports[item.asname or item.name] = f"{module}.{item.name}"
                if item.name == "*" and module not in self._stars and len(self._stars) < _MAX_STARS:
                    self._stars.append(module)
            elif item.asname:
                self._imports[item.asname] = item.name
            else:
                root = item.name.partition(".")[0]
                self._imports[root] = root

    def _assign(self, target: ast.expr, value: ast.expr) -> None:
        if isinstance(target, ast.Name):
            # A name assigned twice may be either: it is followed only when all agree, which an only one does.
            self._assigned[target.id] = value if target.id not in self._assigned else None
        elif isinstance(target, (ast.Tuple, ast.List)) and isinstance(value, (ast.Tuple, ast.List)):
            for name, item in zip(target.elts, value.elts, strict=False):
                self._assign(name, item)

    def call_of(self, node: ast.AST) -> ast.Call | None:
        """The call whose callee the node is."""
        return self._calls.get(id(node))

    def value_of(self, node: ast.expr) -> ast.expr:
        """What a name was assigned, if only once."""
        for _ in range(_MAX_DEPTH):
            assigned = self._assigned.get(node.id) if isinstance(node, ast.Name) else None
            if assigned is None or assigned is node:
                break
            node = assigned
        return node

    def is_alias(self, target: ast.expr, value: ast.expr) -> bool:
        """Whether a target is a name that is only ever assigned this value, and so is followed."""
        name = target.id if isinstance(target, ast.Name) else ""
        return self._assigned.get(name) is value and name not in self._shadowed and name not in self._imports

    def full_name(self, node: ast.AST, depth: int = 0) -> str | None:
        """The dotted name of what an expression refers to, as in os.system; None when it is nothing of a module."""
        if depth > _MAX_NAMED:
            self._cut = True
            return None
        known = self._named.get(id(node))
        if known is None or depth < known[1]:  # asked less deep, more may be found
            before, self._cut = self._cut, False
            found = self._full_name(node, depth)
            known = self._named[id(node)] = (found, depth if self._cut else -1)
            self._cut |= before
        return known[0]

    def _full_name(self, node: ast.AST, depth: int) -> str | None:
        if isinstance(node, ast.Name):
            return self._plain(node, depth)
        if isinstance(node, ast.Attribute):
            owner = self.full_name(node.value, depth + 1)
            if owner is None:
                return None
            return f"{owner}.{node.attr}"
        if isinstance(node, ast.Subscript):
            return self._item(node, depth)
        if isinstance(node, ast.Call):
            return self._made(node, depth)
        return None

    def _plain(self, node: ast.Name, depth: int) -> str | None:
        name = node.id
        if name in self._imports:
            return self._imports[name]
        if name in self._assigned:
            value = self._assigned[name]
            return None if value is None or name in self._shadowed else self.full_name(value, depth + 5)
        if name in ("__builtins__", "__loader__"):
            return "builtins" if name == "__builtins__" else None
        if name in self._shadowed:
            return None
        if name in _BUILTINS:
            return f"builtins.{name}"
        if name not in self._starred:
            self._starred[name] = next((full for module in self._stars if effect_of(full := f"{module}.{name}")), None)
        return self._starred[name]

    def _item(self, node: ast.Subscript, depth: int) -> str | None:  # noqa: PLR0911 - one way for each table of names
        key = constant_of(node.slice, self)
        if not isinstance(key, str):
            return None
        owner = node.value
        if isinstance(owner, ast.Attribute) and owner.attr == "__dict__":
            module = self.full_name(owner.value, depth + 1)
            return None if module is None else f"{module}.{key}"
        name = self.full_name(owner, depth + 1)
        if name == "sys.modules":
            return key
        if name == "builtins":
            return f"builtins.{key}"
        if isinstance(owner, ast.Call):
            made = self.full_name(owner.func, depth + 1)
            if made == "builtins.vars" and owner.args:
                module = self.full_name(owner.args[0], depth + 1)
                return None if module is None else f"{module}.{key}"
            if made in ("builtins.globals", "builtins.locals", "builtins.vars"):
                return self._global(key)
        return None

    def _global(self, key: str) -> str | None:
        if key == "__builtins__":
            return "builtins"
        return self._imports.get(key) or (f"builtins.{key}" if key in _BUILTINS else None)

    def _made(self, node: ast.Call, depth: int) -> str | None:
        """What a call gives when it gives a module or an attribute of one."""
        callee = self.full_name(node.func, depth + 1)
        if callee in ("builtins.__import__", "importlib.import_module", "importlib.__import__") and node.args:
            module = constant_of(node.args[0], self)
            if not isinstance(module, str):
                return None
            whole = callee == "importlib.import_module" or any(item.arg == "fromlist" for item in node.keywords)
            return module if whole else module.partition(".")[0]
        if callee == "builtins.getattr" and len(node.args) >= 2:
            owner = self.full_name(node.args[0], depth + 1)
            attribute = constant_of(node.args[1], self)
            return f"{owner}.{attribute}" if owner is not None and isinstance(attribute, str) else None
        return None


def _assignments(node: ast.AST) -> list[tuple[ast.expr, ast.expr]]:
    """Targets and what is assigned to them."""
    if isinstance(node, ast.Assign):
        return [(target, node.value) for target in node.targets]
    if isinstance(node, (ast.AnnAssign, ast.NamedExpr)):
        return [] if node.value is None else [(node.target, node.value)]
    if isinstance(node, (ast.With, ast.AsyncWith)):
        return [(item.optional_vars, item.context_expr) for item in node.items if item.optional_vars is not None]
    return []


def constant_of(node: ast.AST, names: ModuleNames) -> Any:
    """The text, bytes, number or list that an expression makes of constants alone; None when it is not known."""
    value = _folded(node, names, 0)
    return None if value is _NOT_KNOWN else value


def _folded(node: ast.AST, names: ModuleNames, depth: int) -> Any:
    """Each expression is folded once: names that double each other would take forever otherwise."""
    known = names.folded.get(id(node))
    if known is None:
        known = (_fold(node, names, depth),)
        names.folded[id(node)] = known
    return known[0]


def _fold(node: ast.AST, names: ModuleNames, depth: int) -> Any:  # noqa: C901, PLR0911 - one branch for each kind
    if depth > _MAX_DEPTH:
        return _NOT_KNOWN
    if isinstance(node, ast.Constant):
        return node.value if not isinstance(node.value, int) or node.value < _MAX_NUMBER else _NOT_KNOWN
    if isinstance(node, ast.Name):
        value = names.value_of(node)
        return _NOT_KNOWN if value is node else _folded(value, names, depth + 1)
    if isinstance(node, (ast.List, ast.Tuple)):
        items = [_folded(item, names, depth + 1) for item in node.elts[:_MAX_TEXT]]
        return _NOT_KNOWN if _unknown(items) else items
    if isinstance(node, ast.JoinedStr):
        parts = [_folded(item, names, depth + 1) for item in node.values]
        return (
            _NOT_KNOWN
            if _unknown(parts) or any(isinstance(item, list) for item in parts)
            else _short("".join(map(str, parts)))
        )
    if isinstance(node, ast.FormattedValue):
        return _folded(node.value, names, depth + 1) if node.format_spec is None else _NOT_KNOWN
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Mod)):
        left, right = _folded(node.left, names, depth + 1), _folded(node.right, names, depth + 1)
        return _joined(left, right, node.op)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        number = _folded(node.operand, names, depth + 1)
        return -number if isinstance(number, int) else _NOT_KNOWN
    if isinstance(node, ast.Subscript):
        return _part(node, names, depth)
    if isinstance(node, ast.Call):
        return _result(node, names, depth)
    if isinstance(node, (ast.GeneratorExp, ast.ListComp)):
        return _each(node, names, depth)
    return _NOT_KNOWN


def _unknown(items: list[Any]) -> bool:
    return any(item is _NOT_KNOWN for item in items)


def _short(text: str) -> Any:
    return text if len(text) <= _MAX_TEXT else _NOT_KNOWN


def _joined(left: Any, right: Any, operator: ast.operator) -> Any:
    if isinstance(operator, ast.Add):
        if type(left) is type(right) and isinstance(left, (str, bytes, int, list)):
            whole = left + right
            return whole if isinstance(whole, int) or len(whole) <= _MAX_TEXT else _NOT_KNOWN
        return _NOT_KNOWN
    if not isinstance(left, str) or right is _NOT_KNOWN or len(left) > _MAX_TEXT or _WIDE.search(left):
        return _NOT_KNOWN
    parts = tuple(right) if isinstance(right, list) else (right,)
    try:
        whole = left % parts
    except (TypeError, ValueError):
        return _NOT_KNOWN
    return whole if len(whole) <= _MAX_TEXT else _NOT_KNOWN


def _part(node: ast.Subscript, names: ModuleNames, depth: int) -> Any:
    value = _folded(node.value, names, depth + 1)
    if not isinstance(value, (str, bytes, list)):
        return _NOT_KNOWN
    if isinstance(node.slice, ast.Slice):
        ends = [
            None if end is None else _folded(end, names, depth + 1)
            for end in (node.slice.lower, node.slice.upper, node.slice.step)
        ]
        if any(end is not None and not isinstance(end, int) for end in ends) or ends[2] == 0:
            return _NOT_KNOWN
        return value[slice(*ends)]
    index = _folded(node.slice, names, depth + 1)
    if isinstance(index, int) and -len(value) <= index < len(value):
        return value[index]
    return _NOT_KNOWN


def _result(node: ast.Call, names: ModuleNames, depth: int) -> Any:  # noqa: C901, PLR0911 - one branch for each function
    arguments = [_folded(item, names, depth + 1) for item in node.args]
    if node.keywords or _unknown(arguments):
        return _NOT_KNOWN
    callee = names.full_name(node.func)
    if callee == "builtins.chr" and len(arguments) == 1 and isinstance(arguments[0], int):
        return chr(arguments[0]) if 0 <= arguments[0] < 0x110000 else _NOT_KNOWN
    if callee in ("builtins.str", "builtins.bytes") and len(arguments) == 1 and isinstance(arguments[0], (str, bytes)):
        return arguments[0]
    if callee in ("builtins.bytes", "builtins.bytearray") and len(arguments) == 1 and isinstance(arguments[0], list):
        numbers = arguments[0]
        return bytes(numbers) if all(type(item) is int and 0 <= item < 256 for item in numbers) else _NOT_KNOWN
    if not isinstance(node.func, ast.Attribute):
        return _NOT_KNOWN
    owner = _folded(node.func.value, names, depth + 1)
    method = node.func.attr
    try:
        if isinstance(owner, str) and method in ("join", "replace", "lower", "upper", "strip", "format", "encode"):
            if method == "join" and not isinstance(arguments[0], (list, str)):
                return _NOT_KNOWN
            if method == "format" and any(mark in owner for mark in (":", ".", "[")):
                return _NOT_KNOWN
            if _grows(owner, method, arguments):
                return _NOT_KNOWN
            whole = getattr(owner, method)(*arguments)
            return whole if len(whole) <= _MAX_TEXT else _NOT_KNOWN
        if isinstance(owner, bytes) and method == "decode":
            return owner.decode("utf-8")
    except Exception:  # noqa: BLE001 - what running would raise is of no interest
        return _NOT_KNOWN
    return _NOT_KNOWN


def _grows(owner: str, method: str, arguments: list[Any]) -> bool:
    """Whether a method of a text could make one that is far longer than the limit."""
    if method == "join":
        return len(owner) * len(arguments[0]) > _MAX_TEXT
    if method == "replace" and len(arguments) >= 2 and all(isinstance(item, str) for item in arguments[:2]):
        return owner.count(arguments[0]) * len(arguments[1]) > _MAX_TEXT
    return method == "format" and owner.count("{") * max((len(str(item)) for item in arguments), default=0) > _MAX_TEXT


def _each(node: ast.GeneratorExp | ast.ListComp, names: ModuleNames, depth: int) -> Any:
    """[chr(c) for c in constants], the one form that hides names."""
    generator = node.generators[0]
    items = _folded(generator.iter, names, depth + 1)
    if len(node.generators) != 1 or generator.ifs or not isinstance(items, (list, bytes, str)) or len(items) > 500:
        return _NOT_KNOWN
    element = node.elt
    if isinstance(element, ast.Call) and names.full_name(element.func) == "builtins.chr":
        numbers = list(items)
        valid = all(isinstance(item, int) and 0 <= item < 0x110000 for item in numbers)
        return [chr(item) for item in numbers] if valid else _NOT_KNOWN
    return list(items) if isinstance(element, ast.Name) else _NOT_KNOWN
