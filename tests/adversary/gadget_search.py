"""Goes through the callables of whole packages and hands each some plain arguments, in the oracle: which of them do harm?

`python -m tests.adversary.gadget_search [PACKAGE...]` writes `gadgets_found.txt` beside this module: one line for each
callable that sang, with the number of the arguments in `ARGUMENTS`. Without packages: the standard library.
`--after=MODULE:NAME` goes on where a search was stopped.
"""

import contextlib
import importlib
import io
import json
import pkgutil
import subprocess
import sys
import warnings
from pathlib import Path
from types import ModuleType

from tests.adversary.oracle import Oracle
from tests.adversary.program import lit, reduce, stream

__all__ = ["ARGUMENTS", "BESIDE", "FOUND", "found"]

FOUND = Path(__file__).with_name("gadgets_found.txt")
BESIDE = {
    **dict.fromkeys(("planted.py", "_sklearn_version.py", "differentiable.py"), 'open("canary", "w")\n'),
    "planted.txt": "import os\nos.system('touch canary')\n",
}
"""What an attacker puts beside a model."""

ARGUMENTS: tuple[tuple[object, ...], ...] = (
    ("touch canary",),
    ("open('canary','w')",),
    ("canary",),
    ("canary", "w"),
    ("planted",),
    ("planted.x",),
    (["touch", "canary"],),
    ("open('canary','w')", {}),
    ("open('canary','w')", {}, {}),
    ("planted.py",),
    ("planted", "x"),
    (lit(bytearray(stream(reduce("posix:system", "touch canary")))),),
    ("planted", "planted.py"),
    ("canary", "canary"),
)
"""Commands, code, a file to write, a module to import, a nested pickle."""

_SKIPPED = frozenset(
    {"test", "idlelib", "lib2to3", "tkinter", "turtle", "turtledemo", "antigravity", "this", "ensurepip", "__main__"}
)


_NO_MODULES = frozenset({"test", "tests", "__main__", "conftest", "idlelib"})


def found() -> list[tuple[str, int]]:
    """What the last search found."""
    return [
        (name, int(number))
        for name, number in (line.split() for line in FOUND.read_text().splitlines() if line[:1] != "#")
    ]


def names(packages: list[str]) -> list[str]:
    """`module:attribute` of everything callable, each thing once."""
    seen: set[int] = set()
    result = []
    for module_name in _modules(packages):
        with contextlib.suppress(BaseException), contextlib.redirect_stdout(io.StringIO()):
            module = importlib.import_module(module_name)
            result += [f"{module_name}:{name}" for name in _callables(module, seen)]
    return result


def _modules(packages: list[str]) -> list[str]:
    found_modules = []
    for name in packages or sorted(sys.stdlib_module_names - _SKIPPED):
        with contextlib.suppress(BaseException):
            module = importlib.import_module(name)
            found_modules.append(name)
            for info in pkgutil.walk_packages(getattr(module, "__path__", []), f"{name}.", onerror=lambda _name: None):
                if not _NO_MODULES & set(info.name.split(".")):
                    found_modules += [info.name]
    return found_modules


def _callables(module: ModuleType, seen: set[int]) -> list[str]:
    result = []
    for name, value in sorted(vars(module).items(), key=lambda item: item[0]):
        if not callable(value) or id(value) in seen or (isinstance(value, type) and issubclass(value, BaseException)):
            continue
        seen.add(id(value))
        result.append(name)
    return result


def main(packages: list[str]) -> None:
    if packages[:1] == ["--names"]:
        warnings.simplefilter("ignore")
        json.dump(names(packages[1:]), sys.stdout)
        return
    after = packages.pop(0)[len("--after=") :] if packages and packages[0].startswith("--after=") else ""
    command = [sys.executable, "-W", "ignore", "-m", "tests.adversary.gadget_search", "--names", *packages]
    listed = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1])
    modules = tuple(dict.fromkeys(name.partition(":")[0] for name in listed))
    with Oracle(modules) as oracle, FOUND.open("a") as out:
        for name in listed:
            if name <= after:
                continue
            for number in _singing(oracle, name):
                out.write(f"{name} {number}\n")
                out.flush()


def _singing(oracle: Oracle, name: str) -> list[int]:
    """The first arguments with which it sings; loaded all in one process, and then the one alone."""
    programs = [stream(reduce(name, *arguments)) for arguments in ARGUMENTS]
    together = b"".join(len(program).to_bytes(4, "little") + program for program in programs)
    with contextlib.suppress(RuntimeError):
        if not oracle.load(together, ways=("each",), use=False, beside=BESIDE, seconds=4).sings:
            return []
        for number, program in enumerate(programs):
            if oracle.load(program, ways=("pickle",), use=False, beside=BESIDE, seconds=3).sings:
                return [number]
    return []


if __name__ == "__main__":
    main(sys.argv[1:])
