"""TensorFlow Lite models: the tables of the flat buffer that name operators and lead to bytes, every offset checked.

Source: schema.fbs of TensorFlow Lite, and the description of flat buffers' internals. Files that a model brings along (labels, vocabularies)
stand behind it as a zip archive, which is inspected as such.
"""

from collections.abc import Iterator

from heliotrope.core.text import printable, shorten
from heliotrope.scan.frameworks.tensorflow_operators import operator_rule
from heliotrope.scan.interface import Context, LimitReachedError, Recognised, Source

__all__ = ["TfliteAnalyser"]

_CUSTOM = 32
"""The code of operators that have a name instead."""
_BUILT_IN = 256
"""Codes below this are the runtime's own; the highest in use is 210."""
_FLEX = "Flex"
_USUAL = frozenset(
    """
    TFLite_Detection_PostProcess NumericVerify Mfcc AudioSpectrogram Convolution2DTransposeBias MaxPoolingWithArgmax2D MaxUnpooling2D
    TransformTensorBilinear Landmarks2TransformMatrix TransformLandmarks RandomStandardNormal RandomUniform Multinomial Atan2
    RoiAlign edgetpu-custom-op ethos-u HashtableFind HashtableImport HashtableSize HASHTABLE HASHTABLE_LOOKUP TFSentencepieceTokenizeOp
    custom_call DISABLE_NAN_CHECK ResourceVariable VarHandleOp ReadVariableOp AssignVariableOp Ngrams TFLite_Audio_Spectrogram
    TFText>WhitespaceTokenizeWithOffsetsV2 NGRAMS NORMALIZE PREDICT EXTRACT_FEATURES
    """.split()  # noqa: SIM905 - a table
)
"""Custom operators that Google's own tools and runtimes bring."""

_MAX_TEXT = 500
_MAX_ITEMS = 2_000_000


class _BrokenError(Exception):
    """An offset leads out of the file, or a table contradicts itself."""


class TfliteAnalyser:
    """Models for TensorFlow Lite, today called LiteRT."""

    format = "tflite"

    def accepts(self, source: Source, name: str) -> bool:
        del name
        return source.read(4, 4) == b"TFL3"

    def analyse(self, source: Source, name: str, context: Context) -> Recognised:
        del name
        try:
            _Model(source, context).analyse()
        except _BrokenError as error:
            context.notes.add("tflite-out-of-bounds", f"the model {error}", key="bounds", member=context.member)
            context.notes.incomplete(f"the model is damaged: it {error}", member=context.member)
        except LimitReachedError as error:
            context.notes.incomplete(error.reason, limit=error.limit, member=context.member)
        return Recognised("tflite")


class _Tables:
    """Reads tables and vectors of a flat buffer."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._left = _MAX_ITEMS

    def number(self, at: int, width: int, *, signed: bool = False) -> int:
        data = self._source.read(at, width) if at >= 0 else b""
        if len(data) < width:
            raise _BrokenError("reaches beyond the end of the file")
        return int.from_bytes(data, "little", signed=signed)

    def charge(self, count: int) -> None:
        """Count tables and numbers, which may be named again and again."""
        self._left -= count
        if self._left < 0:
            raise LimitReachedError("max_tflite_items", f"more than {_MAX_ITEMS} tables and numbers")

    def root(self) -> int:
        return self.number(0, 4)

    def field(self, table: int, index: int) -> int | None:
        """Where a table's field is; None for one that it leaves out."""
        layout = table - self.number(table, 4, signed=True)
        length, inline = self.number(layout, 2), self.number(layout + 2, 2)
        if length < 4 or length % 2:
            raise _BrokenError("has a table with a malformed layout")
        if 4 + 2 * index >= length:
            return None
        place = self.number(layout + 4 + 2 * index, 2)
        if place >= max(inline, 4):
            raise _BrokenError("has a field outside its table")
        return table + place if place else None

    def scalar(self, table: int, index: int, width: int, *, signed: bool = False) -> int:
        at = self.field(table, index)
        return 0 if at is None else self.number(at, width, signed=signed)

    def vector(self, table: int, index: int, width: int) -> tuple[int, int]:
        """Start and number of items; all of them must lie in the file."""
        at = self.field(table, index)
        if at is None:
            return 0, 0
        start = at + self.number(at, 4)
        count = self.number(start, 4)
        if start + 4 + count * width > self._source.size:
            raise _BrokenError("has a list that reaches beyond the end of the file")
        return start + 4, count

    def tables(self, table: int, index: int) -> Iterator[int]:
        start, count = self.vector(table, index, 4)
        for place in range(start, start + 4 * count, 4):
            self.charge(1)
            yield place + self.number(place, 4)

    def text(self, table: int, index: int) -> str:
        start, count = self.vector(table, index, 1)
        return self._source.read(start, min(count, _MAX_TEXT)).decode("utf-8", "replace")


class _Model:
    def __init__(self, source: Source, context: Context) -> None:
        self._source = source
        self._context = context
        self._tables = _Tables(source)

    def analyse(self) -> None:
        tables = self._tables
        root = tables.root()
        codes = [self._code(table) for table in tables.tables(root, 1)]
        buffers = sum(1 for table in tables.tables(root, 4) if self._buffer(table))
        graphs = 0
        for graph in tables.tables(root, 2):
            graphs += 1
            self._graph(graph, len(codes), buffers)
        for metadata in tables.tables(root, 6):
            tables.text(metadata, 0)
            if tables.scalar(metadata, 1, 4) >= buffers:
                raise _BrokenError("has metadata in a buffer that is not there")
        if not graphs:
            self._context.notes.incomplete("there is no graph in it", member=self._context.member)

    def _code(self, table: int) -> int:
        """An operator that the model uses."""
        tables = self._tables
        code = max(tables.scalar(table, 0, 1, signed=True), tables.scalar(table, 3, 4, signed=True))
        name = tables.text(table, 1)
        if code >= _BUILT_IN or code < 0:
            raise _BrokenError(f"uses an operator of code {code}, which does not exist")
        if code == _CUSTOM or name:
            self._custom(name, table)
        return code

    def _custom(self, name: str, offset: int) -> None:
        shown = shorten(printable(name), 120)
        if name in _USUAL:
            return
        rule = operator_rule(name.removeprefix(_FLEX)) if name.startswith(_FLEX) else None
        if rule is not None:
            self._note(rule[0], f"uses the operator {shown}, which {rule[1]}", name, offset)
        elif not name.startswith(_FLEX):
            self._note(
                "tflite-custom-operator", f"uses the operator {shown}, which the runtime does not have", name, offset
            )

    def _buffer(self, table: int) -> bool:
        tables = self._tables
        tables.vector(table, 0, 1)
        offset, size = tables.scalar(table, 1, 8), tables.scalar(table, 2, 8)
        if offset > 1 and offset + size > self._source.size:
            raise _BrokenError("has a buffer that reaches beyond the end of the file")
        return True

    def _graph(self, graph: int, codes: int, buffers: int) -> None:
        tables = self._tables
        for tensor in tables.tables(graph, 0):
            tables.vector(tensor, 0, 4)
            tables.vector(tensor, 3, 1)
            if tables.scalar(tensor, 2, 4) >= max(buffers, 1):
                raise _BrokenError("has a tensor in a buffer that is not there")
        _, tensors = tables.vector(graph, 0, 4)
        for index in (1, 2):
            self._indices(graph, index, tensors)
        for operator in tables.tables(graph, 3):
            if tables.scalar(operator, 0, 4) >= codes:
                raise _BrokenError("uses an operator that it does not list")
            self._indices(operator, 1, tensors)
            self._indices(operator, 2, tensors)
            tables.vector(operator, 5, 1)
            offset, size = tables.scalar(operator, 9, 8), tables.scalar(operator, 10, 8)
            if offset > 1 and offset + size > self._source.size:
                raise _BrokenError("has options that reach beyond the end of the file")

    def _indices(self, table: int, index: int, most: int) -> None:
        """Numbers of tensors; -1 stands for one that is left out."""
        start, count = self._tables.vector(table, index, 4)
        self._tables.charge(count)
        data = self._source.read(start, 4 * count)
        for at in range(0, 4 * count, 4):
            number = int.from_bytes(data[at : at + 4], "little", signed=True)
            if not -1 <= number < most:
                raise _BrokenError("uses a tensor that it does not list")

    def _note(self, rule: str, message: str, name: str, offset: int) -> None:
        self._context.notes.add(rule, message, global_name=name, member=self._context.member, offset=offset)
