"""The page of the Python interface: every public name of the modules that other programs may import."""

import importlib
import importlib.util
import inspect
import re
from types import ModuleType
from typing import Any

from heliotrope.config._docs import attribute_docs
from heliotrope.core.records import Record

__all__ = ["python_page"]

_MODULES = (
    "heliotrope.api",
    "heliotrope.scan.registry",
    "heliotrope.scan.interface",
    "heliotrope.engine.registry",
    "heliotrope.engine.interface",
    "heliotrope.testing",
    "heliotrope.testing.models",
)
"""The façade, what plug-ins meet, and what their tests use; a module that is not there is left out."""

_HEAD = """\
# Python

What other programs and plug-ins may import. Names that are not listed here, and every module whose name begins with an underscore,
may change with any version.
"""


def python_page() -> str:
    """One section for each module, one for each name in its `__all__`."""
    there = [name for name in _MODULES if importlib.util.find_spec(name) is not None]
    return "\n".join([_HEAD, *(_module(importlib.import_module(name)) for name in there)])


def _module(module: ModuleType) -> str:
    lines = [f"## {module.__name__}\n", f"{_text(module)}\n"]
    for name in sorted(module.__all__, key=str.lower):
        value = getattr(module, name)
        if inspect.ismodule(value):
            continue
        lines.append(f"### {module.__name__}.{name}\n")
        if inspect.isclass(value) or inspect.isfunction(value):
            lines += [f"```text\n{name}{_signature(value)}\n```\n", f"{_text(value)}\n"]
            lines += _members(value) if inspect.isclass(value) else []
        else:
            shown = _short(str(value))
            lines.append(f"`{shown if len(shown) <= 200 else type(value).__name__}`\n")
    return "\n".join(lines)


def _members(described: type) -> list[str]:
    """Attributes and methods of a class of ours that say something."""
    if not described.__module__.startswith("heliotrope."):
        return []
    rows = [f"- `{name}`: {text}" for name, text in attribute_docs(described).items() if not name.startswith("_")]
    for name, member in vars(described).items():
        function = member.fget if isinstance(member, property) else member
        if not name.startswith("_") and inspect.isfunction(function) and function.__doc__:
            signature = (
                "" if isinstance(member, property) else _signature(function, broken=False).replace("(self, ", "(")
            )
            text = " ".join(inspect.cleandoc(function.__doc__).split())
            rows.append(f"- `{name}{signature.replace('(self)', '()')}`: {text}")
    return ["\n".join(rows) + "\n"] if rows else []


def _signature(value: Any, *, broken: bool = True) -> str:
    if inspect.isclass(value) and issubclass(value, Record):
        value.model_rebuild()  # a record knows its own signature only once it is built
    try:
        signature = str(inspect.signature(value))
    except (TypeError, ValueError):
        return ""
    short = _short(signature)
    return short if len(short) <= 110 or not broken else _broken(short)


def _short(text: str) -> str:
    """Names without their modules, functions without addresses, types without constraints."""
    text = re.sub(r"<function (\w+) at 0x[0-9a-f]+>", r"\1", text)
    text = re.sub(r"\b(?:[A-Za-z_]\w*\.)+(\w+)", r"\1", text)
    return re.sub(r"Annotated\[(\w+), \w+\([^()]*\)\]", r"\1", text)


def _broken(signature: str) -> str:
    """One argument on each line."""
    depth, lines, current = 0, [], ""
    inside, _, result = signature.rpartition(")")
    for character in inside[1:]:
        depth += character in "([{"
        depth -= character in ")]}"
        if character == "," and depth == 0:
            lines.append(current.strip())
            current = ""
        else:
            current += character
    lines.append(current.strip())
    return "(\n" + "".join(f"    {line},\n" for line in lines if line) + f"){result}"


def _text(value: Any) -> str:
    """The docstring as it stands; pydantic and dataclasses make some up, which say nothing."""
    text = inspect.getdoc(value) or ""
    if inspect.isclass(value) and text.startswith(f"{value.__name__}("):
        return ""
    return text
