"""Finding functions that return a torch module, by reading Python files; nothing is imported or executed."""

import ast
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field

from heliotrope.core.errors import InputError
from heliotrope.engine.files import WalkedFile, read_verified

__all__ = ["Loader", "find_loaders"]

MAX_FILE_BYTES = 2**20
"""A module that a person wrote is far smaller."""

MAX_TOTAL_BYTES = 32 * 2**20
"""Parsed in about half a minute; the rest is left out with a note."""

_TORCH_MODULES = frozenset({"torch.nn.Module", "torch.nn.Sequential", "nn.Module", "nn.Sequential"})

_Function = ast.FunctionDef


@dataclass(frozen=True, slots=True)
class Loader:
    """A candidate for `loader`."""

    reference: str
    """module:function."""
    path: str
    line: int


@dataclass(slots=True)
class _Module:
    """What one file defines at its top level."""

    path: str
    name: str
    bases: dict[str, list[str]] = field(default_factory=dict)
    """Class name to the dotted names of its bases."""
    imports: dict[str, str] = field(default_factory=dict)
    """Local name to the dotted name it stands for."""
    functions: list[_Function] = field(default_factory=list)


def find_loaders(files: list[tuple[str, WalkedFile]]) -> tuple[tuple[Loader, ...], tuple[str, ...]]:
    """Loader candidates among Python files (relative path and file), in path order, and notes on what was left out."""
    modules: list[_Module] = []
    notes: list[str] = []
    total = 0
    for path, file in files:
        if not _importable(path):
            continue
        if file.size > MAX_FILE_BYTES or total + file.size > MAX_TOTAL_BYTES:
            notes.append(f"{path}: too large to look for a loader in it")
            continue
        total += file.size
        module = _read(path, file)
        if module is not None:
            modules.append(module)
    classes = _module_classes(modules)
    return tuple(loader for module in modules for loader in _loaders(module, classes)), tuple(notes)


def _importable(path: str) -> bool:
    """Whether `import a.b` reaches the file from the project folder; tests and set-up scripts are no loaders."""
    parts = path.removesuffix(".py").split("/")
    if not path.endswith(".py") or not all(part.isidentifier() and part.isascii() for part in parts):
        return False
    return parts[-1] not in {"setup", "conftest"} and not any(
        part == "tests" or part.startswith("test_") for part in parts
    )


def _read(path: str, file: WalkedFile) -> _Module | None:
    try:
        data = read_verified(file.path, max_bytes=MAX_FILE_BYTES).data
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the project's own style
            tree = ast.parse(data)
    except (InputError, SyntaxError, ValueError, RecursionError, MemoryError):
        return None  # Python could not import it either
    name = path.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
    module = _Module(path, name)
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            module.bases[node.name] = [dotted for base in node.bases if (dotted := _dotted(base))]
        elif isinstance(node, ast.Import):
            module.imports |= {alias.asname or alias.name: alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            source = node.module or ""
            module.imports |= {alias.asname or alias.name: f"{source}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.FunctionDef):
            module.functions.append(node)
    return module


def _dotted(node: ast.expr | None) -> str:
    """`a.b.c` of names and attributes, also written as a string; empty for anything else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value.strip()
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join(reversed([*parts, node.id])) if isinstance(node, ast.Name) else ""


def _resolved(name: str, module: _Module) -> str:
    """The dotted name with the file's imports applied."""
    head, _, tail = name.partition(".")
    known = module.imports.get(head)
    return name if known is None else f"{known}.{tail}" if tail else known


def _module_classes(modules: list[_Module]) -> set[str]:
    """Names of the project's classes that derive from nn.Module, through any number of the project's own classes."""
    found: set[str] = set()
    while True:
        more = {
            name
            for module in modules
            for name, bases in module.bases.items()
            if name not in found and any(_is_module(base, module, found) for base in bases)
        }
        if not more:
            return found
        found |= more


def _is_module(name: str, module: _Module, classes: set[str]) -> bool:
    resolved = _resolved(name, module)
    last = resolved.rpartition(".")[2]
    here = name in module.bases or name.partition(".")[0] in module.imports
    return resolved in _TORCH_MODULES or (here and last in classes)


def _loaders(module: _Module, classes: set[str]) -> Iterator[Loader]:
    for function in module.functions:
        if function.name.startswith("_") or function.decorator_list or not function.name.isascii():
            continue
        if _needs_arguments(function.args):
            continue
        if _is_module(_dotted(function.returns), module, classes) or _returns_module(function, module, classes):
            yield Loader(f"{module.name}:{function.name}", module.path, function.lineno)


def _needs_arguments(arguments: ast.arguments) -> bool:
    positional = len(arguments.posonlyargs) + len(arguments.args)
    return positional > len(arguments.defaults) or any(default is None for default in arguments.kw_defaults)


def _returns_module(function: _Function, module: _Module, classes: set[str]) -> bool:
    """`return Net()`, or `net = Net()` and later `return net`."""
    made: set[str] = set()
    for node in _own_nodes(function):
        if isinstance(node, ast.Assign) and _makes_module(node.value, module, classes):
            made |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    returned = [node.value for node in _own_nodes(function) if isinstance(node, ast.Return)]
    return any(
        _makes_module(value, module, classes) or (isinstance(value, ast.Name) and value.id in made)
        for value in returned
    )


def _makes_module(node: ast.expr | None, module: _Module, classes: set[str]) -> bool:
    """`Net(...)`, also followed by a method that returns the module itself."""
    while (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in {"eval", "train", "to"}
    ):
        node = node.func.value
    return isinstance(node, ast.Call) and _is_module(_dotted(node.func), module, classes)


def _own_nodes(function: _Function) -> Iterator[ast.AST]:
    """The nodes of a function without those of functions and classes inside it."""
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            waiting.extend(ast.iter_child_nodes(node))
