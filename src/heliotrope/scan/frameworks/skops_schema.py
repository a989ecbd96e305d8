"""The schema of skops files: every type and function that loading would import, judged by the policy of pickles.

Source: the nodes of skops.io, protocols 0 to 2. The tree is walked whole, whatever a node's loader would skip.
"""

import json
from collections.abc import Iterator
from typing import Any, Literal

from heliotrope.core.characters import without_later
from heliotrope.core.text import printable, shorten
from heliotrope.scan.interface import Context
from heliotrope.scan.pickles.arguments import CONDITIONS
from heliotrope.scan.pickles.method_names import METHOD_KEYS, METHODS, calls_by_name
from heliotrope.scan.policy import Entry, shipped_policy

__all__ = ["check_schema", "is_schema"]

_Way = Literal["refer", "call", "new"]

_WAYS: dict[str, tuple[_Way, ...]] = {
    "FunctionNode": ("refer",),
    "TypeNode": ("refer",),
    "PartialNode": ("refer",),
    "ObjectNode": ("new",),
    "TreeNode": ("call",),
    "LossNode": ("call",),
    "ConstructorFromReduceNode": ("call",),
    "OperatorFuncNode": ("call",),
    "DictNode": ("call",),
    "ListNode": ("call",),
    "SetNode": ("call",),
    "TupleNode": ("call",),
}
"""What each loader does with the node's own type: names it, calls it with what is inside, or makes one and sets its state."""

_FIXED: dict[str, frozenset[str]] = {
    "RandomStateNode": frozenset({"numpy.random.mtrand.RandomState"}),
    "RandomGeneratorNode": frozenset({"numpy.random._generator.Generator"}),
    "MaskedArrayNode": frozenset({"numpy.ma.MaskedArray", "numpy.ma.core.MaskedArray"}),
    "DTypeNode": frozenset({"numpy.dtype"}),
    "DefaultDictNode": frozenset({"collections.defaultdict"}),
    "BytesNode": frozenset({"builtins.bytes"}),
    "BytearrayNode": frozenset({"builtins.bytearray"}),
    "SliceNode": frozenset({"builtins.slice"}),
}
"""Loaders that make one type only; the policy lists these types for other uses."""

_SILENT = frozenset({"JsonNode", "CachedNode"})
"""Loaders that import nothing."""

_GENERATORS = frozenset({"MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64"})
_ARRAYS = {"NdArrayNode", "SparseMatrixNode"}
_SHOWN = 120


def is_schema(data: Any) -> bool:
    """Whether parsed JSON is the root of a skops file."""
    return isinstance(data, dict) and isinstance(data.get("__loader__"), str) and "protocol" in data


def check_schema(text: bytes, context: Context) -> bool:
    """Judge a schema; False when it is none. `context` is that of the archive."""
    try:
        root = json.loads(text)
    except (ValueError, RecursionError):
        return False
    if not is_schema(root):
        return False
    judge = _Judge(context)
    if _has_page(root):
        judge.page()
    protocol = root["protocol"]
    if type(protocol) is not int or not 0 <= protocol <= 2:
        context.notes.incomplete(
            f"protocol {printable(str(protocol))[:20]} of skops is not known", member=context.member
        )
    for node, called in _nodes(root):
        judge.node(node, called=called)
        if isinstance(node.get("__module__"), str) and calls_by_name(node["__module__"]) and not _known_methods(node):
            judge.odd_methods(node)
    return True


def _has_page(root: Any) -> bool:
    """Whether the attribute is named anywhere, however the text spells it; so it may be in a tree too deep to write."""
    try:
        return "__doc_link_template" in json.dumps(root, ensure_ascii=False)
    except RecursionError:
        return True


def _known_methods(node: dict[str, Any]) -> bool:
    """Whether an estimator that calls methods by the names in its state calls none but those of estimators."""
    state = node.get("content")
    if node.get("__loader__") in ("TypeNode", "FunctionNode", "CachedNode"):
        return True
    if (
        not isinstance(state, dict)
        or state.get("__loader__") != "DictNode"
        or not isinstance(state.get("content"), dict)
    ):
        return False
    return all(_names_methods(state["content"][key]) for key in METHOD_KEYS & state["content"].keys())


def _names_methods(node: Any) -> bool:
    """Text, or a list of texts, as skops writes them."""
    if not isinstance(node, dict):
        return False
    content = node.get("content")
    if node.get("__loader__") in ("ListNode", "TupleNode") and isinstance(content, list):
        return all(map(_names_methods, content))
    if node.get("__loader__") != "JsonNode" or not isinstance(content, str):
        return False
    try:
        return json.loads(content) in METHODS
    except (ValueError, TypeError):
        return False


def _nodes(root: Any) -> Iterator[tuple[dict[str, Any], bool]]:
    """Every node of the tree, and whether its loader's product is called later: keys' types, and factories of defaults."""
    pending: list[tuple[Any, bool]] = [(root, False)]
    while pending:
        value, called = pending.pop()
        if isinstance(value, list):
            pending += [(item, called) for item in value]
        elif isinstance(value, dict):
            if isinstance(value.get("__loader__"), str) or "__class__" in value or "module_path" in value:
                yield value, called
            loader = value.get("__loader__")
            for key, item in value.items():
                factory = loader == "DictNode" and key == "key_types"
                inside = loader == "DefaultDictNode" and key == "content" and isinstance(item, dict)
                if inside:
                    pending += [(part, name == "default_factory") for name, part in item.items()]
                else:
                    pending.append((item, factory or (called and key == "content" and loader == "ListNode")))


class _Judge:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._policy = shipped_policy()

    def node(self, node: dict[str, Any], *, called: bool) -> None:  # noqa: C901, PLR0912 - one branch for each kind of loader
        """Judge one node, without those inside it."""
        if isinstance(node.get("module_path"), str) and isinstance(node.get("function"), str):
            self._judge(node["module_path"], node["function"], "refer")  # functions of protocol 0
        loader, module, name = node.get("__loader__"), node.get("__module__"), node.get("__class__")
        if loader is None and "__class__" not in node:
            return
        if not isinstance(loader, str):
            loader = ""
        if loader in _SILENT:
            return
        if (
            not isinstance(module, str)
            or not isinstance(name, str)
            or not without_later(f"{module}{name}").isprintable()
        ):
            self._odd("a node names no type", "no type")
            return
        full_name = f"{module}.{name}"
        if loader == "MethodNode":
            self._method(node, full_name)
        elif loader in _FIXED:
            self._fixed(loader, full_name, node)
        elif loader in _ARRAYS:
            self._array(module, name)
        elif loader in _WAYS:
            for way in _WAYS[loader]:
                self._judge(module, name, way)
            if called and full_name not in ("builtins.list", "builtins.type"):
                self._judge(module, name, "call")
            if loader == "PartialNode":
                self._partial(node)
        else:
            self._odd(f"a node is read by {_shown(loader)}, which is not known", loader)
            self._context.notes.incomplete("a node of an unknown kind was not followed", member=self._context.member)

    def _judge(self, module: str, name: str, way: _Way) -> None:
        full_name = f"{module}.{name}"
        entry = self._policy.lookup(module, name)
        shown = _shown(full_name)
        if entry.kind in ("dangerous", "dotted"):
            self._note("skops-dangerous-type", f"names {shown}, which {entry.reason}", full_name)
        elif entry.kind == "unknown":
            self._note(
                "skops-unknown-type", f"imports {shown}, which is not on the list of what models need", full_name
            )
        elif way != "refer" and not _allows(entry, way):
            verb = "calls" if way == "call" else "makes a"
            message = f"{verb} {shown}, which is not on the list of what models need in this way"
            self._note("skops-unknown-type", message, full_name)
        elif way == "refer" and entry.shape in CONDITIONS:
            message = f"refers to {shown}, so how it will be called is unknown"
            self._note("skops-unknown-type", message, full_name)
        else:
            self._context.notes.imported(full_name)

    def page(self) -> None:
        """A text that estimators put into the page of a notebook as it is."""
        self._odd("has a template for the page that a notebook shows, which may be a script", "page")

    def odd_methods(self, node: dict[str, Any]) -> None:
        """An estimator would call a method by a name that is none of an estimator's."""
        full_name = f"{node['__module__']}.{node.get('__class__')}"
        self._odd(f"{_shown(full_name)} calls methods by names that no estimator has", full_name)

    def _method(self, node: dict[str, Any], full_name: str) -> None:
        content = node.get("content")
        name = content.get("func") if isinstance(content, dict) else None
        self._odd(f"binds the method {_shown(name)} of {_shown(full_name)}, which somebody will call", full_name)

    def _fixed(self, loader: str, full_name: str, node: dict[str, Any]) -> None:
        if full_name not in _FIXED[loader]:
            self._odd(f"{loader} makes {_shown(full_name)}, which it never does", full_name)
            return
        self._context.notes.imported(full_name)
        if loader == "RandomGeneratorNode":
            generator = _generator(node)
            if not isinstance(generator, str) or generator not in _GENERATORS:
                self._odd(f"a random generator rests on {_shown(generator)}, which is none", "generator")

    def _array(self, module: str, name: str) -> None:
        """Arrays come from npy and npz members; a number's type is called with one."""
        entry = self._policy.lookup(module, name)
        root = module.partition(".")[0]
        if entry.kind != "allowed" or root not in ("numpy", "scipy") or entry.shape in CONDITIONS:
            self._judge(module, name, "call")
        else:
            self._context.notes.imported(f"{module}.{name}")

    def _partial(self, node: dict[str, Any]) -> None:
        content = node.get("content")
        function = content.get("func") if isinstance(content, dict) else None
        if not isinstance(function, dict) or function.get("__loader__") not in ("FunctionNode", "TypeNode"):
            self._odd("a partial binds something else than a function", "partial")

    def _odd(self, message: str, key: str) -> None:
        self._context.notes.add("skops-odd-node", message, key=key[:_SHOWN], member=self._context.member)

    def _note(self, rule: str, message: str, full_name: str) -> None:
        self._context.notes.add(rule, message, global_name=full_name, member=self._context.member)


def _allows(entry: Entry, way: str) -> bool:
    """Whether the policy vouches for the use with any arguments."""
    return entry.kind == "allowed" and way in entry.uses and entry.shape not in CONDITIONS - {"constants"}


def _generator(node: dict[str, Any]) -> Any:
    """The name of the bit generator, which stands inside as text (JSON in JSON in protocols 1 and 2)."""
    try:
        state = node["content"]["bit_generator"]
        inner = state["content"]["bit_generator"]["content"] if "__loader__" in state else None
        return json.loads(inner) if inner is not None else state["bit_generator"]
    except (KeyError, TypeError, ValueError):
        return None


def _shown(name: Any) -> str:
    return shorten(printable(str(name)), _SHOWN)
