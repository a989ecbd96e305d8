"""What a framework's classes do when a pickle makes one, sets its state or fills it: material for a review, never an entry.

Run by the Python that has the framework, which it imports: `python bench/policy/inventory.py sklearn torch.nn > inventory.tsv`.
One line for each class that a package defines: module, name, and the hooks that it or a class of the same framework
defines. A class without hooks is an empty object until somebody uses it; one with hooks needs a reviewer who reads them.
"""

import importlib
import inspect
import pkgutil
import sys
import warnings
from collections.abc import Iterator
from types import ModuleType
from typing import Any

HOOKS = (
    "__new__",
    "__setstate__",
    "__reduce__",
    "__reduce_ex__",
    "__setattr__",
    "__setitem__",
    "append",
    "extend",
    "add",
)
"""What loading runs: NEWOBJ, BUILD, BUILD with slots, SETITEM(S), APPEND(S), ADDITEMS."""

SKIPPED = (
    ".tests",
    ".test_",
    "conftest",
    ".testing",
    "._build_utils",
    "._inductor",
    ".distributed",
    "._dynamo",
    "__main__",
)


def modules(root: str) -> Iterator[ModuleType]:
    """The package and what lies below it, as far as it can be imported."""
    try:
        package = importlib.import_module(root)
    except Exception as error:  # noqa: BLE001 - optional parts of frameworks fail in every way
        print(f"# {root}: {type(error).__name__}", file=sys.stderr)
        return
    yield package
    for found in pkgutil.iter_modules(getattr(package, "__path__", []), f"{root}."):
        if not any(part in found.name for part in SKIPPED):
            yield from modules(found.name)


def hooks(cls: type) -> dict[str, str]:
    """Hook to the class that defines it, for those that are not plain object's."""
    found = {}
    for hook in HOOKS:
        owner = next((base for base in cls.__mro__ if hook in vars(base)), None)
        if owner is not None and owner is not object:
            found[hook] = f"{owner.__module__}.{owner.__qualname__}"
    for name in dir(cls):
        member = inspect.getattr_static(cls, name, None)
        if isinstance(member, property) and member.fset is not None:
            found.setdefault("setters", "")
            found["setters"] += f" {name}"
    return found


def main(roots: list[str]) -> None:
    warnings.simplefilter("ignore")
    seen: set[tuple[str, str]] = set()
    for root in roots:
        for module in modules(root):
            for name, value in vars(module).items():
                item: Any = value
                if not isinstance(item, type) or item.__module__ != module.__name__ or item.__qualname__ != name:
                    continue
                if (module.__name__, name) not in seen:
                    seen.add((module.__name__, name))
                    described = " ".join(f"{hook}={owner.strip()}" for hook, owner in hooks(item).items())
                    print(f"{module.__name__}\t{name}\t{described}")


if __name__ == "__main__":
    main(sys.argv[1:])
