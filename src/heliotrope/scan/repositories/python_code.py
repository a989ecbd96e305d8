"""What Python source of a repository does when it is imported, and what when it is used: by its syntax tree, never run.

Names are followed through imports, assignments and constant texts. A branch under `if __name__ == "__main__"` is not
run by an import.
"""

import ast
import re
from dataclasses import dataclass

from heliotrope.core.text import printable, shorten
from heliotrope.scan.interface import Context
from heliotrope.scan.repositories.python_fold import ModuleNames, constant_of
from heliotrope.scan.repositories.python_names import INNER_ATTRIBUTES, effect_of
from heliotrope.scan.repositories.python_source import SourceError, code_of, parse_source

__all__ = ["check_fetched", "check_module"]

_DANGER = re.compile(
    r"\bos\s*\.\s*(?:system|popen|exec\w*)\b|\bsubprocess\b|\b(?:exec|eval|compile)\s*\(|__import__|__builtins__|"
    r"\bpty\b|\bmarshal\b|\bctypes\b|\bsocket\b|\bpickle\s*\.\s*loads\b|__subclasses__"
)
"""What is looked for in text that is not parsed."""
_SHOWN = 80
_TYPES = frozenset({"types.FunctionType", "types.CodeType"})
"""Types of code: compared with in honest code, and made by calling them in other."""
_MAX_FED = 200_000
"""Nodes looked at to learn what calls of exec are fed with."""

_SAYS = {
    "process": "runs a program",
    "code": "runs code made of text or bytes",
    "network": "opens a connection",
    "library": "loads machine code",
    "unpickle": "loads a pickle",
    "files": "removes or replaces files",
}
_ON_IMPORT = {
    "process": "python-runs-on-import",
    "code": "python-runs-on-import",
    "network": "python-reaches-out-on-import",
    "library": "python-reaches-out-on-import",
    "unpickle": "python-reaches-out-on-import",
    "files": "python-reaches-out-on-import",
}
_ON_USE = {
    "process": "python-runs-on-use",
    "code": "python-evaluates-on-use",
    "network": "python-network-on-use",
    "library": "python-evaluates-on-use",
    "unpickle": "python-loads-on-use",
    "files": "python-loads-on-use",
}


def check_module(data: bytes, context: Context) -> None:
    """Judge a module that a repository brings and a loader imports."""
    limit = context.limits.max_module_bytes
    if len(data) > limit:
        reason = f"a module has more than {limit} bytes"
        context.notes.incomplete(reason, limit="max_module_bytes", member=context.member)
        _check_text(data[:limit].decode("utf-8", "replace"), context)
        return
    try:
        text = code_of(data)
        tree = parse_source(text, context.limits)
    except SourceError as error:
        context.notes.incomplete(f"the source {error}", member=context.member)
        _check_text(data.decode("utf-8", "replace"), context)
        return
    _Judge(ModuleNames(tree), context, text).run(tree, _reached_on_import(tree))


def check_fetched(tree: ast.Module, text: str, context: Context) -> None:
    """Judge only what no reader of the code can know: that it runs what it fetches, unpacks, or hides."""
    _Judge(ModuleNames(tree), context, text, references=False).run(tree, _Reached(set()))


def _check_text(text: str, context: Context) -> None:
    match = _DANGER.search(text)
    if match is not None:
        message = f"source that cannot be parsed mentions {shorten(printable(match[0]), _SHOWN)}"
        context.notes.add(
            "python-unparsed", message, key="text", member=context.member, offset=match.start(), confidence="medium"
        )


@dataclass(slots=True)
class _Reached:
    """The functions and methods of a module that run when it is imported."""

    functions: set[int]


def _reached_on_import(tree: ast.Module) -> _Reached:
    """Functions that module-level code calls or hands on as decorators, and those that they call in turn."""
    functions = {
        node.name: node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    }
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    reached: set[int] = set()
    pending: list[ast.AST] = [tree]
    while pending:
        for node in _runs_with(pending.pop()):
            for name in _called(node):
                found: list[ast.AST] = [functions[name]] if name in functions else []
                if name in classes:
                    found = [
                        item
                        for item in classes[name].body
                        if isinstance(item, ast.FunctionDef) and item.name in ("__init__", "__new__", "__call__")
                    ]
                for function in found:
                    if id(function) not in reached:
                        reached.add(id(function))
                        pending.append(function)
    return _Reached(reached)


def _called(node: ast.AST) -> list[str]:
    found: list[str] = []
    callees = [node.func] if isinstance(node, ast.Call) else []
    callees += getattr(node, "decorator_list", [])
    for callee in callees:
        if isinstance(callee, ast.Name):
            found.append(callee.id)
        elif isinstance(callee, ast.Attribute):
            found.append(callee.attr)
            if isinstance(callee.value, ast.Call):
                found += _called(callee.value)
    return found


def _runs_with(root: ast.AST) -> list[ast.AST]:
    """The nodes that run when the root does: not the bodies of functions inside it, nor what only a script runs."""
    found: list[ast.AST] = []
    pending: list[ast.AST] = [root]
    while pending:
        node = pending.pop()
        found.append(node)
        pending.extend(_parts(node, inside=node is root))
    return found


def _parts(node: ast.AST, *, inside: bool) -> list[ast.AST]:
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and not inside:
        defaults = [*node.args.defaults, *(item for item in node.args.kw_defaults if item is not None)]
        annotations = [item.annotation for item in ast.walk(node.args) if isinstance(item, ast.arg) and item.annotation]
        return [*node.decorator_list, *defaults, *annotations, *([node.returns] if node.returns else [])]
    if isinstance(node, ast.Lambda) and not inside:
        return [*node.args.defaults]
    if isinstance(node, ast.If) and _is_script(node.test):
        return list(node.orelse)
    return list(ast.iter_child_nodes(node))


def _is_script(test: ast.expr) -> bool:
    return (
        isinstance(test, ast.Compare)
        and isinstance(test.left, ast.Name)
        and test.left.id == "__name__"
        and len(test.ops) == 1
        and isinstance(test.ops[0], ast.Eq)
        and isinstance(test.comparators[0], ast.Constant)
        and test.comparators[0].value == "__main__"
    )


class _Judge:
    def __init__(self, names: ModuleNames, context: Context, text: str, *, references: bool = True) -> None:
        self._names = names
        self._context = context
        self._references = references
        self._budget = _MAX_FED
        self._followed: set[int] = set()
        self._tables: set[int] = set()
        """Nodes that are looked into by a constant, and statements of classes, whose names are attributes."""
        self._lines = [0]
        for line in text.split("\n"):
            self._lines.append(self._lines[-1] + len(line.encode()) + 1)

    def run(self, tree: ast.Module, reached: _Reached) -> None:
        on_import: set[int] = {id(node) for node in _runs_with(tree)}
        for function in ast.walk(tree):
            if id(function) in reached.functions:
                on_import |= {id(node) for node in _runs_with(function)}
        if self._references:
            self._followed = {id(item) for node in ast.walk(tree) for item in self._follows(node)}
        for node in ast.walk(tree):
            self._node(node, on_import=id(node) in on_import)

    def _follows(self, node: ast.AST) -> list[ast.AST]:
        """The parts of a node that may be a module, because what happens to it is seen."""
        if isinstance(node, ast.Attribute):
            plain = node.attr not in ("__dict__", "__getattribute__", "__getattr__")
            return [node.value] if plain or id(node) in self._tables else []
        if isinstance(node, ast.Subscript):
            table = node.value
            if isinstance(constant_of(node.slice, self._names), str):
                self._tables.add(id(table))
                return list(table.args[:1]) if isinstance(table, ast.Call) else [table]
        if isinstance(node, ast.Call):
            plain = isinstance(node.func, ast.Name) and node.func.id in (
                "getattr",
                "hasattr",
                "isinstance",
                "type",
                "id",
            )
            return list(node.args[:1]) if plain else []
        if isinstance(node, ast.Expr):
            return [node.value]
        if isinstance(node, ast.ClassDef):
            self._tables.update(map(id, node.body))
        if isinstance(node, ast.Assign) and id(node) not in self._tables:
            return [node.value] if all(self._names.is_alias(target, node.value) for target in node.targets) else []
        return []

    def _escapes(self, node: ast.AST) -> None:
        """A module that is put where its name is not followed any more."""
        if isinstance(node, (ast.Name, ast.Attribute, ast.Subscript)) and not isinstance(node.ctx, ast.Load):
            return
        name = self._names.full_name(node)
        if name is not None and name.rpartition(".")[2] in _MODULES and id(node) not in self._followed:
            self._note("python-hidden-name", f"the module {name} is handed on, so that its use is not seen", name, node)

    def _writes(self, node: ast.Call) -> None:
        """A file that is written when the module is imported."""
        mode = next((item.value for item in node.keywords if item.arg == "mode"), None)
        mode = node.args[1] if mode is None and len(node.args) > 1 else mode
        text = None if mode is None else constant_of(mode, self._names)
        opened = self._names.full_name(node.func) in ("builtins.open", "io.open") and isinstance(text, str)
        named = isinstance(node.func, ast.Attribute) and node.func.attr in ("write_text", "write_bytes")
        if named or (opened and isinstance(text, str) and set(text) & set("wax+")):
            self._note("python-reaches-out-on-import", "a file is written when it is imported", "write", node)

    def _node(self, node: ast.AST, *, on_import: bool) -> None:
        if self._references and isinstance(node, (ast.Name, ast.Attribute, ast.Call, ast.Subscript)):
            self._reference(node, on_import=on_import)
            self._escapes(node)
        if isinstance(node, ast.Call):
            self._call(node, on_import=on_import)
            if self._references and on_import:
                self._writes(node)
        if isinstance(node, ast.Attribute) and node.attr == "__self__" and self._is_function(node.value):
            self._note("python-climbs-objects", "the code climbs through __self__", node.attr, node)
        if isinstance(node, ast.Attribute) and node.attr in INNER_ATTRIBUTES and self._climbs(node):
            self._note("python-climbs-objects", f"the code climbs through {node.attr}", node.attr, node)

    def _is_function(self, node: ast.expr) -> bool:
        """Whether a function of C stands there, whose `__self__` is its module."""
        name = self._names.full_name(node)
        return (name or "").partition(".")[0] in _GUARDED or (isinstance(node, ast.Name) and node.id in _FUNCTIONS)

    def _climbs(self, node: ast.Attribute) -> bool:
        """Whether an inner attribute is one of two in a chain, or one with no honest use."""
        if node.attr in ("__subclasses__", "__builtins__", "f_builtins", "func_globals"):
            return True
        inner: ast.AST = node.value
        while isinstance(inner, (ast.Attribute, ast.Subscript, ast.Call)):
            if isinstance(inner, ast.Attribute) and (inner.attr in INNER_ATTRIBUTES or inner.attr == "__class__"):
                return node.attr in ("__globals__", "__base__", "__bases__", "__mro__")
            inner = inner.func if isinstance(inner, ast.Call) else inner.value
        return node.attr == "__globals__"

    def _reference(self, node: ast.Name | ast.Attribute | ast.Call | ast.Subscript, *, on_import: bool) -> None:
        if isinstance(node, (ast.Name, ast.Attribute, ast.Subscript)) and not isinstance(node.ctx, ast.Load):
            return
        name = self._names.full_name(node)
        kind = None if name is None else effect_of(name)
        if name is None or kind is None:
            return
        if self._is_harmless(name, node):
            return
        rule = (_ON_IMPORT if on_import else _ON_USE)[kind]
        when = "when it is imported" if on_import else "when it is used"
        self._note(rule, f"{name} {_SAYS[kind]} {when}", name, node, name)

    def _is_harmless(self, name: str, node: ast.AST) -> bool:
        """Constants handed to eval or compile say what they do; they are judged as code of their own."""
        call = self._names.call_of(node)
        if call is None:
            return name in _TYPES
        if name in ("builtins.eval", "builtins.exec", "builtins.compile") and call.args:
            text = constant_of(call.args[0], self._names)
            if isinstance(text, str):
                return self._inner(text)
        if name in ("torch.load", "numpy.load", "yaml.load"):
            return any(
                item.arg in ("weights_only", "Loader") and _is_safe(item.value, self._names) for item in call.keywords
            )
        return False

    def _inner(self, text: str) -> bool:
        """Whether a constant that is evaluated calls nothing."""
        try:
            tree = parse_source(text.strip(), self._context.limits)
        except SourceError:
            return False
        return not any(
            isinstance(node, (ast.Call, ast.Import, ast.ImportFrom, ast.Attribute)) for node in ast.walk(tree)
        )

    def _call(self, node: ast.Call, *, on_import: bool) -> None:
        name = self._names.full_name(node.func)
        if (
            name in ("builtins.exec", "builtins.eval", "builtins.compile", "marshal.loads", "pickle.loads")
            and node.args
        ):
            fed = self._fed_by(node.args[0])
            if fed is not None:
                self._note("python-runs-fetched-code", f"{name} runs what {fed} gives", name or "", node, name)
        if name == "builtins.getattr" and len(node.args) >= 2:
            self._getattr(node, on_import=on_import)
        if self._references and name in ("builtins.__import__", "importlib.import_module") and node.args:
            self._imports(node, on_import=on_import)

    def _fed_by(self, node: ast.expr) -> str | None:
        """The function that makes the argument out of the network or of packed text; None when none does."""
        if self._budget < 0:
            return None
        for inner in ast.walk(self._names.value_of(node)):
            self._budget -= 1
            value = self._names.value_of(inner) if isinstance(inner, ast.Name) else inner
            if self._budget < 0:
                return None  # a finding for the call itself stands
            found = self._source_in(value) if value is not inner else self._source_of(inner)
            if found:
                return found
        return None

    def _source_in(self, node: ast.AST) -> str | None:
        for inner in ast.walk(node):
            self._budget -= 1
            found = self._source_of(inner)
            if found or self._budget < 0:
                return found
        return None

    def _source_of(self, node: ast.AST) -> str | None:
        name = self._names.full_name(node) if isinstance(node, (ast.Name, ast.Attribute, ast.Call)) else None
        return name if name is not None and (effect_of(name) == "network" or _DECODES.fullmatch(name)) else None

    def _getattr(self, node: ast.Call, *, on_import: bool) -> None:
        """A module's attribute by a name that is not known."""
        module = self._names.full_name(node.args[0])
        attribute = constant_of(node.args[1], self._names)
        if module in _GUARDED and not isinstance(attribute, str):
            self._note("python-hidden-name", f"an attribute of {module} is chosen by a computed name", module, node)
        del on_import

    def _imports(self, node: ast.Call, *, on_import: bool) -> None:
        module = constant_of(node.args[0], self._names)
        if on_import and not isinstance(module, str):
            message = "a module is imported by a computed name when this one is imported"
            self._note("python-reaches-out-on-import", message, "import", node)

    def _note(self, rule: str, message: str, key: str, node: ast.AST, name: str | None = None) -> None:
        line, column = getattr(node, "lineno", 1), getattr(node, "col_offset", 0)
        offset = self._lines[min(line - 1, len(self._lines) - 1)] + column
        shown = None if name is None else shorten(printable(name), _SHOWN)
        message = f"{shorten(printable(message), 200)} (line {line})"
        self._context.notes.add(
            rule, message, key=f"{rule} {key}", global_name=shown, member=self._context.member, offset=offset
        )


_DECODES = re.compile(
    r"base64\.\w*b\w*decode|base64\.decodebytes|zlib\.decompress|bz2\.decompress|lzma\.decompress|gzip\.decompress|"
    r"codecs\.decode|binascii\.(?:unhexlify|a2b_\w+)|builtins\.bytes\.fromhex|bytes\.fromhex|marshal\.loads"
)
_GUARDED = frozenset({"os", "posix", "subprocess", "builtins", "sys", "importlib", "shutil", "ctypes", "pty", "socket"})

_MODULES = frozenset({"os", "posix", "nt", "subprocess", "builtins", "pty", "ctypes", "runpy"})
"""Modules that honest code asks for their members and never hands on."""
_FUNCTIONS = frozenset(
    [
        "print",
        "len",
        "abs",
        "all",
        "any",
        "bin",
        "callable",
        "chr",
        "dir",
        "divmod",
        "format",
        "hash",
        "hex",
        "id",
        "isinstance",
        "issubclass",
        "iter",
        "max",
        "min",
        "next",
        "oct",
        "ord",
        "pow",
        "repr",
        "round",
        "sorted",
        "sum",
        "__import__",
        "__build_class__",
        "hasattr",
    ]
)


def _is_safe(value: ast.expr, names: ModuleNames) -> bool:
    if isinstance(value, ast.Constant):
        return value.value is True
    name = names.full_name(value) if isinstance(value, (ast.Name, ast.Attribute)) else None
    return name in ("yaml.SafeLoader", "yaml.CSafeLoader", "yaml.BaseLoader")
