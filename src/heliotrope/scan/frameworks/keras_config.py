"""Configurations of Keras' models, in .keras archives, HDF5 attributes, metadata of SavedModels and JSON: judged at any depth.

Whatever stands under whatever key is walked, since wrappers, custom layers and later releases nest objects where they like.
"""

import binascii
import re
from collections.abc import Iterator
from typing import Any

from heliotrope.core.text import printable, shorten
from heliotrope.scan.frameworks.keras_objects import Kind, class_kind, function_kind
from heliotrope.scan.frameworks.keras_text import parse_config
from heliotrope.scan.frameworks.tensorflow_operators import operator_rule, symbol_rule
from heliotrope.scan.interface import Context
from heliotrope.scan.sources import BytesSource

__all__ = ["check_config", "check_config_text"]

_SHOWN = 120
_CODE_KEYS = ("function", "output_shape", "mask")
"""Of a Lambda layer's configuration: each may be code."""

_HARMFUL = re.compile(
    b"|".join(
        b"(?:\\x%02x|\\x%02x\\0\\0\\0)%s" % (len(name), len(name), name)
        for name in (
            b"os", b"posix", b"nt", b"subprocess", b"sys", b"socket", b"shutil", b"ctypes", b"pty", b"builtins", b"importlib",
            b"import_module", b"system", b"popen", b"Popen", b"check_output", b"getoutput", b"exec", b"eval", b"compile", b"open",
            b"__import__", b"__builtins__", b"__globals__", b"__subclasses__", b"pickle", b"marshal", b"base64", b"urllib",
            b"requests", b"urlopen", b"environ", b"runpy", b"codecs", b"getattr",
        )
    )
)  # fmt: skip
"""Names as marshal writes them, behind their length: the same in all versions of bytecode."""

_NODE_OPERATOR = re.compile(r'"?op"?\s*:\s*\\?"(\w{1,100})')
_REMOTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_RULES: dict[Kind, tuple[str, str]] = {
    "dangerous": ("keras-dangerous-reference", "which can harm the machine"),
    "gadget": ("keras-gadget", "a function of Keras that no layer needs: it loads, fetches, or switches checks off"),
    "unlisted": ("keras-unlisted-reference", "which is of Keras, but not among what models are made of"),
    "custom": ("keras-custom-object", "somebody's own code, which must be at hand and runs"),
    "package": ("keras-package-code", "code of a package beside Keras"),
}


def check_config_text(text: bytes, context: Context, *, legacy: bool = False) -> bool:
    """Judge a configuration in JSON; False when it is none. `legacy`: loaders of this place run code whatever safe_mode says."""
    value = parse_config(text, context)
    if not isinstance(value, (dict, list)):
        return False
    check_config(value, context, legacy=legacy)
    return True


def check_config(value: Any, context: Context, *, legacy: bool = False) -> None:
    """Judge a parsed configuration."""
    judge = _Judge(context, legacy=legacy)
    for node in _objects(value):
        judge.node(node)


def _objects(root: Any) -> Iterator[dict[str, Any]]:
    """Every JSON object, the outermost first."""
    pending = [root]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            yield value
            pending += value.values()
        elif isinstance(value, list):
            pending += value


class _Judge:
    def __init__(self, context: Context, *, legacy: bool) -> None:
        self._context = context
        self._legacy = legacy

    def node(self, node: dict[str, Any]) -> None:
        """Judge one object, without those inside it."""
        name = node.get("class_name")
        config = node.get("config")
        if isinstance(name, str):
            if name == "function":
                self._function(node.get("module"), config)
            elif name == "__lambda__":
                self._code(config.get("code") if isinstance(config, dict) else config)
            elif name == "__typespec__":
                self._reference(node.get("module"), node.get("spec_name"), None)
            elif not (name.startswith("__") and name.endswith("__")) and _is_object(node):
                self._reference(node.get("module"), name, node.get("registered_name"))
            self._special(name, config if isinstance(config, dict) else {})
        self._function_by_type(node)
        self._values(node)

    # references

    def _reference(self, module: Any, name: Any, registered: Any) -> None:
        if not isinstance(name, str) or not isinstance(module, str | None):
            self._context.notes.incomplete("an object of the configuration has no name", member=self._context.member)
            return
        if module is not None and module.startswith("tensorflow.") and name.endswith(("Spec", "TensorShape")):
            return
        registered = registered if isinstance(registered, str) else None
        kind = class_kind(module or None, name, registered)
        self._judged(kind, module, registered if registered and ">" in registered and not module else name)

    def _function(self, module: Any, name: Any) -> None:
        if isinstance(name, dict):
            module, name = name.get("module", module), name.get("name", name.get("config"))
        if not isinstance(name, str) or not isinstance(module, str | None):
            self._context.notes.incomplete("a function of the configuration has no name", member=self._context.member)
            return
        self._judged(function_kind(module or None, name), module, name)

    def _judged(self, kind: Kind, module: str | None, name: str) -> None:
        if kind == "own":
            return
        rule, what = _RULES[kind]
        full_name = f"{module}.{name}" if module else name
        self._note(rule, f"names {_short(full_name)}, {what}", full_name)

    # code

    def _function_by_type(self, node: dict[str, Any]) -> None:
        """Functions as Keras 1 and 2 write them: the kind and the module stand beside them."""
        for key in _CODE_KEYS:
            kind = node.get(f"{key}_type")
            module = node.get("module" if key == "function" else f"{key}_module")
            value = node.get(key)
            if isinstance(value, dict) and value.get("class_name") == "__tuple__":
                value = value.get("items")
            if kind == "lambda":
                self._code(value[0] if isinstance(value, list) and value else value)
            elif kind == "function" and isinstance(value, str):
                self._judged(function_kind(module if isinstance(module, str) else None, value), module, value)

    def _code(self, code: Any) -> None:
        """Bytecode as text."""
        where = ", and loaders of this format run it whatever safe_mode says" if self._legacy else ""
        self._note("keras-lambda", f"carries Python bytecode in a Lambda{where}", "", key="lambda")
        if not isinstance(code, str):
            return
        try:
            data = binascii.a2b_base64(code.encode("ascii"))
        except (UnicodeEncodeError, binascii.Error):
            data = code.encode("latin-1", "replace")
        names = sorted({match[0].lstrip(bytes(range(32))).decode() for match in _HARMFUL.finditer(data)})
        if names:
            self._note(
                "keras-lambda-danger", f"carries Python bytecode that names {_short(', '.join(names))}", names[0]
            )

    # layers of special kinds

    def _special(self, name: str, config: dict[str, Any]) -> None:
        plain = name.rpartition(">")[2]
        if plain == "Lambda":
            self._lambda(config)
        elif plain == "TFSMLayer":
            self._elsewhere("TFSMLayer", config.get("filepath"))
        elif plain == "KerasLayer" and "handle" in config:
            self._elsewhere("KerasLayer", config["handle"])
        elif plain == "TorchModuleWrapper":
            self._pickled(config.get("module"))
        elif plain in ("JaxLayer", "FlaxLayer"):
            self._note("keras-custom-object", f"needs a function or module of the user's own ({plain})", plain)
        elif plain in ("TFOpLambda", "SlicingOpLambda", "ClassMethod", "InstanceMethod", "InstanceProperty"):
            self._symbol(config)
        elif plain == "TensorFlowOpLayer":
            self._node_definition(config.get("node_def"))

    def _lambda(self, config: dict[str, Any]) -> None:
        function = config.get("function")
        if isinstance(function, list) or (isinstance(function, str) and config.get("function_type") != "function"):
            self._code(function[0] if isinstance(function, list) and function else function)

    def _elsewhere(self, kind: str, place: Any) -> None:
        shown = _short(str(place))
        self._note("keras-external-model", f"{kind} loads another model from {shown}, with all that it can run", shown)

    def _pickled(self, text: Any) -> None:
        self._note("keras-pickled-module", "holds a module of torch as a pickle, which is loaded", "", key="torch")
        if isinstance(text, dict):
            inner = text.get("config")
            text = inner.get("value") if isinstance(inner, dict) else inner
        if not isinstance(text, str):
            self._context.notes.incomplete("a pickled module is not where it should be", member=self._context.member)
            return
        try:
            data = binascii.a2b_base64(text.encode("ascii"))
        except (UnicodeEncodeError, binascii.Error):
            data = text.encode("latin-1", "replace")
        inside = self._context.inside("TorchModuleWrapper.module")
        if self._context.nested(BytesSource(data), "module.pt", inside) is None:
            self._context.notes.incomplete("a pickled module is not recognised", member=inside.member)

    def _symbol(self, config: dict[str, Any]) -> None:
        for key in ("function", "cls_ref", "method_name"):
            value = config.get(key)
            if isinstance(value, str):
                self._found(symbol_rule(value), value)
        if isinstance(config.get("cls_ref"), str) and isinstance(config.get("method_name"), str):
            value = f"{config['cls_ref']}.{config['method_name']}"
            self._found(symbol_rule(value), value)

    def _node_definition(self, text: Any) -> None:
        names = _NODE_OPERATOR.findall(text) if isinstance(text, str) else []
        if isinstance(text, dict) and isinstance(text.get("op"), str):  # as TensorFlow 2.0 to 2.3 wrote it
            names = [text["op"]]
        for name in names:
            self._found(operator_rule(name), name)
        if not names:
            self._context.notes.incomplete("an operation of TensorFlow is not described", member=self._context.member)

    def _found(self, rule: tuple[str, str] | None, name: str) -> None:
        if rule is not None:
            self._note(rule[0], f"uses {_short(name)}, which {rule[1]}", name)

    # values anywhere

    def _values(self, node: dict[str, Any]) -> None:
        vocabulary = node.get("vocabulary")
        if isinstance(vocabulary, str) and vocabulary:
            shown = _short(vocabulary)
            self._note("keras-external-file", f"reads its vocabulary from {shown}", vocabulary[:_SHOWN])
        for key in ("preset", "handle", "filepath", "proto", "merges"):
            value = node.get(key)
            if isinstance(value, str) and _REMOTE.match(value):
                self._note("keras-external-file", f"fetches {_short(value)}", value[:_SHOWN])
        for value in node.values():
            for item in value if isinstance(value, list) else (value,):
                if isinstance(item, str) and "enable_unsafe_deserialization" in item and node.get("config") != item:
                    self._judged("gadget", "keras.config", "enable_unsafe_deserialization")

    def _note(self, rule: str, message: str, full_name: str, *, key: str = "") -> None:
        member = self._context.member
        if full_name:
            self._context.notes.add(rule, message, global_name=full_name, member=member)
        else:
            self._context.notes.add(rule, message, key=key, member=member)


def _is_object(node: dict[str, Any]) -> bool:
    """Whether a dictionary with a class_name is one that is made into an object."""
    return any(key in node for key in ("config", "module", "registered_name"))


def _short(text: str) -> str:
    return shorten(printable(text), _SHOWN)
