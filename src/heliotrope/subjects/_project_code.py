"""The one place that runs code of the project under test. Call it only in a worker, with consent."""

import importlib
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from heliotrope.core.errors import InputError
from heliotrope.core.text import printable, shorten
from heliotrope.subjects.planning import module_file

__all__ = ["calling_project_code", "find_function", "run_loader"]


def run_loader(root: Path, loader: str) -> Any:
    """Import the loader's module with the project folder first on sys.path and call the function without arguments.

    Raises InputError, naming the place in the project, when it cannot be imported, raises, or calls sys.exit.
    """
    with _no_bytecode(), calling_project_code(root, f"the loader {loader}"):
        return find_function(root, loader, "loader")()


def find_function(root: Path, name: str, key: str) -> Callable[..., Any]:
    """The function that a key of heliotrope.yaml names as module:function. Importing it runs code of the project."""
    module_name, _, attribute = name.partition(":")
    file = module_file(root, module_name)
    _require_unshadowed(module_name, file)
    sys.path.insert(0, str(root))
    with _no_bytecode(), calling_project_code(root, f"the {key} {name}"):
        function = getattr(_import(module_name, root, file), attribute, None)
    if not callable(function):
        raise InputError(
            f"{module_name} has no function {attribute!r}", hint=f"{key} is written module:function in heliotrope.yaml"
        )
    found: Callable[..., Any] = function
    return found


@contextmanager
def calling_project_code(root: Path, what: str) -> Iterator[None]:
    """Turn whatever project code raises into an InputError that names its place; running out of memory passes through."""
    try:
        yield
    except (InputError, MemoryError):
        raise
    except SystemExit as error:
        raise InputError(
            f"{what} calls sys.exit({error.code!r}){_place(root, error)}", hint="a loader returns the model and goes on"
        ) from None
    except Exception as error:  # noqa: BLE001 - foreign code may raise anything
        if "DefaultCPUAllocator" in str(error):  # how torch says that memory ran out
            raise MemoryError(what) from None
        reason = shorten(printable(f"{type(error).__name__}: {error}"), 400)
        raise InputError(
            f"{what} failed with {reason}{_place(root, error)}",
            hint="it must work in a fresh Python in the project folder",
        ) from None


def _import(name: str, root: Path, file: Path | None) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or name
        if file is None and (name == missing or name.startswith(f"{missing}.")):
            path = name.replace(".", "/")
            raise InputError(
                f"there is no module {name!r}: neither {path}.py in {printable(str(root))} nor an installed package",
                hint="correct `loader` (module:function), or install the package",
            ) from None
        raise InputError(
            f"the loader needs the Python module {printable(missing)!r}, which is not installed{_place(root, error)}",
            hint="install what the project needs into this environment",
        ) from None


def _require_unshadowed(name: str, file: Path | None) -> None:
    """A module that is already imported under the same name would be taken instead of the project's."""
    loaded = getattr(sys.modules.get(name), "__file__", None)
    known = name in sys.modules and (loaded is None or file is None or Path(loaded).resolve() != file.resolve())
    if file is not None and (known or name.partition(".")[0] in sys.stdlib_module_names):
        raise InputError(
            f"the loader's module {name!r} has the name of a module that Python already uses", hint="rename the file"
        )


@contextmanager
def _no_bytecode() -> Iterator[None]:
    """Neither trust compiled files that lie in the project nor leave any there."""
    before = sys.dont_write_bytecode, sys.pycache_prefix
    sys.dont_write_bytecode, sys.pycache_prefix = True, "/dev/null"
    try:
        yield
    finally:
        sys.dont_write_bytecode, sys.pycache_prefix = before


def _place(root: Path, error: BaseException) -> str:
    """Where in the project it happened, as in " (network.py:12)"."""
    if isinstance(error, SyntaxError) and error.filename:
        places = [(error.filename, error.lineno)]
    else:
        places = [(frame.filename, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    for filename, line in reversed(places):
        if Path(filename).is_relative_to(root):
            return f" ({printable(Path(filename).relative_to(root).as_posix())}:{line})"
    return ""
