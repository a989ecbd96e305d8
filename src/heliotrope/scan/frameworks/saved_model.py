"""TensorFlow's graphs: SavedModels, frozen graphs and meta graphs, walked on the wire; every operator of every function is judged.

Source: saved_model.proto, meta_graph.proto, graph.proto, function.proto and node_def.proto of TensorFlow.
"""

import re
from dataclasses import dataclass, field

from heliotrope.core.characters import without_later
from heliotrope.core.text import printable, shorten
from heliotrope.scan.frameworks.keras_config import check_config_text
from heliotrope.scan.frameworks.keras_text import speaks_of_classes
from heliotrope.scan.frameworks.tensorflow_operators import CHECKPOINTS, operator_rule
from heliotrope.scan.frameworks.tensorflow_paths import CACHES, FOLLOWED, TABLES, Paths
from heliotrope.scan.interface import Context, LimitReachedError, Recognised, Source
from heliotrope.scan.wire.protobuf import BYTES, VARINT, DamagedError, Wire

__all__ = ["SavedModelAnalyser"]

_SAVED, _META, _GRAPH = "saved-model", "tensorflow-meta-graph", "tensorflow-graph"
_FIELDS = {
    _SAVED: {1: VARINT, 2: BYTES},
    _META: dict.fromkeys(range(1, 8), BYTES),
    _GRAPH: {1: BYTES, 2: BYTES, 3: VARINT, 4: BYTES, 5: BYTES},
}
"""Fields of the outermost messages and their wire types."""

_NAMES_ONLY = ("tensorflow-custom-operator", "tensorflow-extension-operator")
_MAX_NAME = 1000
_MAX_KINDS = 20_000
"""Different operators of one model."""
_PROBED = 200_000
_FINGERPRINT = "fingerprint.pb"
_FOOTER = b"\x57\xfb\x80\x8b\x24\x75\x47\xdb"
"""The last bytes of a table in LevelDB's format, which the index of a checkpoint is."""
_STRING = 7
_PARENT = re.compile(r"(?:^|[\\/])\.\.(?:[\\/]|$)|^[\\/~]|^[A-Za-z]:|^[A-Za-z][A-Za-z0-9+.-]*://")


@dataclass(slots=True)
class _Use:
    count: int
    offset: int


@dataclass(slots=True)
class _Node:
    """One operator, as far as it is judged."""

    offset: int
    name: str = ""
    operator: str = ""
    inputs: list[str] = field(default_factory=list)
    functions: list[str] = field(default_factory=list)
    text: str | None = None
    stream: str = ""


class SavedModelAnalyser:
    """Graphs of TensorFlow, metadata of Keras beside them, and the index of checkpoints."""

    format = "saved-model"

    def accepts(self, source: Source, name: str) -> bool:
        lower = name.lower().rpartition("/")[2]
        if lower in ("saved_model.pb", "keras_metadata.pb"):
            return True
        if lower == _FINGERPRINT:
            return _is_fingerprint(source)
        if lower.endswith(".index"):
            return source.size >= 48 and source.read(source.size - 8, 8) == _FOOTER
        head = source.read(0, 2)
        return head[:1] in (b"\x08", b"\x0a", b"\x12") and _kind(source) is not None

    def analyse(self, source: Source, name: str, context: Context) -> Recognised:
        lower = name.lower().rpartition("/")[2]
        if lower == "keras_metadata.pb":
            return _metadata(source, context)
        if lower == _FINGERPRINT and _is_fingerprint(source):
            return Recognised("saved-model-fingerprint", model=False)
        if lower.endswith(".index") and source.read(source.size - 8, 8) == _FOOTER:
            return Recognised("tensorflow-checkpoint")
        kind = _kind(source) or _SAVED
        _Model(source, context).analyse(kind)
        return Recognised(kind)


def _kind(source: Source) -> str | None:
    """Which of the messages the bytes are: all fields must be its own, and the first operator one of a graph."""
    numbers: set[int] = set()
    wire = Wire(source, _PROBED)
    candidates = dict(_FIELDS)
    first: dict[int, tuple[int, int]] = {}
    try:
        for number, kind, start, stop in wire.fields(0, source.size):
            candidates = {label: known for label, known in candidates.items() if known.get(number) == kind}
            if not candidates:
                return None
            numbers.add(number)
            first.setdefault(number, (start, stop))
        if _SAVED in candidates and {1, 2} <= numbers:
            inside = [item for item in wire.fields(*first[2]) if _FIELDS[_META].get(item[0]) == item[1]]
            return _SAVED if first[1][0] == 1 and any(item[0] in (1, 2) for item in inside) else None
        if _GRAPH in candidates and 1 in numbers and _is_node(wire, *first[1]):
            return _GRAPH
        if _META in candidates and 2 in numbers:
            inner = next(iter(wire.fields(*first[2])), None)
            return _META if inner is not None and inner[0] == 1 and _is_node(wire, inner[2], inner[3]) else None
    except (DamagedError, LimitReachedError):
        return None
    return None


def _is_fingerprint(source: Source) -> bool:
    """Hashes and a version beside a SavedModel."""
    try:
        fields = list(Wire(source, 100).fields(0, source.size)) if source.size < 1000 else []
    except (DamagedError, LimitReachedError):
        return False
    known = dict.fromkeys(range(1, 6), VARINT) | {6: BYTES, 7: BYTES}
    return bool(fields) and all(known.get(number) == wire for number, wire, _, _ in fields)


def _is_node(wire: Wire, start: int, stop: int) -> bool:
    found = {}
    for item in wire.fields(start, stop):
        if item[0] > 7 or item[1] != BYTES:
            return False
        if item[0] < 3:
            found[item[0]] = wire.text(item, _MAX_NAME)
    operator, name = without_later(found.get(2, "")), without_later(found.get(1, ""))
    return operator.replace("_", "").replace(">", "").isalnum() and name.isprintable()


def _metadata(source: Source, context: Context) -> Recognised:
    """keras_metadata.pb: a configuration for each layer, from which Keras makes it again."""
    wire = Wire(source, context.limits.max_protobuf_fields)
    try:
        for number, kind, start, stop in wire.fields(0, source.size):
            if number != 1 or kind != BYTES:
                continue
            for item in wire.fields(start, stop):
                if item[0] == 5 and item[1] == BYTES:
                    _configuration(wire, item[2], item[3], context)
    except DamagedError as error:
        context.notes.incomplete(f"the metadata is damaged: {error}", member=context.member)
    except LimitReachedError as error:
        context.notes.incomplete(error.reason, limit=error.limit, member=context.member)
    return Recognised("keras-metadata")


def _configuration(wire: Wire, start: int, stop: int, context: Context) -> None:
    text = wire.read(start, min(stop - start, context.limits.max_keras_config + 1))
    if speaks_of_classes(text):
        check_config_text(text, context, legacy=True)


class _Model:
    def __init__(self, source: Source, context: Context) -> None:
        self._source = source
        self._context = context
        self._wire = Wire(source, context.limits.max_protobuf_fields)
        self._operators: dict[str, _Use] = {}
        self._functions: set[str] = set()
        self._paths = Paths()
        self._graphs = 0

    def analyse(self, kind: str) -> None:
        try:
            if kind == _GRAPH:
                self._graph(0, self._source.size)
            elif kind == _META:
                self._meta(0, self._source.size)
            else:
                for number, wire, start, stop in self._wire.fields(0, self._source.size):
                    if number == 2 and wire == BYTES:
                        self._meta(start, stop)
        except DamagedError as error:
            self._context.notes.incomplete(f"the model is damaged: {error}", member=self._context.member)
        except LimitReachedError as error:
            self._context.notes.incomplete(error.reason, limit=error.limit, member=self._context.member)
        else:
            if not self._graphs:
                self._context.notes.incomplete("there is no graph in it", member=self._context.member)
        self._judge()

    # the messages, one method each

    def _meta(self, start: int, end: int) -> None:
        for item in self._wire.fields(start, end):
            number, wire, begin, stop = item
            if wire != BYTES:
                continue
            if number == 2:
                self._graph(begin, stop)
            elif number == 6:
                self._asset(begin, stop)
            elif number == 7:
                self._objects(begin, stop)

    def _graph(self, start: int, end: int) -> None:
        self._graphs += 1
        for number, wire, begin, stop in self._wire.fields(start, end):
            if wire == BYTES and number == 1:
                self._node(begin, stop, "")
            elif wire == BYTES and number == 2:
                for inner in self._wire.fields(begin, stop):
                    if inner[0] == 1 and inner[1] == BYTES:
                        self._function(inner[2], inner[3])

    def _function(self, start: int, end: int) -> None:
        name = argument = ""
        nodes = []
        for number, wire, begin, stop in self._wire.fields(start, end):
            if wire == BYTES and number == 1:
                name, argument = self._signature(begin, stop)
            elif wire == BYTES and number == 3:
                nodes.append((begin, stop))
        if len(self._functions) >= _MAX_KINDS:
            raise LimitReachedError("max_tensorflow_kinds", f"more than {_MAX_KINDS} functions")
        self._functions.add(name)
        self._paths.function(name, argument)
        for begin, stop in nodes:
            self._node(begin, stop, name)

    def _signature(self, start: int, end: int) -> tuple[str, str]:
        name = argument = ""
        for item in self._wire.fields(start, end):
            if item[1] != BYTES:
                continue
            if item[0] == 1:
                name = self._wire.text(item, _MAX_NAME)
            elif item[0] == 2 and not argument:
                argument = next(
                    (
                        self._wire.text(part, _MAX_NAME)
                        for part in self._wire.fields(item[2], item[3])
                        if part[0] == 1 and part[1] == BYTES
                    ),
                    "",
                )
        return name, argument

    def _node(self, start: int, end: int, function: str) -> None:
        node = _Node(start)
        for item in self._wire.fields(start, end):
            number, wire, begin, stop = item
            if wire != BYTES:
                continue
            if number == 1:
                node.name = self._wire.text(item, _MAX_NAME)
            elif number == 2:
                node.operator = self._wire.text(item, _MAX_NAME)
            elif number == 3 and len(node.inputs) < 2:
                node.inputs.append(self._wire.text(item, _MAX_NAME))
            elif number == 5:
                self._attribute(node, begin, stop)
        used = self._operators.get(node.operator)
        if used is not None:
            used.count += 1
        elif len(self._operators) >= _MAX_KINDS:
            raise LimitReachedError("max_tensorflow_kinds", f"more than {_MAX_KINDS} different operators")
        else:
            self._operators[node.operator] = _Use(1, start)
        self._follow(node, function)
        if node.stream.startswith("file:"):
            shown = shorten(printable(node.stream), 120)
            self._note("tensorflow-write-operator", f"prints into {shown}", node.operator, _Use(1, start))

    def _follow(self, node: _Node, function: str) -> None:
        """Keep what carries paths."""
        if node.operator in FOLLOWED and (node.operator != "Const" or node.text is not None):
            placed = node.operator.startswith("Placeholder")
            self._paths.node(function, node.name, node.inputs, node.text, placed=placed)
        for called in (node.operator, *node.functions):
            self._paths.call(called, function, node.inputs)
        if node.operator in CHECKPOINTS:
            self._paths.user(node.operator, function, node.inputs[:1], node.offset)
        elif node.operator in TABLES or node.operator in CACHES:
            self._paths.user(node.operator, function, node.inputs[1:2], node.offset)

    def _attribute(self, node: _Node, start: int, end: int) -> None:
        key, value = "", None
        for item in self._wire.fields(start, end):
            if item[1] == BYTES and item[0] == 1:
                key = self._wire.text(item, 100)
            elif item[1] == BYTES and item[0] == 2:
                value = item
        if value is not None:
            self._attribute_value(node, key, value[2], value[3])

    def _attribute_value(self, node: _Node, key: str, start: int, end: int) -> None:
        for part in self._wire.numbers(start, end):
            if part[1] != BYTES:
                continue
            if part[0] == 10:
                node.functions += self._names(part[2], part[3])
            elif part[0] == 1:
                for inner in self._wire.numbers(part[2], part[3]):
                    if inner[0] == 9 and inner[1] == BYTES:
                        node.functions += self._names(inner[2], inner[3])
            elif part[0] == 8 and key == "value" and node.text is None:
                node.text = self._constant(part[2], part[3])
            elif part[0] == 2 and key == "output_stream":
                node.stream = self._wire.text(part, _MAX_NAME)

    def _names(self, start: int, end: int) -> list[str]:
        """The name of a function that an attribute holds."""
        fields = self._wire.fields(start, end)
        return [self._wire.text(item, _MAX_NAME) for item in fields if item[0] == 1 and item[1] == BYTES]

    def _constant(self, start: int, end: int) -> str | None:
        """A constant text; None for other tensors."""
        text, kind = None, 0
        for item in self._wire.numbers(start, end):
            if item[0] == 1 and item[1] == VARINT:
                kind = item[2]
                if kind != _STRING:
                    return None
            elif item[0] == 8 and item[1] == BYTES and text is None:
                text = self._wire.text(item, _MAX_NAME)
        return text if kind == _STRING else None

    def _asset(self, start: int, end: int) -> None:
        for item in self._wire.fields(start, end):
            if item[0] == 2 and item[1] == BYTES:
                name = self._wire.text(item, _MAX_NAME)
                self._paths.assets.add(re.split(r"[\\/]", name)[-1])
                if _PARENT.search(name):
                    shown = shorten(printable(name), 120)
                    self._note("tensorflow-asset-path", f"an asset lies at {shown}", name, _Use(1, start))

    def _objects(self, start: int, end: int) -> None:
        """The object graph: layers of Keras carry their configuration up to TensorFlow 2.4."""
        for number, wire, begin, stop in self._wire.fields(start, end):
            if number != 1 or wire != BYTES:
                continue
            for inner in self._wire.fields(begin, stop):
                if inner[0] != 4 or inner[1] != BYTES:
                    continue
                for part in self._wire.fields(inner[2], inner[3]):
                    if part[0] == 3 and part[1] == BYTES:
                        _configuration(self._wire, part[2], part[3], self._context)

    # the judgement

    def _judge(self) -> None:
        for operator, used in sorted(self._operators.items()):
            rule = operator_rule(operator)
            # TensorFlow refuses a function of the name of one of its operators.
            own = operator in self._functions and rule is not None and rule[0] in _NAMES_ONLY
            if rule is not None and not own:
                shown = shorten(printable(operator), 120)
                self._note(rule[0], f"uses the operator {shown}, which {rule[1]}", operator, used)
        for operator, offset, path in self._paths.fixed(_PARENT):
            shown = shorten(printable(path), 120)
            what = "a path that the model chooses" if not path else f"the path {shown}"
            self._note("tensorflow-fixed-path", f"{operator} works on {what}", f"{operator} {path}", _Use(1, offset))

    def _note(self, rule: str, message: str, name: str, used: _Use) -> None:
        self._context.notes.add(
            rule, message, global_name=name, member=self._context.member, offset=used.offset, count=used.count
        )
