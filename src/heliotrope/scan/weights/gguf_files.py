"""GGUF files: the header is walked value by value, tensors must lie in the file once each, chat templates are inspected.

Source: the GGUF specification in the ggml repository, versions 1 to 3, of either byte order; sizes of types from gguf-py.
"""

import math
from dataclasses import dataclass, field

from heliotrope.core.text import printable, shorten
from heliotrope.scan.interface import Context, Recognised, Source
from heliotrope.scan.repositories.templates import check_template
from heliotrope.scan.weights.gguf_reader import ARRAY, STRING, WIDTHS, GgufError, GgufLimitError, GgufReader

__all__ = ["GgufAnalyser"]

_BLOCKS: dict[int, tuple[int, int]] = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 9: (32, 40), 10: (256, 84),
    11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292), 16: (256, 66), 17: (256, 74),
    18: (256, 98), 19: (256, 50), 20: (32, 18), 21: (256, 110), 22: (256, 82), 23: (256, 136), 24: (1, 1), 25: (1, 2),
    26: (1, 4), 27: (1, 8), 28: (1, 8), 29: (256, 56), 30: (1, 2), 31: (32, 18), 32: (32, 18), 33: (32, 18),
    34: (256, 54), 35: (256, 66), 39: (32, 17), 40: (64, 36), 41: (128, 18),
}  # fmt: skip
"""Type of a tensor to values in a block and bytes of a block. Types that were removed or come later are not known."""

_MAX_DIMENSIONS = 4
_MAX_ELEMENTS = 2**63
_ALIGNMENT = 32
_MAX_ALIGNMENT = 2**20
_MAX_TEMPLATES = 100
"""Templates in one array; a model has one for each way of use."""
_SHOWN = 120


class GgufAnalyser:
    """Tensors and metadata without code, but for templates."""

    format = "gguf"

    def accepts(self, source: Source, name: str) -> bool:
        del name
        return source.read(0, 4) == b"GGUF"

    def analyse(self, source: Source, name: str, context: Context) -> Recognised:
        del name
        walk = _Walk(source, context)
        try:
            walk.run()
        except GgufLimitError as error:
            context.notes.incomplete(error.reason, limit=error.limit, member=context.member)
        except GgufError as error:
            if error.malformed:
                message = f"the header {error}"
                context.notes.add("gguf-invalid-header", message, member=context.member, offset=error.offset)
            context.notes.incomplete(f"the header {error}", member=context.member, offset=error.offset)
        return Recognised("gguf")


@dataclass(slots=True)
class _Layout:
    """What the header says about the tensors."""

    alignment: int = _ALIGNMENT
    spans: list[tuple[int, int, str]] = field(default_factory=list)
    """Begin and end within the data, and the tensor's name."""
    complete: bool = True


class _Walk:
    def __init__(self, source: Source, context: Context) -> None:
        self._context = context
        self._size = source.size
        self._reader = GgufReader(source, context.limits.max_gguf_items)
        self._layout = _Layout()

    def run(self) -> None:
        reader = self._reader
        tensors, pairs = reader.begin()
        reader.require(pairs, reader.width + 5, "metadata entries")
        self._metadata(pairs)
        reader.require(tensors, reader.width * 2 + 8, "tensors")
        self._tensors(tensors)
        self._check_layout()

    # metadata

    def _metadata(self, pairs: int) -> None:
        seen: set[bytes] = set()
        for _ in range(pairs):
            at = self._reader.at
            key = self._reader.text(self._context.limits.max_gguf_name)
            if key in seen:
                shown = _shown(key)
                self._note("gguf-duplicate-key", f"the metadata names {shown} twice", shown, at)
            seen.add(key)
            self._value(key, self._reader.u32())

    def _value(self, key: bytes, kind: int) -> None:
        reader = self._reader
        if kind == STRING:
            if _names_template(key):
                self._template(key)
            else:
                reader.skip_texts(1)
        elif kind == ARRAY:
            self._array(key, 0)
        elif kind not in WIDTHS:
            raise GgufError(f"gives {_shown(key)} the unknown type {kind}", reader.at)
        elif key == b"general.alignment":
            self._alignment(int.from_bytes(reader.take(WIDTHS[kind]), reader.order))
        else:
            reader.skip(WIDTHS[kind])

    def _array(self, key: bytes, depth: int) -> None:
        reader = self._reader
        if depth >= self._context.limits.max_gguf_depth:
            limit = self._context.limits.max_gguf_depth
            raise GgufLimitError("max_gguf_depth", f"arrays are more than {limit} levels deep", reader.at)
        kind, count = reader.u32(), reader.count()
        if kind == STRING:
            reader.require(count, reader.width, "texts")
            read = count if _names_template(key) and count <= _MAX_TEMPLATES else 0
            for _ in range(read):
                self._template(key)
            reader.skip_texts(count - read)
        elif kind == ARRAY:
            reader.require(count, reader.width + 4, "arrays")
            for _ in range(count):
                reader.charge(1)
                self._array(key, depth + 1)
        elif kind in WIDTHS:
            reader.require(count, WIDTHS[kind], "numbers")
            reader.skip(count * WIDTHS[kind])
        else:
            raise GgufError(f"gives {_shown(key)} an array of the unknown type {kind}", reader.at)

    def _alignment(self, value: int) -> None:
        if value <= 0 or value & (value - 1) or value > _MAX_ALIGNMENT:
            raise GgufError(f"aligns data to {value} bytes", self._reader.at)
        self._layout.alignment = value

    def _template(self, key: bytes) -> None:
        at = self._reader.at
        limit = self._context.limits.max_template
        length = self._reader.count()
        if length > limit:
            self._reader.skip(length)
            reason = f"a template has {length} bytes, more than the limit of {limit}"
            self._context.notes.incomplete(reason, limit="max_template", member=self._context.member, offset=at)
            return
        text = self._reader.take(length).decode("utf-8", "replace")
        if text.strip("\0 \n") and ("{" in text):
            check_template(text, self._context.inside(key.decode("utf-8", "replace")), offset=at)

    # tensors

    def _tensors(self, count: int) -> None:
        seen: set[bytes] = set()
        for _ in range(count):
            at = self._reader.at
            name = self._reader.text(self._context.limits.max_gguf_name)
            if name in seen:
                self._note("gguf-duplicate-key", f"two tensors are named {_shown(name)}", _shown(name), at)
            seen.add(name)
            self._tensor(name, at)

    def _tensor(self, name: bytes, at: int) -> None:
        reader = self._reader
        reader.charge(1)
        dimensions = reader.u32()
        if dimensions > _MAX_DIMENSIONS:
            raise GgufError(f"gives {_shown(name)} {dimensions} dimensions", at)
        shape = [reader.count() for _ in range(dimensions)]
        kind, offset = reader.u32(), reader.u64()
        elements = math.prod(shape)
        block = _BLOCKS.get(kind)
        if elements >= _MAX_ELEMENTS:
            # The product wraps around in readers that count in 64 bits (CVE-2024-21802 and its like).
            raise GgufError(f"gives {_shown(name)} more values than can be counted", at)
        if block is None:
            self._layout.complete = False
            self._context.notes.incomplete(
                f"tensors of the unknown type {kind}", member=self._context.member, offset=at
            )
            return
        values, size = block
        if (shape[0] if shape else 1) % values:
            self._invalid(f"tensor {_shown(name)} has rows that are no whole blocks of {values} values", name, at)
        self._layout.spans.append((offset, offset + elements // values * size, _shown(name)))
        if offset % self._layout.alignment:
            self._invalid(f"tensor {_shown(name)} is not aligned to {self._layout.alignment} bytes", name, at)

    def _invalid(self, message: str, name: bytes, at: int) -> None:
        self._note("gguf-invalid-header", message, _shown(name), at)

    # where the tensors lie

    def _check_layout(self) -> None:
        alignment = self._layout.alignment
        start = _aligned(self._reader.at, alignment)
        reached = 0
        for begin, end, name in sorted(self._layout.spans):
            if begin < reached and end > begin:
                self._note("gguf-overlap", f"tensor {name} shares bytes with another", name, start + begin)
            elif begin > _aligned(reached, alignment):
                self._unclaimed(f"{begin - reached} bytes before {name} belong to no tensor", start + reached)
            if start + end > self._size:
                self._note("gguf-out-of-bounds", f"tensor {name} ends beyond the file", name, start + begin)
                self._context.notes.incomplete("the file ends before its last tensor", member=self._context.member)
            reached = max(reached, end)
        if self._size > start + _aligned(reached, alignment):
            rest = self._size - start - reached
            self._unclaimed(f"{rest} bytes follow the last tensor", start + reached)

    def _unclaimed(self, message: str, offset: int) -> None:
        if self._layout.complete:
            self._note("gguf-unclaimed-bytes", message, message, offset)

    def _note(self, rule: str, message: str, key: str, offset: int) -> None:
        self._context.notes.add(rule, message, key=key, member=self._context.member, offset=min(offset, self._size))


def _names_template(key: bytes) -> bool:
    return b"template" in key


def _aligned(size: int, alignment: int) -> int:
    return -(-size // alignment) * alignment


def _shown(name: bytes) -> str:
    return shorten(printable(name.decode("utf-8", "replace")), _SHOWN)
