"""ONNX models: the whole structure is walked on the wire, tensors are passed over; operators and references are judged.

Source: onnx.proto of the ONNX repository.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from heliotrope.core.text import printable, shorten
from heliotrope.scan.frameworks.onnx_tensors import ExternalTensor, check_external
from heliotrope.scan.interface import Context, LimitReachedError, Recognised, Source
from heliotrope.scan.wire.protobuf import BYTES, FIXED32, FIXED64, VARINT, DamagedError, Field, Wire

__all__ = ["OnnxAnalyser", "OnnxValueAnalyser"]

_MODEL = {
    1: VARINT,
    2: BYTES,
    3: BYTES,
    4: BYTES,
    5: VARINT,
    6: BYTES,
    7: BYTES,
    8: BYTES,
    14: BYTES,
    20: BYTES,
    25: BYTES,
    26: BYTES,
}
"""Fields of ModelProto and their wire types."""

_TENSOR = {
    1: (VARINT, BYTES),
    2: (VARINT,),
    4: (FIXED32, BYTES),
    5: (VARINT, BYTES),
    6: (BYTES,),
    7: (VARINT, BYTES),
    8: (BYTES,),
    9: (BYTES,),
    10: (FIXED64, BYTES),
    11: (VARINT, BYTES),
    12: (BYTES,),
    13: (BYTES,),
    14: (VARINT,),
    16: (BYTES,),
}
"""Fields of TensorProto; segments are not in use."""
_SEQUENCE = {1: (BYTES,), 2: (VARINT,), 3: (BYTES,), 4: (BYTES,), 5: (BYTES,), 7: (BYTES,)}
"""Fields of SequenceProto and OptionalProto: tensors, sparse ones, and such values within; maps are not among them."""
_LAST_TYPE = 40
"""Of the tensors' types; 26 are in use."""
_LAST_KIND = 5
_MAX_NESTED = 8

_KNOWN_DOMAINS = frozenset({
    "", "ai.onnx", "ai.onnx.ml", "ai.onnx.training", "ai.onnx.preview", "ai.onnx.preview.training",
    "com.microsoft", "com.microsoft.nchwc", "com.ms.internal.nhwc", "com.microsoft.experimental",
})  # fmt: skip
"""Domains whose operators are part of ONNX and of onnxruntime; all others are code that somebody must add."""

_PYTHON = re.compile(r"Py(thon)?(Op|CustomOp|Func|Operator)\w*", re.IGNORECASE)
_BINARIES = frozenset({"EPContext"})
"""Operators whose attribute is a compiled program, or the path of one."""

_SCRIPT = re.compile(
    rb"<script|\b(?:eval|exec|__import__)\s*\(|os\.system|subprocess|powershell|#!/|<\?php", re.IGNORECASE
)
_MAX_DEPTH = 40
"""Graphs within graphs; If within Loop within If seldom gets beyond five."""
_MAX_DIMENSIONS = 64
_MAX_TEXT = 64 * 1024
_MAX_NAME = 500
_MAX_KINDS = 20_000
"""Different operators, or functions, of one model; large exports have some hundred."""
_PROBED_FIELDS = 200_000


@dataclass(slots=True)
class _Use:
    count: int
    offset: int


class OnnxAnalyser:
    """Models of ONNX: graphs, functions and tensors."""

    format = "onnx"

    def accepts(self, source: Source, name: str) -> bool:
        """Protocol buffers have no magic: the outermost fields must be a model's, to the end of the file."""
        head = source.read(0, 2)
        if len(head) < 2 or _MODEL.get(head[0] >> 3) != head[0] & 7:
            return False
        return name.lower().endswith(".onnx") or _is_model(source)

    def analyse(self, source: Source, name: str, context: Context) -> Recognised:
        del name
        _Model(source, context).analyse()
        return Recognised("onnx")


class OnnxValueAnalyser:
    """Single tensors, and sequences of them, as test data of ONNX models holds them."""

    format = "onnx-tensor"

    def accepts(self, source: Source, name: str) -> bool:
        """No magic again: a type, and no field that a value does not have, to the end of the file."""
        if not name.lower().endswith((".pb", ".tensorproto")):
            return False
        return _is_value(source, _TENSOR, "tensor") or _is_value(source, _SEQUENCE, "sequence")

    def analyse(self, source: Source, name: str, context: Context) -> Recognised:
        del name
        _Model(source, context).value(sequence=not _is_value(source, _TENSOR, "tensor"))
        return Recognised("onnx-tensor")


def _is_value(source: Source, layout: Mapping[int, tuple[int, ...]], kind: str) -> bool:
    found = False
    try:
        for number, wire, begin, _ in Wire(source, _PROBED_FIELDS).fields(0, source.size):
            if wire not in layout.get(number, ()):
                return False
            if number == 2:
                found = 1 <= begin <= (_LAST_TYPE if kind == "tensor" else _LAST_KIND)
    except (DamagedError, LimitReachedError):
        return False
    return found


def _is_model(source: Source) -> bool:
    numbers = set()
    try:
        for number, wire, _, _ in Wire(source, _PROBED_FIELDS).fields(0, source.size):
            if _MODEL.get(number) != wire:
                return False
            numbers.add(number)
    except (DamagedError, LimitReachedError):
        return False
    return {1, 7} <= numbers


class _Model:
    def __init__(self, source: Source, context: Context) -> None:
        self._source = source
        self._context = context
        self._wire = Wire(source, context.limits.max_protobuf_fields)
        self._operators: dict[tuple[str, str], _Use] = {}
        self._functions: set[tuple[str, str]] = set()
        self._graphs = 0

    def analyse(self) -> None:
        try:
            self._model()
        except DamagedError as error:
            self._context.notes.incomplete(f"the model is damaged: {error}", member=self._context.member)
        except LimitReachedError as error:
            self._context.notes.incomplete(error.reason, limit=error.limit, member=self._context.member)
        else:
            if not self._graphs:
                self._context.notes.incomplete("there is no graph in it", member=self._context.member)
        self._judge_operators()

    def value(self, *, sequence: bool) -> None:
        """A tensor or a sequence by itself."""
        try:
            if sequence:
                self._sequence(0, self._source.size, 0)
            else:
                self._tensor(0, self._source.size)
        except DamagedError as error:
            self._context.notes.incomplete(f"the value is damaged: {error}", member=self._context.member)
        except LimitReachedError as error:
            self._context.notes.incomplete(error.reason, limit=error.limit, member=self._context.member)

    # the messages, one method each

    def _sequence(self, start: int, end: int, depth: int) -> None:
        if depth > _MAX_NESTED:
            raise LimitReachedError("max_onnx_depth", f"more than {_MAX_NESTED} sequences within each other")
        for number, wire, begin, stop in self._wire.fields(start, end):
            if wire != BYTES:
                continue
            if number == 3:
                self._tensor(begin, stop)
            elif number == 4:
                self._sparse(begin, stop)
            elif number in (5, 7):
                self._sequence(begin, stop, depth + 1)

    def _model(self) -> None:
        for field in self._wire.fields(0, self._source.size):
            number, wire, start, end = field
            if wire != BYTES:
                continue
            if number == 7:
                self._graph(start, end, 0)
            elif number == 20:
                self._training(start, end)
            elif number == 25:
                self._function(start, end)
            elif number == 14:
                self._entry(start, end)
            elif number == 6:
                self._prose(field)

    def _training(self, start: int, end: int) -> None:
        for number, wire, begin, stop in self._wire.fields(start, end):
            if wire == BYTES and number in (1, 2):
                self._graph(begin, stop, 0)

    def _function(self, start: int, end: int) -> None:
        name = domain = ""
        for field in self._wire.fields(start, end):
            number, wire, begin, stop = field
            if wire != BYTES:
                continue
            if number == 7:
                self._node(begin, stop, 0)
            elif number == 11:
                self._attribute(begin, stop, 0)
            elif number == 1:
                name = self._wire.text(field, _MAX_NAME)
            elif number == 10:
                domain = self._wire.text(field, _MAX_NAME)
            elif number == 8:
                self._prose(field)
        if len(self._functions) >= _MAX_KINDS:
            raise LimitReachedError("max_onnx_kinds", f"more than {_MAX_KINDS} functions")
        self._functions.add((domain, name))

    def _graph(self, start: int, end: int, depth: int) -> None:
        if depth > _MAX_DEPTH:
            raise LimitReachedError("max_onnx_depth", f"more than {_MAX_DEPTH} graphs within each other")
        self._graphs += 1
        for field in self._wire.fields(start, end):
            number, wire, begin, stop = field
            if wire != BYTES:
                continue
            if number == 1:
                self._node(begin, stop, depth)
            elif number == 5:
                self._tensor(begin, stop)
            elif number == 15:
                self._sparse(begin, stop)
            elif number == 16:
                self._entry(begin, stop)
            elif number == 10:
                self._prose(field)

    def _node(self, start: int, end: int, depth: int) -> None:
        operator = domain = ""
        for field in self._wire.fields(start, end):
            number, wire, begin, stop = field
            if wire != BYTES:
                continue
            if number == 4:
                operator = self._wire.text(field, _MAX_NAME)
            elif number == 7:
                domain = self._wire.text(field, _MAX_NAME)
            elif number == 5:
                self._attribute(begin, stop, depth)
            elif number == 9:
                self._entry(begin, stop)
        used = self._operators.get((domain, operator))
        if used is not None:
            used.count += 1
            return
        if len(self._operators) >= _MAX_KINDS:
            raise LimitReachedError("max_onnx_kinds", f"more than {_MAX_KINDS} different operators")
        self._operators[domain, operator] = _Use(1, start)

    def _attribute(self, start: int, end: int, depth: int) -> None:
        for number, wire, begin, stop in self._wire.numbers(start, end):
            if wire != BYTES:
                continue
            if number in (6, 11):
                self._graph(begin, stop, depth + 1)
            elif number in (5, 10):
                self._tensor(begin, stop)
            elif number in (22, 23):
                self._sparse(begin, stop)

    def _sparse(self, start: int, end: int) -> None:
        for number, wire, begin, stop in self._wire.numbers(start, end):
            if wire == BYTES and number in (1, 2):
                self._tensor(begin, stop)

    def _tensor(self, start: int, end: int) -> None:
        tensor = ExternalTensor(start)
        for number, wire, begin, stop in self._wire.fields(start, end):
            if number == 13 and wire == BYTES:
                key, value = self._pair(begin, stop, _MAX_NAME)
                tensor.entries[key] = value
                tensor.external = True
            elif number == 14 and wire == VARINT:
                tensor.external |= begin == 1
            elif number == 2 and wire == VARINT:
                tensor.data_type = begin
            elif number == 1:
                tensor.dims = (tensor.dims + self._sides(wire, begin, stop))[:_MAX_DIMENSIONS]
        if tensor.external:
            check_external(tensor, self._context)

    def _sides(self, wire: int, begin: int, stop: int) -> list[int]:
        """Sides of a shape, packed or one by one."""
        if wire == VARINT:
            return [begin]
        sides: list[int] = []
        at = begin
        while at < stop and len(sides) < _MAX_DIMENSIONS:
            side, at = self._wire.varint(at, stop)
            sides.append(side)
        return sides

    # text

    def _pair(self, start: int, end: int, limit: int) -> tuple[str, str]:
        key = value = ""
        for field in self._wire.fields(start, end):
            if field[1] == BYTES and field[0] == 1:
                key = self._wire.text(field, _MAX_NAME)
            elif field[1] == BYTES and field[0] == 2:
                value = self._wire.text(field, limit)
        return key, value

    def _entry(self, start: int, end: int) -> None:
        for field in self._wire.fields(start, end):
            if field[1] == BYTES:
                self._prose(field)

    def _prose(self, field: Field) -> None:
        """Text for people; programs that show it may run what is in it."""
        _, _, start, end = field
        found = _SCRIPT.search(self._wire.read(start, min(end - start, _MAX_TEXT)))
        if found is not None:
            shown = printable(found[0].decode("ascii", "replace"))
            message = f"text of the model holds {shown!r}"
            self._context.notes.add(
                "onnx-script-in-text",
                message,
                key=shown.lower(),
                member=self._context.member,
                offset=start + found.start(),
            )

    # the judgement

    def _judge_operators(self) -> None:
        for (domain, operator), used in sorted(self._operators.items()):
            if (domain, operator) in self._functions:
                continue
            full_name = f"{domain}.{operator}" if domain else operator
            shown = shorten(printable(full_name), 120)
            if _PYTHON.fullmatch(operator):
                self._note(
                    "onnx-python-operator", f"uses the operator {shown}, which runs Python code", full_name, used
                )
            elif operator in _BINARIES:
                self._note("onnx-custom-operator", f"uses the operator {shown}, a compiled program", full_name, used)
            elif domain not in _KNOWN_DOMAINS:
                message = f"uses the operator {shown}, which neither ONNX nor this model defines"
                self._note("onnx-custom-operator", message, full_name, used)

    def _note(self, rule: str, message: str, name: str, used: _Use) -> None:
        self._context.notes.add(
            rule, message, global_name=name, member=self._context.member, offset=used.offset, count=used.count
        )
