"""TorchScript: the source that travels in torch archives, and its bytecode for mobile devices.

It is no Python: an interpreter of torch runs it, which knows operators and nothing else. So the operators decide.
Source: torch/csrc/jit/serialization (python_print.cpp, import_source.cpp), where `torch` stands for aten and `ops` for all.
"""

import re

from heliotrope.core.text import printable, shorten
from heliotrope.scan.frameworks.code_names import Reference, references
from heliotrope.scan.frameworks.torch_operators import judge_operator
from heliotrope.scan.interface import Context, LimitReachedError, Source

__all__ = ["check_bytecode", "check_script", "read_source"]

_RPC = frozenset({"rpc_async", "rpc_sync", "rpc_remote"})
"""Written without a namespace."""
_CLASSES = re.compile(r"__torch__\.torch\.classes\.(\w+)\.(\w+)")
_KNOWN_CLASSES = frozenset({"quantized", "sparse", "xnnpack", "mkldnn", "profiler", "rnn", "cuda"})
_METHODS = re.compile(r".*\.(save|from_file)", re.DOTALL)
"""An operator can be written as a method of its first argument."""
_OPERATOR = re.compile(rb"(?<![\w:])([A-Za-z_]\w{0,60})::([A-Za-z_]\w{0,80})(?![\w:])")
_CHUNK = 2**20
_OVERLAP = 256
_SHOWN = 120


def read_source(source: Source, context: Context) -> str:
    """The text of a source; what cannot be told from its bytes leaves the verdict open. Raises LimitReachedError."""
    limit = context.limits.max_source_bytes
    if source.size > limit:
        data = source.read(0, limit + 1)
        if len(data) > limit:
            raise LimitReachedError("max_source_bytes", f"the source has more than {limit} bytes")
    data = source.read(0, limit)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        context.notes.incomplete("the source is not written in UTF-8", member=context.member)
        return data.decode("latin-1")


def check_script(source: Source, context: Context) -> None:
    """Judge one file of TorchScript code."""
    for item in references(read_source(source, context)):
        _judge(item, context)


def _judge(item: Reference, context: Context) -> None:
    parts = item.name.split(".")
    custom = _CLASSES.match(item.name)
    if custom is not None:
        if custom[1] not in _KNOWN_CLASSES:
            message = f"uses the class {_shown(custom[1])}.{_shown(custom[2])}, which is part of a library that must be loaded first"
            _note("torch-custom-operator", message, f"classes.{custom[1]}.{custom[2]}", item.offset, context)
    elif parts[0] == "ops" and len(parts) >= 3:
        _operator(parts[1], parts[2], item, context)
    elif parts[0] == "torch" and len(parts) >= 2:
        _operator("aten", parts[1] if len(parts) == 2 else parts[-1], item, context)
    elif item.name in ("ops", "torch") or (parts[0] == "ops" and len(parts) == 2):
        message = f"refers to {_shown(item.name)} as a whole, so which operators it uses is unknown"
        _note("torch-custom-operator", message, item.name, item.offset, context)
    elif item.name in _RPC and item.called:
        _operator("prim", item.name, item, context)
    elif (method := _METHODS.fullmatch(item.name)) is not None and item.called:
        _operator("aten", method[1], item, context)


def _operator(namespace: str, name: str, item: Reference, context: Context) -> None:
    problem = judge_operator(namespace, name)
    if problem is not None:
        rule, what = problem
        verb = "calls" if item.called else "names"
        path = f' with "{_shown(item.argument)}"' if item.argument is not None else ""
        full = f"{namespace}::{name}"
        _note(rule, f"{verb} {_shown(full)}{path}, which {what}", full, item.offset, context)


def check_bytecode(source: Source, context: Context) -> None:
    """Judge the operators that bytecode or a flat buffer for mobile devices names; they are plain text in there."""
    offset = 0
    while data := source.read(offset, _CHUNK + _OVERLAP):
        for match in _OPERATOR.finditer(data):
            if match.start() < _CHUNK:
                _named(match[1].decode(), match[2].decode(), offset + match.start(), context)
        offset += _CHUNK


def _named(namespace: str, name: str, offset: int, context: Context) -> None:
    problem = judge_operator(namespace, name)
    if problem is not None:
        full = f"{namespace}::{name}"
        _note(problem[0], f"names {_shown(full)}, which {problem[1]}", full, offset, context)


def _note(rule: str, message: str, name: str, offset: int, context: Context) -> None:
    context.notes.add(rule, message, global_name=name[:_SHOWN], member=context.member, offset=offset)


def _shown(name: str) -> str:
    return shorten(printable(name), _SHOWN)
